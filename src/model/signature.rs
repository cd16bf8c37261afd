//! What must be the same each time that a model's step is built, for whatever purpose and batch size.

use crate::error::{Error, Result};
use crate::nn::{BufferSpec, Finish, ParameterSpec};
use crate::tensor::Shape;

/// What must be the same each time that a model is built.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Signature {
    pub parameters: Vec<ParameterSpec>,
    pub buffers: Vec<BufferSpec>,
    /// Name and shape of what the model gives, without the batch axis.
    pub outputs: Vec<(String, Shape)>,
    /// None where there is no loss.
    pub metrics: Option<Vec<Measure>>,
}

impl Signature {
    /// Fails unless another build has the same signature; its metrics hold where there were none so far.
    pub fn check_same(&mut self, now: Signature, at: impl Fn() -> String) -> Result<()> {
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

/// A metric as a log line has it: its columns, and what their sums over many batches say.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    pub name: String,
    pub columns: usize,
    pub finish: Finish,
}

/// Two programs log the same if names and widths agree.
impl PartialEq for Measure {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.columns == other.columns
    }
}
