//! Looking at a data set with the weights as they are: `evaluate` and `predict`.

use super::evaluation::Evaluation;
use super::mean::Mean;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::kernels::words::StateWords;
use crate::model::accumulation::Order;
use crate::model::core::Core;
use crate::model::feed::Feed;
use crate::model::inputs::{check_batch_size, in_call};
use crate::model::pace::Pace;
use crate::model::shared::Model;
use crate::plan::{BufferId, Handle, Lane, Output, Purpose};
use crate::tensor::{DType, HostTensor, Shape};
use std::collections::BTreeMap;

impl Model {
    /// The loss and the metrics over a data set, in batches of `batch_size` rows; the last may be smaller.
    pub fn evaluate(&self, data: &Dataset, batch_size: usize) -> Result<Evaluation> {
        self.lock().evaluate(data, batch_size)
    }

    /// What the model gives for every row, `[rows, ..]`; of a general step the first output.
    pub fn predict(&self, data: &Dataset, batch_size: usize) -> Result<HostTensor> {
        self.lock().predict(data, batch_size)
    }

    /// All outputs of a general step by name, in one pass; each `[rows, ..]`. The output of a module is called `output`.
    pub fn predict_named(&self, data: &Dataset, batch_size: usize) -> Result<BTreeMap<String, HostTensor>> {
        self.lock().predict_named(data, batch_size)
    }
}

impl Core {
    pub(crate) fn evaluate(&mut self, data: &Dataset, batch_size: usize) -> Result<Evaluation> {
        self.healed(|m| m.evaluate_once(data, batch_size)).map_err(in_call("evaluate"))
    }

    fn evaluate_once(&mut self, data: &Dataset, batch_size: usize) -> Result<Evaluation> {
        let mut mean = Mean::default();
        let (parts, mut feed) = self.look(data, Purpose::Evaluate, batch_size)?;
        let measures = self.measures();
        let mut pace = std::mem::take(&mut self.look_pace);
        pace.forget();
        for (mut left, rows, handle) in parts {
            let most = self.program(data, Purpose::Evaluate, rows)?.log().most_steps();
            while left > 0 {
                let now = feed.ready(self, 0, left.min(pace.steps()).min(most))?;
                let at = Pace::now();
                self.session.submit(handle, now, self.looked)?;
                pace.queued(now, at);
                feed.used(now);
                self.looked = self.looked.wrapping_add(now as u32);
                left -= now;
                let lines = self.session.poll(Lane::Look, true)?.unwrap_or_default();
                pace.ended();
                lines.iter().for_each(|l| mean.add(l, rows, &measures));
            }
        }
        self.look_pace = pace;
        Ok(mean.evaluation(&measures))
    }

    pub(crate) fn predict(&mut self, data: &Dataset, batch_size: usize) -> Result<HostTensor> {
        let outputs = self.healed(|m| {
            let (parts, feed) = m.look(data, Purpose::Predict, batch_size)?;
            m.outputs(data, &parts, Some(feed), 1)
        });
        first(outputs.map_err(in_call("predict"))?)
    }

    pub(crate) fn predict_named(&mut self, data: &Dataset, batch_size: usize) -> Result<BTreeMap<String, HostTensor>> {
        let outputs = self.healed(|m| {
            let (parts, feed) = m.look(data, Purpose::Predict, batch_size)?;
            m.outputs(data, &parts, Some(feed), usize::MAX)
        });
        Ok(outputs.map_err(in_call("predict_named"))?.into_iter().collect())
    }

    /// The first `most` outputs of these steps.
    pub(crate) fn outputs(
        &mut self,
        data: &Dataset,
        parts: &[Part],
        mut feed: Option<Feed>,
        most: usize,
    ) -> Result<Vec<(String, HostTensor)>> {
        let mut all: Vec<(String, Shape, DType, Vec<u32>)> = Vec::new();
        for &(steps, rows, handle) in parts {
            let program = self.program(data, Purpose::Predict, rows)?;
            let outputs = &program.outputs[..most.min(program.outputs.len())];
            if all.is_empty() {
                let row = |o: &Output| o.shape.dims()[1..].into();
                all = outputs.iter().map(|o| (o.name.clone(), row(o), o.dtype, Vec::new())).collect();
            }
            for _ in 0..steps {
                if let Some(feed) = &mut feed {
                    feed.ready(self, 0, 1)?;
                    feed.used(1);
                }
                self.session.submit(handle, 1, self.looked)?;
                self.looked = self.looked.wrapping_add(1);
                for (out, (.., words)) in outputs.iter().zip(&mut all) {
                    words.extend(self.session.read(out.buffer, out.offset, out.shape.size())?);
                }
                self.session.poll(Lane::Look, true)?;
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

    /// Makes a pass in order ready: the full batches and the ragged one, and what feeds them.
    fn look(&mut self, data: &Dataset, purpose: Purpose, batch_size: usize) -> Result<(Vec<Part>, Feed)> {
        check_batch_size(batch_size)?;
        let (n, batch) = (data.len(), batch_size.min(data.len()));
        let mut parts = Vec::new();
        for (steps, rows) in [(n / batch, batch), (usize::from(!n.is_multiple_of(batch)), n % batch)] {
            if steps > 0 {
                parts.push((steps, rows, self.handle(data, purpose, rows)?));
            }
        }
        let program = self.program(data, purpose, batch)?;
        self.set_look_state(n)?;
        Ok((parts, Feed::start(self, data, &program, batch, Order { shuffle: false, epoch: 0, row: 0, epochs: 1 })?))
    }

    /// Sets the state for a pass in order over so many rows that are on the device.
    pub(crate) fn set_look_state(&mut self, rows: usize) -> Result<()> {
        // what an earlier pass left behind when it failed
        while self.session.poll(Lane::Look, true)?.is_some() {}
        let state = StateWords { batch: self.looked, rows: rows as u32, ..StateWords::default() };
        self.session.write(BufferId::State(Lane::Look), 0, &state.words())
    }
}

/// Steps, the rows of each, and their program.
pub(crate) type Part = (usize, usize, Handle);

/// The first output.
pub(crate) fn first(outputs: Vec<(String, HostTensor)>) -> Result<HostTensor> {
    outputs.into_iter().next().map(|(_, v)| v).ok_or_else(|| Error::Unsupported {
        what: "a prediction without an output".into(),
        at: "what the step gave".into(),
        help: "add what it shall return by `.output(name, &value)`".into(),
    })
}
