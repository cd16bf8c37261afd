//! A training loop in the user's hands: where it stands, what it can be asked, what it can be told. `steps.rs` beside it trains.

use super::evaluation::Evaluation;
use super::flight::Flight;
use super::history::History;
use super::loop_settings::LoopSettings;
use super::record::RunRecord;
use super::report::StepReport;
use super::spikes::{Spikes, Start};
use super::state::Found;
use crate::clock;
use crate::data::Dataset;
use crate::error::{Error, Faults, Result};
use crate::model::accumulation::{Accumulation, Order};
use crate::model::face::wait_for;
use crate::model::feed::RowFeed;
use crate::model::journal::is_weight;
use crate::model::pace::Pace;
use crate::model::probe::Probed;
use crate::model::rate::Rate;
use crate::model::shared::Model;
use crate::model::signature::Measure;
use crate::optim::is_rate;
use crate::optim::schedule::RunLength;
use crate::plan::{Handle, Part, Purpose, StateSet};
use std::collections::VecDeque;
use std::sync::Arc;

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
    /// The number of the model whose programs it holds.
    pub(super) number: u64,
    pub(super) settings: LoopSettings,
    pub(super) data: Dataset,
    /// How its rows become batches and updates.
    pub(super) accumulation: Accumulation,
    pub(super) programs: LoopPrograms,
    /// The steps under way.
    pub(super) flight: Option<Flight>,
    /// Lives as long as the loop: what it leaves under way is nobody's after that.
    pub(super) owner: Arc<()>,
    /// What steps came to that had to end before something else was done.
    pub(super) settled: VecDeque<Result<StepReport>>,
    pub(super) feed: Option<RowFeed>,
    /// The metrics, in the order of the log.
    pub(super) measures: Vec<Measure>,
    /// When `fit` or `trainer` was called, on the clock.
    pub(super) began: Option<f64>,
    pub(super) pace: Pace,
    /// Epochs ended in this run.
    pub(super) epoch: usize,
    /// Steps of the open epoch that were reported.
    pub(super) done: usize,
    pub(super) learning_rate: Rate,
    pub(super) stopped: bool,
    pub(super) record: RunRecord,
    pub(super) spikes: Spikes,
    pub(super) start: Start,
}

/// The programs of a loop, ready to run.
#[derive(Debug, Default)]
pub(super) struct LoopPrograms {
    pub handles: Vec<((Part, usize), Handle)>,
    /// The program of the first batch of an update that logs statistics of the layers, too.
    pub probe: Option<(Handle, Vec<Probed>)>,
    /// Most batches of a submit, by the width of a log line.
    pub most_steps: usize,
    /// Operations of the largest of them.
    pub work: u64,
    /// Whether log lines end with the weight of the loss: so they do where several batches make an update and the loss has a weight.
    pub weighed: bool,
    /// How often the model had been made again when they were made ready. After another time they are void.
    pub recoveries: usize,
}

impl<'a> Trainer<'a> {
    /// A loop that has changed nothing yet: here all fails that the data or the model make impossible. [`Trainer::begin`] comes next.
    pub(super) async fn new(model: &'a mut Model, data: &Dataset, settings: LoopSettings) -> Result<Self> {
        let began = clock::now();
        let core = model.core();
        core.check_trains()?;
        core.settle().await?;
        core.engine.session.forget(StateSet::Train);
        core.recovery.copying = None;
        let (keep, mut losses) = (settings.snapshot_every > 0.0, 0);
        loop {
            let kept = core.keep_copies(keep).await;
            if core.survived(&mut losses, kept)?.is_some() {
                break;
            }
        }
        let accumulation = Accumulation { rows: data.len(), batch: settings.batch_size, accumulate: settings.accumulate };
        let (part, rows) = accumulation.program(0);
        core.program_part(data, Purpose::Train, part, rows)?;
        Ok(Trainer {
            number: core.number,
            model,
            data: data.clone(),
            accumulation,
            programs: LoopPrograms::default(),
            flight: None,
            owner: Arc::default(),
            settled: VecDeque::new(),
            feed: None,
            measures: vec![],
            began,
            pace: Pace::default(),
            epoch: 0,
            done: 0,
            learning_rate: Rate::default(),
            stopped: false,
            record: RunRecord::default(),
            spikes: Spikes::default(),
            start: Start::default(),
            settings,
        })
    }

