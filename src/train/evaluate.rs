//! Looking at a data set with the weights as they are: `evaluate` and `predict`.

use super::evaluation::Evaluation;
use super::mean::Mean;
use crate::clock;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::model::accumulation::Order;
use crate::model::core::Core;
use crate::model::face::{breathe, wait_for};
use crate::model::feed::RowFeed;
use crate::model::inputs::{check_batch_size, in_call};
use crate::model::pace::Pace;
use crate::model::shared::Model;
use crate::plan::{Handle, Output, Purpose, Submit};
use crate::tensor::{DType, HostTensor, Shape};
use std::collections::BTreeMap;

impl Model {
    /// The loss and the metrics over a data set, in batches of `batch_size` rows; the last may be smaller.
    pub fn evaluate(&self, data: &Dataset, batch_size: usize) -> Result<Evaluation> {
        wait_for(self.lock().evaluate(data, batch_size))
    }

    /// As [`Model::evaluate`], without waiting.
    pub async fn evaluate_async(&mut self, data: &Dataset, batch_size: usize) -> Result<Evaluation> {
        self.core().evaluate(data, batch_size).await
    }

    /// What the model gives for every row, `[rows, ..]`; of a general step the first output.
    pub fn predict(&self, data: &Dataset, batch_size: usize) -> Result<HostTensor> {
        wait_for(self.lock().predict(data, batch_size))
    }

    /// As [`Model::predict`], without waiting.
    pub async fn predict_async(&mut self, data: &Dataset, batch_size: usize) -> Result<HostTensor> {
        self.core().predict(data, batch_size).await
    }

    /// All outputs of a general step by name, in one pass; each `[rows, ..]`. The output of a module is called `output`.
    pub fn predict_named(&self, data: &Dataset, batch_size: usize) -> Result<BTreeMap<String, HostTensor>> {
        wait_for(self.lock().predict_named(data, batch_size))
    }

    /// As [`Model::predict_named`], without waiting.
    pub async fn predict_named_async(&mut self, data: &Dataset, batch_size: usize) -> Result<BTreeMap<String, HostTensor>> {
        self.core().predict_named(data, batch_size).await
    }
}

impl Core {
    pub(super) async fn evaluate(&mut self, data: &Dataset, batch_size: usize) -> Result<Evaluation> {
        let mut losses = 0;
        loop {
            let seen = self.evaluate_once(data, batch_size).await;
            if let Some(seen) = self.survived(&mut losses, seen).map_err(in_call("evaluate"))? {
                return Ok(seen);
            }
        }
    }

    async fn evaluate_once(&mut self, data: &Dataset, batch_size: usize) -> Result<Evaluation> {
        // each row once, whatever training draws
        let data = &data.undrawn();
        let mut mean = Mean::default();
        let (runs, mut feed) = self.begin_pass(data, Purpose::Evaluate, batch_size)?;
        let measures = self.measures();
        let mut pace = std::mem::take(&mut self.engine.eval_pace);
        pace.forget();
        for BatchRun { batches: mut left, rows, handle } in runs {
            let program = self.program(data, Purpose::Evaluate, rows)?;
            let (most, work) = (program.log().most_steps(), program.work());
            while left > 0 {
                let now = feed.ready(self, 0, left.min(pace.steps()).min(most))?;
                let at = clock::now();
                let (first_batch, pieces) = (self.progress.evaluated, pace.pieces(work));
                let ticket = self.engine.session.submit(Submit { runs: &[(handle, now)], first_batch, pieces })?;
                pace.queued(now, at);
                feed.used(now);
                self.progress.evaluated = self.progress.evaluated.wrapping_add(now as u32);
                left -= now;
                let lines = self.engine.log(ticket).await?;
                if lines.len() != now {
                    let problem = format!("{} lines of {now} steps came back", lines.len());
                    return Err(Error::DeviceFault { what: "an evaluation".into(), problem, device: self.engine.device.name() });
                }
                breathe().await;
                pace.ended();
                lines.iter().for_each(|l| mean.add(l, rows, program.weighed, &measures));
            }
        }
        self.engine.eval_pace = pace;
        Ok(mean.evaluation(&measures))
    }

    pub(super) async fn predict(&mut self, data: &Dataset, batch_size: usize) -> Result<HostTensor> {
        first(self.predicted(data, batch_size, 1).await.map_err(in_call("predict"))?)
    }

