//! A step before it is planned: a graph with what is wanted of it.

use crate::error::Result;
use crate::graph::{Graph, Precision, Value};

/// A step as a graph, with what is wanted of it.
#[derive(Debug, Clone)]
pub struct Step {
    /// The graph, backward included.
    pub graph: Graph,
    /// The loss, one element.
    pub loss: Option<Value>,
    /// The gradient of each parameter that has one, by name.
    pub gradients: Vec<(String, Value)>,
    /// What the loss is a mean over, one element, where that is not the rows of the batch: where several batches make an update their
    /// gradients are weighed by it.
    pub weight: Option<Value>,
    /// Of any size, f32: the columns of a log line.
    pub metrics: Vec<(String, Value)>,
    /// What `predict` returns.
    pub outputs: Vec<(String, Value)>,
    /// New values of state that is not trained, by name: the only side effect that a graph has.
    pub updates: Vec<(String, Value)>,
    /// In which precision it is to be computed.
    pub precision: Precision,
}

impl Step {
    /// Every value that must be computed.
    pub fn roots(&self) -> Vec<Value> {
        let named = self.gradients.iter().chain(&self.metrics).chain(&self.outputs).chain(&self.updates).map(|(_, v)| *v);
        self.loss.into_iter().chain(named).collect()
    }

    /// The same step over the simplified graph, its values in the dtypes that they are stored in.
    pub fn simplified(&self) -> Result<Step> {
        let mut step = self.rewritten()?;
        step.store()?;
        Ok(step)
    }

    /// The same step over the simplified graph, all in f32.
    pub(crate) fn rewritten(&self) -> Result<Step> {
        let (graph, roots) = crate::graph::simplify(&self.graph, &self.roots())?;
        let mut roots = roots.into_iter();
        let rename = |list: &[(String, Value)], next: &mut dyn Iterator<Item = Value>| -> Vec<(String, Value)> {
            list.iter().zip(next).map(|((n, _), v)| (n.clone(), v)).collect()
        };
        let loss = self.loss.and_then(|_| roots.next());
        let gradients = rename(&self.gradients, &mut roots.by_ref().take(self.gradients.len()));
        let metrics = rename(&self.metrics, &mut roots.by_ref().take(self.metrics.len()));
        let outputs = rename(&self.outputs, &mut roots.by_ref().take(self.outputs.len()));
        let updates = rename(&self.updates, &mut roots);
        Ok(Step { graph, loss, gradients, weight: None, metrics, outputs, updates, precision: self.precision.clone() })
    }
}