    /// Makes updates of the lengths of a schedule that are relative to this run: to its updates and those of earlier calls of `fit`.
    pub(super) fn begin_schedule(&mut self) -> Result<()> {
        let (done, per_epoch, updates) = (self.steps_done() as u64, self.steps_per_epoch() as u64, self.settings.updates);
        let core = self.model.core();
        let before = core.progress.tried().saturating_sub(done);
        let updates = (updates < usize::MAX).then_some(before.saturating_add(updates as u64));
        core.begin_schedule(RunLength { updates, per_epoch })
    }

    /// Begins at the first row, or goes on from a checkpoint, and makes the programs ready.
    pub(super) async fn begin(&mut self, from: Option<Found>) -> Result<()> {
        match from {
            Some(found) => self.go_on(found).await?,
            None => self.model.core().set_train_state(0, self.data.len(), self.settings.shuffle)?,
        }
        self.attach(self.accumulation.first(self.done))?;
        self.measures = self.model.core().measures();
        Ok(())
    }

    /// Makes the programs of full batches and of the ragged one ready, and the feed of rows from this batch of the epoch on.
    pub(super) fn attach(&mut self, batch: usize) -> Result<()> {
        let (accumulation, order) = (self.accumulation, self.order(batch));
        let again = self.feed.take().is_some();
        let data = &self.data;
        let look = self.settings.diagnostics.is_some();
        let (programs, mut feed) = self.model.core().with_recovery(|m| {
            let handles = m.loop_handles(data, &accumulation)?;
            let (part, rows) = accumulation.program(0);
            let probe = look.then(|| m.probe_handle(data, part, rows)).transpose()?;
            let program = m.program_part(data, Purpose::Train, part, rows)?;
            let feed = RowFeed::start(m, data, &program, rows, order)?;
            let (most_steps, weighed, work, recoveries) = (program.log().most_steps(), program.weighed, program.work(), m.recoveries());
            Ok((LoopPrograms { handles, probe, most_steps, weighed, work, recoveries }, feed))
        })?;
        if again {
            // the state on the device may be that of another loop: it is written again before the next step
            feed.forget_owner();
        }
        (self.programs, self.feed) = (programs, Some(feed));
        Ok(())
    }

    /// The order of rows from this batch of the epoch on.
    pub(super) fn order(&mut self, batch: usize) -> Order {
        let (shuffle, epochs) = (self.settings.shuffle, (self.settings.epochs - self.epoch).max(1));
        Order { shuffle, epoch: self.model.core().progress.epochs as u32, row: batch * self.settings.batch_size, epochs }
    }

