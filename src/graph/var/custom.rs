//! Operations of the user's own, as methods.

use crate::graph::{Custom, CustomOp, Value, Var};

impl Var {
    /// An operation of one's own on this value and others; its first result.
    #[track_caller]
    pub fn custom(&self, op: impl CustomOp, others: &[&Var]) -> Var {
        self.op(Custom::new(op), others)
    }

    /// As [`Var::custom`], all results.
    #[track_caller]
    pub fn custom_all(&self, op: impl CustomOp, others: &[&Var]) -> Vec<Var> {
        let n = op.outputs();
        let first = self.op(Custom::new(op), others);
        (0..n).map(|output| self.builder().var(first.value().map(|v| Value { node: v.node, output }))).collect()
    }
}
