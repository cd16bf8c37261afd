use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::inspect::anomaly::with_cause;
use crate::inspect::diagnose::{self, LayerReport, Probed};
use crate::kernels::words::LOG_ROWS;
use crate::model::accumulation::Windows;
use crate::model::feed::{Feed, Order};
use crate::model::pace::Pace;
use crate::model::rate::Rate;
use crate::model::recover::{LOSSES, Steps};
use crate::model::shared::Model;
use crate::plan::{Handle, Lane, LogLine, Part, Purpose};
use crate::store::checkpoint;
use crate::train::Fit;
use crate::train::evaluate::{Evaluation, Mean, Measure};
use crate::train::run::Run;
use crate::train::spikes::{Spikes, Start};
use std::collections::VecDeque;
use std::time::Instant;

/// Submits that the device has before the host waits for the oldest.
const IN_FLIGHT: usize = 2;

/// What some steps did.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// Updates applied so far, since the weights were drawn. One that was skipped is none.
    pub step: u64,
    /// The epoch that these steps belong to, from 1.
    pub epoch: usize,
    /// The mean loss over the rows of these steps.
    pub loss: f32,
    /// The loss of each step, skipped ones too.
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
    /// The loss scale after these steps, where there is one: see [`Compile::loss_scale`](crate::train::Compile::loss_scale).
    pub loss_scale: Option<f32>,
    /// Which of these steps were skipped, the first of them being 0: a gradient was not finite.
    pub skipped: Vec<usize>,
    /// What was seen of the layers in them: see [`Fit::diagnostics`].
    pub diagnostics: Vec<LayerReport>,
}

/// What `fit` shows while steps are under way: of the epoch so far.
pub(crate) struct Progress<'a> {
    pub done: usize,
    pub rows: usize,
    pub seconds: f64,
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
    pub(crate) model: &'a mut Model,
    /// Whose handles it holds.
    number: u64,
    pub(crate) fit: Fit,
    pub(crate) data: Dataset,
    pub(crate) rows: usize,
    pub(crate) windows: Windows,
    handles: Vec<((Part, usize), Handle)>,
    /// The model's count of recoveries when the handles were made.
    made: usize,
    began: Instant,
    feed: Option<Feed>,
    measures: Vec<Measure>,
    /// Most batches of a submit, by the width of a log line.
    most_steps: usize,
    pace: Pace,
    pub(crate) epoch: usize,
    /// Steps of this epoch that were reported.
    pub(crate) done: usize,
    pub(crate) learning_rate: Rate,
    pub(crate) stopped: bool,
    pub(crate) run: Run,
    spikes: Spikes,
    start: Start,
    /// The lines of an update of several batches end with what each loss is a mean over.
    weighed: bool,
    /// The program of an update's first batch that looks at the layers too.
    probe: Option<(Handle, Vec<Probed>)>,
}

/// Batches of one call, queued and seen.
struct Flight {
    want: usize,
    /// The first of them: of the epoch, of all batches; and the update that it begins.
    first: usize,
    first_update: u64,
    first_batch: u64,
    queued: usize,
    under_way: VecDeque<usize>,
    /// Batches of whole updates that were seen.
    seen: usize,
    /// The lines of an update of which some batches were seen.
    open: Vec<LogLine>,
    /// The loss of each update, and the last one's norm.
    losses: Vec<f32>,
    grad_norm: f32,
    /// Which updates were skipped.
    skipped: Vec<usize>,
    mean: Mean,
    rows: usize,
    diagnostics: Vec<LayerReport>,
    /// What kept further steps from being queued.
    failed: Option<Error>,
}

impl Flight {
    fn new(want: usize, first: usize, first_update: u64, first_batch: u64) -> Self {
        Flight {
            want,
            first,
            first_update,
            first_batch,
            queued: 0,
            under_way: VecDeque::new(),
            seen: 0,
            open: Vec::new(),
            losses: Vec::with_capacity(want.min(LOG_ROWS)),
            grad_norm: 0.0,
            skipped: vec![],
            mean: Mean::default(),
            rows: 0,
            diagnostics: vec![],
            failed: None,
        }
    }
}