    pub(super) async fn predict_named(&mut self, data: &Dataset, batch_size: usize) -> Result<BTreeMap<String, HostTensor>> {
        let outputs = self.predicted(data, batch_size, usize::MAX).await;
        Ok(outputs.map_err(in_call("predict_named"))?.into_iter().collect())
    }

    /// The first `most` outputs over all rows.
    async fn predicted(&mut self, data: &Dataset, batch_size: usize, most: usize) -> Result<Vec<(String, HostTensor)>> {
        let (data, mut losses) = (&data.undrawn(), 0);
        loop {
            let outputs = match self.begin_pass(data, Purpose::Predict, batch_size) {
                Ok((runs, feed)) => self.outputs(data, &runs, Some(feed), most).await,
                Err(e) => Err(e),
            };
            if let Some(outputs) = self.survived(&mut losses, outputs)? {
                return Ok(outputs);
            }
        }
    }

    /// Runs these batches, and gives the first `most` outputs over all of them.
    pub(super) async fn outputs(
        &mut self,
        data: &Dataset,
        runs: &[BatchRun],
        mut feed: Option<RowFeed>,
        most: usize,
    ) -> Result<Vec<(String, HostTensor)>> {
        let mut all: Vec<(String, Shape, DType, Vec<u32>)> = Vec::new();
        for &BatchRun { batches, rows, handle } in runs {
            let program = self.program(data, Purpose::Predict, rows)?;
            let (outputs, pieces) = (&program.outputs[..most.min(program.outputs.len())], Pace::default().pieces(program.work()));
            if all.is_empty() {
                let row = |o: &Output| o.shape.dims()[1..].into();
                all = outputs.iter().map(|o| (o.name.clone(), row(o), o.dtype, Vec::new())).collect();
            }
            for _ in 0..batches {
                if let Some(feed) = &mut feed {
                    feed.ready(self, 0, 1)?;
                    feed.used(1);
                }
                let submit = Submit { runs: &[(handle, 1)], first_batch: self.progress.evaluated, pieces };
                let ticket = self.engine.session.submit(submit)?;
                self.progress.evaluated = self.progress.evaluated.wrapping_add(1);
                for (out, (.., words)) in outputs.iter().zip(&mut all) {
                    words.extend(self.engine.read(out.buffer, out.offset, out.shape.size()).await?);
                }
                self.engine.log(ticket).await?;
                breathe().await;
            }
        }
        let tensor = |(name, row, dtype, words): (String, Shape, DType, Vec<u32>)| {
            let shape = row.batched(data.len());
            let integers = dtype == DType::U32;
            let made = if integers {
                HostTensor::u32(shape, words)
            } else {
                HostTensor::f32(shape, words.into_iter().map(f32::from_bits).collect())
            };
            Ok((name, made?))
        };
        all.into_iter().map(tensor).collect()
    }

    /// Makes a pass over the rows in order ready: the full batches and the ragged one, and the feed of rows.
    fn begin_pass(&mut self, data: &Dataset, purpose: Purpose, batch_size: usize) -> Result<(Vec<BatchRun>, RowFeed)> {
        check_batch_size(batch_size)?;
        let (n, batch) = (data.len(), batch_size.min(data.len()));
        let mut runs = Vec::new();
        for (batches, rows) in [(n / batch, batch), (usize::from(!n.is_multiple_of(batch)), n % batch)] {
            if batches > 0 {
                runs.push(BatchRun { batches, rows, handle: self.handle(data, purpose, rows)? });
            }
        }
        let program = self.program(data, purpose, batch)?;
        self.set_eval_state(n)?;
        Ok((runs, RowFeed::start(self, data, &program, batch, Order { shuffle: false, epoch: 0, row: 0, epochs: 1 })?))
    }
}

/// Batches of one size, and the program that runs them.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchRun {
    pub batches: usize,
    pub rows: usize,
    pub handle: Handle,
}

/// The first output; an error where there is none.
pub(super) fn first(outputs: Vec<(String, HostTensor)>) -> Result<HostTensor> {
    outputs.into_iter().next().map(|(_, v)| v).ok_or_else(|| Error::Unsupported {
        what: "a prediction without an output".into(),
        at: "what the step gave".into(),
        help: "add what it shall return by `.output(name, &value)`".into(),
    })
}
