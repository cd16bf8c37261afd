//! A moment of a training loop: batches are queued ahead of the device, and their log lines are taken when they come.

use super::flight::{Flight, UnderWay};
use super::mean::weighed_loss;
use super::trainer::Trainer;
use crate::clock;
use crate::error::{Error, Result};
use crate::inspect::anomaly::with_cause;
use crate::inspect::diagnose::{self, LayerReport};
use crate::model::journal::Steps;
use crate::model::rate::Rate;
use crate::plan::{LogLine, StateSet, Submit, Ticket};

/// Most submits under way: with so many the host waits for the oldest.
const IN_FLIGHT: usize = 2;

impl Trainer<'_> {
    /// How many of the next `most` batches have their rows on the device. Waits until at least one has.
    fn feed(&mut self, batch: usize, most: usize) -> Result<usize> {
        let row = batch * self.settings.batch_size;
        self.feed.as_mut().map_or(Ok(most), |f| f.ready(self.model.core(), row, most))
    }

    /// Queues as many submits as may be under way, and takes the log of the oldest; `false` where it has not ended yet.
    pub(super) fn advance(&mut self, f: &mut Flight) -> Result<bool> {
        if self.programs.recoveries != self.model.core().recoveries() {
            if !f.under_way.is_empty() {
                self.take_back(f); // they were queued on the device that was lost
            }
            self.attach(f.first + f.queued)?;
        }
        // a copy of the model holds no sum of gradients, so it is made between two updates
        let due = self.settings.snapshot_every > 0.0 && self.model.core().copy_due(self.settings.snapshot_every);
        let whole = self.accumulation.begins(f.first + f.queued);
        if due && f.under_way.is_empty() && whole {
            return self.model.core().copy_on();
        }
        while f.queued < f.want && f.under_way.len() < IN_FLIGHT && f.failed.is_none() {
            let at = f.first + f.queued;
            let most = match (due, self.accumulation.begins(at)) {
                (false, _) => f.want - f.queued,
                (true, false) => self.accumulation.first(self.accumulation.update_of(at) + 1) - at,
                (true, true) => break,
            };
            let (most, rate) = f.again.front().map_or((most, self.learning_rate), |&(end, rate)| (most.min(end - at), rate));
            match self.submit(at, most, rate, f.under_way.is_empty()) {
                Ok((ticket, batches)) => {
                    f.under_way.push_back(UnderWay { ticket, batches, rate });
                    f.queued += batches;
                    f.again.retain(|&(end, _)| end > f.first + f.queued);
                }
                Err(e) => f.failed = Some(e),
            }
        }
        // steps under way come first: they count, and one of them may have gone wrong before this
        let Some(&UnderWay { ticket, batches: expected, rate }) = f.under_way.front() else {
            return f.failed.take().map_or(Ok(true), Err);
        };
        let Some(new) = self.model.core().engine.session.take_log(ticket)? else { return Ok(false) };
        self.pace.ended();
        f.under_way.pop_front();
        self.model.core().saw(ticket);
        f.report.rate = rate;
        let bad = new.iter().find(|l| l.halted).cloned();
        let (before, seen, updates, skipped) = (f.seen, new.len(), f.updates, f.skipped);
        new.into_iter().filter(|l| !l.halted).for_each(|l| self.see(f, l));
        self.remember(f, (before, updates, skipped), rate);
        if seen < expected || bad.is_some() {
            let at = f.first + f.seen + f.open.len();
            let error = self.halted(bad, f);
            return Err(self.explained(error, at, (f.first_batch + (at - f.first) as u64) as u32));
        }
        Ok(true)
    }

    /// Notes the log line of a batch, and an update once all of its batches were seen.
    fn see(&mut self, f: &mut Flight, line: LogLine) {
        let (loss, norm, skipped) = (line.loss, line.grad_norm, line.skipped);
        f.open.push(line);
        let (w, first) = (self.accumulation, f.first + f.seen);
        if !w.begins(first + f.open.len()) {
            return;
        }
        let (mut sum, mut weights, mut rows, weighed) = (0.0, 0.0, 0, self.programs.weighed);
        f.open.last().into_iter().for_each(|l| self.model.core().progress.saw_update(l));
        for (i, l) in f.open.iter().enumerate() {
            let n = w.rows_of(first + i);
            // under a loss scale training goes on after a loss that is not finite, which would spoil the mean of all others
            if l.loss.is_finite() {
                f.report.mean.add(l, n, weighed, &self.measures);
                self.record.sums.add(l, n, weighed, &self.measures);
            }
            let (weight, loss) = weighed_loss(l, n, weighed);
            (sum, weights, rows) = (sum + loss, weights + weight, rows + n);
        }
        let step = f.next_update() + 1;
        let loss = if f.open.len() == 1 || weights == 0.0 { loss } else { (sum / weights) as f32 };
        let r = &mut f.report;
        r.skipped.extend(skipped.then_some(r.losses.len()));
        r.diagnostics.extend(f.open.iter().filter_map(|l| self.look(l, step)));
        r.losses.push(loss);
        (r.rows, r.grad_norm) = (r.rows + rows, norm);
        if !skipped {
            self.start.see(step, loss, norm);
        }
        (f.updates, f.skipped) = (f.updates + 1, f.skipped + usize::from(skipped));
        self.record.rows += rows;
        f.seen += f.open.len();
        f.open.clear();
    }

    /// Notes the updates that were seen since there were so many batches, updates and skipped ones, for the case that the device is lost. `rate`
    /// is that of the submit which ended them.
    fn remember(&mut self, f: &Flight, (before, updates, skipped): (usize, usize, usize), rate: Rate) {
        let (data, accumulation, steps) = (self.data.clone(), self.accumulation, f.seen - before);
        let update = f.first_update + (updates - skipped) as u64;
        let updates = (f.updates - updates) - (f.skipped - skipped);
        let (batch, order) = (f.first_batch + before as u64, Some(self.order(f.first + before)));
        self.model.core().recovery.trained(Steps { data, accumulation, steps, updates, update, batch, rate, order });
    }

    /// Takes the counters back to the updates that were seen whole: the batches after them count as not queued.
    pub(super) fn take_back(&mut self, f: &mut Flight) {
        let m = self.model.core();
        (m.progress.updates, m.progress.batches) = (f.next_update(), f.first_batch + f.seen as u64);
        m.recovery.queued.clear();
        let mut end = f.first + f.queued - f.under_way.iter().map(|u| u.batches).sum::<usize>();
        let mut again: Vec<(usize, Rate)> = Vec::new();
        for u in f.under_way.drain(..) {
            end += u.batches;
            again.push((end, u.rate));
        }
        again.into_iter().rev().for_each(|a| f.again.push_front(a));
        f.queued = f.seen;
        f.open.clear();
        self.pace.forget();
    }

    /// Queues at most `most` batches from this one of the epoch on, and gives how many. `alone`: nothing else is under way.
    fn submit(&mut self, batch: usize, most: usize, rate: Rate, alone: bool) -> Result<(Ticket, usize)> {
        let n = self.settings.accumulate;
        let chosen = match self.settings.steps_per_submit {
            0 => match self.pace.steps() {
                // whole updates, where a submit has time for one
                steps if steps > n => steps - steps % n,
                steps => steps,
            },
            steps => steps.saturating_mul(n),
        };
        let mut batches = most.min(chosen).min(self.programs.most_steps);
        if n == 1 {
            batches = batches.min((self.data.len() / self.settings.batch_size).saturating_sub(batch).max(1));
        }
        let (look, queued) = self.until_look(batch, batches);
        batches = self.feed(batch, queued)?;
        while self.programs.recoveries != self.model.core().recoveries() {
            // the device was lost meanwhile and opened again: programs and feed were those of the old one
            if !alone || !self.accumulation.begins(batch) {
                // steps under way or the sum of gradients are lost: back to the first batch that was not seen
                return Err(Error::DeviceLost { device: self.model.core().engine.device.name(), reason: "with steps under way".into() });
            }
            self.attach(batch)?;
            batches = self.feed(batch, queued)?;
        }
        let m = self.model.core();
        let rated = m.upload_rates(m.progress.updates, self.accumulation.touched(batch, batches), rate)?;
        // an update without a rate is an error of the next call: the updates before it go first, wherever submits are cut
        batches = batches.min(self.accumulation.first(self.accumulation.update_of(batch) + rated) - batch);
        let runs = match &self.programs.probe {
            Some((handle, _)) if look => vec![(*handle, 1)],
            _ => self.accumulation.runs_of(&self.programs.handles, batch, batches),
        };
        let (now, pieces) = (clock::now(), self.pace.pieces(self.programs.work));
        let m = self.model.core();
        let ticket = m.engine.session.submit(Submit { runs: &runs, first_batch: m.progress.batches as u32, pieces })?;
        self.pace.queued(batches, now);
        self.feed.iter_mut().for_each(|f| f.used(batches));
        let m = self.model.core();
        m.engine.has_gradients = true;
        m.queued(ticket, self.accumulation, batch, batches, &self.owner);
        Ok((ticket, batches))
    }

    /// The statistics of the layers in this log line, if it has them.
    fn look(&self, line: &LogLine, step: u64) -> Option<LayerReport> {
        let (_, probed) = self.programs.probe.as_ref()?;
        let own: usize = self.measures.iter().map(|m| m.columns).sum();
        let weight = usize::from(self.programs.weighed);
        (line.metrics.len() > own + weight).then(|| diagnose::read(probed, &line.metrics[own..], step))
    }

    /// Whether the next batch logs statistics of the layers, for which it is queued alone; else how many batches come before one that does.
    fn until_look(&mut self, batch: usize, most: usize) -> (bool, usize) {
        let (Some(d), w) = (&self.settings.diagnostics, self.accumulation) else { return (false, most) };
        // counted by the updates that were tried: how many of those under way are skipped is not known yet
        let since = (self.model.core().progress.tried() % d.every as u64) as usize;
        if since == 0 && w.begins(batch) && w.program(batch) == w.program(0) {
            return (true, most.min(1));
        }
        (false, most.min(w.first(w.update_of(batch) + d.every - since) - batch))
    }

    /// Adds the cause to the error of a halt at this batch of the epoch, if the user asked for it.
    fn explained(&mut self, error: Error, batch: usize, number: u32) -> Error {
        if !self.settings.detect_anomaly {
            return error;
        }
        let (shuffle, rows) = (self.settings.shuffle, self.settings.batch_size);
        // a gradient is checked at the last batch of its update, and an earlier batch may have spoilt it: all of them saw the same weights
        let begin = match &error {
            Error::NonFiniteGradient { .. } => self.accumulation.first(self.accumulation.update_of(batch)),
            _ => batch,
        };
        let mut found = Ok(None);
        for b in begin..=batch {
            let (first, number) = (b * rows, number.wrapping_sub((batch - b) as u32));
            found = self.model.core().find_non_finite_at(&self.data, shuffle, first..first + self.accumulation.rows_of(b), number);
            if !matches!(found, Ok(None)) {
                break;
            }
        }
        with_cause(error, found)
    }

    /// The device has stopped at a bad step: takes the counters back to that step, and gives its error.
    fn halted(&mut self, bad: Option<LogLine>, f: &mut Flight) -> Error {
        self.stopped = true;
        self.model.core().engine.session.forget(StateSet::Train);
        self.take_back(f);
        let (step, epoch) = (self.model.core().progress.updates + 1, self.epoch as u64 + 1);
        self.model.core().halt_error(bad.as_ref(), step, epoch)
    }
}
