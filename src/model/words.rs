//! Words of buffers on the device: read, and written such that a lost device does not lose them. And the words of the state with which a
//! pass over data begins.

use super::core::Core;
use super::face::wait_for;
use crate::error::Result;
use crate::kernels::words::StateWords;
use crate::plan::{BufferId, StateSet};

impl Core {
    /// Reads words of a buffer.
    pub(crate) fn read_words(&mut self, buffer: BufferId, offset: usize, len: usize) -> Result<Vec<u32>> {
        wait_for(self.read_words_async(buffer, offset, len))
    }

    /// As [`Core::read_words`].
    pub(crate) async fn read_words_async(&mut self, buffer: BufferId, offset: usize, len: usize) -> Result<Vec<u32>> {
        let mut losses = 0;
        loop {
            let read = self.engine.read(buffer, offset, len).await;
            if let Some(words) = self.survived(&mut losses, read)? {
                return Ok(words);
            }
        }
    }

    /// Writes words of an arena or of the state of training, to the device and to what the model remembers.
    pub(crate) fn write_words(&mut self, buffer: BufferId, offset: usize, words: &[u32]) -> Result<()> {
        self.settle_now()?;
        self.with_recovery(|m| m.engine.write_with_half_copy(buffer, offset, words))?;
        let size = self.engine.lasting().iter().find(|(id, _)| *id == buffer).map_or(0, |(_, len)| *len);
        let noted = self.recovery.written(buffer, offset, words, size);
        if noted { Ok(()) } else { self.with_recovery(Self::copy_after(buffer, offset, words)) }
    }

    /// As [`Core::write_words`], of a whole buffer: where that can be the words are taken, not copied. What is left of them means nothing.
    pub(crate) fn give_words(&mut self, buffer: BufferId, words: &mut Vec<u32>) -> Result<()> {
        self.settle_now()?;
        let alone = self.recovery.kept.is_none() && !self.engine.has_half_copy(buffer);
        if alone && self.engine.session.swap(buffer, words) { Ok(()) } else { self.write_words(buffer, 0, words) }
    }

    /// Writes words and makes a copy of the model: a device that is lost in between loses the words.
    fn copy_after(buffer: BufferId, offset: usize, words: &[u32]) -> impl FnMut(&mut Self) -> Result<()> {
        move |m| {
            m.engine.write_with_half_copy(buffer, offset, words)?;
            m.copy()
        }
    }

    /// Sets the state of training for `rows` rows on the device, of which training begins at `row` in the order of the epoch. Nothing may
    /// be under way.
    pub(crate) fn set_train_state(&mut self, row: usize, rows: usize, shuffle: bool) -> Result<()> {
        let state = self.train_state(row, rows, shuffle);
        self.write_words(BufferId::State(StateSet::Train), 0, &state.words())
    }

    /// The words that [`Core::set_train_state`] writes.
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
        let state = state.seed(self.description.settings.seed_of_order());
        self.progress.scaler.map_or(state, |s| s.write(state))
    }

    /// Sets the state of evaluation for a pass in order over so many rows on the device.
    pub(crate) fn set_eval_state(&mut self, rows: usize) -> Result<()> {
        // log lines that an earlier pass has left when it failed, or was dropped
        self.engine.session.forget(StateSet::Eval);
        let state = StateWords { batch: self.progress.evaluated, rows: rows as u32, ..StateWords::default() };
        self.engine.session.write(BufferId::State(StateSet::Eval), 0, &state.words())
    }
}
