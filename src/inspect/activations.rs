//! Gradients of parameters, and the outputs of layers.

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::graph::Value;
use crate::model::core::Core;
use crate::model::inputs::{check_batch_size, in_call};
use crate::model::shared::Model;
use crate::plan::{Blocking, BufferId, DataId, Part, Program, Purpose, StateSet, Step};
use crate::tensor::{DType, HostTensor, Shape};
use std::sync::Arc;

impl Model {
    /// A parameter's gradient in the last training step, of the parameter's shape: for the mean loss of that batch, before the
    /// optimizer (weight decay and the like are no part of it), without the loss scale.
    ///
    /// Fails for a name that is not there or is frozen, with the names that train, and before the first training step of this model in
    /// this process: gradients are not saved.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// # use gradus::tensor::HostTensor;
    /// // loss = (w * 2 - 1)^2 at w = 1, so its slope is 2 * (2 - 1) * 2
    /// let data = Dataset::new(HostTensor::f32([1, 1], vec![2.0])?, HostTensor::f32([1, 1], vec![1.0])?)?;
    /// let net = module(|s, x| x * s.param("w", [1], Init::Ones));
    /// let mut model = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([1]).device(Device::cpu()))?;
    /// assert!(model.gradient("w").is_err());
    /// model.trainer(&data, Fit::new())?.steps(1)?;
    /// assert_eq!(model.gradient("w")?.as_f32(), Some(&[4.0][..]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn gradient(&self, name: &str) -> Result<HostTensor> {
        self.lock().gradient(name)
    }

    /// What the layer of this full name gives for these rows `[rows, ..]`, as `predict` would run it: with the weights as they are now, in
    /// one batch. The names are those of [`Model::summary`]; a name that stands for several calls means the last.
    ///
    /// The rows are what the model sees: a data set's `scale` is not applied. Fails for a name that is not there, with those that are, and
    /// for rows that do not fit the model.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// # use gradus::tensor::HostTensor;
    /// let net = Sequential::new().add(Linear::new(4)).add(Relu).add(Linear::new(1));
    /// let mut model = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([3]).device(Device::cpu()))?;
    /// let x = HostTensor::f32([2, 3], vec![0.1, -0.2, 0.3, 0.4, 0.5, -0.6])?;
    /// let h = model.activation("1", &x)?;
    /// assert_eq!(h.shape().dims(), [2, 4]);
    /// assert!(h.as_f32().unwrap().iter().all(|v| *v >= 0.0));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[track_caller]
    pub fn activation(&self, name: &str, x: &HostTensor) -> Result<HostTensor> {
        self.lock().activation(name, x)
    }

    /// As [`Model::activation`], for every row of a data set, in batches of `batch_size`; what the data set makes of its values (`scale`,
    /// `flatten`) is applied. The layer must give one row for each row of the batch.
    pub fn activation_over(&self, name: &str, data: &Dataset, batch_size: usize) -> Result<HostTensor> {
        self.lock().activation_over(name, data, batch_size)
    }
}

impl Core {
    pub(crate) fn gradient(&mut self, name: &str) -> Result<HostTensor> {
        let found = self.engine.arena.find(name).cloned();
        let Some(e) = found.as_ref().filter(|e| !e.frozen) else {
            return Err(Error::NotFound {
                what: "gradient of a parameter".into(),
                name: name.into(),
                at: if found.is_some() { "the model, where it is frozen".into() } else { "the model".into() },
                known: self.engine.arena.entries.iter().filter(|e| !e.frozen).map(|e| e.name.clone()).collect(),
            });
        };
        let words = self.with_recovery(|m| {
            if !m.engine.has_gradients {
                return Err(Error::Unsupported {
                    what: format!("reading the gradient of `{name}` before a training step"),
                    at: "the model, which has not trained in this process, or not since the device was lost".into(),
                    help: "run a step first: `model.trainer(&data, Fit::new())?.steps(1)?`".into(),
                });
            }
            m.engine.session.read(BufferId::Gradients, e.offset, e.shape.size())
        })?;
        let unscale = self.progress.scaler.map_or(1.0, |s| 1.0 / s.last);
        HostTensor::f32(e.shape.clone(), e.restore(&words).iter().map(|w| f32::from_bits(*w) * unscale).collect())
    }

