//! The signature of a model: what every build of its step must have in common, for whatever purpose and batch size.

use crate::error::{Error, Result};
use crate::nn::{BufferSpec, Finish, ParameterSpec};
use crate::tensor::Shape;

/// Parameters, buffers, outputs and metrics of a model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Signature {
    pub parameters: Vec<ParameterSpec>,
    pub buffers: Vec<BufferSpec>,
    /// Name and shape of each output, without the batch axis.
    pub outputs: Vec<(String, Shape)>,
    /// None where there is no loss.
    pub metrics: Option<Vec<Measure>>,
}

impl Signature {
    /// Fails unless another build has the same signature. Where this one has no metrics yet it takes those of the other.
    pub fn check_same(&mut self, now: Signature, at: impl Fn() -> String) -> Result<()> {
        let metrics = now.metrics.is_none() || self.metrics.is_none() || self.metrics == now.metrics;
        if self.parameters == now.parameters && self.buffers == now.buffers && self.outputs == now.outputs && metrics {
            self.metrics = self.metrics.take().or(now.metrics);
            return Ok(());
        }
        Err(Error::InconsistentModel { at: at(), first: self.names(), now: now.names() })
    }

    fn names(&self) -> String {
        let parameters = self.parameters.iter().map(|p| match p.order.back() {
            None => format!("{} {}", p.name, p.shape),
            Some(_) => format!("{} {} in {:?}", p.name, p.shape, p.order),
        });
        let buffers = self.buffers.iter().map(|b| format!("buffer {} {}", b.name, b.shape));
        let outputs = self.outputs.iter().map(|(n, s)| format!("output {n} {s}"));
        let metrics = self.metrics.iter().flatten().map(|m| match m.columns {
            1 => format!("metric {}", m.name),
            n => format!("metric {} [{n}]", m.name),
        });
        parameters.chain(buffers).chain(outputs).chain(metrics).collect::<Vec<_>>().join(", ")
    }
}

/// A metric: how many columns of a log line it has, and what becomes of their sums over many batches.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    pub name: String,
    pub columns: usize,
    pub finish: Finish,
}

/// Two metrics are the same in a log if their names and widths agree.
impl PartialEq for Measure {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.columns == other.columns
    }
}
