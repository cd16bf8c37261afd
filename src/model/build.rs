//! From a description and its settings to the graph of one step.

use super::compile::Compile;
use super::describe::{Batch, Describe, Named, StepOut};
use super::probe::{self, Probed};
use super::signature::{Measure, Signature};
use crate::error::{Error, Result, place};
use crate::graph::{Builder, Field, Graph, Value, Var, gradients, scaled_gradients};
use crate::nn::{Finish, LayerRow, ParameterSpec, Penalized, Scope};
use crate::plan::{Purpose, Step};
use crate::tensor::{DType, Shape};
use std::collections::HashMap;
use std::panic::Location;

/// A step's graph, and what the description made on the way.
pub(crate) struct Built {
    pub step: Step,
    pub layers: Vec<LayerRow>,
    pub signature: Signature,
    /// The layers whose statistics are the last metrics of the step, after those of the signature.
    pub probed: Vec<Probed>,
}

/// Builds the step for this purpose and batch size.
pub(crate) fn build(module: &dyn Describe, settings: &Compile, purpose: Purpose, batch: usize, fields: &[Field]) -> Result<Built> {
    build_with(module, settings, purpose, batch, fields, false)
}

/// As [`build`]; `probe` adds statistics of the layers to a training step.
pub(crate) fn build_with(
    module: &dyn Describe,
    settings: &Compile,
    purpose: Purpose,
    batch: usize,
    fields: &[Field],
    probe: bool,
) -> Result<Built> {
    let builder = Builder::new();
    builder.on_line(module.line());
    let optimizer = settings.optimizer.clone();
    let scope = Scope::root_with(&builder, purpose == Purpose::Train, move |name| optimizer.freezes(name));
    let given = Batch::new(&builder, purpose, batch, fields);
    let mut out = module.step(settings, &scope, &given);
    let made = scope.stored_parameters();
    if purpose != Purpose::Predict {
        penalize(settings, &builder, &made, &mut out);
    }
    let graph = builder.clone().finish()?;
    let Found { outputs, loss, weight, metrics, measures, updates } =
        Look { builder: &builder, batch: &given, graph: &graph }.all(&out, scope.updates())?;
    let rows = |(n, v): &(String, Value)| (n.clone(), Shape::from(&graph.shape(*v).dims()[1..]));
    let signature = Signature {
        parameters: made.iter().map(|(p, _)| p.clone()).collect(),
        buffers: scope.buffers(),
        outputs: outputs.iter().map(rows).collect(),
        metrics: (purpose != Purpose::Predict).then_some(measures),
    };
    let precision = settings.precision.clone();
    let mut step = Step { graph, loss: None, gradients: vec![], weight: None, metrics: vec![], outputs: vec![], updates, precision };
    if purpose == Purpose::Predict {
        step.outputs = outputs;
        return Ok(Built { step, layers: scope.layers(), signature, probed: vec![] });
    }
    let Some(loss) = loss else {
        return Err(Error::Unsupported {
            what: "training or evaluation without a loss".into(),
            at: "what the step gave".into(),
            help: "give it to `StepOut::new(loss)`".into(),
        });
    };
    (step.loss, step.weight, step.metrics) = (Some(loss), weight, metrics);
    let layers = scope.layers();
    let looked_at = if probe { &layers[..] } else { &[] };
    let probed = if purpose == Purpose::Train { differentiate(&mut step, loss, settings, &made, looked_at)? } else { vec![] };
    Ok(Built { step, layers, signature, probed })
}

/// Adds the penalties on the size of parameters to the loss.
fn penalize(settings: &Compile, builder: &Builder, made: &[(ParameterSpec, Var)], out: &mut StepOut) {
    if settings.penalties.is_empty() {
        return;
    }
    let before = builder.enter("penalty");
    let free = made.iter().filter(|(p, _)| !settings.optimizer.freezes(&p.name)).map(|(p, v)| (p.name.as_str(), v));
    out.loss = out.loss.take().map(|loss| Penalized::add(&settings.penalties, loss, free));
    builder.enter(&before);
}

/// Adds the gradients of all parameters that train to a step, and the statistics of these layers as further metrics.
fn differentiate(
    step: &mut Step,
    loss: Value,
    settings: &Compile,
    made: &[(ParameterSpec, Var)],
    layers: &[LayerRow],
) -> Result<Vec<Probed>> {
    let graph = &mut step.graph;
    let trained: Vec<_> = made.iter().filter(|(p, _)| !settings.optimizer.freezes(&p.name)).collect();
    if trained.is_empty() && !made.is_empty() {
        return Err(Error::Unsupported {
            what: "training with every parameter frozen".into(),
            at: "optimizer.groups".into(),
            help: "leave the parameters that shall learn out of the frozen groups; `evaluate` and `predict` need none".into(),
        });
    }
    let looked_at = probe::values(graph, layers);
    let mut wrt = trained.iter().filter_map(|(_, v)| v.value()).collect::<Vec<_>>();
    let own = wrt.len();
    wrt.extend(looked_at.iter().map(|(_, v)| *v));
    let scaled = settings.scaling().is_some();
    let mut grads = if scaled { scaled_gradients(graph, loss, &wrt)? } else { gradients(graph, loss, &wrt)? };
    for g in grads[own..].iter_mut().flatten().filter(|_| scaled) {
        *g = graph.unscaled(*g)?; // for people
    }
    step.gradients = trained.iter().zip(&grads[..own]).filter_map(|((p, _), g)| Some((p.name.clone(), (*g)?))).collect();
    let (probed, columns) = probe::probe(graph, &looked_at, &grads[own..])?;
    step.metrics.extend(columns.into_iter().enumerate().map(|(i, v)| (format!("diagnostics.{i}"), v)));
    Ok(probed)
}

