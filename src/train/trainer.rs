use super::evaluate::{Evaluation, Mean};
use super::{Fit, Model};
use crate::data::Dataset;
use crate::error::{Error, Faults, Result};
use crate::kernels::words::{
    LOG_ROWS, RATE_ROWS, RATE_WIDTH, STATE_BATCH, STATE_EPOCH, STATE_ROWS, STATE_SEED_HI, STATE_SEED_LO, STATE_SHUFFLE, STATE_UPDATE,
    STATE_WORDS,
};
use crate::plan::{BufferId, Handle, Lane, LogLine, Purpose};
use crate::rng::split;
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
}

/// What `fit` shows while steps are under way.
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
    model: &'a mut Model,
    fit: Fit,
    rows: usize,
    full: Option<Handle>,
    ragged: Option<Handle>,
    metrics: Vec<String>,
    epoch: usize,
    /// Steps of this epoch that were reported.
    done: usize,
    learning_rate: Option<f64>,
    stopped: bool,
}

impl<'a> Trainer<'a> {
    pub(super) fn new(model: &'a mut Model, data: &Dataset, fit: Fit) -> Result<Self> {
        fit.check()?;
        let (n, batch) = (data.len(), fit.batch_size);
        let full = (n >= batch).then(|| model.handle(data, Purpose::Train, batch)).transpose()?;
        let ragged = (n % batch > 0).then(|| model.handle(data, Purpose::Train, n % batch)).transpose()?;
        while model.session.poll(Lane::Train, true)?.is_some() {}
        let mut state = [0u32; STATE_WORDS];
        let [lo, hi] = split(model.settings.seed);
        for (at, word) in [
            (STATE_BATCH, model.batches as u32),
            (STATE_UPDATE, model.updates as u32),
            (STATE_EPOCH, model.epochs as u32),
            (STATE_ROWS, n as u32),
            (STATE_SHUFFLE, u32::from(fit.shuffle)),
            (STATE_SEED_LO, lo),
            (STATE_SEED_HI, hi),
        ] {
            state[at] = word;
        }
        model.session.write(BufferId::State(Lane::Train), 0, &state)?;
        let metrics = model.settings.metrics.iter().map(|m| m.name().to_string()).collect();
        Ok(Trainer { model, rows: n, fit, full, ragged, metrics, epoch: 0, done: 0, learning_rate: None, stopped: false })
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.rows.div_ceil(self.fit.batch_size)
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
        let mut f = Faults::default();
        f.check(lr.is_finite() && lr >= 0.0, "learning_rate", lr, "give a finite number, 0 or above");
        f.finish()?;
        self.learning_rate = Some(f64::from(lr));
        Ok(())
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
        if self.stopped || self.epoch >= self.fit.epochs || k == 0 {
            return Ok(None);
        }
        let want = k.min(self.steps_per_epoch() - self.done);
        let (first_step, first_update) = (self.done, self.model.updates);
        let (mut queued, mut lines) = (0, Vec::with_capacity(want.min(LOG_ROWS)));
        let mut under_way: VecDeque<usize> = VecDeque::new();
        let mut mean = Mean::default();
        let mut rows = 0;
        while lines.len() < want {
            while queued < want && under_way.len() < IN_FLIGHT {
                let steps = self.submit(first_step + queued, want - queued)?;
                under_way.push_back(steps);
                queued += steps;
            }
            let new = self.model.session.poll(Lane::Train, true)?.unwrap_or_default();
            let expected = under_way.pop_front().unwrap_or(0);
            let bad = new.iter().find(|l| l.halted).copied();
            if new.len() < expected || bad.is_some() {
                return Err(self.halted(bad, first_update, lines.len() + new.len()));
            }
            for l in &new {
                let n = self.rows_of(first_step + lines.len());
                mean.add(l, n, self.metrics.len());
                rows += n;
                lines.push(*l);
            }
            tell(Progress { done: lines.len(), rows, mean: &mean });
        }
        self.done += want;
        let epoch_ended = self.done == self.steps_per_epoch();
        let metrics = mean.evaluation(&self.metrics);
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
        };
        if epoch_ended {
            self.done = 0;
            self.epoch += 1;
            self.model.epochs += 1;
        }
        Ok(Some(report))
    }

    /// Uploads the rates of the next steps and gives the program of a full batch: what a profile runs.
    pub(super) fn ready(&mut self, steps: usize) -> Result<Handle> {
        self.upload_rates(steps)?;
        self.full.or(self.ragged).ok_or_else(|| Error::NotFound {
            what: "program".into(),
            name: "training".into(),
            at: "the trainer".into(),
            known: vec![],
        })
    }

    fn rows_of(&self, step: usize) -> usize {
        (self.rows - step * self.fit.batch_size).min(self.fit.batch_size)
    }

    fn rate(&self, update: u64) -> f64 {
        self.learning_rate.unwrap_or_else(|| self.model.settings.optimizer.schedule().at(update))
    }

    /// Queues steps from this one of the epoch on; gives how many.
    fn submit(&mut self, step: usize, most: usize) -> Result<usize> {
        let chosen = if self.fit.steps_per_submit == 0 { STEPS_PER_SUBMIT } else { self.fit.steps_per_submit };
        let full_left = (self.rows / self.fit.batch_size).saturating_sub(step);
        let steps = most.min(chosen).min(LOG_ROWS / 4).min(full_left.max(1));
        let handle = if full_left > 0 { self.full } else { self.ragged };
        let Some(handle) = handle else { return Ok(0) };
        self.upload_rates(steps)?;
        self.model.session.submit(handle, steps, self.model.batches as u32)?;
        self.model.has_gradients = true;
        self.model.batches += steps as u64;
        self.model.updates += steps as u64;
        Ok(steps)
    }

    /// The rates of the next updates, to their rows of the ring.
    fn upload_rates(&mut self, steps: usize) -> Result<()> {
        let first = self.model.updates;
        let mut words = Vec::with_capacity(steps * RATE_WIDTH);
        for u in first..first + steps as u64 {
            words.extend(self.model.settings.optimizer.rates(u, self.rate(u)).map(f32::to_bits));
        }
        // the device indexes by a 32-bit counter
        let row = first as u32 as usize % RATE_ROWS;
        let head = steps.min(RATE_ROWS - row) * RATE_WIDTH;
        self.model.session.write(BufferId::Rates, row * RATE_WIDTH, &words[..head])?;
        if head < words.len() {
            self.model.session.write(BufferId::Rates, 0, &words[head..])?;
        }
        Ok(())
    }

    /// The device has stopped at a bad step: takes the counters back to it.
    fn halted(&mut self, bad: Option<LogLine>, first_update: u64, seen: usize) -> Error {
        self.stopped = true;
        while let Ok(Some(_)) = self.model.session.poll(Lane::Train, true) {}
        let good = seen - usize::from(bad.is_some());
        let ahead = self.model.updates - (first_update + good as u64);
        self.model.updates -= ahead;
        self.model.batches -= ahead;
        Error::NonFiniteLoss { step: self.model.updates + 1, epoch: self.epoch as u64 + 1, loss: bad.map_or(f32::NAN, |l| l.loss) }
    }
}
