//! `fit`: a [`Trainer`] with validation, callbacks, checkpoints and a line for each epoch.

use super::callbacks::{Callbacks, Logs};
use super::evaluation::Evaluation;
use super::history::History;
use super::interrupt::Interrupt;
use super::progress::{Bar, introduce, validation_text};
use super::report::StepReport;
use super::resume;
use super::settings::Fit;
use super::steps::EpochSoFar;
use super::trainer::Trainer;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::model::face::wait_for;
use crate::model::inputs::in_call;
use crate::model::shared::Model;
use crate::plan::Purpose;
use crate::store::checkpoint::{Checkpoint, Resume};
use crate::terminal::{say, speaking};

impl Model {
    /// Trains; one line an epoch on stderr unless `verbose(0)`.
    ///
    /// Fails on settings, data that does not fit the model, a device that fails, and a loss that is not finite: then the parameters
    /// are as they were before that step. A device that is lost (a driver's reset, sleep) is opened again and training goes on, to the same
    /// bits: see [`Fit::snapshot_every`]. Only if it does not come back is that an error, and the next call tries again.
    ///
    /// # Ctrl-C
    ///
    /// While it runs `fit` listens to Ctrl-C and, on Unix, to SIGTERM. The first ends the run in good order: the steps under way are
    /// finished, the checkpoint is written if there is one ([`Fit::checkpoint`]), a line on stderr says so, and `fit` returns `Ok` with the
    /// epochs so far. **The program goes on**: [`History::interrupted`] tells a sweep that this run is not whole. A second Ctrl-C ends the
    /// process as ever, and so does the first once `fit` has returned. [`Fit::ctrl_c`]`(false)` leaves both signals alone; so does a
    /// handler that the program has set before, and a build without the feature `ctrl-c`.
    ///
    /// ```no_run
    /// # use gradus::prelude::*;
    /// # fn sweep(models: Vec<Model>, data: &Dataset) -> gradus::Result<()> {
    /// for mut model in models {
    ///     let history = model.fit(data, Fit::new().epochs(10))?;
    ///     if history.interrupted() {
    ///         break;
    ///     }
    ///     println!("{:?}", history.best("loss"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn fit(&mut self, data: &Dataset, fit: Fit) -> Result<History> {
        wait_for(self.fit_async(data, fit))
    }

    /// As [`Model::fit`], without waiting: the device works while the executor does other things. The same bits.
    ///
    /// It may be dropped at any time: the model is as after the steps that were queued, and usable at once. While a GPU is at work the future
    /// sleeps; a thread of gradus wakes it. On the CPU a turn takes as long as a submit of steps. Rows that are read from
    /// files, checkpoints and callbacks of one's own run within a turn, too, and so does the recovery from a lost device.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// # use std::{pin::pin, task::{Context, Poll, Waker}};
    /// # fn block_on<T>(f: impl Future<Output = T>) -> T {
    /// #     let (mut f, mut cx) = (pin!(f), Context::from_waker(Waker::noop()));
    /// #     loop { if let Poll::Ready(v) = f.as_mut().poll(&mut cx) { return v } }
    /// # }
    /// # let data = Dataset::new(HostTensor::f32([8, 2], vec![0.5; 16])?, HostTensor::f32([8, 1], vec![1.0; 8])?)?;
    /// let net = Sequential::new().add(Linear::new(1));
    /// let mut model = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu()))?;
    /// let history = block_on(async { model.fit_async(&data, Fit::new().epochs(3).verbose(0)).await })?;
    /// assert_eq!(history.epochs(), 3);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub async fn fit_async(&mut self, data: &Dataset, fit: Fit) -> Result<History> {
        let speaks = fit.verbose > 0;
        speaking(speaks, self::fit(self, data, fit)).await
    }

    /// A loop of one's own over the data.
    ///
    /// It validates nothing and calls no callbacks: a [`Fit`] that asks for them is an `Err`. [`Trainer::evaluate`] and the
    /// [`StepReport`](crate::train::StepReport)s are for that, and a [`Fit::checkpoint`] says where to go on from; [`Trainer::checkpoint`]
    /// writes it.
    pub fn trainer(&mut self, data: &Dataset, fit: Fit) -> Result<Trainer<'_>> {
        wait_for(self.trainer_async(data, fit))
    }

    /// As [`Model::trainer`], without waiting.
    pub async fn trainer_async(&mut self, data: &Dataset, fit: Fit) -> Result<Trainer<'_>> {
        fit.check_for_loop().map_err(in_call("trainer"))?;
        let mut trainer = begun(self, data, &fit).await.map_err(in_call("trainer"))?;
        trainer.record.before = None; // nothing is left that could fail before the first step
        Ok(trainer)
    }
}