    #[track_caller]
    pub(crate) fn activation(&mut self, name: &str, x: &HostTensor) -> Result<HostTensor> {
        let rows = Dataset::unlabelled(x.clone())?.named("batch");
        self.activation_of_rows(name, &rows)
    }

    pub(crate) fn activation_over(&mut self, name: &str, data: &Dataset, batch_size: usize) -> Result<HostTensor> {
        check_batch_size(batch_size).map_err(in_call("activation_over"))?;
        let (mut reals, mut integers, mut row) = (Vec::new(), Vec::new(), Shape::default());
        let mut left = Some(data.clone());
        while let Some(rest) = left {
            let now = if rest.len() > batch_size {
                let (now, rest) = rest.split_at(batch_size)?;
                left = Some(rest);
                now
            } else {
                left = None;
                rest
            };
            let out = self.activation_of_rows(name, &now)?;
            if out.shape().dims().first() != Some(&now.len()) {
                return Err(Error::Unsupported {
                    what: format!("the outputs of `{name}` over several batches"),
                    at: format!("its output is {} for {} rows", out.shape(), now.len()),
                    help: "take the rows as one batch: `activation(name, &x)`".into(),
                });
            }
            row = out.shape().dims()[1..].into();
            reals.extend_from_slice(out.as_f32().unwrap_or(&[]));
            integers.extend_from_slice(out.as_u32().unwrap_or(&[]));
        }
        let shape = row.batched(data.len());
        if integers.is_empty() { HostTensor::f32(shape, reals) } else { HostTensor::u32(shape, integers) }
    }

    fn activation_of_rows(&mut self, name: &str, rows: &Dataset) -> Result<HostTensor> {
        rows.check()?;
        self.check_data(rows, Purpose::Predict).map_err(in_call("activation"))?;
        let fields = self.fields_of(rows, Purpose::Predict);
        let built = self.description.build(Purpose::Predict, rows.len(), &fields)?;
        let mut known: Vec<(String, Option<Value>)> = built.layers.iter().map(|l| (l.name.clone(), l.value)).collect();
        if known.is_empty() {
            // as `summary` lists a model without layers
            known = built.step.outputs.first().map(|(_, v)| ("output".to_string(), Some(*v))).into_iter().collect();
        }
        let Some(value) = known.iter().rev().find(|(n, _)| n == name).and_then(|(_, v)| *v) else {
            let known = known.into_iter().map(|(n, _)| n).collect();
            return Err(Error::NotFound { what: "layer".into(), name: name.into(), at: "the model".into(), known });
        };
        let step = Step { outputs: vec![(name.into(), value)], ..built.step };
        let program = self.engine.plan(&step, Purpose::Predict, Part::Whole, rows.len())?;
        self.check_limits(rows, &program)?;
        let program = Arc::new(program);
        self.with_recovery(|m| m.run_once(&program, rows))
    }

    /// Runs a program once over these rows, and gives its only output. Nothing of it stays on the device.
    fn run_once(&mut self, program: &Arc<Program>, rows: &Dataset) -> Result<HostTensor> {
        let names: Vec<String> = rows.fields().into_iter().map(|f| f.name).collect();
        let mut ids = Vec::new();
        for at in program.fields.iter().filter_map(|f| names.iter().position(|n| *n == f.name)) {
            let words = rows.words(at)?;
            ids.push(self.engine.session.add_data(&words)?);
        }
        let found = self.run_over(program, &ids, rows.len());
        ids.into_iter().for_each(|id| self.engine.session.drop_data(id));
        found
    }

    fn run_over(&mut self, program: &Arc<Program>, ids: &[DataId], rows: usize) -> Result<HostTensor> {
        let out = program.outputs.first().ok_or_else(|| Error::NotFound {
            what: "output".into(),
            name: "0".into(),
            at: "the program".into(),
            known: vec![],
        })?;
        let handle = self.engine.session.prepare(program, ids)?;
        self.set_eval_state(rows)?;
        self.engine.session.queue(handle, 1, self.progress.evaluated)?;
        self.progress.evaluated = self.progress.evaluated.wrapping_add(1);
        let words = self.engine.session.read(out.buffer, out.offset, out.shape.size())?;
        self.engine.session.next_log(StateSet::Eval)?;
        match out.dtype {
            DType::F32 => HostTensor::f32(out.shape.clone(), words.into_iter().map(f32::from_bits).collect()),
            _ => HostTensor::u32(out.shape.clone(), words),
        }
    }
}
