//! Training, evaluation and prediction on a batch that the user has made.

use super::evaluate::{BatchRun, first};
use super::mean::Mean;
use super::spikes::Start;
use super::{Evaluation, StepReport};
use crate::data::Dataset;
use crate::error::Result;
use crate::model::accumulation::Accumulation;
use crate::model::core::Core;
use crate::model::face::wait_for;
use crate::model::inputs::in_call;
use crate::model::rate::Rate;
use crate::model::shared::Model;
use crate::plan::{Handle, LogLine, Purpose, StateSet, Submit, Ticket};
use crate::tensor::HostTensor;
use std::sync::Arc;

/// A batch that the user made: features and labels, named fields, or a small [`Dataset`] where they are to be scaled or one-hot.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::tensor::HostTensor;
/// use gradus::train::HostBatch;
/// let x = HostTensor::f32([2, 1], vec![1.0, 2.0])?;
/// let y = HostTensor::f32([2], vec![0.0, 1.0])?;
/// let pair = HostBatch::from((&x, &y));
/// let named = HostBatch::from([("x", x.clone()), ("y", y.clone())]);
/// let set = HostBatch::from(Dataset::new(x, y)?.scale(2.0));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HostBatch(Held);

#[derive(Debug, Clone)]
enum Held {
    Set(Dataset),
    Fields(Vec<(String, HostTensor)>),
}

impl HostBatch {
    #[track_caller]
    fn data(self) -> Result<Dataset> {
        match self.0 {
            Held::Set(d) => Ok(d),
            Held::Fields(f) => Ok(Dataset::from_fields(f)?.named("batch")),
        }
    }
}

impl From<Dataset> for HostBatch {
    fn from(d: Dataset) -> Self {
        HostBatch(Held::Set(d))
    }
}
impl From<&Dataset> for HostBatch {
    fn from(d: &Dataset) -> Self {
        d.clone().into()
    }
}
impl From<HostTensor> for HostBatch {
    fn from(x: HostTensor) -> Self {
        [("x", x)].into()
    }
}
impl From<&HostTensor> for HostBatch {
    fn from(x: &HostTensor) -> Self {
        x.clone().into()
    }
}
impl From<(HostTensor, HostTensor)> for HostBatch {
    fn from((x, y): (HostTensor, HostTensor)) -> Self {
        [("x", x), ("y", y)].into()
    }
}
impl From<(&HostTensor, &HostTensor)> for HostBatch {
    fn from((x, y): (&HostTensor, &HostTensor)) -> Self {
        (x.clone(), y.clone()).into()
    }
}
impl<const N: usize> From<[(&str, HostTensor); N]> for HostBatch {
    fn from(fields: [(&str, HostTensor); N]) -> Self {
        HostBatch(Held::Fields(fields.into_iter().map(|(n, t)| (n.to_string(), t)).collect()))
    }
}
impl From<Vec<(String, HostTensor)>> for HostBatch {
    fn from(fields: Vec<(String, HostTensor)>) -> Self {
        HostBatch(Held::Fields(fields))
    }
}

impl Model {
    /// One update on a batch that the user made, of any size: `(&x, &y)`, named fields, or a [`Dataset`]. The same bits as a step of `fit`
    /// on these rows. A program is planned for each size that is new.
    ///
    /// Fails as `fit` does; a loss that is not finite changes nothing.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::tensor::HostTensor;
    /// let net = Sequential::new().add(Linear::new(1));
    /// let mut model = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([1]).device(Device::cpu()))?;
    /// for step in 0..200 {
    ///     let x = HostTensor::f32([4, 1], (0..4).map(|i| (i + step % 3) as f32 / 4.0).collect())?;
    ///     let y = HostTensor::f32([4], x.as_f32().unwrap().iter().map(|x| 2.0 * x).collect())?;
    ///     model.train_on_batch((&x, &y))?;
    /// }
    /// assert!((model.parameter("0.weight")?.as_f32().unwrap()[0] - 2.0).abs() < 0.1);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[track_caller]
    pub fn train_on_batch(&mut self, batch: impl Into<HostBatch>) -> Result<StepReport> {
        let data = batch.into().data();
        wait_for(self.core().train_on_batch(data))
    }

    /// As [`Model::train_on_batch`], without waiting.
    #[track_caller]
    pub fn train_on_batch_async(&mut self, batch: impl Into<HostBatch>) -> impl Future<Output = Result<StepReport>> {
        let data = batch.into().data();
        self.core().train_on_batch(data)
    }

    /// The loss and the metrics of a batch that the user made, with the weights as they are.
    #[track_caller]
    pub fn test_on_batch(&self, batch: impl Into<HostBatch>) -> Result<Evaluation> {
        let data = batch.into().data();
        wait_for(self.lock().test_on_batch(data))
    }

    /// What the model gives for a batch that the user made, `[rows, ..]`; of a general step the first output.
    #[track_caller]
    pub fn predict_on_batch(&self, batch: impl Into<HostBatch>) -> Result<HostTensor> {
        let data = batch.into().data();
        wait_for(self.lock().predict_on_batch(data))
    }

