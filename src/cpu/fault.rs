//! What goes wrong within the device: a caller's mistake, or ours.

use crate::error::Error;

pub(crate) fn fault(what: &str, problem: impl Into<String>) -> Error {
    Error::DeviceFault { what: what.into(), problem: problem.into(), device: "the CPU".into() }
}
