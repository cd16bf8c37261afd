use super::anomaly::with_cause;
use super::diagnose::{self, LayerReport, Probed};
use super::evaluate::{Evaluation, Mean, Measure};
use super::feed::{Feed, Order};
use super::rate::Rate;
use super::recover::{LOSSES, Steps};
use super::run::Run;
use super::spikes::Spikes;
use super::{Fit, Model, checkpoint};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::kernels::words::LOG_ROWS;
use crate::plan::{Handle, Lane, LogLine, Purpose};
use std::collections::VecDeque;

/// Steps of a submit where the user leaves the choice to us.
pub(super) const STEPS_PER_SUBMIT: usize = 32;
/// Submits that the device has before the host waits for the oldest.
const IN_FLIGHT: usize = 2;

/// What some steps did.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// Updates applied so far, since the weights were drawn.
    pub step: u64,
    /// The epoch that these steps belong to, from 1.
    pub epoch: usize,
    /// The mean loss over the rows of these steps.
    pub loss: f32,
    /// The loss of each step.
    pub losses: Vec<f32>,
    /// The L2 norm of all gradients at the last of them.
    pub grad_norm: f32,
    /// The learning rate of the last of them.
    pub learning_rate: f64,
    /// Loss and metrics over the rows of these steps.
    pub metrics: Evaluation,
    /// Rows trained on.
    pub rows: usize,
    /// Whether these were the last steps of an epoch.
    pub epoch_ended: bool,
    /// The steps among them whose loss jumped: see [`Fit::loss_spike`].
    pub spikes: Vec<u64>,
    /// What was seen of the layers in them: see [`Fit::diagnostics`].
    pub diagnostics: Vec<LayerReport>,
}

/// What `fit` shows while steps are under way: of the epoch so far.
pub(super) struct Progress<'a> {
    pub done: usize,
    pub rows: usize,
    pub mean: &'a Mean,
}

/// A training loop over one data set, in the user's hands. Borrows the model.
///
/// ```
/// use gradus::prelude::*;
/// # use gradus::tensor::HostTensor;
/// # let data = Dataset::new(HostTensor::f32([8, 2], vec![0.5; 16])?, HostTensor::f32([8, 1], vec![1.0; 8])?)?;
/// let net = Sequential::new().add(Linear::new(1));
/// let mut model = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu()))?;
/// let mut run = model.trainer(&data, Fit::new().epochs(2).batch_size(4))?;
/// while let Some(report) = run.steps(1)? {
///     println!("{} {}", report.step, report.loss);
/// }
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct Trainer<'a> {
    pub(super) model: &'a mut Model,
    pub(super) fit: Fit,
    pub(super) data: Dataset,
    pub(super) rows: usize,
    full: Option<Handle>,
    ragged: Option<Handle>,
    /// The model's count of recoveries when the handles were made.
    made: usize,
    feed: Option<Feed>,
    measures: Vec<Measure>,
    /// Most steps of a submit, by the width of a log line.
    most_steps: usize,
    pub(super) epoch: usize,
    /// Steps of this epoch that were reported.
    pub(super) done: usize,
    pub(super) learning_rate: Rate,
    pub(super) stopped: bool,
    pub(super) run: Run,
    spikes: Spikes,
    /// The program of full batches that looks at the layers too.
    probe: Option<(Handle, Vec<Probed>)>,
}

/// Steps of one call, queued and seen.
struct Flight {
    want: usize,
    /// The first of them: of the epoch, of all updates, of all batches.
    first_step: usize,
    first_update: u64,
    first_batch: u64,
    queued: usize,
    under_way: VecDeque<usize>,
    lines: Vec<LogLine>,
    mean: Mean,
    rows: usize,
    /// What kept further steps from being queued.
    failed: Option<Error>,
}

impl Flight {
    fn new(want: usize, first_step: usize, first_update: u64, first_batch: u64) -> Self {
        let (under_way, lines, mean) = (VecDeque::new(), Vec::with_capacity(want.min(LOG_ROWS)), Mean::default());
        Flight { want, first_step, first_update, first_batch, queued: 0, under_way, lines, mean, rows: 0, failed: None }
    }
}