impl<'a> Trainer<'a> {
    pub(crate) fn new(model: &'a mut Model, data: &Dataset, fit: Fit) -> Result<Self> {
        fit.check()?;
        model.core().check_trains()?;
        let n = data.len();
        let keep = fit.snapshot_every > 0.0;
        let windows = Windows { rows: n, batch: fit.batch_size, accumulate: fit.accumulate };
        let mut run = Trainer {
            data: data.clone(),
            rows: n,
            windows,
            handles: vec![],
            feed: None,
            made: 0,
            began: Instant::now(),
            measures: vec![],
            most_steps: 1,
            pace: Pace::default(),
            epoch: 0,
            done: 0,
            learning_rate: Rate::default(),
            spikes: Spikes::default(),
            start: Start::default(),
            weighed: false,
            probe: None,
            stopped: false,
            run: Run::default(),
            number: model.core().number,
            model,
            fit,
        };
        run.model.core().healed(|m| {
            while m.session.poll(Lane::Train, true)?.is_some() {}
            m.keep_copies(keep)
        })?;
        // what the data and the model make impossible comes before anything is changed
        let (part, rows) = windows.program(0);
        run.model.core().program_part(data, Purpose::Train, part, rows)?;
        match checkpoint::find(run.model.core(), data, &run.fit)? {
            Some(found) => run.go_on(found)?,
            None => run.model.core().set_train_state(0, n, run.fit.shuffle)?,
        }
        run.attach(windows.first(run.done))?;
        run.measures = run.model.core().measures();
        Ok(run)
    }

    /// Makes the programs of full batches and of the ragged one ready, and what feeds them from this batch of the epoch on.
    fn attach(&mut self, batch: usize) -> Result<()> {
        let (windows, order) = (self.windows, self.order(batch));
        let again = self.feed.take().is_some();
        let data = &self.data;
        let look = self.fit.diagnostics.is_some();
        (self.handles, self.probe, self.most_steps, self.weighed, self.feed) = self.model.core().healed(|m| {
            let handles = m.loop_handles(data, &windows)?;
            let (part, rows) = windows.program(0);
            let probe = look.then(|| m.probe_handle(data, part, rows)).transpose()?;
            let program = m.program_part(data, Purpose::Train, part, rows)?;
            Ok((handles, probe, program.log().most_steps(), program.weighed, Some(Feed::start(m, data, &program, rows, order)?)))
        })?;
        if again {
            // the state on the device may be another loop's: it is written before the next step
            self.feed.iter_mut().for_each(Feed::forget_turn);
        }
        self.made = self.model.core().recoveries();
        Ok(())
    }

    /// The order of rows from this batch of the epoch on.
    fn order(&mut self, batch: usize) -> Order {
        let (shuffle, epochs) = (self.fit.shuffle, (self.fit.epochs - self.epoch).max(1));
        Order { shuffle, epoch: self.model.core().epochs as u32, row: batch * self.fit.batch_size, epochs }
    }

    /// Steps of an epoch: updates.
    pub fn steps_per_epoch(&self) -> usize {
        self.windows.updates()
    }