    /// As [`Model::predict_on_batch`], without waiting.
    #[track_caller]
    pub fn predict_on_batch_async(&mut self, batch: impl Into<HostBatch>) -> impl Future<Output = Result<HostTensor>> {
        let data = batch.into().data();
        self.core().predict_on_batch(data)
    }
}

impl Core {
    async fn train_on_batch(&mut self, data: Result<Dataset>) -> Result<StepReport> {
        self.check_trains()?;
        let data = data?;
        let n = data.len();
        self.program(&data, Purpose::Train, n).map_err(in_call("train_on_batch"))?;
        self.settle().await?;
        self.engine.session.forget(StateSet::Train);
        self.engine.data.owner += 1;
        self.set_train_state(0, n, false)?;
        let mut losses = 0;
        let line = loop {
            let line = self.one_update(&data).await;
            if let Some(line) = self.survived(&mut losses, line)? {
                break line;
            }
        };
        let line = match line {
            Some(line) if !line.halted => line,
            bad => {
                self.set_train_state(0, n, false)?;
                let (step, epoch) = (self.progress.updates + 1, self.progress.epochs + 1);
                return Err(self.halt_error(bad.as_ref(), step, epoch));
            }
        };
        let rate = self.schedule().at(self.progress.updates);
        self.remember_by_hand(data, !line.skipped)?;
        self.engine.has_gradients = true;
        self.progress.updates += 1;
        self.progress.saw_update(&line);
        if !line.skipped {
            Start::default().see(self.progress.updates, line.loss, line.grad_norm);
        }
        self.progress.batches += 1;
        let metrics = self.one_line(&line, n);
        Ok(StepReport {
            step: self.progress.updates,
            epoch: self.progress.epochs as usize + 1,
            loss: metrics["loss"] as f32,
            losses: vec![line.loss],
            grad_norm: line.grad_norm,
            learning_rate: rate,
            metrics,
            rows: n,
            epoch_ended: false,
            spikes: vec![],
            loss_scale: self.progress.scaler.map(|s| s.scale),
            skipped: if line.skipped { vec![0] } else { vec![] },
            diagnostics: vec![],
        })
    }

    /// Trains on a batch, and gives its log line.
    async fn one_update(&mut self, data: &Dataset) -> Result<Option<LogLine>> {
        let handle = self.handle_by_hand(data, Purpose::Train)?;
        self.upload_rates(self.progress.updates, 1, Rate::default())?;
        let (before, owner) = ((self.progress.batches, self.progress.updates), Arc::default());
        let ticket = self.submit_one(handle, before.0 as u32)?;
        // dropped before its line is seen it is a step under way like any other
        self.queued(ticket, Accumulation::single(data.len()), 0, 1, &owner);
        let lines = self.engine.log(ticket).await;
        self.saw(ticket);
        (self.progress.batches, self.progress.updates) = before;
        Ok(lines?.into_iter().next())
    }

    fn submit_one(&mut self, handle: Handle, first_batch: u32) -> Result<Ticket> {
        self.engine.session.submit(Submit { runs: &[(handle, 1)], first_batch, pieces: 1 })
    }

    async fn test_on_batch(&mut self, data: Result<Dataset>) -> Result<Evaluation> {
        let data = data?;
        let mut losses = 0;
        loop {
            let lines = self.one_look(&data).await;
            if let Some(lines) = self.survived(&mut losses, lines).map_err(in_call("test_on_batch"))? {
                return Ok(lines.first().map(|l| self.one_line(l, data.len())).unwrap_or_default());
            }
        }
    }

    async fn one_look(&mut self, data: &Dataset) -> Result<Vec<LogLine>> {
        let handle = self.begin_by_hand(data, Purpose::Evaluate)?;
        let ticket = self.submit_one(handle, self.progress.evaluated)?;
        self.progress.evaluated = self.progress.evaluated.wrapping_add(1);
        self.engine.log(ticket).await
    }

    async fn predict_on_batch(&mut self, data: Result<Dataset>) -> Result<HostTensor> {
        let data = data?;
        let mut losses = 0;
        loop {
            let outputs = match self.begin_by_hand(&data, Purpose::Predict) {
                Ok(handle) => self.outputs(&data, &[BatchRun { batches: 1, rows: data.len(), handle }], None, 1).await,
                Err(e) => Err(e),
            };
            if let Some(outputs) = self.survived(&mut losses, outputs).map_err(in_call("predict_on_batch"))? {
                return first(outputs);
            }
        }
    }

    fn one_line(&self, line: &LogLine, rows: usize) -> Evaluation {
        let measures = self.measures();
        let mut mean = Mean::default();
        mean.add(line, rows, false, &measures);
        mean.evaluation(&measures)
    }

    fn begin_by_hand(&mut self, data: &Dataset, purpose: Purpose) -> Result<Handle> {
        let handle = self.handle_by_hand(data, purpose)?;
        self.set_eval_state(data.len())?;
        Ok(handle)
    }
}
