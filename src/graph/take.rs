//! Rows of a table by number, and its gradient: sums of rows that have the same number.

use super::op::Inferred;
use super::{Op, OpFault, Type, Var};
use crate::tensor::DType;

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
        self.op(Op::Take { padding: None }, &[indices])
    }

    /// As [`Var::take`]; the row `padding` of the table gets no gradient.
    #[track_caller]
    pub fn take_padded(&self, indices: &Var, padding: usize) -> Var {
        self.op(Op::Take { padding: Some(padding) }, &[indices])
    }
}

fn integers(t: &Type) -> Result<(), OpFault> {
    if t.dtype == DType::U32 {
        return Ok(());
    }
    let help = "indices are integers from the data: `.integers()` on the data set and `.input_dtype(DType::U32)` on Compile";
    Err(OpFault::dtype(format!("indices {} of dtype {}", t.shape, t.dtype), help))
}

fn reals(t: &Type, what: &str) -> Result<(), OpFault> {
    if t.dtype == DType::F32 {
        return Ok(());
    }
    Err(OpFault::dtype(format!("{what} {} of dtype {}", t.shape, t.dtype), "rows of f32 can be taken and added"))
}

pub(super) fn take(inputs: &[&Type], padding: Option<usize>) -> Inferred {
    let (table, indices) = (inputs[0], inputs[1]);
    reals(table, "a table")?;
    integers(indices)?;
    if table.shape.rank() == 0 || table.shape.size() == 0 {
        return Err(OpFault::shape(format!("a table of shape {} has no rows", table.shape), "a table is [rows, ..row]"));
    }
    if let Some(row) = padding.filter(|&p| p >= table.shape[0]) {
        let problem = format!("the padding row {row} of a table of {} rows", table.shape[0]);
        return Err(OpFault::shape(problem, "`padding_idx` is one of the table's rows, counted from 0"));
    }
    let dims = [indices.shape.dims(), &table.shape.dims()[1..]].concat();
    Ok(vec![Type::f32(dims)])
}

pub(super) fn scatter_add(inputs: &[&Type], rows: usize) -> Inferred {
    let (values, indices) = (inputs[0], inputs[1]);
    reals(values, "values")?;
    integers(indices)?;
    let lead = indices.shape.rank();
    if values.shape.rank() < lead || values.shape.dims()[..lead] != *indices.shape.dims() || rows == 0 {
        let problem = format!("values {} at indices {} for a table of {rows} rows", values.shape, indices.shape);
        return Err(OpFault::shape(problem, "values are [..indices, ..row], and the table has at least one row"));
    }
    let dims = [&[rows], &values.shape.dims()[lead..]].concat();
    Ok(vec![Type::f32(dims)])
}
