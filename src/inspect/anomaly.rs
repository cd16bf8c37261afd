//! Where a loss that is not finite comes from: the reference runs the bad step again, node by node.

use super::batch::{Drawn, batches_of};
use super::workbench::Leaves;
use crate::data::Dataset;
use crate::error::{Culprit, Error, OperandRange, Result, is_own, place};
use crate::graph::{Graph, Leaf, NodeId, Op, Value};
use crate::model::core::Core;
use crate::model::inputs::in_call;
use crate::model::shared::Model;
use crate::plan::Purpose;
use crate::reference::{Data, evaluate_all};
use std::collections::HashMap;

impl Model {
    /// Runs the training step over these rows on the [reference](crate::reference), in f32, with the weights as they are, and names the
    /// first operation that makes NaN or infinity from finite numbers. `None` if everything stays finite. The model does not change.
    ///
    /// What is not finite to begin with, a parameter or the data, is named itself. The reference is slow: take a batch, not a data set.
    /// [`Fit::detect_anomaly`](crate::train::Fit::detect_anomaly) does this when training halts.
    ///
    /// Fails as `fit` does on data that does not fit the model.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::tensor::HostTensor;
    /// let net = module(|s, x| s.at("fc").call(&Linear::new(1), x).abs().log());
    /// let mut model = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([1]).device(Device::cpu()))?;
    /// model.set_parameter("fc.weight", &HostTensor::f32([1, 1], vec![0.0])?)?;
    /// model.set_parameter("fc.bias", &HostTensor::f32([1], vec![0.0])?)?;
    /// let rows = Dataset::new(HostTensor::f32([2, 1], vec![1.0, 2.0])?, HostTensor::f32([2, 1], vec![0.0; 2])?)?;
    /// let found = model.find_non_finite(&rows)?.unwrap();
    /// assert_eq!(found.op, "log");
    /// assert_eq!((found.operands[0].least, found.operands[0].largest), (0.0, 0.0));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn find_non_finite(&self, rows: &Dataset) -> Result<Option<Culprit>> {
        self.lock().find_non_finite(rows)
    }
}

impl Core {
    pub(crate) fn find_non_finite(&mut self, rows: &Dataset) -> Result<Option<Culprit>> {
        rows.check()?;
        self.check_data(rows, Purpose::Train).map_err(in_call("find_non_finite"))?;
        let words = (0..rows.fields().len()).map(|i| rows.words(i)).collect::<Result<Vec<_>>>()?;
        let all: Vec<u32> = (0..rows.len() as u32).collect();
        self.trace(rows, &all, &words, self.progress.batches as u32)
    }

    /// As [`Model::find_non_finite`], for these positions of an epoch's order, of the batch of this number.
    pub(crate) fn find_non_finite_at(
        &mut self,
        data: &Dataset,
        shuffle: bool,
        at: std::ops::Range<usize>,
        batch: u32,
    ) -> Result<Option<Culprit>> {
        let seed = shuffle.then_some(self.description.settings.seed_of_order());
        let order = data.order(seed, self.progress.epochs as u32)?;
        let own: Vec<u32> = at.map(|i| order.own(i as u32)).collect();
        let rows: Vec<u32> = own.iter().map(|&i| order.stored(i)).collect();
        let words = (0..data.fields().len()).map(|i| data.words_of(i, &rows)).collect::<Result<Vec<_>>>()?;
        self.trace(data, &own, &words, batch)
    }

    /// Runs the step over these rows of the data set, whose stored words are `words`. `number` is the counter of batches, by which random
    /// numbers are drawn.
    fn trace(&mut self, data: &Dataset, rows: &[u32], words: &[Vec<u32>], number: u32) -> Result<Option<Culprit>> {
        let batch = rows.len();
        let fields = self.fields_of(data, Purpose::Train);
        let built = self.description.build(Purpose::Train, batch, &fields)?;
        let drawn = Drawn { seed: self.description.settings.seed_of_order(), batch: number, epoch: self.progress.epochs as u32 };
        let fed = batches_of(&fields, words, batch, drawn)?;
        let fed: HashMap<String, Data<f32>> = fed.into_iter().map(|(name, batch)| (name, single(batch))).collect();
        let parameters = self.read_parameters()?;
        // in mixed precision what is stored as f16 may overflow: only the simplified graph says what is
        let step = if built.step.precision.is_mixed() { built.step.simplified()? } else { built.step };
        let graph = &step.graph;
        let leaves = Leaves {
            fields: &fed,
            arena: &self.engine.arena,
            words: &parameters,
            seed: self.description.settings.seed_of_order(),
            batch: number,
            scale: self.progress.scaler.map_or(1.0, |s| s.scale),
        };
        let all = evaluate_all::<f32>(graph, &|op: &Op| leaves.of(op), &step.roots())?;
        let finite = |v: &Value| all[v.node].as_ref().and_then(|o| o.get(v.output)).is_none_or(|d| range(d, "").bad == 0);
        let bad = (0..graph.nodes.len()).find(|&n| {
            let made = |output| Value { node: n, output };
            let outputs = graph.nodes[n].outputs.len();
            !(0..outputs).all(|o| finite(&made(o))) && graph.nodes[n].inputs.iter().all(&finite)
        });
        Ok(bad.map(|n| culprit(graph, &all, n, rows)))
    }
}

