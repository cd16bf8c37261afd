//! Why an operation cannot take its operands, and the checks that several shape rules share.

use crate::error::{Error, site};
use crate::graph::value::Type;
use crate::tensor::DType;
use std::panic::Location;

/// The types of an operation's results, or why its operands do not fit.
pub(crate) type Inferred = Result<Vec<Type>, OpFault>;

/// Why an operation cannot take its operands.
pub(crate) struct OpFault {
    problem: String,
    help: String,
    dtype: bool,
}

impl OpFault {
    /// A shape does not fit.
    pub fn shape(problem: String, help: &str) -> Self {
        OpFault { problem, help: help.into(), dtype: false }
    }

    /// A dtype does not fit.
    pub fn dtype(problem: String, help: &str) -> Self {
        OpFault { problem, help: help.into(), dtype: true }
    }

    /// The error of the operation `op`, which this layer or line made.
    pub fn into_error(self, op: &str, layer: &str, at: &Location<'_>) -> Error {
        let (op, at) = (op.to_string(), site(layer, at));
        if self.dtype {
            Error::DTypeMismatch { op, problem: self.problem, at, help: self.help }
        } else {
            Error::ShapeMismatch { op, problem: self.problem, at, help: self.help }
        }
    }
}

/// That all operands are f32.
pub(super) fn all_f32(x: &[&Type]) -> Result<(), OpFault> {
    match x.iter().find(|t| t.dtype != DType::F32) {
        None => Ok(()),
        Some(t) => Err(OpFault::dtype(
            format!("an operand {} is {}", t.shape, t.dtype),
            "integers are compared, and not computed with: `to_f32` makes numbers of them, `one_hot` rows of 0 and 1; real labels are f32",
        )),
    }
}

/// The shapes of the operands, for messages.
pub(super) fn shapes(x: &[&Type]) -> String {
    x.iter().map(|t| t.shape.to_string()).collect::<Vec<_>>().join(" and ")
}

/// How many elements a value has.
pub(super) fn size(t: &Type) -> u64 {
    t.shape.size() as u64
}
