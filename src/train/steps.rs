//! The steps of a training loop: batches are queued ahead of the device, and their log lines are taken when they come.

use super::flight::Flight;
use super::mean::Mean;
use super::report::StepReport;
use super::trainer::Trainer;
use crate::clock;
use crate::error::{Error, Result};
use crate::inspect::anomaly::with_cause;
use crate::inspect::diagnose::{self, LayerReport};
use crate::model::journal::Steps;
use crate::model::recover::LOSSES;
use crate::plan::{Blocking, LogLine, Part, StateSet, Submit};
use std::time::Instant;

/// Most submits under way: with so many the host waits for the oldest.
const IN_FLIGHT: usize = 2;

/// The open epoch so far, as `fit` shows it while steps are under way.
pub(super) struct EpochSoFar<'a> {
    pub done: usize,
    pub rows: usize,
    pub seconds: f64,
    pub mean: &'a Mean,
}

impl Trainer<'_> {
    /// At most `k` steps, fewer at the end of an epoch or of the budget; `None` when all epochs are over, the budget is spent or the run was stopped.
    pub fn steps(&mut self, k: usize) -> Result<Option<StepReport>> {
        self.steps_telling(k, &mut |_| {})
    }

    /// As [`Trainer::steps`]; `tell` is called after each submit that has ended.
    pub(super) fn steps_telling(&mut self, k: usize, tell: &mut dyn FnMut(EpochSoFar<'_>)) -> Result<Option<StepReport>> {
        if self.record.in_callback {
            let (what, at, help) =
                ("steps within a callback", "Trainer::steps", "`fit` makes them: a loop of one's own needs no callbacks");
            return Err(Error::Unsupported { what: what.into(), at: at.into(), help: help.into() });
        }
        if self.is_over() || k == 0 {
            return Ok(None);
        }
        self.same_model()?;
        self.model.core().check_trains()?;
        let steps = k.min(self.last_of_epoch() - self.done);
        let first = self.accumulation.first(self.done);
        let want = self.accumulation.first(self.done + steps) - first;
        let m = self.model.core();
        let mut f = Flight::new(want, first, m.progress.updates, m.progress.batches);
        let began = Instant::now();
        self.fly(&mut f, began, tell)?;
        Ok(Some(self.landed(f, began)))
    }

    /// Trains the batches of a call, until all that it wants were seen.
    fn fly(&mut self, f: &mut Flight, began: Instant, tell: &mut dyn FnMut(EpochSoFar<'_>)) -> Result<()> {
        let (mut losses, mut since) = (0, 0);
        while f.seen < f.want {
            let seen = f.seen;
            match self.advance(f) {
                Ok(()) => {}
                Err(lost @ Error::DeviceLost { .. }) => {
                    self.take_back(f);
                    losses = if f.seen > since { 1 } else { losses + 1 };
                    since = f.seen;
                    let again = if losses > LOSSES { Err(lost) } else { self.model.core().recover(lost) };
                    again.inspect_err(|_| self.fail())?;
                }
                Err(e) => {
                    self.fail();
                    return Err(e);
                }
            }
            if f.seen > seen {
                self.record.first_submit.get_or_insert_with(|| self.began.elapsed().as_secs_f64());
                let seconds = self.record.seconds + began.elapsed().as_secs_f64();
                tell(EpochSoFar { done: self.done + f.losses.len(), rows: self.record.rows, seconds, mean: &self.record.sums });
            }
            if self.record.interrupted() || (f.seen > seen && self.is_spent(began.elapsed().as_secs_f64())) {
                // steps under way are finished, to the end of the open update
                f.want = f.want.min(self.accumulation.end_of(f.first + f.queued.max(1)) - f.first);
            }
        }
        Ok(())
    }

    /// Notes what the batches of a call have come to, and makes its report.
    fn landed(&mut self, f: Flight, began: Instant) -> StepReport {
        let Flight { losses, grad_norm, skipped, mean, rows, first_update, diagnostics, .. } = f;
        self.record.history.push_diagnostics(&diagnostics);
        let before = self.steps_done() as u64 + 1;
        self.record.history.push_skipped(&skipped.iter().map(|s| before + *s as u64).collect::<Vec<_>>());
        self.record.skipped += skipped.len();
        let applied = losses.iter().enumerate().filter(|(i, _)| !skipped.contains(i)).map(|(_, l)| *l);
        let spikes = self.spikes.see(&applied.collect::<Vec<f32>>(), first_update, self.settings.loss_spike);
        let loss_scale = self.model.core().progress.scaler.map(|s| s.scale);
        self.done += losses.len();
        let epoch_ended = self.done == self.steps_per_epoch();
        let metrics = mean.evaluation(&self.measures);
        let updates = self.model.core().progress.updates;
        let report = StepReport {
            step: updates,
            epoch: self.epoch + 1,
            loss: metrics["loss"] as f32,
            losses,
            grad_norm,
            learning_rate: self.rate(updates.saturating_sub(1)),
            metrics,
            rows,
            epoch_ended,
            spikes,
            loss_scale,
            skipped,
            diagnostics,
        };
        self.record.took(began.elapsed().as_secs_f64(), epoch_ended);
        if epoch_ended {
            self.done = 0;
            self.epoch += 1;
            self.model.core().progress.epochs += 1;
            self.record.end_epoch(&self.measures, loss_scale);
        }
        report
    }

    /// How many of the next `most` batches have their rows on the device. Waits until at least one has.
    fn feed(&mut self, batch: usize, most: usize) -> Result<usize> {
        let row = batch * self.settings.batch_size;
        self.feed.as_mut().map_or(Ok(most), |f| f.ready(self.model.core(), row, most))
    }

    fn rate(&self, update: u64) -> f64 {
        self.learning_rate.at(self.model.lock().schedule(), update)
    }

    /// Queues as many submits as may be under way, and takes the log of the oldest.
    fn advance(&mut self, f: &mut Flight) -> Result<()> {
        if self.programs.recoveries != self.model.core().recoveries() {
            self.attach(f.first + f.queued)?;
        }
        // a copy of the model holds no sum of gradients, so it is made between two updates
        let due = self.settings.snapshot_every > 0.0 && self.model.core().copy_due(self.settings.snapshot_every);
        let whole = self.accumulation.begins(f.first + f.queued);
        if due && f.under_way.is_empty() && whole {
            return self.model.core().copy();
        }
        while f.queued < f.want && f.under_way.len() < IN_FLIGHT && f.failed.is_none() {
            let at = f.first + f.queued;
            let most = match (due, self.accumulation.begins(at)) {
                (false, _) => f.want - f.queued,
                (true, false) => self.accumulation.first(self.accumulation.update_of(at) + 1) - at,
                (true, true) => break,
            };
            match self.submit(at, most) {
                Ok(batches) => {
                    f.under_way.push_back(batches);
                    f.queued += batches;
                }
                Err(e) => f.failed = Some(e),
            }
        }
        // steps under way come first: they count, and one of them may have gone wrong before this
        if f.under_way.is_empty()
            && let Some(e) = f.failed.take()
        {
            return Err(e);
        }
        let new = self.model.core().engine.session.next_log(StateSet::Train)?.unwrap_or_default();
        self.pace.ended();
        let expected = f.under_way.pop_front().unwrap_or(0);
        let bad = new.iter().find(|l| l.halted).cloned();
        let (before, seen, skipped) = (f.seen, new.len(), f.skipped.len());
        new.into_iter().filter(|l| !l.halted).for_each(|l| self.see(f, l));
        self.remember(f, before, skipped);
        if seen < expected || bad.is_some() {
            let at = f.first + f.seen + f.open.len();
            let error = self.halted(bad, f);
            return Err(self.explained(error, at, (f.first_batch + (at - f.first) as u64) as u32));
        }
        Ok(())
    }

    /// Notes the log line of a batch, and an update once all of its batches were seen.
    fn see(&mut self, f: &mut Flight, line: LogLine) {
        let (loss, norm, skipped) = (line.loss, line.grad_norm, line.skipped);
        f.open.push(line);
        let (w, first) = (self.accumulation, f.first + f.seen);
        if !w.begins(first + f.open.len()) {
            return;
        }
        let (mut sum, mut rows) = (0.0, 0);
        f.open.last().into_iter().for_each(|l| self.model.core().progress.saw_update(l));
        if self.programs.weighed && f.open.len() > 1 {
            weigh(&mut f.open, |i| w.rows_of(first + i));
        }
        for (i, l) in f.open.iter().enumerate() {
            let n = w.rows_of(first + i);
            // under a loss scale training goes on after a loss that is not finite, which would spoil the mean of all others
            if l.loss.is_finite() {
                f.mean.add(l, n, &self.measures);
                self.record.sums.add(l, n, &self.measures);
            }
            (sum, rows) = (sum + n as f64 * f64::from(l.loss), rows + n);
        }
        let step = f.first_update + (f.losses.len() - f.skipped.len()) as u64 + 1;
        f.skipped.extend(skipped.then_some(f.losses.len()));
        f.diagnostics.extend(f.open.iter().filter_map(|l| self.look(l, step)));
        f.losses.push(if f.open.len() == 1 { loss } else { (sum / rows.max(1) as f64) as f32 });
        if !skipped {
            self.start.see(step, f.losses.last().copied().unwrap_or(f32::NAN), norm);
        }
        (f.rows, f.grad_norm) = (f.rows + rows, norm);
        self.record.rows += rows;
        f.seen += f.open.len();
        f.open.clear();
    }

    /// Notes the updates that were seen since `before` batches were seen, for the case that the device is lost.
    fn remember(&mut self, f: &Flight, before: usize, skipped: usize) {
        let (data, accumulation, steps) = (self.data.clone(), self.accumulation, f.seen - before);
        let updates = accumulation.ended(f.first + before, steps) - (f.skipped.len() - skipped);
        let update = f.first_update + (accumulation.ended(f.first, before) - skipped) as u64;
        let (batch, order) = (f.first_batch + before as u64, Some(self.order(f.first + before)));
        self.model.core().recovery.trained(Steps { data, accumulation, steps, updates, update, batch, rate: self.learning_rate, order });
    }

    /// Takes the counters back to the updates that were seen whole: the batches after them count as not queued.
    fn take_back(&mut self, f: &mut Flight) {
        self.model.core().progress.updates = f.first_update + (self.accumulation.ended(f.first, f.seen) - f.skipped.len()) as u64;
        self.model.core().progress.batches = f.first_batch + f.seen as u64;
        f.queued = f.seen;
        f.open.clear();
        f.under_way.clear();
        self.pace.forget();
    }

    /// Queues at most `most` batches from this one of the epoch on, and gives how many.
    fn submit(&mut self, batch: usize, most: usize) -> Result<usize> {
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
        // all programs of a submit write log lines of one width, and an update of a single batch logs no weight
        let last = self.accumulation.batches() - 1;
        if self.programs.weighed && batch < last && self.accumulation.program(last).0 == Part::Whole {
            batches = batches.min(last - batch);
        }
        let (look, queued) = self.until_look(batch, batches);
        batches = self.feed(batch, queued)?;
        while self.programs.recoveries != self.model.core().recoveries() {
            // the device was lost meanwhile and opened again: programs and feed were those of the old one
            if !self.accumulation.begins(batch) {
                // the sum of gradients is lost: back to the first batch of the update
                return Err(Error::DeviceLost {
                    device: self.model.core().engine.device.name(),
                    reason: "between two batches of an update".into(),
                });
            }
            self.attach(batch)?;
            batches = self.feed(batch, queued)?;
        }
        let m = self.model.core();
        let rated = m.upload_rates(m.progress.updates, self.accumulation.touched(batch, batches), self.learning_rate)?;
        // an update without a rate is an error of the next call: the updates before it go first, wherever submits are cut
        batches = batches.min(self.accumulation.first(self.accumulation.update_of(batch) + rated) - batch);
        let runs = match &self.programs.probe {
            Some((handle, _)) if look => vec![(*handle, 1)],
            _ => self.accumulation.runs_of(&self.programs.handles, batch, batches),
        };
        let (now, pieces) = (clock::now(), self.pace.pieces(self.programs.work));
        let m = self.model.core();
        m.engine.session.submit(Submit { runs: &runs, first_batch: m.progress.batches as u32, pieces })?;
        self.pace.queued(batches, now);
        self.feed.iter_mut().for_each(|f| f.used(batches));
        self.model.core().engine.has_gradients = true;
        self.model.core().progress.batches += batches as u64;
        self.model.core().progress.updates += self.accumulation.ended(batch, batches) as u64;
        Ok(batches)
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
        while let Ok(Some(_)) = self.model.core().engine.session.next_log(StateSet::Train) {}
        self.take_back(f);
        let (step, epoch) = (self.model.core().progress.updates + 1, self.epoch as u64 + 1);
        self.model.core().halt_error(bad.as_ref(), step, epoch)
    }
}

/// Scales the losses of the batches of an update such that their mean over the rows is their mean by weight: the loss of one large batch.
fn weigh(lines: &mut [LogLine], rows: impl Fn(usize) -> usize) {
    let weight = |l: &LogLine| l.metrics.last().copied().map_or(0.0, f64::from);
    let (total, all) = (lines.iter().map(weight).sum::<f64>(), (0..lines.len()).map(&rows).sum::<usize>() as f64);
    for (i, l) in lines.iter_mut().enumerate() {
        let share = if total == 0.0 { 0.0 } else { weight(l) / total };
        l.loss = (f64::from(l.loss) * share * all / rows(i) as f64) as f32;
    }
}