/// As f32, as the device sees it.
fn single(d: Data<f64>) -> Data<f32> {
    match d {
        Data::Real(v) => Data::Real(v.into_iter().map(|x| x as f32).collect()),
        Data::Integer(v) => Data::Integer(v),
    }
}

fn culprit(g: &Graph, all: &[Option<Vec<Data<f32>>>], node: NodeId, rows: &[u32]) -> Culprit {
    let n = &g.nodes[node];
    let value = |v: &Value| all[v.node].as_ref().and_then(|o| o.get(v.output));
    let name = |v: &Value| {
        let from = &g.nodes[v.node];
        match from.op.leaf() {
            Some(Leaf::Parameter(parameter)) => parameter.name.clone(),
            Some(Leaf::Batch(batch)) => format!("the field `{}`", batch.field.name),
            Some(Leaf::Buffer(_) | Leaf::State(_) | Leaf::Random(_)) | None => from.shown(),
        }
    };
    let own = (0..n.outputs.len()).map(|output| Value { node, output });
    let element = match (n.op.leaf(), value(&node.into())) {
        (Some(Leaf::Batch(_)), Some(d)) => d.to_f64().iter().position(|x| !x.is_finite()).and_then(|i| {
            let width = d.len() / rows.len().max(1);
            Some((*rows.get(i.checked_div(width)?)? as usize, i % width))
        }),
        _ => None,
    };
    let made = own.filter_map(|v| value(&v)).map(|d| range(d, "")).find(|r| r.bad > 0).unwrap_or_default();
    Culprit {
        op: n.op.name().into(),
        layer: n.layer.clone(),
        place: if is_own(n.place) { String::new() } else { place(n.place) },
        what: name(&node.into()),
        bad: made.bad,
        size: made.size,
        element,
        operands: n.inputs.iter().filter_map(|v| Some(range(value(v)?, &name(v)))).collect(),
    }
}

/// The least and the largest finite element, and how many are not finite.
fn range(d: &Data<f32>, name: &str) -> OperandRange {
    let mut r = OperandRange { name: name.into(), least: f64::INFINITY, largest: f64::NEG_INFINITY, bad: 0, size: d.len() };
    for x in d.to_f64() {
        if x.is_finite() {
            (r.least, r.largest) = (r.least.min(x), r.largest.max(x));
        } else {
            r.bad += 1;
        }
    }
    r
}

/// The error of a halt, with its cause where the reference has found one.
pub(crate) fn with_cause(error: Error, found: Result<Option<Culprit>>) -> Error {
    match (error, found) {
        (Error::NonFiniteLoss { step, epoch, loss, parameter, scale, .. }, Ok(Some(c))) => {
            Error::NonFiniteLoss { step, epoch, loss, parameter, scale, cause: Some(Box::new(c)) }
        }
        (Error::NonFiniteGradient { step, epoch, norm, parameters, largest, scale, .. }, Ok(Some(c))) => {
            Error::NonFiniteGradient { step, epoch, norm, parameters, largest, scale, cause: Some(Box::new(c)) }
        }
        // there is nothing to find: the elements of the gradient are finite, and the message names the largest
        (error @ Error::NonFiniteGradient { largest: Some(_), .. }, Ok(None)) => error,
        (error, Ok(_)) => {
            crate::terminal::warn!(
                "the reference finds only finite numbers in that step: `Model::bisect` looks for a kernel that computes wrong"
            );
            error
        }
        (error, Err(e)) => {
            crate::terminal::warn!("the bad step could not be run again on the reference: {e}");
            error
        }
    }
}
