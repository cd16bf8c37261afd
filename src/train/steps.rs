//! The steps of a training loop: batches are queued ahead of the device, and their log lines are taken when they come.

use super::flight::{Flight, Seen};
use super::mean::Mean;
use super::report::StepReport;
use super::trainer::Trainer;
use super::turn::Turn;
use crate::clock;
use crate::error::{Error, Result};
use crate::inspect::anomaly::with_cause;
use crate::inspect::diagnose::{self, LayerReport};
use crate::model::face::{breathe, wait_for};
use crate::model::journal::Steps;
use crate::model::recover::LOSSES;
use crate::plan::{LogLine, Part, StateSet, Submit, Ticket};

/// Most submits under way: with so many the host waits for the oldest.
const IN_FLIGHT: usize = 2;

/// Is told of each submit that has ended.
pub(super) type Tell<'a> = &'a mut (dyn FnMut(EpochSoFar<'_>) + Send);

/// The open epoch so far, as `fit` shows it while steps are under way.
pub(super) struct EpochSoFar<'a> {
    pub done: usize,
    pub rows: usize,
    pub seconds: f64,
    pub mean: &'a Mean,
}

impl Trainer<'_> {
    /// At most `k` steps, fewer at the end of an epoch or of the budget; `None` when all epochs are over, the budget is spent or the run was stopped.
    /// Steps that [`Trainer::turn`] has left under way come first, and count.
    pub fn steps(&mut self, k: usize) -> Result<Option<StepReport>> {
        wait_for(self.steps_async(k))
    }

    /// As [`Trainer::steps`], without waiting: the device works while the executor does other things. Dropped before its end it leaves the steps
    /// under way to the next call.
    pub async fn steps_async(&mut self, k: usize) -> Result<Option<StepReport>> {
        self.steps_telling(k, &mut |_| {}).await
    }

    /// As [`Trainer::steps_async`]; `tell` is called after each submit that has ended.
    pub(super) async fn steps_telling(&mut self, k: usize, tell: Tell<'_>) -> Result<Option<StepReport>> {
        self.outside_of_callbacks("Trainer::steps")?;
        if let Some(before) = self.before() {
            return before.map(Some);
        }
        if self.has_ended() || k == 0 {
            return Ok(None);
        }
        self.open_flight(k)?;
        self.fly(tell).await?;
        Ok(self.landed())
    }

    /// Goes on for a moment and never waits: takes what the device has done, and gives it more to do. With this a program can train between the
    /// frames of a window or the requests of a server; `fit` and `fit_async` are loops over the same.
    ///
    /// The steps of an epoch's rest are queued ahead, some at a time: a learning rate that is set between two turns holds for those that are not.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::train::Turn;
    /// # let data = Dataset::new(HostTensor::f32([8, 2], vec![0.5; 16])?, HostTensor::f32([8, 1], vec![1.0; 8])?)?;
    /// let net = Sequential::new().add(Linear::new(1));
    /// let mut model = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu()))?;
    /// let mut run = model.trainer(&data, Fit::new().epochs(2).batch_size(4))?;
    /// let history = loop {
    ///     match run.turn()? {
    ///         Turn::Progress(report) | Turn::Epoch(report) => println!("{} {}", report.step, report.loss),
    ///         Turn::Done(history) => break history,
    ///         _ => std::thread::yield_now(), // the device is at work: do something else
    ///     }
    /// };
    /// assert_eq!(history.epochs(), 2);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn turn(&mut self) -> Result<Turn> {
        self.outside_of_callbacks("Trainer::turn")?;
        let report = match self.before() {
            Some(before) => Some(before?),
            None if self.has_ended() => return Ok(Turn::Done(self.record.history.clone())),
            None => {
                self.open_flight(usize::MAX)?;
                if !self.once(&mut |_| {})?
                    && let Err(e) = self.model.core().engine.session.progress()
                {
                    self.cope(e)?;
                }
                self.landed()
            }
        };
        Ok(match report {
            None => Turn::Pending,
            Some(report) if report.epoch_ended => Turn::Epoch(report),
            Some(report) => Turn::Progress(report),
        })
    }

    /// Whether no step is to come: what is under way when the budget is spent counts.
    fn has_ended(&self) -> bool {
        self.stopped || (self.flight.is_none() && self.is_over())
    }

    /// What [`Trainer::settle`] has met and nobody was told yet.
    fn before(&mut self) -> Option<Result<StepReport>> {
        self.settled.pop_front()
    }

    fn outside_of_callbacks(&self, at: &str) -> Result<()> {
        if !self.record.in_callback {
            return Ok(());
        }
        let (what, help) = ("steps within a callback", "`fit` makes them: a loop of one's own needs no callbacks");
        Err(Error::Unsupported { what: what.into(), at: at.into(), help: help.into() })
    }

    /// Begins a flight to the end of so many steps or of the epoch, or goes on with the one that is open.
    fn open_flight(&mut self, k: usize) -> Result<()> {
        self.same_model()?;
        self.model.core().check_trains()?;
        let end = self.accumulation.first(self.done.saturating_add(k).min(self.last_of_epoch()));
        if let Some(f) = &mut self.flight {
            // what is queued is seen to its end
            f.want = end.max(self.accumulation.end_of(f.first + f.queued)) - f.first;
            f.report.began = f.report.began.filter(|_| !f.report.losses.is_empty()).or_else(clock::now);
            return Ok(());
        }
        let first = self.accumulation.first(self.done);
        let progress = &self.model.core().progress;
        self.flight = Some(Flight::new(end - first, first, progress.updates, progress.batches));
        Ok(())
    }

    /// Goes on with the flight that is open: `false` where nothing could be done before the device has done more.
    fn once(&mut self, tell: Tell<'_>) -> Result<bool> {
        let Some(mut f) = self.flight.take() else { return Ok(true) };
        let seen = f.seen;
        let moved = self.advance(&mut f);
        if f.seen > seen {
            self.record.first_submit = self.record.first_submit.or_else(|| since(self.began));
            let seconds = self.record.seconds + since(f.report.began).unwrap_or_default();
            tell(EpochSoFar { done: self.done + f.report.losses.len(), rows: self.record.rows, seconds, mean: &self.record.sums });
        }
        let ends = f.seen > seen && self.is_spent(since(f.report.began).unwrap_or_default());
        if self.record.interrupted() || ends {
            // steps under way are finished, to the end of the open update
            f.want = f.want.min(self.accumulation.end_of(f.first + f.queued.max(1)) - f.first);
        }
        self.flight = Some(f);
        match moved {
            Ok(moved) => Ok(moved),
            Err(e) => self.cope(e).map(|()| true),
        }
    }

    /// What can be done about an error: where the device was lost, the steps under way are queued again once the model is made again. Any other
    /// ends the run.
    fn cope(&mut self, e: Error) -> Result<()> {
        if matches!(e, Error::DeviceLost { .. })
            && let Some(mut f) = self.flight.take()
        {
            self.take_back(&mut f);
            f.losses = if f.seen > f.since { 1 } else { f.losses + 1 };
            f.since = f.seen;
            let (losses, again) = (f.losses, self.programs.recoveries != self.model.core().recoveries());
            self.flight = Some(f);
            if losses <= LOSSES {
                // a write of another part of the model may have met the loss first
                let made = if again { Ok(()) } else { self.model.core().recover(e) };
                return made.inspect_err(|_| self.fail());
            }
        }
        self.fail();
        Err(e)
    }

    /// Notes what has come of the flight since the last report, and makes its report; `None` where no update was seen.
    fn landed(&mut self) -> Option<StepReport> {
        let mut f = self.flight.take()?;
        let next = Seen::from(f.next_update());
        let Seen { began, first_update, losses, grad_norm, skipped, mean, rows, diagnostics } = std::mem::replace(&mut f.report, next);
        let over = f.under_way.is_empty() && f.open.is_empty() && f.failed.is_none() && f.seen >= f.want;
        let update = f.next_update();
        self.flight = Some(f).filter(|_| !over);
        if losses.is_empty() {
            return None;
        }
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
        let report = StepReport {
            step: update,
            epoch: self.epoch + 1,
            loss: metrics["loss"] as f32,
            losses,
            grad_norm,
            learning_rate: self.rate(update.saturating_sub(1)),
            metrics,
            rows,
            epoch_ended,
            spikes,
            loss_scale,
            skipped,
            diagnostics,
        };
        self.record.took(since(began).unwrap_or_default(), epoch_ended);
        if epoch_ended {
            self.done = 0;
            self.epoch += 1;
            self.model.core().progress.epochs += 1;
            self.record.end_epoch(&self.measures, loss_scale);
        }
        Some(report)
    }

    /// Sees to the end of the steps that turns have left under way. The next call of `turn` or `steps` tells what they came to.
    pub(super) async fn settle(&mut self) {
        let Some(f) = &mut self.flight else { return };
        f.want = self.accumulation.end_of(f.first + f.queued) - f.first;
        let flown = self.fly(&mut |_| {}).await;
        let report = self.landed().map(Ok);
        self.settled.extend(report.into_iter().chain(flown.err().map(Err)));
    }

    /// Trains until all that the flight wants was seen.
    async fn fly(&mut self, tell: Tell<'_>) -> Result<()> {
        while self.flight.as_ref().is_some_and(|f| f.seen < f.want) {
            if self.once(tell)? {
                breathe().await;
            } else if let Err(e) = self.model.core().engine.idle().await {
                self.cope(e)?;
            }
        }
        Ok(())
    }

    /// How many of the next `most` batches have their rows on the device. Waits until at least one has.
    fn feed(&mut self, batch: usize, most: usize) -> Result<usize> {
        let row = batch * self.settings.batch_size;
        self.feed.as_mut().map_or(Ok(most), |f| f.ready(self.model.core(), row, most))
    }

    fn rate(&self, update: u64) -> f64 {
        self.learning_rate.at(self.model.lock().schedule(), update)
    }

    /// Queues as many submits as may be under way, and takes the log of the oldest; `false` where it has not ended yet.
    fn advance(&mut self, f: &mut Flight) -> Result<bool> {
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
            match self.submit(at, most, f.under_way.is_empty()) {
                Ok((ticket, batches)) => {
                    f.under_way.push_back((ticket, batches));
                    f.queued += batches;
                }
                Err(e) => f.failed = Some(e),
            }
        }
        // steps under way come first: they count, and one of them may have gone wrong before this
        let Some(&(ticket, expected)) = f.under_way.front() else { return f.failed.take().map_or(Ok(true), Err) };
        let Some(new) = self.model.core().engine.session.take_log(ticket)? else { return Ok(false) };
        self.pace.ended();
        f.under_way.pop_front();
        self.model.core().recovery.queued.pop_front();
        let bad = new.iter().find(|l| l.halted).cloned();
        let (before, seen, updates, skipped) = (f.seen, new.len(), f.updates, f.skipped);
        new.into_iter().filter(|l| !l.halted).for_each(|l| self.see(f, l));
        self.remember(f, before, updates, skipped);
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
        let (mut sum, mut rows) = (0.0, 0);
        f.open.last().into_iter().for_each(|l| self.model.core().progress.saw_update(l));
        if self.programs.weighed && f.open.len() > 1 {
            weigh(&mut f.open, |i| w.rows_of(first + i));
        }
        for (i, l) in f.open.iter().enumerate() {
            let n = w.rows_of(first + i);
            // under a loss scale training goes on after a loss that is not finite, which would spoil the mean of all others
            if l.loss.is_finite() {
                f.report.mean.add(l, n, &self.measures);
                self.record.sums.add(l, n, &self.measures);
            }
            (sum, rows) = (sum + n as f64 * f64::from(l.loss), rows + n);
        }
        let step = f.next_update() + 1;
        let loss = if f.open.len() == 1 { loss } else { (sum / rows.max(1) as f64) as f32 };
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

    /// Notes the updates that were seen since there were so many of them and of their batches, for the case that the device is lost.
    fn remember(&mut self, f: &Flight, before: usize, updates: usize, skipped: usize) {
        let (data, accumulation, steps) = (self.data.clone(), self.accumulation, f.seen - before);
        let update = f.first_update + (updates - skipped) as u64;
        let updates = (f.updates - updates) - (f.skipped - skipped);
        let (batch, order) = (f.first_batch + before as u64, Some(self.order(f.first + before)));
        self.model.core().recovery.trained(Steps { data, accumulation, steps, updates, update, batch, rate: self.learning_rate, order });
    }

    /// Takes the counters back to the updates that were seen whole: the batches after them count as not queued.
    fn take_back(&mut self, f: &mut Flight) {
        let m = self.model.core();
        (m.progress.updates, m.progress.batches) = (f.next_update(), f.first_batch + f.seen as u64);
        m.recovery.queued.clear();
        f.queued = f.seen;
        f.open.clear();
        f.under_way.clear();
        self.pace.forget();
    }

    /// Queues at most `most` batches from this one of the epoch on, and gives how many. `alone`: nothing else is under way.
    fn submit(&mut self, batch: usize, most: usize, alone: bool) -> Result<(Ticket, usize)> {
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
            if !alone || !self.accumulation.begins(batch) {
                // steps under way or the sum of gradients are lost: back to the first batch that was not seen
                return Err(Error::DeviceLost { device: self.model.core().engine.device.name(), reason: "with steps under way".into() });
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

/// Seconds since a time on the clock.
fn since(began: Option<f64>) -> Option<f64> {
    clock::now().zip(began).map(|(now, began)| now - began)
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
