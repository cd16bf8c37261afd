//! A step before it is planned: a graph with what is wanted of it.

use crate::error::Result;
use crate::graph::{Graph, Precision, Value};
use std::collections::HashMap;

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

    /// The step as it is planned: over the simplified graph, its values in the dtypes that they are stored in, light ones once for each launch that reads
    /// them.
    pub fn simplified(&self) -> Result<Step> {
        let mut step = self.clone();
        // the host weighs the losses by it, too
        step.metrics.extend(self.weight.map(|w| ("weight".into(), w)));
        let mut step = step.rewritten()?;
        step.store()?;
        step.lightened()
    }

    /// The same step over the simplified graph, all in f32.
    pub(crate) fn rewritten(&self) -> Result<Step> {
        let roots = self.roots();
        // before simplification, which cuts sums over height, width and batch where they are no neighbours
        let (graph, roots) = match crate::graph::channels_last(&self.graph, &roots)? {
            // products of halves may run on matrices, which read channels by fours
            Some((moved, to)) if self.precision.is_mixed() => {
                let (wide, to) = crate::graph::four_channels(&moved, &to)?;
                crate::graph::simplify(&wide, &to)?
            }
            Some((moved, to)) => crate::graph::simplify(&moved, &to)?,
            None => crate::graph::simplify(&self.graph, &roots)?,
        };
        let to: HashMap<Value, Value> = self.roots().into_iter().zip(roots).collect();
        Ok(self.renamed(graph, |v| to[&v]))
    }

    /// The same step over another graph, in which each of its values has another name.
    pub(super) fn renamed(&self, graph: Graph, to: impl Fn(Value) -> Value) -> Step {
        let all = |list: &[(String, Value)]| list.iter().map(|(n, v)| (n.clone(), to(*v))).collect();
        Step {
            graph,
            loss: self.loss.map(&to),
            gradients: all(&self.gradients),
            weight: None,
            metrics: all(&self.metrics),
            outputs: all(&self.outputs),
            updates: all(&self.updates),
            precision: self.precision.clone(),
        }
    }
}
