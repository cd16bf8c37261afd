//! Writing a run to a checkpoint, and going on from one.

use super::callbacks::check_states;
use super::record::{Before, Due};
use super::settings::Fit;
use super::state::{Found, RunState};
use super::trainer::Trainer;
use crate::data::Dataset;
use crate::error::{Error, Faults, Result};
use crate::kernels::words::StateWords;
use crate::model::accumulation::Accumulation;
use crate::model::core::Core;
use crate::model::face::wait_for;
use crate::model::progress::Progress;
use crate::plan::{BufferId, StateSet};
use crate::store::checkpoint::{self, Agreement, CheckpointFile, Circumstances, Contents};
use std::path::Path;

/// The checkpoint that these settings go on from, if they do.
pub(super) fn find(model: &Core, data: &Dataset, fit: &Fit) -> Result<Option<Found>> {
    let Some(c) = &fit.checkpoint else { return Ok(None) };
    let bytes = checkpoint::bytes(c, fit.resume)?;
    bytes.map(|bytes| read(model, data, fit, &c.path, &bytes)).transpose()
}

fn read(model: &Core, data: &Dataset, fit: &Fit, path: &Path, bytes: &[u8]) -> Result<Found> {
    let file = CheckpointFile::<RunState>::read(path, bytes)?;
    let state = &file.meta.run;
    Agreement::of(model, data, fit.for_loop(data.len()).agreement())?.check_same(&state.agreement, path, file.same_version)?;
    check_states(fit, &state.callbacks, path)?;

    let steps = Accumulation { rows: data.len(), batch: fit.batch_size, accumulate: fit.accumulate }.updates();
    let sound = state.step < steps && state.rows <= data.len() && state.rate.sound() && state.seconds.is_finite();
    file.check_counters(sound, state.epoch as u64)?;
    let mut f = Faults::default();
    let limit = fit.limit(data.len());
    let behind = state.epoch.saturating_mul(steps).saturating_add(state.step);
    let more = format!("give at least {}, or start anew with `Resume::Never`", state.epoch + usize::from(state.step > 0));
    let problem = format!("{}, and the checkpoint {} has {} behind it", fit.epochs, path.display(), state.epoch);
    f.check(behind <= limit.updates || !fit.budget.is_empty(), "fit.epochs", problem, &more);
    let problem = format!("it ends after {} updates, and the checkpoint {} has {behind} behind it", limit.updates, path.display());
    f.check(behind <= limit.updates || fit.budget.is_empty(), "fit.budget", problem, "give more, or start anew with `Resume::Never`");
    f.finish()?;

    let (arenas, kept) = file.arenas(model, &state.kept)?;
    Circumstances::of(model, data).warn_of_changes(&file.meta.circumstances, path);
    let (updates, batches, epochs) = (file.meta.updates, file.meta.batches, file.meta.epochs);
    Ok(Found { state: file.meta.run, updates, batches, epochs, arenas, kept })
}