impl<'a> Trainer<'a> {
    pub(super) fn new(model: &'a mut Model, data: &Dataset, fit: Fit) -> Result<Self> {
        fit.check()?;
        model.check_trains()?;
        let n = data.len();
        let keep = fit.snapshot_every > 0.0;
        let mut run = Trainer {
            data: data.clone(),
            rows: n,
            full: None,
            ragged: None,
            feed: None,
            made: 0,
            measures: vec![],
            most_steps: 1,
            epoch: 0,
            done: 0,
            spikes: Spikes::default(),
            probe: None,
            learning_rate: Rate::default(),
            stopped: false,
            run: Run::default(),
            model,
            fit,
        };
        run.model.healed(|m| {
            while m.session.poll(Lane::Train, true)?.is_some() {}
            m.keep_copies(keep)
        })?;
        // what the data and the model make impossible comes before anything is changed
        run.model.program(data, Purpose::Train, run.fit.batch_size.min(n))?;
        match checkpoint::find(run.model, data, &run.fit)? {
            Some(found) => run.go_on(found)?,
            None => run.model.set_train_state(0, n, run.fit.shuffle)?,
        }
        run.attach(run.done)?;
        run.measures = run.model.measures();
        Ok(run)
    }

    /// Makes the programs of full batches and of the ragged one ready, and what feeds them from this step of the epoch on.
    fn attach(&mut self, step: usize) -> Result<()> {
        let (n, batch) = (self.rows, self.fit.batch_size);
        let order = self.order(step);
        let again = self.feed.take().is_some();
        let data = &self.data;
        let look = self.fit.diagnostics.is_some() && n >= batch;
        (self.full, self.ragged, self.probe, self.most_steps, self.feed) = self.model.healed(|m| {
            let full = (n >= batch).then(|| m.handle(data, Purpose::Train, batch)).transpose()?;
            let ragged = (!n.is_multiple_of(batch)).then(|| m.handle(data, Purpose::Train, n % batch)).transpose()?;
            let probe = look.then(|| m.probe_handle(data, batch)).transpose()?;
            let program = m.program(data, Purpose::Train, batch.min(n))?;
            Ok((full, ragged, probe, program.log().most_steps(), Some(Feed::start(m, data, &program, batch.min(n), order)?)))
        })?;
        if again {
            // the state on the device may be another loop's: it is written before the next step
            self.feed.iter_mut().for_each(Feed::forget_turn);
        }
        self.made = self.model.recoveries();
        Ok(())
    }

    /// The order of rows from this step of the epoch on.
    fn order(&self, step: usize) -> Order {
        let (shuffle, epochs) = (self.fit.shuffle, (self.fit.epochs - self.epoch).max(1));
        Order { shuffle, epoch: self.model.epochs as u32, row: step * self.fit.batch_size, epochs }
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.rows.div_ceil(self.fit.batch_size)
    }

    /// The metrics, in the order of the log.
    pub(super) fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// The names of the metrics that are numbers.
    pub(super) fn metric_names(&self) -> impl Iterator<Item = String> {
        self.measures.iter().filter(|m| !m.finish.is_matrix()).map(|m| m.name.clone())
    }

    /// Epochs ended in this run.
    pub fn epochs_done(&self) -> usize {
        self.epoch
    }

    /// At most `k` steps, fewer at an epoch's end; `None` when all epochs are over or the run was stopped.
    pub fn steps(&mut self, k: usize) -> Result<Option<StepReport>> {
        self.run(k, &mut |_| {})
    }

    /// Sets the learning rate of all further steps.
    pub fn set_learning_rate(&mut self, lr: f32) -> Result<()> {
        self.set_rate(f64::from(lr))
    }

    /// The loss and the metrics over another data set, with the weights as they are now.
    pub fn evaluate(&mut self, data: &Dataset, batch_size: usize) -> Result<Evaluation> {
        self.model.evaluate(data, batch_size)
    }

    /// The model in training.
    pub fn model(&mut self) -> &mut Model {
        self.model
    }