/// What a step gave, as values of its graph.
struct Found {
    outputs: Vec<(String, Value)>,
    loss: Option<Value>,
    weight: Option<Value>,
    metrics: Vec<(String, Value)>,
    /// What becomes of the metrics' columns.
    measures: Vec<Measure>,
    /// New values of buffers.
    updates: Vec<(String, Value)>,
}

/// Checks what a step gave, and finds its values in the graph.
struct Look<'a> {
    builder: &'a Builder,
    batch: &'a Batch,
    graph: &'a Graph,
}

impl Look<'_> {
    fn all(&self, out: &StepOut, updates: Vec<(String, Var)>) -> Result<Found> {
        unique("output", &out.outputs, None)?;
        unique("metric", &out.metrics, Some("loss"))?;
        let outputs = out.outputs.iter().map(|named| self.output(named)).collect::<Result<Vec<_>>>()?;
        let loss = out.loss.as_ref().map(|l| self.loss(l)).transpose()?.flatten();
        let weight = out.weight.as_ref().map(|w| self.scalar("the weight of the loss".into(), "weight", w, None)).transpose()?.flatten();
        let (mut metrics, mut measures) = (Vec::new(), Vec::new());
        for ((name, v, at), finish) in out.metrics.iter().zip(&out.finishes) {
            let value = self.columns(name, v, at, finish)?;
            metrics.extend(value.map(|v| (name.clone(), v)));
            let columns = value.map_or(0, |v| self.graph.shape(v).size());
            measures.push(Measure { name: name.clone(), columns, finish: finish.clone() });
        }
        let updates = updates.into_iter().map(|(name, v)| Ok(self.value(&v)?.map(|v| (name, v))));
        let updates = updates.filter_map(Result::transpose).collect::<Result<_>>()?;
        Ok(Found { outputs, loss, weight, metrics, measures, updates })
    }

    /// The value in this graph. None if it was computed from a field that the batch does not have.
    fn value(&self, v: &Var) -> Result<Option<Value>> {
        let ours = v.builder().same(self.builder);
        let lost = v.value().is_none() && self.batch.missed.borrow().is_empty();
        if ours && !lost {
            return Ok(v.value());
        }
        Err(Error::Unsupported {
            what: "a value of another model".into(),
            at: "what `forward` or the step returned".into(),
            help: "return a Var made from those that it was given".into(),
        })
    }

    fn output(&self, (name, v, at): &Named) -> Result<(String, Value)> {
        let Some(value) = self.value(v)? else {
            return Err(Error::NotFound {
                what: "input".into(),
                name: self.batch.missed.borrow().first().cloned().unwrap_or_default(),
                at: format!("the output `{name}`, {}: it is computed from that, also in `predict`, where there are no labels", place(at)),
                known: self.batch.names().map(String::from).collect(),
            });
        };
        let shape = self.graph.shape(value);
        if shape.dims().first() == Some(&self.batch.len()) {
            return Ok((name.clone(), value));
        }
        Err(Error::ShapeMismatch {
            op: format!("the output `{name}`"),
            problem: format!("it has the shape {shape} for a batch of {}", self.batch.len()),
            at: self.builder.place(self.graph.nodes[value.node].place),
            help: "the first axis of an output is the batch".into(),
        })
    }

    fn loss(&self, v: &Var) -> Result<Option<Value>> {
        self.scalar("loss".into(), "loss", v, None)
    }

    /// The columns of a metric in the log: one where its mean is logged, else any number.
    fn columns(&self, name: &str, v: &Var, at: &'static Location<'static>, finish: &Finish) -> Result<Option<Value>> {
        let wide = !matches!(finish, Finish::Mean | Finish::Share(_)) && v.dtype() == DType::F32;
        if wide { self.value(v) } else { self.scalar(format!("the metric `{name}`"), "metric", v, Some(at)) }
    }

    fn scalar(&self, op: String, what: &str, v: &Var, at: Option<&'static Location<'static>>) -> Result<Option<Value>> {
        let Some(value) = self.value(v)? else { return Ok(None) };
        let ty = self.graph.ty(value);
        if ty.shape.size() == 1 && ty.dtype == DType::F32 {
            return Ok(Some(value));
        }
        Err(Error::ShapeMismatch {
            op,
            problem: format!("a {what} has one f32 element, this one is {} {}", ty.dtype, ty.shape),
            at: self.builder.place(at.unwrap_or(self.graph.nodes[value.node].place)),
            help: "end it with `.mean()` or `.sum()`".into(),
        })
    }
}

fn unique(what: &str, list: &[Named], taken: Option<&str>) -> Result<()> {
    let mut first: HashMap<&str, &'static Location<'static>> = HashMap::new();
    for (name, _, at) in list {
        let before = first.get(name.as_str()).map(|at| place(at));
        first.entry(name).or_insert(at);
        let before = before.or_else(|| (taken == Some(name)).then(|| "the loss itself".to_string()));
        if let Some(first) = before {
            return Err(Error::DuplicateName { name: name.clone(), first, second: format!("as {what}, {}", place(at)) });
        }
    }
    Ok(())
}

/// The fields that stand for the inputs before any data set is known.
pub(crate) fn input_fields(settings: &Compile) -> Vec<Field> {
    let field =
        |(name, row, dtype): (&str, &Shape, DType)| Field { keep_integer: dtype == DType::U32, ..Field::new(name, dtype, row.clone()) };
    settings.all_inputs().into_iter().map(field).collect()
}