impl Trainer<'_> {
    /// Writes the run to a file as it stands: what [`Fit::checkpoint`](crate::train::Fit::checkpoint) does every so often. A loop of one's
    /// own goes on from it with the same data and settings, [`Fit::checkpoint`](crate::train::Fit::checkpoint) of this path and
    /// [`Resume::Required`](crate::train::Resume::Required).
    ///
    /// The file is replaced whole or not at all, and not by weights that are not finite: those are an `Err`. Waits for the device. In a
    /// callback it is written as soon as all callbacks have had their turn, so that it holds what they make of this step.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// # use gradus::tensor::HostTensor;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("run.gradus");
    /// # let data = Dataset::new(HostTensor::f32([8, 2], vec![0.5; 16])?, HostTensor::f32([8, 1], vec![1.0; 8])?)?;
    /// # let net = || Sequential::new().add(Linear::new(1)).compile(Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu()));
    /// let fit = Fit::new().epochs(2).batch_size(2);
    /// let mut model = net()?;
    /// let mut run = model.trainer(&data, fit.clone())?;
    /// run.steps(3)?;
    /// run.checkpoint(&path)?;
    ///
    /// let mut model = net()?;
    /// let mut run = model.trainer(&data, fit.checkpoint(Checkpoint::new(&path)).resume(Resume::Required))?;
    /// assert_eq!(run.steps(100)?.unwrap().step, 4); // the last of the first epoch
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn checkpoint(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        if self.record.in_callback {
            self.record.due.push(Due::Write(path.into()));
            return Ok(());
        }
        wait_for(self.write_checkpoint(path))
    }

    pub(super) async fn write_checkpoint(&mut self, path: &Path) -> Result<()> {
        self.settle().await;
        if self.record.failed {
            return Err(Error::Unsupported {
                what: "a checkpoint of a run that has failed".into(),
                at: path.display().to_string(),
                help: "go on from an earlier one, or keep the weights: `save_weights`".into(),
            });
        }
        self.same_model()?;
        let (model, data, record) = (self.model.core(), &self.data, &mut self.record);
        let circumstances = record.circumstances.get_or_insert_with(|| Circumstances::of(model, data)).clone();
        let arenas = checkpoint::arenas_to_write(model, path).await?;
        let state = RunState {
            epoch: self.epoch,
            step: self.done,
            sums: record.sums.clone(),
            rows: record.rows,
            skipped: record.skipped,
            seconds: record.seconds,
            history: record.history.clone(),
            rate: self.learning_rate,
            evaluated: model.progress.evaluated,
            kept: record.kept.keys().cloned().collect(),
            callbacks: record.callbacks.clone(),
            agreement: Agreement::of(model, data, self.settings.agreement())?,
        };
        let settings = &self.settings.json;
        let contents = Contents { settings, circumstances: &circumstances, run: &state, kept: &record.kept };
        checkpoint::write(model, path, &arenas, &contents)?;
        tracing::debug!(path = %path.display(), epoch = self.epoch, step = self.done, "wrote a checkpoint");
        Ok(())
    }

    /// Takes the run to the step at which the checkpoint was written.
    pub(super) async fn go_on(&mut self, found: Found) -> Result<()> {
        let Found { state, updates, batches, epochs, mut arenas, kept } = found;
        let held = StateWords::from_words(&arenas.remove(&BufferId::State(StateSet::Train)).unwrap_or_default());
        let m = self.model.core();
        // what comes before the first step may still fail, as a callback of the user's may: then all of this is taken back
        let progress = m.progress.clone();
        self.record.before = Some(Before { arenas: m.read_arenas_async(|_| true).await?, progress });
        m.write_arenas(&arenas)?;
        (m.progress.updates, m.progress.batches, m.progress.epochs, m.progress.evaluated) = (updates, batches, epochs, state.evaluated);
        (self.epoch, self.done, self.learning_rate) = (state.epoch, state.step, state.rate);
        let record = &mut self.record;
        (record.sums, record.rows, record.seconds, record.history, record.kept) =
            (state.sums, state.rows, state.seconds, state.history, kept);
        (record.callbacks, record.resumed, record.skipped) = (state.callbacks, true, state.skipped);
        tracing::info!(epoch = self.epoch, step = self.done, updates, "going on from a checkpoint");
        if let Some(s) = &mut self.model.core().progress.scaler {
            s.read(&held);
        }
        let row = self.accumulation.first(self.done) * self.settings.batch_size;
        let now = self.model.core().train_state(row, self.data.len(), self.settings.shuffle);
        // only the open update is the checkpoint's: where rows are streamed, its cursor counts within a block
        let state = StateWords { micro: held.micro, summed: held.summed, ..now };
        self.model.core().write_words(BufferId::State(StateSet::Train), 0, &state.words())
    }

    /// Takes the model back to what it was before the run went on from a checkpoint, if that is still known.
    pub(super) fn take_back_resume(&mut self) -> Result<()> {
        let Some(before) = self.record.before.take() else { return Ok(()) };
        let m = self.model.core();
        m.progress = Progress { swapped: m.progress.swapped, ..before.progress };
        m.write_arenas(&before.arenas)
    }
}