    /// Ends the run: further `steps` give `None`.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// As `steps`, telling of each submit that has ended.
    pub(super) fn run(&mut self, k: usize, tell: &mut dyn FnMut(Progress<'_>)) -> Result<Option<StepReport>> {
        if self.run.in_callback {
            let (what, at, help) =
                ("steps within a callback", "Trainer::steps", "`fit` makes them: a loop of one's own needs no callbacks");
            return Err(Error::Unsupported { what: what.into(), at: at.into(), help: help.into() });
        }
        if self.stopped || self.epoch >= self.fit.epochs || k == 0 {
            return Ok(None);
        }
        self.model.check_trains()?;
        let want = k.min(self.steps_per_epoch() - self.done);
        let mut f = Flight::new(want, self.done, self.model.updates, self.model.batches);
        let (mut losses, mut since) = (0, 0);
        while f.lines.len() < f.want {
            let seen = f.lines.len();
            let advanced = self.advance(&mut f);
            for (i, line) in f.lines.iter().enumerate().skip(seen) {
                let rows = self.rows_of(f.first_step + i);
                self.run.sums.add(line, rows, &self.measures);
                self.run.rows += rows;
            }
            match advanced {
                Ok(()) => {}
                Err(lost @ Error::DeviceLost { .. }) => {
                    self.take_back(&mut f);
                    losses = if f.lines.len() > since { 1 } else { losses + 1 };
                    since = f.lines.len();
                    let again = if losses > LOSSES { Err(lost) } else { self.model.recover(lost) };
                    again.inspect_err(|_| self.fail())?;
                }
                Err(e) => {
                    self.fail();
                    return Err(e);
                }
            }
            if f.lines.len() > seen {
                tell(Progress { done: self.done + f.lines.len(), rows: self.run.rows, mean: &self.run.sums });
            }
            if self.run.interrupted() {
                f.want = f.queued.max(1).min(f.want); // what is under way is finished
            }
        }
        let Flight { lines, mean, rows, want, first_update, .. } = f;
        let diagnostics = self.looks(&lines, first_update);
        self.run.history.push_diagnostics(&diagnostics);
        let spikes = self.spikes.see(&lines, first_update, self.fit.loss_spike);
        self.done += want;
        let epoch_ended = self.done == self.steps_per_epoch();
        let metrics = mean.evaluation(&self.measures);
        let report = StepReport {
            step: self.model.updates,
            epoch: self.epoch + 1,
            loss: metrics["loss"] as f32,
            losses: lines.iter().map(|l| l.loss).collect(),
            grad_norm: lines.last().map_or(0.0, |l| l.grad_norm),
            learning_rate: self.rate(self.model.updates.saturating_sub(1)),
            metrics,
            rows,
            epoch_ended,
            spikes,
            diagnostics,
        };
        if epoch_ended {
            self.done = 0;
            self.epoch += 1;
            self.model.epochs += 1;
            self.run.end_epoch(&self.measures);
        }
        Ok(Some(report))
    }

    /// Uploads the rates of the next steps and gives the program of a full batch: what a profile runs.
    ///
    /// Gives how many can follow each other too: at most `steps`, at least one.
    pub(super) fn ready(&mut self, steps: usize) -> Result<(Handle, usize)> {
        let steps = self.feed(self.done, steps)?;
        self.model.upload_rates(self.model.updates, steps, self.learning_rate)?;
        let none = || Error::NotFound { what: "program".into(), name: "training".into(), at: "the trainer".into(), known: vec![] };
        self.full.or(self.ragged).map(|h| (h, steps)).ok_or_else(none)
    }

    /// How many of the steps from this one of the epoch on have their rows on the device; waits for the first.
    fn feed(&mut self, step: usize, most: usize) -> Result<usize> {
        let row = step * self.fit.batch_size;
        self.feed.as_mut().map_or(Ok(most), |f| f.ready(self.model, row, most))
    }

    fn rows_of(&self, step: usize) -> usize {
        (self.rows - step * self.fit.batch_size).min(self.fit.batch_size)
    }

    fn rate(&self, update: u64) -> f64 {
        self.learning_rate.at(self.model.settings.optimizer.schedule(), update)
    }

    /// Queues what may be under way, and takes the log of the oldest.
    fn advance(&mut self, f: &mut Flight) -> Result<()> {
        if self.made != self.model.recoveries() {
            self.attach(f.first_step + f.queued)?;
        }
        let due = self.fit.snapshot_every > 0.0 && self.model.copy_due(self.fit.snapshot_every);
        if due && f.under_way.is_empty() {
            return self.model.copy();
        }
        while !due && f.queued < f.want && f.under_way.len() < IN_FLIGHT && f.failed.is_none() {
            match self.submit(f.first_step + f.queued, f.want - f.queued) {
                Ok(steps) => {
                    f.under_way.push_back(steps);
                    f.queued += steps;
                }
                Err(e) => f.failed = Some(e),
            }
        }
        // steps under way count, and may have gone wrong before
        if f.under_way.is_empty()
            && let Some(e) = f.failed.take()
        {
            return Err(e);
        }
        let new = self.model.session.poll(Lane::Train, true)?.unwrap_or_default();
        let expected = f.under_way.pop_front().unwrap_or(0);
        let bad = new.iter().find(|l| l.halted).cloned();
        let halted = new.len() < expected || bad.is_some();
        self.remember(f, new.len() - usize::from(bad.is_some()));
        if halted {
            let error = self.halted(bad, f.first_update, f.lines.len() + new.len());
            return Err(self.explained(error, f));
        }
        for l in &new {
            let n = self.rows_of(f.first_step + f.lines.len());
            f.mean.add(l, n, &self.measures);
            f.rows += n;
            f.lines.push(l.clone());
        }
        Ok(())
    }

    /// Notes steps of one submit, the ones after those that were seen, for the case that the device is lost.
    fn remember(&mut self, f: &Flight, steps: usize) {
        let seen = f.lines.len();
        let (update, batch) = (f.first_update + seen as u64, f.first_batch + seen as u64);
        let rows = self.rows_of(f.first_step + seen);
        let order = Some(self.order(f.first_step + seen));
        self.model.recovery.trained(Steps { data: self.data.clone(), rows, steps, update, batch, rate: self.learning_rate, order });
    }

    /// Steps whose log was not seen are as if they had not been queued.
    fn take_back(&mut self, f: &mut Flight) {
        let unseen = f.queued - f.lines.len();
        self.model.updates -= unseen as u64;
        self.model.batches -= unseen as u64;
        f.queued = f.lines.len();
        f.under_way.clear();
    }

    /// Queues steps from this one of the epoch on; gives how many.
    fn submit(&mut self, step: usize, most: usize) -> Result<usize> {
        let chosen = if self.fit.steps_per_submit == 0 { STEPS_PER_SUBMIT } else { self.fit.steps_per_submit };
        let full_left = (self.rows / self.fit.batch_size).saturating_sub(step);
        let steps = most.min(chosen).min(self.most_steps).min(full_left.max(1));
        let (look, steps) = self.until_look(full_left, steps);
        let mut steps = self.feed(step, steps)?;
        while self.made != self.model.recoveries() {
            // the device was lost and opened again in there: programs and feed were those of the one before
            self.attach(step)?;
            steps = self.feed(step, steps)?;
        }
        let probe = self.probe.as_ref().filter(|_| look).map(|(h, _)| *h);
        let handle = probe.or(if full_left > 0 { self.full } else { self.ragged });
        let Some(handle) = handle else { return Ok(0) };
        self.model.upload_rates(self.model.updates, steps, self.learning_rate)?;
        self.model.session.submit(handle, steps, self.model.batches as u32)?;
        self.feed.iter_mut().for_each(|f| f.used(steps));
        self.model.has_gradients = true;
        self.model.batches += steps as u64;
        self.model.updates += steps as u64;
        Ok(steps)
    }

    /// What these lines say of the layers.
    fn looks(&self, lines: &[LogLine], first_update: u64) -> Vec<LayerReport> {
        let Some((_, probed)) = &self.probe else { return vec![] };
        let own: usize = self.measures.iter().map(|m| m.columns).sum();
        let seen = lines.iter().enumerate().filter(|(_, l)| l.metrics.len() > own);
        seen.map(|(i, l)| diagnose::read(probed, &l.metrics[own..], first_update + i as u64 + 1)).collect()
    }

    /// Whether the layers are looked at in the next step, which then goes alone; else how many steps go before that.
    fn until_look(&self, full_left: usize, steps: usize) -> (bool, usize) {
        let Some(d) = self.fit.diagnostics.as_ref().filter(|_| full_left > 0) else { return (false, steps) };
        let since = (self.model.updates % d.every as u64) as usize;
        if since == 0 { (true, steps.min(1)) } else { (false, steps.min(d.every - since)) }
    }

    /// The error of a halt with its cause, if the user asked for that.
    fn explained(&mut self, error: Error, f: &Flight) -> Error {
        if !self.fit.detect_anomaly {
            return error;
        }
        let step = f.first_step + (self.model.updates - f.first_update) as usize;
        let first = step * self.fit.batch_size;
        let found = self.model.find_non_finite_at(&self.data, self.fit.shuffle, first..first + self.rows_of(step));
        with_cause(error, found)
    }

    /// The device has stopped at a bad step: takes the counters back to it.
    fn halted(&mut self, bad: Option<LogLine>, first_update: u64, seen: usize) -> Error {
        self.stopped = true;
        while let Ok(Some(_)) = self.model.session.poll(Lane::Train, true) {}
        let good = seen - usize::from(bad.is_some());
        let ahead = self.model.updates - (first_update + good as u64);
        self.model.updates -= ahead;
        self.model.batches -= ahead;
        let (step, epoch) = (self.model.updates + 1, self.epoch as u64 + 1);
        self.model.halt_error(bad.as_ref().map(|l| l.loss), bad.as_ref().map_or(f32::NAN, |l| l.grad_norm), step, epoch)
    }
}
