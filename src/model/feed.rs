//! How data comes to the programs: whole on the device, in blocks that a thread reads ahead, or a batch at a time by hand.

use crate::data::{Blocks, Dataset, Plan};
use crate::error::{Error, Result};
use crate::kernels::words::{STATE_CURSOR, StateWords};
use crate::model::accumulation::Order;
use crate::model::core::Core;
use crate::plan::{BufferId, DataId, Lane, Program, Purpose};
use std::sync::Arc;

/// Data sets that stay on the device at a time.
const RESIDENT: usize = 4;
/// Blocks of one stream that exist at a time: one on the device, one on its way there, one that waits, one being read.
const BLOCKS: u64 = 4;
/// Most bytes of a block: more makes nothing faster.
const LARGEST: u64 = 16 << 20;
/// What a row costs the reader for each field, beside its values: its number, in the order and in the file's.
const NUMBERS: u64 = 12;
/// The budget of a set in memory that is streamed because no buffer of the device takes it.
const BUDGET: u64 = 256 << 20;

/// Where the rows of a data set are while a program runs over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// All on the device.
    Whole,
    /// A block at a time.
    Blocks(Lane),
    /// The user brings a batch; all of one layout share the buffers.
    ByHand(Lane),
}

/// Buffers on the device that hold a data set or a part of it.
pub(crate) struct Resident {
    pub key: usize,
    place: Place,
    data: Dataset,
    /// Rows that the buffers have room for.
    rows: usize,
    pub ids: Vec<DataId>,
    /// Held by the loops that run over it: it must not go.
    pin: Arc<()>,
}

impl Resident {
    fn same(&self, place: Place, data: &Dataset) -> bool {
        let layout = |d: &Dataset| d.fields().into_iter().map(|f| (f.words(), f.stored, f.name)).collect::<Vec<_>>();
        let same = match place {
            Place::ByHand(_) => layout(&self.data) == layout(data),
            _ => self.data.identity() == data.identity(),
        };
        self.place == place && same
    }

    pub fn free(&self) -> bool {
        Arc::strong_count(&self.pin) == 1
    }
}

/// Bytes of a row on the device.
fn row_bytes(data: &Dataset) -> u64 {
    (0..data.fields().len()).map(|i| 4 * data.row_words(i) as u64).sum()
}

impl Core {
    /// Whether a data set goes to the device whole or in blocks.
    pub(crate) fn place(&self, data: &Dataset, lane: Lane) -> Place {
        let over = data.budget().is_some_and(|b| row_bytes(data).saturating_mul(data.len() as u64) > b);
        let wide = (0..data.fields().len()).any(|i| data.row_words(i).saturating_mul(data.len()) > self.data_limit);
        if over || wide { Place::Blocks(lane) } else { Place::Whole }
    }

    /// Rows that the buffers of a data set get. At least a batch.
    fn room(&self, place: Place, data: &Dataset, batch: usize) -> usize {
        let n = data.len();
        match place {
            Place::Whole => n,
            Place::ByHand(_) => batch,
            Place::Blocks(_) => {
                let fields = data.fields().len();
                let bytes = (data.budget().unwrap_or(BUDGET) / BLOCKS).min(LARGEST);
                let rows = (bytes / (row_bytes(data) + NUMBERS * fields as u64)) as usize;
                let fits = (0..fields).map(|i| self.data_limit / data.row_words(i).max(1)).min().unwrap_or(rows);
                rows.min(fits).min(n).max(batch)
            }
        }
    }

