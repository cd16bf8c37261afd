//! Words of the device's buffers: read, and written so that they outlive a lost device. And the words of the state that a pass begins with.

use super::core::Core;
use crate::error::Result;
use crate::kernels::words::StateWords;
use crate::plan::{BufferId, Lane};

impl Core {
    /// Words of a buffer.
    pub(crate) fn read_words(&mut self, buffer: BufferId, offset: usize, len: usize) -> Result<Vec<u32>> {
        self.with_recovery(|m| m.engine.session.read(buffer, offset, len))
    }

    /// Writes words of an arena or of the state of training, here and in what is remembered.
    pub(crate) fn write_words(&mut self, buffer: BufferId, offset: usize, words: &[u32]) -> Result<()> {
        self.with_recovery(|m| m.engine.write_with_half_copy(buffer, offset, words))?;
        let size = self.engine.lasting().iter().find(|(id, _)| *id == buffer).map_or(0, |(_, len)| *len);
        let noted = self.recovery.written(buffer, offset, words, size);
        if noted { Ok(()) } else { self.with_recovery(Self::copy_after(buffer, offset, words)) }
    }

    /// A copy after a write: a loss in between has taken the write with it.
    fn copy_after(buffer: BufferId, offset: usize, words: &[u32]) -> impl FnMut(&mut Self) -> Result<()> {
        move |m| {
            m.engine.write_with_half_copy(buffer, offset, words)?;
            m.copy()
        }
    }

    /// Sets the state of training for rows that are on the device, from this one of the epoch's order on. Nothing may be under way.
    pub(crate) fn set_train_state(&mut self, row: usize, rows: usize, shuffle: bool) -> Result<()> {
        let state = self.train_state(row, rows, shuffle);
        self.write_words(BufferId::State(Lane::Train), 0, &state.words())
    }

    /// That state.
    pub(crate) fn train_state(&self, row: usize, rows: usize, shuffle: bool) -> StateWords {
        let state = StateWords {
            batch: self.progress.batches as u32,
            update: self.progress.updates as u32,
            cursor: row as u32,
            epoch: self.progress.epochs as u32,
            rows: rows as u32,
            shuffle: u32::from(shuffle),
            ..StateWords::default()
        };
        let state = state.seed(self.description.settings.seed);
        self.progress.scaler.map_or(state, |s| s.write(state))
    }

    /// Sets the state for a pass in order over so many rows that are on the device.
    pub(crate) fn set_eval_state(&mut self, rows: usize) -> Result<()> {
        // what an earlier pass left behind when it failed
        while self.engine.session.poll(Lane::Look, true)?.is_some() {}
        let state = StateWords { batch: self.progress.evaluated, rows: rows as u32, ..StateWords::default() };
        self.engine.session.write(BufferId::State(Lane::Look), 0, &state.words())
    }
}
