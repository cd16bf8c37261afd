//! The steps of a training loop: how many are wanted, what they came to, what to do when the device is lost. `advance.rs` beside it queues and takes.

use super::flight::{Flight, Seen};
use super::mean::Mean;
use super::report::StepReport;
use super::trainer::Trainer;
use super::turn::Turn;
use crate::clock;
use crate::error::{Error, Result};
use crate::model::face::{breathe, wait_for};
use crate::model::recover::LOSSES;

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

    /// Whether no step is to come: what is under way when the run is stopped or its budget spent counts.
    fn has_ended(&self) -> bool {
        self.flight.is_none() && self.is_over()
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
        let end = if self.is_over() { 0 } else { end };
        if let Some(f) = &mut self.flight {
            // what is queued is seen to its end
            f.want = end.max(self.accumulation.end_of(f.first + f.queued)) - f.first;
            f.report.began = f.report.began.or_else(clock::now);
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
            f.failed = None;
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
        let over = f.under_way.is_empty() && f.open.is_empty() && f.failed.is_none() && f.seen >= f.want;
        if f.report.losses.is_empty() {
            self.flight = Some(f).filter(|_| !over);
            return None;
        }
        let update = f.next_update();
        // the next steps are at work already, or are not awaited yet
        let next = Seen::from(update, clock::now().filter(|_| !f.under_way.is_empty()));
        let Seen { began, first_update, losses, grad_norm, rate, skipped, mean, rows, diagnostics } =
            std::mem::replace(&mut f.report, next);
        self.flight = Some(f).filter(|_| !over);
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
            learning_rate: rate.at(self.model.lock().schedule(), update.saturating_sub(1)),
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
}

/// Seconds since a time on the clock.
fn since(began: Option<f64>) -> Option<f64> {
    clock::now().zip(began).map(|(now, began)| now - began)
}