    /// Steps of an epoch: updates.
    pub fn steps_per_epoch(&self) -> usize {
        self.accumulation.updates()
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

    /// Sets the learning rate of all further steps.
    pub fn set_learning_rate(&mut self, lr: f32) -> Result<()> {
        self.set_rate(f64::from(lr))
    }

    /// The loss and the metrics over another data set, with the weights as they are now.
    pub fn evaluate(&mut self, data: &Dataset, batch_size: usize) -> Result<Evaluation> {
        wait_for(self.evaluate_async(data, batch_size))
    }

    /// As [`Trainer::evaluate`], without waiting.
    pub async fn evaluate_async(&mut self, data: &Dataset, batch_size: usize) -> Result<Evaluation> {
        self.settle().await; // the weights are those of the steps that were told of, and of those under way
        self.model.evaluate_async(data, batch_size).await
    }

    /// The model in training. Waits for the steps that turns have left under way.
    pub fn model(&mut self) -> &mut Model {
        wait_for(self.settle());
        self.model
    }

    /// Fails if [`Trainer::model`] was used to put another model in the place of the one in training.
    pub(super) fn same_model(&self) -> Result<()> {
        if self.model.lock().number == self.number {
            return Ok(());
        }
        let (what, at) = ("another model in the place of the one in training", "Trainer::model");
        let help = "end this loop and begin one over that model; to change weights in a loop, set them: `set_parameter`, `load_weights`";
        Err(Error::Unsupported { what: what.into(), at: at.into(), help: help.into() })
    }

    /// Ends the run: further `steps` give `None`.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Ends the run after an error: what was queued may be half done.
    pub(super) fn fail(&mut self) {
        self.stopped = true;
        self.flight = None;
        self.record.failed = true;
    }

    /// Whether there is nothing more to do: all epochs are over, the budget is spent, or the run was stopped.
    pub fn is_over(&self) -> bool {
        self.stopped || self.epoch >= self.settings.epochs || self.is_spent(0.0)
    }

    /// Whether the run has had all its updates or its seconds; `more` are seconds that it does not count yet.
    pub(super) fn is_spent(&self, more: f64) -> bool {
        let seconds = self.record.history.seconds().iter().sum::<f64>() + self.record.seconds + more;
        self.steps_done() >= self.settings.updates || seconds >= self.settings.seconds
    }

    /// The number of steps of the open epoch: fewer than those of an epoch where the run ends within it.
    pub(super) fn last_of_epoch(&self) -> usize {
        let left = self.settings.updates.saturating_sub(self.epoch.saturating_mul(self.steps_per_epoch()));
        self.steps_per_epoch().min(left)
    }

    /// Steps done in this run, those before a resume too.
    pub fn steps_done(&self) -> usize {
        self.epoch * self.steps_per_epoch() + self.done
    }

    /// Loss and metrics of each epoch that has ended, those before a resume too.
    pub fn history(&self) -> &History {
        &self.record.history
    }

    /// Loss and metrics over the rows of the open epoch so far; NaN at its start.
    pub fn so_far(&self) -> Evaluation {
        self.record.sums.evaluation(self.measures())
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        let core = self.model.lock();
        self.learning_rate.at(core.schedule(), core.progress.updates)
    }

    /// As [`Trainer::set_learning_rate`], with all digits of an f64.
    pub(super) fn set_rate(&mut self, lr: f64) -> Result<()> {
        let mut f = Faults::default();
        f.check(is_rate(lr), "learning_rate", lr, "give a number that f32 holds, 0 or above");
        f.finish()?;
        self.learning_rate.set(lr);
        Ok(())
    }

    /// Multiplies the learning rate of all further steps by a factor, not below `min_lr`. Of a schedule that moves it is the whole curve that is
    /// left.
    pub fn reduce_learning_rate(&mut self, factor: f64, min_lr: f64) -> Result<()> {
        let mut f = Faults::default();
        f.check(factor.is_finite() && factor > 0.0, "factor", factor, "give a finite number above 0");
        f.check(is_rate(min_lr), "min_lr", min_lr, "give a number that f32 holds, 0 or above");
        f.finish()?;
        let core = self.model.core();
        self.learning_rate.reduce(factor, min_lr, core.schedule(), core.progress.updates);
        Ok(())
    }

    /// Whether it goes on from a checkpoint.
    pub fn is_resumed(&self) -> bool {
        self.record.resumed
    }

    /// Keeps a copy of the weights on the host under a name, in the place of one that is there; it goes into checkpoints. The optimizer's
    /// state is not in it.
    pub fn keep_weights(&mut self, name: &str) -> Result<()> {
        wait_for(self.settle());
        let copy = self.model.core().read_arenas(is_weight)?;
        self.record.kept.insert(name.into(), copy);
        Ok(())
    }

    /// Sets the weights to a copy that [`Trainer::keep_weights`] made.
    pub fn restore_weights(&mut self, name: &str) -> Result<()> {
        wait_for(self.settle());
        let known = || self.record.kept.keys().cloned().collect();
        let Some(copy) = self.record.kept.get(name) else {
            return Err(Error::NotFound {
                what: "copy of the weights".into(),
                name: name.into(),
                at: "the trainer".into(),
                known: known(),
            });
        };
        self.model.core().write_arenas(copy)
    }

    /// Whether there is such a copy.
    pub fn has_weights(&self, name: &str) -> bool {
        self.record.kept.contains_key(name)
    }
}