/// A loop over this data, which goes on from its checkpoint or begins at the start.
pub(super) async fn begun<'a>(model: &'a mut Model, data: &Dataset, fit: &Fit) -> Result<Trainer<'a>> {
    fit.check()?;
    let mut trainer = Trainer::new(model, data, fit.for_loop(data.len())).await?;
    let found = resume::find(trainer.model.core(), data, fit)?;
    trainer.begin_schedule()?; // fails before a checkpoint is taken over
    trainer.begin(found).await?;
    trainer.begin_schedule()?;
    Ok(trainer)
}

async fn fit(model: &mut Model, data: &Dataset, fit: Fit) -> Result<History> {
    let bar = Bar::new(&fit, data.name(), fit.limit(data.len()).epochs);
    fit.check()?;
    // a run that goes on from a checkpoint may be over and write nothing: then it is no fault that nothing can be written
    let writable = match fit.try_files() {
        Err(e) if fit.resume == Resume::Never => return Err(e),
        other => other,
    };
    let mut trainer = begun(model, data, &fit).await?;
    let callbacks = match start_callbacks(&mut trainer, &fit, writable) {
        Ok(callbacks) => callbacks,
        Err(e) => {
            trainer.take_back_resume()?;
            return Err(e);
        }
    };
    introduce(&fit, &trainer.model.device());
    let _listening = fit.ctrl_c.then(Interrupt::listen);
    trainer.record.interruptible = fit.ctrl_c;
    let written = trainer.record.resumed.then(|| trainer.steps_done());
    let mut all = Fitting { trainer, fit, callbacks, bar, written, failed: false };
    all.callbacks.train_begin(&mut all.trainer).await?;
    while all.epoch().await? {}
    all.write().await?;
    all.close().await?;
    all.tell_interrupt();
    all.callbacks.train_end(&mut all.trainer).await?;
    Ok(std::mem::take(&mut all.trainer.record.history))
}

/// Starts the callbacks, after all checks that may fail before the first step.
fn start_callbacks(trainer: &mut Trainer<'_>, fit: &Fit, writable: Result<()>) -> Result<Callbacks> {
    if !trainer.is_over() {
        writable?;
    }
    if let Some(set) = &fit.validation {
        // before an epoch is trained for nothing
        trainer.model.core().program(set, Purpose::Evaluate, validation_batch(fit, set)).map_err(of_validation)?;
    }
    Callbacks::start(fit, trainer)
}

/// Says of an error that it is about the validation set.
fn of_validation(mut e: Error) -> Error {
    if let Error::ShapeMismatch { at, .. }
    | Error::DTypeMismatch { at, .. }
    | Error::Unsupported { at, .. }
    | Error::NotFound { at, .. }
    | Error::LabelOutOfRange { at, .. }
    | Error::IndexOutOfRange { at, .. }
    | Error::DataSource { at, .. } = &mut e
    {
        *at = at.replace("the data set `", "the validation set `");
    }
    e
}

/// Rows of a batch of validation.
fn validation_batch(fit: &Fit, set: &Dataset) -> usize {
    fit.batch_size.max(256).min(set.len())
}

struct Fitting<'a> {
    trainer: Trainer<'a>,
    fit: Fit,
    callbacks: Callbacks,
    bar: Bar,
    /// How many steps the checkpoint that was written last has behind it.
    written: Option<usize>,
    /// An error has ended the run, and a callback took it for a good end.
    failed: bool,
}

