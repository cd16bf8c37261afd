//! Methods that take rows of a table by number.

use crate::graph::{Var, op};

impl Var {
    /// The rows of this table `[n, ..row]` that `indices` (u32, any shape) name: `[..indices, ..row]`.
    ///
    /// Its gradient adds up the rows of each index, always in the order of the indices: the same bits at every run. An index of `n` or
    /// above gives a row of NaN, so that training halts; `fit`, `evaluate` and `predict` look at indices that come straight from the
    /// data first and give [`Error::IndexOutOfRange`](crate::Error::IndexOutOfRange).
    #[doc(alias = "embedding")]
    #[doc(alias = "index_select")]
    #[doc(alias = "gather")]
    #[track_caller]
    pub fn take(&self, indices: &Var) -> Var {
        self.op(op::Take { padding: None }, &[indices])
    }

    /// As [`Var::take`]; the row `padding` of the table gets no gradient.
    #[track_caller]
    pub fn take_padded(&self, indices: &Var, padding: usize) -> Var {
        self.op(op::Take { padding: Some(padding) }, &[indices])
    }
}
