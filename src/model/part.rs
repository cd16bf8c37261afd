//! A model of which a range of the parameters trains: what one of several servers keeps.

use super::core::Core;
use crate::error::Result;
use crate::plan::BufferId;
use std::ops::Range;

impl Core {
    /// The same model, of whose tensors that train only these do, counted in their order. Nothing begins anew: those keep their moments, and the model its
    /// counters. Their arena is that range of the whole one.
    pub(crate) fn part(&mut self, tensors: Range<usize>) -> Result<Core> {
        let trained = self.engine.arena.entries.iter().filter(|e| !e.frozen);
        let own: Vec<_> = trained.skip(tensors.start).take(tensors.len()).cloned().collect();
        let mut new = self.anew(self.description.settings.clone(), &|name| own.iter().any(|e| e.name == name))?;
        let (size, first) = (new.engine.arena.size, own.first().map_or(0, |e| e.offset));
        for m in (0..self.engine.rule.moments).map(BufferId::Moment) {
            let words = self.read_words(m, first, size)?;
            new.write_words(m, 0, &words)?;
        }
        new.progress = self.progress.clone();
        Ok(new)
    }

    /// Whether it is a part of a model: parameters stay that its optimizer would train.
    pub(crate) fn is_part(&self) -> bool {
        let optimizer = &self.description.settings.optimizer;
        self.engine.arena.entries.iter().any(|e| e.frozen && !optimizer.freezes(&e.name))
    }
}