    /// The metrics, in the order of the log.
    pub(crate) fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// The names of the metrics that are numbers.
    pub(crate) fn metric_names(&self) -> impl Iterator<Item = String> {
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

    /// Fails if [`Trainer::model`] was used to put another model in the place of the one in training.
    pub(crate) fn same_model(&self) -> Result<()> {
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

    /// As `steps`, telling of each submit that has ended.
    pub(crate) fn run(&mut self, k: usize, tell: &mut dyn FnMut(Progress<'_>)) -> Result<Option<StepReport>> {
        if self.run.in_callback {
            let (what, at, help) =
                ("steps within a callback", "Trainer::steps", "`fit` makes them: a loop of one's own needs no callbacks");
            return Err(Error::Unsupported { what: what.into(), at: at.into(), help: help.into() });
        }
        if self.stopped || self.epoch >= self.fit.epochs || k == 0 {
            return Ok(None);
        }
        self.same_model()?;
        self.model.core().check_trains()?;
        let steps = k.min(self.steps_per_epoch() - self.done);
        let first = self.windows.first(self.done);
        let want = self.windows.first(self.done + steps) - first;
        let m = self.model.core();
        let mut f = Flight::new(want, first, m.updates, m.batches);
        let (mut losses, mut since) = (0, 0);
        let began = Instant::now();
        while f.seen < f.want {
            let seen = f.seen;
            match self.advance(&mut f) {
                Ok(()) => {}
                Err(lost @ Error::DeviceLost { .. }) => {
                    self.take_back(&mut f);
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
                self.run.first_submit.get_or_insert_with(|| self.began.elapsed().as_secs_f64());
                let seconds = self.run.seconds + began.elapsed().as_secs_f64();
                tell(Progress { done: self.done + f.losses.len(), rows: self.run.rows, seconds, mean: &self.run.sums });
            }
            if self.run.interrupted() {
                // what is under way is finished, to the end of its update
                f.want = f.want.min(self.windows.end_of(f.first + f.queued.max(1)) - f.first);
            }
        }
        let Flight { losses, grad_norm, skipped, mean, rows, first_update, diagnostics, .. } = f;
        self.run.history.push_diagnostics(&diagnostics);
        let before = self.steps_done() as u64 + 1;
        self.run.history.push_skipped(&skipped.iter().map(|s| before + *s as u64).collect::<Vec<_>>());
        self.run.skipped += skipped.len();
        let applied = losses.iter().enumerate().filter(|(i, _)| !skipped.contains(i)).map(|(_, l)| *l);
        let spikes = self.spikes.see(&applied.collect::<Vec<f32>>(), first_update, self.fit.loss_spike);
        let loss_scale = self.model.core().scaler.map(|s| s.scale);
        self.done += losses.len();
        let epoch_ended = self.done == self.steps_per_epoch();
        let metrics = mean.evaluation(&self.measures);
        let updates = self.model.core().updates;
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
        self.run.took(began.elapsed().as_secs_f64(), epoch_ended);
        if epoch_ended {
            self.done = 0;
            self.epoch += 1;
            self.model.core().epochs += 1;
            self.run.end_epoch(&self.measures, loss_scale);
        }
        Ok(Some(report))
    }

    /// How many of the batches from this one of the epoch on have their rows on the device; waits for the first.
    fn feed(&mut self, batch: usize, most: usize) -> Result<usize> {
        let row = batch * self.fit.batch_size;
        self.feed.as_mut().map_or(Ok(most), |f| f.ready(self.model.core(), row, most))
    }

    fn rate(&self, update: u64) -> f64 {
        self.learning_rate.at(self.model.settings().optimizer.schedule(), update)
    }

    /// Queues what may be under way, and takes the log of the oldest.
    fn advance(&mut self, f: &mut Flight) -> Result<()> {
        if self.made != self.model.core().recoveries() {
            self.attach(f.first + f.queued)?;
        }
        // a copy holds no sum of gradients: it is made between updates
        let due = self.fit.snapshot_every > 0.0 && self.model.core().copy_due(self.fit.snapshot_every);
        let whole = self.windows.begins(f.first + f.queued);
        if due && f.under_way.is_empty() && whole {
            return self.model.core().copy();
        }
        while f.queued < f.want && f.under_way.len() < IN_FLIGHT && f.failed.is_none() {
            let at = f.first + f.queued;
            let most = match (due, self.windows.begins(at)) {
                (false, _) => f.want - f.queued,
                (true, false) => self.windows.first(self.windows.update_of(at) + 1) - at,
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
        // steps under way count, and may have gone wrong before
        if f.under_way.is_empty()
            && let Some(e) = f.failed.take()
        {
            return Err(e);
        }
        let new = self.model.core().session.poll(Lane::Train, true)?.unwrap_or_default();
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

    /// Takes note of a batch; of an update once all of its batches were seen.
    fn see(&mut self, f: &mut Flight, line: LogLine) {
        let (loss, norm, skipped) = (line.loss, line.grad_norm, line.skipped);
        f.open.push(line);
        let (w, first) = (self.windows, f.first + f.seen);
        if !w.begins(first + f.open.len()) {
            return;
        }
        let (mut sum, mut rows) = (0.0, 0);
        f.open.last().into_iter().for_each(|l| self.model.core().saw_update(l));
        if self.weighed && f.open.len() > 1 {
            weigh(&mut f.open, |i| w.rows_of(first + i));
        }
        for (i, l) in f.open.iter().enumerate() {
            let n = w.rows_of(first + i);
            // under a loss scale training goes on after a loss that is not finite: it would hide all others
            if l.loss.is_finite() {
                f.mean.add(l, n, &self.measures);
                self.run.sums.add(l, n, &self.measures);
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
        self.run.rows += rows;
        f.seen += f.open.len();
        f.open.clear();
    }

    /// Notes the updates that were seen after these batches, for the case that the device is lost.
    fn remember(&mut self, f: &Flight, before: usize, skipped: usize) {
        let (data, windows, steps) = (self.data.clone(), self.windows, f.seen - before);
        let updates = windows.ended(f.first + before, steps) - (f.skipped.len() - skipped);
        let update = f.first_update + (windows.ended(f.first, before) - skipped) as u64;
        let (batch, order) = (f.first_batch + before as u64, Some(self.order(f.first + before)));
        self.model.core().recovery.trained(Steps { data, windows, steps, updates, update, batch, rate: self.learning_rate, order });
    }

    /// Batches of updates that were not seen whole are as if they had not been queued.
    fn take_back(&mut self, f: &mut Flight) {
        self.model.core().updates = f.first_update + (self.windows.ended(f.first, f.seen) - f.skipped.len()) as u64;
        self.model.core().batches = f.first_batch + f.seen as u64;
        f.queued = f.seen;
        f.open.clear();
        f.under_way.clear();
        self.pace.forget();
    }

    /// Queues batches from this one of the epoch on; gives how many.
    fn submit(&mut self, batch: usize, most: usize) -> Result<usize> {
        let n = self.fit.accumulate;
        let chosen = match self.fit.steps_per_submit {
            0 => match self.pace.steps() {
                // whole updates, where there is time for one
                steps if steps > n => steps - steps % n,
                steps => steps,
            },
            steps => steps.saturating_mul(n),
        };
        let mut batches = most.min(chosen).min(self.most_steps);
        if n == 1 {
            batches = batches.min((self.rows / self.fit.batch_size).saturating_sub(batch).max(1));
        }
        // the programs of one submit write lines of one width: an update of one batch alone logs no weight
        let last = self.windows.batches() - 1;
        if self.weighed && batch < last && self.windows.program(last).0 == Part::Whole {
            batches = batches.min(last - batch);
        }
        let (look, queued) = self.until_look(batch, batches);
        batches = self.feed(batch, queued)?;
        while self.made != self.model.core().recoveries() {
            // the device was lost and opened again in there: programs and feed were those of the one before
            if !self.windows.begins(batch) {
                // the sum of gradients went with it: back to the update's first batch
                return Err(Error::DeviceLost {
                    device: self.model.core().device.name(),
                    reason: "between two batches of an update".into(),
                });
            }
            self.attach(batch)?;
            batches = self.feed(batch, queued)?;
        }
        let m = self.model.core();
        let rated = m.upload_rates(m.updates, self.windows.touched(batch, batches), self.learning_rate)?;
        // an update without a rate is the next call's error: those before it go first, wherever submits are cut
        batches = batches.min(self.windows.first(self.windows.update_of(batch) + rated) - batch);
        let runs = match &self.probe {
            Some((handle, _)) if look => vec![(*handle, 1)],
            _ => self.windows.runs_of(&self.handles, batch, batches),
        };
        let now = Pace::now();
        let m = self.model.core();
        m.session.submit_runs(&runs, m.batches as u32)?;
        self.pace.queued(batches, now);
        self.feed.iter_mut().for_each(|f| f.used(batches));
        self.model.core().has_gradients = true;
        self.model.core().batches += batches as u64;
        self.model.core().updates += self.windows.ended(batch, batches) as u64;
        Ok(batches)
    }

    /// What this line says of the layers.
    fn look(&self, line: &LogLine, step: u64) -> Option<LayerReport> {
        let (_, probed) = self.probe.as_ref()?;
        let own: usize = self.measures.iter().map(|m| m.columns).sum();
        let weight = usize::from(self.weighed);
        (line.metrics.len() > own + weight).then(|| diagnose::read(probed, &line.metrics[own..], step))
    }

    /// Whether the layers are looked at in the next batch, which then goes alone; else how many batches go before that.
    fn until_look(&mut self, batch: usize, most: usize) -> (bool, usize) {
        let (Some(d), w) = (&self.fit.diagnostics, self.windows) else { return (false, most) };
        // by the updates tried: how many of those under way are skipped is not known yet
        let since = (self.model.core().tried() % d.every as u64) as usize;
        if since == 0 && w.begins(batch) && w.program(batch) == w.program(0) {
            return (true, most.min(1));
        }
        (false, most.min(w.first(w.update_of(batch) + d.every - since) - batch))
    }

    /// The error of a halt at this batch of the epoch with its cause, if the user asked for that.
    fn explained(&mut self, error: Error, batch: usize, number: u32) -> Error {
        if !self.fit.detect_anomaly {
            return error;
        }
        let (shuffle, rows) = (self.fit.shuffle, self.fit.batch_size);
        // a gradient is looked at when the last batch of its update is there, and may come of one before: the weights are still the same
        let begin = match &error {
            Error::NonFiniteGradient { .. } => self.windows.first(self.windows.update_of(batch)),
            _ => batch,
        };
        let mut found = Ok(None);
        for b in begin..=batch {
            let (first, number) = (b * rows, number.wrapping_sub((batch - b) as u32));
            found = self.model.core().find_non_finite_at(&self.data, shuffle, first..first + self.windows.rows_of(b), number);
            if !matches!(found, Ok(None)) {
                break;
            }
        }
        with_cause(error, found)
    }

    /// The device has stopped at a bad step: takes the counters back to it.
    fn halted(&mut self, bad: Option<LogLine>, f: &mut Flight) -> Error {
        self.stopped = true;
        while let Ok(Some(_)) = self.model.core().session.poll(Lane::Train, true) {}
        self.take_back(f);
        let (step, epoch) = (self.model.core().updates + 1, self.epoch as u64 + 1);
        self.model.core().halt_error(bad.as_ref(), step, epoch)
    }
}

/// The losses of an update's batches, such that their mean over the rows is the mean over what they weigh: that of the large batch.
fn weigh(lines: &mut [LogLine], rows: impl Fn(usize) -> usize) {
    let weight = |l: &LogLine| l.metrics.last().copied().map_or(0.0, f64::from);
    let (total, all) = (lines.iter().map(weight).sum::<f64>(), (0..lines.len()).map(&rows).sum::<usize>() as f64);
    for (i, l) in lines.iter_mut().enumerate() {
        let share = if total == 0.0 { 0.0 } else { weight(l) / total };
        l.loss = (f64::from(l.loss) * share * all / rows(i) as f64) as f32;
    }
}
