//! From a description and its settings to the graph of one step.

use crate::error::{Error, Result, place};
use crate::graph::{Builder, Field, Graph, Value, Var, gradients, scaled_gradients};
use crate::inspect::diagnose::{self, Probed};
use crate::model::compile::Compile;
use crate::model::describe::{Batch, Describe, Named};
use crate::nn::{BufferSpec, Finish, LayerRow, ParameterSpec, Penalized, Scope};
use crate::plan::{Purpose, Step};
use crate::tensor::{DType, Shape};
use crate::train::evaluate::Measure;
use std::panic::Location;

/// A step's graph, and what the description made on the way.
pub(crate) struct Built {
    pub step: Step,
    pub layers: Vec<LayerRow>,
    pub face: Face,
    /// The layers that the step's last metrics tell of: they stand behind those of the face.
    pub probed: Vec<Probed>,
}

/// What must be the same each time that a model is built.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Face {
    pub parameters: Vec<ParameterSpec>,
    pub buffers: Vec<BufferSpec>,
    /// Name and shape of what the model gives, without the batch axis.
    pub outputs: Vec<(String, Shape)>,
    /// None where there is no loss.
    pub metrics: Option<Vec<Measure>>,
}

impl Face {
    /// Fails unless another build has the same face; its metrics hold where there were none so far.
    pub fn meet(&mut self, now: Face, at: impl Fn() -> String) -> Result<()> {
        let metrics = now.metrics.is_none() || self.metrics.is_none() || self.metrics == now.metrics;
        if self.parameters == now.parameters && self.buffers == now.buffers && self.outputs == now.outputs && metrics {
            self.metrics = self.metrics.take().or(now.metrics);
            return Ok(());
        }
        Err(Error::InconsistentModel { at: at(), first: self.names(), now: now.names() })
    }

    fn names(&self) -> String {
        let parameters = self.parameters.iter().map(|p| format!("{} {}", p.name, p.shape));
        let buffers = self.buffers.iter().map(|b| format!("buffer {} {}", b.name, b.shape));
        let outputs = self.outputs.iter().map(|(n, s)| format!("output {n} {s}"));
        let metrics = self.metrics.iter().flatten().map(|m| match m.columns {
            1 => format!("metric {}", m.name),
            n => format!("metric {} [{n}]", m.name),
        });
        parameters.chain(buffers).chain(outputs).chain(metrics).collect::<Vec<_>>().join(", ")
    }
}

/// Builds the step for this purpose and batch size.
pub(crate) fn build(module: &dyn Describe, settings: &Compile, purpose: Purpose, batch: usize, fields: &[Field]) -> Result<Built> {
    build_with(module, settings, purpose, batch, fields, false)
}

