//! Data sets on their way to the device: whole, as room for blocks, or as room for batches by hand.

use super::device_data::{DataOnDevice, Placement, RowListOnDevice};
use super::engine::Engine;
use crate::data::{Dataset, Rows};
use crate::error::Result;
use crate::plan::{DataId, StateSet};
use std::sync::Arc;

/// Data sets that stay on the device at a time.
const RESIDENT: usize = 4;
/// A set that is a list of rows shares what is stored unless it has fewer than one in so many of it.
const FEW: usize = 32;
/// Blocks of one stream that exist at a time: one on the device, one on its way there, one that waits, one being read.
const BLOCKS: u64 = 4;
/// Most bytes of a block: larger blocks make nothing faster.
const LARGEST: u64 = 16 << 20;
/// Bytes that a row costs the thread that reads ahead, for each field and beside the values: the numbers of the row in the order and in the
/// file.
const NUMBERS: u64 = 12;
/// The memory budget of a data set without one, that is streamed because no buffer of the device takes it whole.
const BUDGET: u64 = 256 << 20;

/// Bytes of a row on the device.
fn row_bytes(data: &Dataset) -> u64 {
    (0..data.fields().len()).map(|i| 4 * data.row_words(i) as u64).sum()
}

impl Engine {
    /// Whether a data set goes to the device whole, in blocks, or as a list of rows that lie there.
    pub(crate) fn place(&self, data: &Dataset, set: StateSet) -> Placement {
        let base = self.base_of(data);
        // two buffers for each field, one for what the gather looks up, and one for the list
        let fields = data.fields();
        let looked_up = usize::from(fields.iter().any(|f| f.augmented.is_some() || f.channels.is_some()));
        let list_binds = 2 * fields.len() + looked_up < self.device.limits().storage_buffers;
        match (self.fits(&base), base.same_rows(data)) {
            (true, true) => Placement::Whole,
            (true, false) if list_binds => Placement::Listed,
            _ if data.balance().is_none() && self.fits(data) => Placement::Whole,
            _ => Placement::Blocks(set),
        }
    }

    /// The set whose rows lie on the device where this one has a list of them: all that is stored, which other parts share, or its own rows where
    /// these are few or all is too much. A range has its own.
    pub(crate) fn base_of(&self, data: &Dataset) -> Dataset {
        let own = data.undrawn();
        if matches!(data.rows(), Rows::Range(_)) {
            return own;
        }
        let all = data.whole();
        if data.len().saturating_mul(FEW) >= all.len() && self.fits(&all) { all } else { own }
    }

    /// Whether all rows of a set may lie on the device at a time.
    fn fits(&self, data: &Dataset) -> bool {
        let words: Vec<usize> = (0..data.fields().len()).map(|i| data.words_in_all(i)).collect();
        let bytes = words.iter().fold(0u64, |sum, w| sum.saturating_add(4 * *w as u64));
        let over = data.budget().is_some_and(|b| bytes > b);
        !over && words.iter().all(|w| *w <= self.data.limit)
    }

    /// For how many rows a data set gets buffers: at least for a batch.
    fn room(&self, place: Placement, data: &Dataset, batch: usize) -> usize {
        let n = data.len();
        match place {
            Placement::Whole | Placement::Listed => n,
            Placement::ByHand(_) => batch,
            Placement::Blocks(_) => {
                let fields = data.fields().len();
                let bytes = (data.budget().unwrap_or(BUDGET) / BLOCKS).min(LARGEST);
                let rows = (bytes / (row_bytes(data) + NUMBERS * fields as u64)) as usize;
                let fits = (0..fields).map(|i| self.data.limit / data.row_words(i).max(1)).min().unwrap_or(rows);
                rows.min(fits).min(n).max(batch)
            }
        }
    }

