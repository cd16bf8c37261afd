//! From a module and its settings to the graph of one step.

use super::Compile;
use crate::error::{Error, Result};
use crate::graph::{Builder, Field, Value, gradients};
use crate::nn::{LayerRow, Module, ParameterSpec, Scope};
use crate::plan::{Purpose, Step};
use crate::tensor::{DType, Shape};

/// A step's graph, and what the module made on the way.
pub(super) struct Built {
    pub step: Step,
    pub parameters: Vec<ParameterSpec>,
    pub layers: Vec<LayerRow>,
    /// What the model gives for a batch.
    pub output: Shape,
}

/// Calls the module for this purpose and batch size.
pub(super) fn build(module: &dyn Module, settings: &Compile, purpose: Purpose, batch: usize, fields: &[Field]) -> Result<Built> {
    let builder = Builder::new();
    let scope = Scope::root(&builder, purpose == Purpose::Train);
    let vars: Vec<_> = fields.iter().map(|f| (f.name.as_str(), builder.batch(batch, f.clone()))).collect();
    let field = |name: &str| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
    let x = field("x").unwrap_or_else(|| builder.poisoned());
    let output = module.forward(&scope, &x);
    let (mut loss, mut metrics) = (None, Vec::new());
    if let (Some(labels), false) = (field("y"), purpose == Purpose::Predict) {
        loss = Some(settings.loss.build(&output, &labels));
        metrics = settings.metrics.iter().map(|m| (m.name().to_string(), m.build(&output, &labels))).collect();
    }
    let made = scope.parameters();
    let shape = output.shape();
    let mut graph = builder.finish()?;
    let missing = || Error::Unsupported {
        what: "a value of another model".into(),
        at: "what `forward` returned".into(),
        help: "return a Var made from the one that `forward` was given".into(),
    };
    let value = |v: &crate::graph::Var| v.value().ok_or_else(missing);
    let loss: Option<Value> = loss.as_ref().map(value).transpose()?;
    let metrics = metrics.iter().map(|(n, v)| Ok((n.clone(), value(v)?))).collect::<Result<Vec<_>>>()?;
    let mut step = Step { graph: Default::default(), loss, gradients: vec![], metrics, outputs: vec![] };
    if let (Purpose::Train, Some(loss)) = (purpose, loss) {
        let trained: Vec<_> = made.iter().filter(|(p, _)| !settings.optimizer.freezes(&p.name)).collect();
        if trained.is_empty() && !made.is_empty() {
            return Err(Error::Unsupported {
                what: "training with every parameter frozen".into(),
                at: "optimizer.groups".into(),
                help: "leave the parameters that shall learn out of the frozen groups; `evaluate` and `predict` need none".into(),
            });
        }
        let wrt = trained.iter().map(|(_, v)| value(v)).collect::<Result<Vec<_>>>()?;
        let grads = gradients(&mut graph, loss, &wrt)?;
        step.gradients = trained.iter().zip(grads).filter_map(|((p, _), g)| Some((p.name.clone(), g?))).collect();
    }
    if purpose == Purpose::Predict {
        step.outputs.push(("output".into(), value(&output)?));
    }
    step.graph = graph;
    let parameters = made.into_iter().map(|(p, _)| p).collect();
    Ok(Built { step, parameters, layers: scope.layers(), output: shape })
}

/// The field that stands for the input before any data set is known.
pub(super) fn input_field(settings: &Compile) -> Field {
    let (shape, dtype) = (&settings.input, settings.input_dtype);
    Field { name: "x".into(), stored: dtype, row: shape.clone(), scale: 1.0, shift: 0.0, keep_integer: dtype == DType::U32, one_hot: None }
}