/// As [`build`], where `probe` says that the layers are looked at too.
pub(crate) fn build_with(
    module: &dyn Describe,
    settings: &Compile,
    purpose: Purpose,
    batch: usize,
    fields: &[Field],
    probe: bool,
) -> Result<Built> {
    let mut probed = Vec::new();
    let builder = Builder::new();
    builder.on_line(module.line());
    let optimizer = settings.optimizer.clone();
    let scope = Scope::root_with(&builder, purpose == Purpose::Train, move |name| optimizer.freezes(name));
    let given = Batch::new(&builder, purpose, batch, fields);
    let mut out = module.step(settings, &scope, &given);
    let made = scope.parameters();
    if purpose != Purpose::Predict && !settings.penalties.is_empty() {
        let before = builder.enter("penalty");
        let free = made.iter().filter(|(p, _)| !settings.optimizer.freezes(&p.name)).map(|(p, v)| (p.name.as_str(), v));
        out.loss = out.loss.map(|loss| Penalized::add(&settings.penalties, loss, free));
        builder.enter(&before);
    }
    let mut graph = builder.clone().finish()?;
    let look = Look { builder: &builder, batch: &given, graph: &graph };
    unique("output", &out.outputs, None)?;
    unique("metric", &out.metrics, Some("loss"))?;
    let outputs = out.outputs.iter().map(|named| look.output(named)).collect::<Result<Vec<_>>>()?;
    let mut step = Step {
        graph: Graph::default(),
        loss: None,
        gradients: vec![],
        weight: None,
        metrics: vec![],
        outputs: vec![],
        updates: vec![],
        precision: settings.precision.clone(),
    };
    let loss = out.loss.as_ref().map(|l| look.loss(l)).transpose()?.flatten();
    let weight = out.weight.as_ref().map(|w| look.scalar("the weight of the loss".into(), "weight", w, None)).transpose()?.flatten();
    let mut metrics = Vec::new();
    let mut measures = Vec::new();
    for ((name, v, at), finish) in out.metrics.iter().zip(&out.finishes) {
        let value = look.columns(name, v, at, finish)?;
        metrics.extend(value.map(|v| (name.clone(), v)));
        measures.push(Measure { name: name.clone(), columns: value.map_or(0, |v| graph.shape(v).size()), finish: finish.clone() });
    }
    let updates = scope.updates().into_iter().map(|(name, v)| Ok(look.value(&v)?.map(|v| (name, v))));
    step.updates = updates.filter_map(Result::transpose).collect::<Result<_>>()?;
    let rows = |(n, v): &(String, Value)| (n.clone(), Shape::from(&graph.shape(*v).dims()[1..]));
    let face = Face {
        parameters: made.iter().map(|(p, _)| p.clone()).collect(),
        buffers: scope.buffers(),
        outputs: outputs.iter().map(rows).collect(),
        metrics: (purpose != Purpose::Predict).then_some(measures),
    };
    match (purpose, loss) {
        (Purpose::Predict, _) => step.outputs = outputs,
        (_, None) => {
            return Err(Error::Unsupported {
                what: "training or evaluation without a loss".into(),
                at: "what the step gave".into(),
                help: "give it to `StepOut::new(loss)`".into(),
            });
        }
        (_, loss) => {
            step.loss = loss;
            step.weight = weight;
            step.metrics = metrics;
        }
    }
    if let (Purpose::Train, Some(loss)) = (purpose, step.loss) {
        let trained: Vec<_> = made.iter().filter(|(p, _)| !settings.optimizer.freezes(&p.name)).collect();
        if trained.is_empty() && !made.is_empty() {
            return Err(Error::Unsupported {
                what: "training with every parameter frozen".into(),
                at: "optimizer.groups".into(),
                help: "leave the parameters that shall learn out of the frozen groups; `evaluate` and `predict` need none".into(),
            });
        }
        let looked_at = if probe { diagnose::values(&graph, &scope.layers()) } else { vec![] };
        let mut wrt = trained.iter().filter_map(|(_, v)| v.value()).collect::<Vec<_>>();
        let own = wrt.len();
        wrt.extend(looked_at.iter().map(|(_, v)| *v));
        let scaled = settings.scaling().is_some();
        let mut grads = if scaled { scaled_gradients(&mut graph, loss, &wrt)? } else { gradients(&mut graph, loss, &wrt)? };
        for g in grads[own..].iter_mut().flatten().filter(|_| scaled) {
            *g = graph.unscaled(*g)?; // for people
        }
        step.gradients = trained.iter().zip(&grads[..own]).filter_map(|((p, _), g)| Some((p.name.clone(), (*g)?))).collect();
        let (layers, columns) = diagnose::probe(&mut graph, &looked_at, &grads[own..])?;
        probed = layers;
        step.metrics.extend(columns.into_iter().enumerate().map(|(i, v)| (format!("diagnostics.{i}"), v)));
    }
    step.graph = graph;
    Ok(Built { step, layers: scope.layers(), face, probed })
}

/// Looks at what a step gave.
struct Look<'a> {
    builder: &'a Builder,
    batch: &'a Batch,
    graph: &'a Graph,
}

impl Look<'_> {
    /// The value in this graph. None if it came of a field that is not there.
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

    /// A metric's columns: one where its mean is logged, else any number.
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
    for (i, (name, _, at)) in list.iter().enumerate() {
        let before = list[..i].iter().find(|(n, ..)| n == name).map(|(_, _, at)| place(at));
        let before = before.or_else(|| (taken == Some(name)).then(|| "the loss itself".to_string()));
        if let Some(first) = before {
            return Err(Error::DuplicateName { name: name.clone(), first, second: format!("as {what}, {}", place(at)) });
        }
    }
    Ok(())
}

/// The fields that stand for the inputs before any data set is known.
pub(crate) fn input_fields(settings: &Compile) -> Vec<Field> {
    let field = |(name, row, dtype): (&str, &Shape, DType)| Field {
        name: name.into(),
        stored: dtype,
        row: row.clone(),
        scale: 1.0,
        shift: 0.0,
        keep_integer: dtype == DType::U32,
        one_hot: None,
    };
    settings.all_inputs().into_iter().map(field).collect()
}