    /// Finds the buffers of a data set, or makes them in place of those that were not used for longest; buffers that hold all rows are
    /// filled. Gives the index of the data set among those on the device.
    pub(crate) fn make_resident(&mut self, place: Placement, data: &Dataset, batch: usize) -> Result<usize> {
        // two loops over one data set must not write to one block
        let shared = matches!(place, Placement::Whole | Placement::Listed);
        let usable = |r: &DataOnDevice| r.same(place, data) && r.rows >= batch && (shared || r.free());
        if let Some(i) = self.data.sets.iter().position(usable) {
            let r = self.data.sets.remove(i);
            self.data.sets.push(r);
            return Ok(self.data.sets.len() - 1);
        }
        if place == Placement::Listed {
            return self.make_list(data, batch);
        }
        let too_small = self.data.sets.iter().position(|r| r.same(place, data) && r.free());
        match too_small {
            Some(i) => self.forget_set(i),
            None => self.make_way(),
        }
        let rows = self.room(place, data, batch);
        match place {
            Placement::Whole | Placement::Listed => tracing::debug!(data = data.name(), rows, "moving a data set to the device"),
            Placement::ByHand(_) => tracing::debug!(rows, "room on the device for batches by hand"),
            Placement::Blocks(_) => {
                let bytes = row_bytes(data) * rows as u64;
                tracing::info!(data = data.name(), rows = data.len(), block = rows, bytes, "streaming a data set in blocks of rows");
            }
        }
        let mut ids = Vec::new();
        for (field, f) in data.fields().iter().enumerate() {
            if let Err(e) = self.fill(place, data, field, rows, &mut ids) {
                ids.iter().for_each(|id| self.session.drop_data(*id));
                let bytes = 4 * rows as u64 * f.words() as u64;
                let name = || vec![format!("`{}` of the data set `{}`: {rows} rows, {bytes} bytes", f.name, data.name())];
                return Err(e.with_biggest(name));
            }
        }
        if place == Placement::Whole {
            tracing::debug!(data = data.name(), "the data set is on the device");
        }
        let key = self.data.next;
        self.data.next += 1;
        self.data.sets.push(DataOnDevice { key, place, data: data.clone(), rows, ids, list: None, pin: Arc::new(()) });
        Ok(self.data.sets.len() - 1)
    }

    /// Makes the list of rows of a set, behind the fields of the set that it shares them with.
    fn make_list(&mut self, data: &Dataset, batch: usize) -> Result<usize> {
        let base = self.base_of(data);
        let at = self.make_resident(Placement::Whole, &base, batch)?;
        let (ids, pin) = (self.data.sets[at].ids.clone(), self.data.sets[at].pin.clone());
        self.make_way();
        let list = data.row_list(&base)?;
        let rows = data.len();
        tracing::debug!(data = data.name(), rows, "moving a list of rows to the device");
        let id = self.session.add_data(list.words()).map_err(|e| {
            e.with_biggest(|| vec![format!("the list of rows of the data set `{}`: {} bytes", data.name(), 4 * list.words().len())])
        })?;
        let key = self.data.next;
        self.data.next += 1;
        let list = Some(RowListOnDevice { id, _base: pin });
        self.data.sets.push(DataOnDevice { key, place: Placement::Listed, data: data.clone(), rows, ids, list, pin: Arc::new(()) });
        Ok(self.data.sets.len() - 1)
    }

    /// Where there are many sets on the device, drops the one that was not used for longest.
    fn make_way(&mut self) {
        if self.data.sets.len() >= RESIDENT
            && let Some(i) = self.data.sets.iter().position(DataOnDevice::free)
        {
            self.forget_set(i);
        }
    }

    fn forget_set(&mut self, i: usize) {
        let old = self.data.sets.remove(i);
        old.own_ids().iter().for_each(|id| self.session.drop_data(*id));
        self.ready.handles.retain(|(_, key), _| *key != old.key);
    }

    /// Makes the buffer of one field, and fills it where it holds all rows.
    fn fill(&mut self, place: Placement, data: &Dataset, field: usize, rows: usize, ids: &mut Vec<DataId>) -> Result<()> {
        let words = data.row_words(field);
        let overlapping = data.overlapping(field).filter(|_| place == Placement::Whole);
        let id = self.session.new_data(overlapping.map_or(rows * words, |(values, _)| values.len()))?;
        ids.push(id);
        if let Some((values, _)) = overlapping {
            return self.session.write_data(id, 0, bytemuck::cast_slice(values));
        }
        if place != Placement::Whole {
            return Ok(());
        }
        data.each_chunk(field, |first, chunk| self.session.write_data(id, first * words, chunk))
    }

    /// Writes a batch to the buffers that wait for it.
    pub(crate) fn upload_batch(&mut self, data: &Dataset, set: StateSet) -> Result<()> {
        let at = self.make_resident(Placement::ByHand(set), data, data.len())?;
        for (field, id) in self.data.sets[at].ids.clone().into_iter().enumerate() {
            let words = data.row_words(field);
            data.each_chunk(field, |first, chunk| self.session.write_data(id, first * words, chunk))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
