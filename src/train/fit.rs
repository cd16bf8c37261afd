//! `fit`: written with a [`Trainer`] and nothing else.

use crate::data::Dataset;
use crate::error::Result;
use crate::model::inputs::of_validation;
use crate::model::shared::Model;
use crate::plan::Purpose;
use crate::store::checkpoint::{Checkpoint, Resume};
use crate::terminal::{Speaking, say};
use crate::train::callbacks::{Callbacks, Logs};
use crate::train::interrupt::Interrupt;
use crate::train::progress::{Bar, introduce, validation_text};
use crate::train::trainer::Progress;
use crate::train::{Evaluation, Fit, History, StepReport, Trainer};

pub(crate) fn fit(model: &mut Model, data: &Dataset, fit: Fit) -> Result<History> {
    let _speaking = Speaking::new(fit.verbose > 0);
    let bar = Bar::new(&fit, data.name());
    fit.check()?;
    // a run that goes on may be over and write nothing: it can be looked at where nothing can be written
    let writable = match fit.try_files() {
        Err(e) if fit.resume == Resume::Never => return Err(e),
        other => other,
    };
    let mut run = Trainer::new(model, data, fit.clone())?;
    let callbacks = match begin(&mut run, &fit, writable) {
        Ok(callbacks) => callbacks,
        Err(e) => {
            run.take_back_resume()?;
            return Err(e);
        }
    };
    introduce(&fit, &run.model.device());
    let _listening = fit.ctrl_c.then(Interrupt::listen);
    run.run.interruptible = fit.ctrl_c;
    let written = run.run.resumed.then(|| run.steps_done());
    let mut all = Fitting { run, fit, callbacks, bar, written, failed: false };
    all.callbacks.train_begin(&mut all.run)?;
    while all.epoch()? {}
    all.write()?;
    all.tell_interrupt();
    all.callbacks.train_end(&mut all.run)?;
    Ok(std::mem::take(&mut all.run.run.history))
}

/// What may fail before the first step; a run that went on from a checkpoint is then taken back.
fn begin(run: &mut Trainer<'_>, fit: &Fit, writable: Result<()>) -> Result<Callbacks> {
    if !run.is_over() {
        writable?;
    }
    if let Some(set) = &fit.validation {
        // before an epoch was trained for nothing
        run.model.core().program(set, Purpose::Evaluate, validation_batch(fit, set)).map_err(of_validation)?;
    }
    Callbacks::start(fit, run)
}

/// Rows of a batch of validation.
fn validation_batch(fit: &Fit, set: &Dataset) -> usize {
    fit.batch_size.max(256).min(set.len())
}

struct Fitting<'a> {
    run: Trainer<'a>,
    fit: Fit,
    callbacks: Callbacks,
    bar: Bar,
    /// The steps behind the checkpoint that was written last.
    written: Option<usize>,
    /// An error has ended the run, and a callback took it for a good end.
    failed: bool,
}

impl Fitting<'_> {
    /// An epoch, or what is left of it; `false` when the run is over or was interrupted.
    fn epoch(&mut self) -> Result<bool> {
        let epoch = self.run.epochs_done() + 1;
        if !self.over() && self.run.done == 0 {
            self.callbacks.epoch_begin(&mut self.run, epoch)?;
        }
        self.bar.begin(epoch);
        while !self.over() {
            let Some(report) = self.steps()? else { break };
            if report.epoch_ended {
                let seconds = self.run.run.history.seconds().last().copied().unwrap_or_default();
                self.callbacks.steps_end(&mut self.run, |run| logs(epoch, &report, &run.run.ended, run.run.ended_scale))?;
                self.epoch_end(epoch, &report, seconds)?;
                self.write_if_due()?;
                return Ok(!self.over());
            }
            let scale = report.loss_scale.map(|s| (s, self.run.run.skipped));
            self.callbacks.steps_end(&mut self.run, |run| logs(epoch, &report, &run.so_far(), scale))?;
            self.write_if_due()?;
        }
        Ok(false)
    }

    fn over(&self) -> bool {
        self.failed || self.run.is_over() || self.run.run.interrupted()
    }

    /// Steps until something is to be done.
    fn steps(&mut self) -> Result<Option<StepReport>> {
        let (done, steps) = (self.run.steps_done(), self.run.steps_per_epoch());
        let write = self.fit.checkpoint.iter().map(|c| c.every_steps).find(|n| *n > 0).map_or(usize::MAX, |n| n - done % n);
        let most = self.callbacks.next(done).min(write);
        let measures = self.run.measures().to_vec();
        let mut show = |p: Progress<'_>| {
            self.bar.draw(p.done as f64 / steps as f64, || p.mean.evaluation(&measures).to_string(), p.rows, p.seconds);
        };
        match self.run.run(most, &mut show) {
            Err(e) if self.callbacks.error(&mut self.run, &e)? => {
                self.failed = true;
                Ok(None)
            }
            other => other,
        }
    }

    fn epoch_end(&mut self, epoch: usize, report: &StepReport, seconds: f64) -> Result<()> {
        let run = &mut self.run;
        let mut logs = logs(epoch, report, &run.run.ended, run.run.ended_scale);
        let mut text = run.run.ended.to_string();
        if let Some(data) = &self.fit.validation {
            let seen = run.evaluate(data, validation_batch(&self.fit, data)).map_err(of_validation)?;
            for (n, v) in seen.iter() {
                let name = format!("val_{n}");
                run.run.history.push(&name, v);
                logs.push(name, v);
            }
            text += &validation_text(&seen);
        }
        if let Some((_, skipped)) = run.run.ended_scale.filter(|s| s.1 > 0) {
            text += &format!("  skipped {skipped}");
        }
        if self.callbacks.rate {
            run.run.history.push("learning_rate", report.learning_rate);
            logs.push("learning_rate", report.learning_rate);
        }
        self.bar.end(&text, run.run.ended_rows, seconds);
        self.callbacks.epoch_end(run, &logs)
    }

    fn write_if_due(&mut self) -> Result<()> {
        let at = |done: usize, every: usize| every > 0 && done.is_multiple_of(every);
        let due =
            |c: &Checkpoint| at(self.run.steps_done(), c.every_steps) || (self.run.done == 0 && at(self.run.epochs_done(), c.every_epochs));
        if self.fit.checkpoint.as_ref().is_some_and(due) { self.write() } else { Ok(()) }
    }

    /// Says that the run was ended before its last epoch, and from where it can go on.
    fn tell_interrupt(&mut self) {
        if self.failed || self.run.is_over() || !self.run.run.interrupted() {
            return;
        }
        self.run.run.history.interrupted = true;
        let file = match &self.fit.checkpoint {
            Some(c) => format!("checkpoint {}", c.path.display()),
            None => "no checkpoint (`Fit::checkpoint`)".into(),
        };
        say(format!("interrupted in epoch {}; {file}", self.run.epochs_done() + 1));
    }

    /// Writes the checkpoint, unless it was written here.
    fn write(&mut self) -> Result<()> {
        let Some(c) = self.fit.checkpoint.as_ref().filter(|_| !self.failed) else { return Ok(()) };
        if self.written.replace(self.run.steps_done()) == Some(self.run.steps_done()) {
            return Ok(());
        }
        self.callbacks.note(&mut self.run);
        self.run.write_checkpoint(&c.path)
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