    /// Makes buffers for a data set, in place of those not used for longest, or finds them; fills them if they hold all of it. Gives
    /// their index among the residents.
    pub(crate) fn make_resident(&mut self, place: Place, data: &Dataset, batch: usize) -> Result<usize> {
        // two loops over one data set must not write to one block
        let usable = |r: &Resident| r.same(place, data) && r.rows >= batch && (place == Place::Whole || r.free());
        if let Some(i) = self.resident.iter().position(usable) {
            let r = self.resident.remove(i);
            self.resident.push(r);
            return Ok(self.resident.len() - 1);
        }
        let too_small = self.resident.iter().position(|r| r.same(place, data) && r.free());
        let oldest = || self.resident.iter().position(Resident::free).filter(|_| self.resident.len() >= RESIDENT);
        if let Some(i) = too_small.or_else(oldest) {
            let old = self.resident.remove(i);
            old.ids.iter().for_each(|id| self.session.drop_data(*id));
            self.handles.retain(|(_, key), _| *key != old.key);
        }
        let rows = self.room(place, data, batch);
        match place {
            Place::Whole => tracing::debug!(data = data.name(), rows, "moving a data set to the device"),
            Place::ByHand(_) => tracing::debug!(rows, "room on the device for batches by hand"),
            Place::Blocks(_) => {
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
        if place == Place::Whole {
            tracing::debug!(data = data.name(), "the data set is on the device");
        }
        let key = self.next_resident;
        self.next_resident += 1;
        self.resident.push(Resident { key, place, data: data.clone(), rows, ids, pin: Arc::new(()) });
        Ok(self.resident.len() - 1)
    }

    /// Makes the buffer of one field, and fills it where it holds all rows.
    fn fill(&mut self, place: Place, data: &Dataset, field: usize, rows: usize, ids: &mut Vec<DataId>) -> Result<()> {
        let words = data.row_words(field);
        let id = self.session.new_data(rows * words)?;
        ids.push(id);
        if place != Place::Whole {
            return Ok(());
        }
        data.each_chunk(field, |first, chunk| self.session.write_data(id, first * words, chunk))
    }

    /// Sets the state of training for rows that are on the device, from this one of the epoch's order on. Nothing may be under way.
    pub(crate) fn set_train_state(&mut self, row: usize, rows: usize, shuffle: bool) -> Result<()> {
        let state = self.train_state(row, rows, shuffle);
        self.write_words(BufferId::State(Lane::Train), 0, &state.words())
    }

    /// That state.
    pub(crate) fn train_state(&self, row: usize, rows: usize, shuffle: bool) -> StateWords {
        let state = StateWords {
            batch: self.batches as u32,
            update: self.updates as u32,
            cursor: row as u32,
            epoch: self.epochs as u32,
            rows: rows as u32,
            shuffle: u32::from(shuffle),
            ..StateWords::default()
        };
        let state = state.seed(self.settings.seed);
        self.scaler.map_or(state, |s| s.write(state))
    }

    /// Writes a batch to the buffers that wait for it.
    pub(crate) fn bring(&mut self, data: &Dataset, lane: Lane) -> Result<()> {
        let at = self.make_resident(Place::ByHand(lane), data, data.len())?;
        for (field, id) in self.resident[at].ids.clone().into_iter().enumerate() {
            let words = data.row_words(field);
            data.each_chunk(field, |first, chunk| self.session.write_data(id, first * words, chunk))?;
        }
        Ok(())
    }
}

/// What brings the rows of one loop to the device. Made after the loop's handles are.
#[derive(Debug)]
pub(crate) struct Feed {
    lane: Lane,
    batch: usize,
    rows: usize,
    shuffle: bool,
    stream: Option<Stream>,
    /// Whose turn it was when the state was written.
    turn: u64,
    _pin: Arc<()>,
}

#[derive(Debug)]
struct Stream {
    blocks: Blocks,
    /// Of the fields that are read.
    ids: Vec<DataId>,
    /// The block on the device: its epoch, its rows, and those of them that steps have taken.
    epoch: u32,
    rows: usize,
    taken: usize,
}

impl Feed {
    /// Over a data set whose handles are made; a set that is not on the device is read from now on.
    pub fn start(model: &mut Core, data: &Dataset, program: &Program, batch: usize, order: Order) -> Result<Self> {
        let lane = program.purpose.lane();
        let place = model.place(data, lane);
        let at = model.make_resident(place, data, batch)?;
        if program.purpose == Purpose::Train {
            model.turn += 1;
        }
        let resident = &model.resident[at];
        let stream = (place != Place::Whole).then(|| {
            let names = data.fields().into_iter().map(|f| f.name).enumerate();
            let fields: Vec<usize> = names.filter(|(_, n)| program.fields.iter().any(|f| f.name == *n)).map(|(i, _)| i).collect();
            let plan = Plan {
                data: data.clone(),
                rows: resident.rows / batch * batch,
                shuffle: order.shuffle.then_some(model.settings.seed),
                epoch: order.epoch,
                row: order.row,
                epochs: order.epochs,
                limits: model.limits(data, program),
                fields,
            };
            let ids = plan.fields.iter().map(|f| resident.ids[*f]).collect();
            Stream { blocks: Blocks::start(plan), ids, epoch: 0, rows: 0, taken: 0 }
        });
        Ok(Feed { lane, batch, rows: data.len(), shuffle: order.shuffle, stream, turn: model.turn, _pin: resident.pin.clone() })
    }

    /// How many of the next `most` steps can be queued now. `row` is the first that they take of the epoch's order. Waits for the next
    /// block where the last one is used up.
    pub fn ready(&mut self, model: &mut Core, row: usize, most: usize) -> Result<usize> {
        let other = self.lane == Lane::Train && std::mem::replace(&mut self.turn, model.turn) != model.turn;
        let lane = self.lane;
        // not more than these: the counters and the halt are the device's, steps may be under way
        let place = |model: &mut Core, epoch: u32, row: usize, rows: usize| {
            let state = StateWords { cursor: row as u32, epoch, rows: rows as u32, ..StateWords::default() };
            model.session.write(BufferId::State(lane), STATE_CURSOR, &state.of_order())
        };
        let Some(s) = &mut self.stream else {
            if other {
                model.set_train_state(row, self.rows, self.shuffle)?;
            }
            return Ok(most);
        };
        if s.taken >= s.rows {
            let Some(block) = s.blocks.next()? else {
                return Err(Error::DataSource {
                    field: "x".into(),
                    problem: "no more rows came after an error".into(),
                    at: "the stream of a data set".into(),
                });
            };
            place(model, block.epoch, 0, block.rows)?;
            (s.epoch, s.rows, s.taken) = (block.epoch, block.rows, 0);
            for (id, words) in s.ids.iter().zip(&block.words) {
                model.session.write_data(*id, 0, words)?;
            }
            s.blocks.give_back(block);
        } else if other {
            place(model, s.epoch, s.taken, s.rows)?;
        }
        Ok(most.min((s.rows - s.taken).div_ceil(self.batch)))
    }

    /// Takes the state on the device for another loop's.
    pub fn forget_turn(&mut self) {
        self.turn = 0; // no loop's
    }

    /// Steps were queued.
    pub fn used(&mut self, steps: usize) {
        if let Some(s) = &mut self.stream {
            s.taken = s.rows.min(s.taken + steps * self.batch);
        }
    }
}

#[cfg(test)]
mod tests;