impl Fitting<'_> {
    /// An epoch, or what is left of it; `false` when the run is over or was interrupted.
    async fn epoch(&mut self) -> Result<bool> {
        let epoch = self.trainer.epochs_done() + 1;
        if !self.over() && self.trainer.done == 0 {
            self.callbacks.epoch_begin(&mut self.trainer, epoch).await?;
        }
        self.bar.begin(epoch);
        while !self.over() {
            let Some(report) = self.steps().await? else { break };
            if report.epoch_ended {
                let seconds = self.trainer.record.history.seconds().last().copied().unwrap_or_default();
                self.callbacks.steps_end(&mut self.trainer, |run| logs(epoch, &report, &run.record.ended, run.record.ended_scale)).await?;
                self.epoch_end(epoch, &report, seconds).await?;
                self.write_if_due().await?;
                return Ok(!self.over());
            }
            let scale = report.loss_scale.map(|s| (s, self.trainer.record.skipped));
            self.callbacks.steps_end(&mut self.trainer, |run| logs(epoch, &report, &run.so_far(), scale)).await?;
            self.write_if_due().await?;
        }
        Ok(false)
    }

    fn over(&self) -> bool {
        self.failed || self.trainer.is_over() || self.trainer.record.interrupted()
    }

    /// Trains until something else is to be done.
    async fn steps(&mut self) -> Result<Option<StepReport>> {
        let (done, steps) = (self.trainer.steps_done(), self.trainer.steps_per_epoch());
        let write = self.fit.checkpoint.iter().map(|c| c.every_steps).find(|n| *n > 0).map_or(usize::MAX, |n| n - done % n);
        let most = self.callbacks.next(done).min(write);
        let measures = self.trainer.measures().to_vec();
        let mut show = |p: EpochSoFar<'_>| {
            self.bar.draw(p.done as f64 / steps as f64, || p.mean.evaluation(&measures).to_string(), p.rows, p.seconds);
        };
        let done = self.trainer.steps_telling(most, &mut show).await;
        if let Err(e) = &done
            && self.callbacks.error(&mut self.trainer, e).await?
        {
            self.failed = true;
            return Ok(None);
        }
        done
    }

    async fn epoch_end(&mut self, epoch: usize, report: &StepReport, seconds: f64) -> Result<()> {
        let record = &self.trainer.record;
        let mut logs = logs(epoch, report, &record.ended, record.ended_scale);
        self.epoch_line(&mut logs, report.learning_rate, seconds).await?;
        self.callbacks.epoch_end(&mut self.trainer, &logs).await
    }

    /// Ends the part of an epoch that the budget has left: its values so far, and the validation. The checkpoint is written by then. There the epoch is
    /// open, so that a run of a larger budget goes on in it.
    async fn close(&mut self) -> Result<()> {
        let run = &mut self.trainer;
        if self.failed || run.stopped || run.done == 0 || !run.is_spent(0.0) {
            return Ok(());
        }
        let (measures, seconds) = (run.measures().to_vec(), run.record.seconds);
        let scale = run.model.core().progress.scaler.map(|s| s.scale);
        run.record.took(0.0, true);
        run.record.end_epoch(&measures, scale);
        let mut logs = Logs::new(run.epochs_done() + 1, run.record.ended.iter());
        let last = run.model.lock().progress.updates.saturating_sub(1);
        let rate = run.learning_rate.at(run.model.lock().schedule(), last);
        self.epoch_line(&mut logs, rate, seconds).await
    }

    /// Validates, and tells of an epoch whose sums are closed: in the history, in what callbacks will read, and on stderr.
    async fn epoch_line(&mut self, logs: &mut Logs, learning_rate: f64, seconds: f64) -> Result<()> {
        let run = &mut self.trainer;
        let mut text = run.record.ended.to_string();
        if let Some(data) = &self.fit.validation {
            let seen = run.evaluate_async(data, validation_batch(&self.fit, data)).await.map_err(of_validation)?;
            for (n, v) in seen.iter() {
                let name = format!("val_{n}");
                run.record.history.push(&name, v);
                logs.push(name, v);
            }
            text += &validation_text(&seen);
        }
        if let Some((_, skipped)) = run.record.ended_scale.filter(|s| s.1 > 0) {
            text += &format!("  skipped {skipped}");
        }
        if self.callbacks.rate {
            run.record.history.push("learning_rate", learning_rate);
            logs.push("learning_rate", learning_rate);
        }
        self.bar.end(&text, run.record.ended_rows, seconds);
        Ok(())
    }

    async fn write_if_due(&mut self) -> Result<()> {
        let at = |done: usize, every: usize| every > 0 && done.is_multiple_of(every);
        let due = |c: &Checkpoint| {
            at(self.trainer.steps_done(), c.every_steps) || (self.trainer.done == 0 && at(self.trainer.epochs_done(), c.every_epochs))
        };
        if self.fit.checkpoint.as_ref().is_some_and(due) { self.write().await } else { Ok(()) }
    }

    /// Says that the run was interrupted before its last epoch, and from which file it can go on.
    fn tell_interrupt(&mut self) {
        if self.failed || self.trainer.is_over() || !self.trainer.record.interrupted() {
            return;
        }
        self.trainer.record.history.interrupted = true;
        let file = match &self.fit.checkpoint {
            Some(c) => format!("checkpoint {}", c.path.display()),
            None => "no checkpoint (`Fit::checkpoint`)".into(),
        };
        say(format!("interrupted in epoch {}; {file}", self.trainer.epochs_done() + 1));
    }

    /// Writes the checkpoint, unless the file is of this very step already.
    async fn write(&mut self) -> Result<()> {
        let Some(c) = self.fit.checkpoint.as_ref().filter(|_| !self.failed) else { return Ok(()) };
        if self.written.replace(self.trainer.steps_done()) == Some(self.trainer.steps_done()) {
            return Ok(());
        }
        self.callbacks.note(&mut self.trainer);
        self.trainer.write_checkpoint(&c.path).await
    }
}

/// What callbacks are told after these steps.
fn logs(epoch: usize, report: &StepReport, values: &Evaluation, scale: Option<(f32, usize)>) -> Logs {
    let mut logs = Logs::new(epoch, values.iter());
    if let Some((scale, skipped)) = scale {
        logs.push("loss_scale", scale.into());
        logs.push("skipped", skipped as f64);
    }
    (logs.step, logs.learning_rate, logs.grad_norm) = (report.step, report.learning_rate, report.grad_norm);
    logs
}
