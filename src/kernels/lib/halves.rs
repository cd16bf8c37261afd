//! Which of a kernel's operands and results are stored as f16. Whatever they are, a kernel computes in f32: it widens what it loads, and
//! rounds to nearest where it stores.

use super::binding::Element;

/// Operands and results by number, in binding order; what is not listed is f32.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Halves {
    /// The operands that are f16.
    pub inputs: Vec<bool>,
    /// The results that are f16.
    pub outputs: Vec<bool>,
}

impl Halves {
    /// Of these operands and results; nothing is listed where none is f16, so that equal kernels are equal.
    pub fn new(inputs: Vec<bool>, outputs: Vec<bool>) -> Self {
        if inputs.iter().chain(&outputs).any(|h| *h) { Halves { inputs, outputs } } else { Halves::default() }
    }

    /// Whether this operand is f16.
    pub fn input(&self, i: usize) -> bool {
        self.inputs.get(i).copied().unwrap_or(false)
    }

    /// Whether this result is f16.
    pub fn output(&self, i: usize) -> bool {
        self.outputs.get(i).copied().unwrap_or(false)
    }
}

/// `text`, loaded as one or four f32.
pub(crate) fn widened(half: bool, four: bool, text: String) -> String {
    if half { format!("{}({text})", Element::F32.by_fours(four)) } else { text }
}

/// `text`, one or four f32, as it is stored.
pub(crate) fn rounded(half: bool, four: bool, text: String) -> String {
    if half { format!("{}({text})", Element::F16.by_fours(four)) } else { text }
}
