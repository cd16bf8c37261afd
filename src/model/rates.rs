//! Learning rates on the way to the device: computed here in f64, read there by the number of the update.

use super::core::Core;
use super::rate::Rate;
use crate::error::{Error, Faults, Result};
use crate::kernels::words::{RATE_ROWS, RATE_WIDTH};
use crate::optim::schedule::RunLength;
use crate::optim::{Schedule, is_rate};
use crate::plan::BufferId;

impl Core {
    /// Writes the table behind the rates on the device that tells each part of the arena which rates are its own.
    pub(crate) fn write_rate_table(&mut self) -> Result<()> {
        let table = self.engine.rule.table(&self.engine.arena, |name| self.description.settings.optimizer.rate_group(name));
        if table.is_empty() {
            return Ok(());
        }
        self.engine.session.write(BufferId::Rates, self.engine.rule.rates(&self.engine.arena).table(), &table)
    }

    /// Fills the moments of a new model's optimizer, where they do not begin with zeros.
    pub(crate) fn begin_moments(&mut self) -> Result<()> {
        let value = self.description.settings.optimizer.initial_moment();
        if value == 0.0 {
            return Ok(());
        }
        let words = vec![value.to_bits(); self.engine.arena.size];
        (0..self.engine.rule.own_moments()).try_for_each(|m| self.write_words(BufferId::Moment(m), 0, &words))
    }

    /// The learning rate over the updates.
    pub(crate) fn schedule(&self) -> &Schedule {
        self.schedule.as_ref().unwrap_or(self.description.settings.optimizer.schedule())
    }

    /// Makes updates of the schedule's lengths that are relative to a run. Fails where this run does not tell them.
    pub(crate) fn begin_schedule(&mut self, run: RunLength) -> Result<()> {
        let schedule = self.description.settings.optimizer.schedule();
        let schedule = schedule.is_relative().then(|| schedule.clone().within(run));
        if schedule != self.schedule && !self.recovery.journal.is_empty() {
            // the steps in the journal had the rates of the other
            self.with_recovery(Self::copy)?;
        }
        self.schedule = schedule;
        match &self.schedule {
            Some(s) if s.is_relative() => Err(unknown_length("this run ends by time alone")),
            _ => Ok(()),
        }
    }

    /// The words of the rates of one update, for all groups.
    pub(crate) fn rate_words(&self, update: u64, lr: f64) -> impl Iterator<Item = u32> {
        self.description.settings.optimizer.group_rates(update, lr).flat_map(|r| r.map(f32::to_bits))
    }

    /// Writes the rates of `steps` updates from `first` on to their rows of the ring. Where updates under way are skipped the device comes
    /// to later rows than the host expects: those were written before, with the same rates.
    ///
    /// Gives how many updates have a rate before one that has none (a schedule may be a closure); fails where the first has none.
    pub(crate) fn upload_rates(&mut self, first: u64, steps: usize, rate: Rate) -> Result<usize> {
        let width = self.engine.rule.groups * RATE_WIDTH;
        let mut words = Vec::with_capacity(steps * width);
        for u in first..first + steps as u64 {
            let (lr, at) = (rate.at(self.schedule(), u), words.len());
            words.extend(self.rate_words(u, lr));
            if !is_rate(lr) || words[at..].iter().any(|w| !f32::from_bits(*w).is_finite()) {
                words.truncate(at);
                if at == 0 && lr.is_nan() && self.schedule().is_relative() {
                    return Err(unknown_length("there is no run: only `fit` and `trainer` have a length"));
                }
                if at == 0 {
                    return Err(bad_rate(u, lr));
                }
                break;
            }
        }
        let steps = words.len() / width;
        // the device indexes by a 32-bit counter
        let row = first as u32 as usize % RATE_ROWS;
        let head = steps.min(RATE_ROWS - row) * width;
        self.engine.session.write(BufferId::Rates, row * width, &words[..head])?;
        if head < words.len() {
            self.engine.session.write(BufferId::Rates, 0, &words[head..])?;
        }
        Ok(steps)
    }
}

/// The error of a schedule that is relative to a length which nobody knows.
fn unknown_length(why: &str) -> Error {
    let mut f = Faults::default();
    let help = "give its lengths in updates, or the run a length in epochs, updates or rows";
    f.check(false, "optimizer.lr", format!("a length is relative to the run's, and {why}"), help);
    f.finish().err().unwrap_or(Error::InvalidConfig { faults: vec![] })
}

/// The error of an update that has no rate; the updates before it were applied.
fn bad_rate(update: u64, lr: f64) -> Error {
    let mut f = Faults::default();
    let (what, help) = if is_rate(lr) {
        ("with the decay or the multiplier of a group it is beyond f32", "lower the rate, the weight decay or the multiplier")
    } else {
        ("that is no rate", "a schedule must give a number that f32 holds, 0 or above, for every update")
    };
    f.check(false, "optimizer.lr", format!("{lr} for update {update} (the first is 0): {what}"), help);
    f.finish().err().unwrap_or(Error::InvalidConfig { faults: vec![] })
}
