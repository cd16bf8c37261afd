//! Rows of a table by number, and its gradient: sums of rows that have the same number.

use super::fault::{Inferred, OpFault, size};
use super::{Adjoint, Kind, Limit, OpRule, ScatterAdd, Take};
use crate::error::Result;
use crate::graph::{Graph, Type, Value};
use crate::tensor::DType;
use std::hash::{Hash, Hasher};

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

impl OpRule for Take {
    fn name(&self) -> &str {
        "take"
    }
    fn kind(&self) -> Kind {
        Kind::Alone
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        let (table, indices) = (x[0], x[1]);
        reals(table, "a table")?;
        integers(indices)?;
        if table.shape.rank() == 0 || table.shape.size() == 0 {
            return Err(OpFault::shape(format!("a table of shape {} has no rows", table.shape), "a table is [rows, ..row]"));
        }
        if let Some(row) = self.padding.filter(|&p| p >= table.shape[0]) {
            let problem = format!("the padding row {row} of a table of {} rows", table.shape[0]);
            return Err(OpFault::shape(problem, "`padding_idx` is one of the table's rows, counted from 0"));
        }
        let dims = [indices.shape.dims(), &table.shape.dims()[1..]].concat();
        Ok(vec![Type::f32(dims)])
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        if !at.wants[0] {
            return Ok(vec![]);
        }
        let (rows, grad) = (g.shape(at.inputs[0])[0], at.grad(g)?);
        let sums = ScatterAdd { rows, padding: self.padding };
        Ok(vec![Some(at.add(g, sums, &[grad, at.inputs[1]])?), None])
    }
    fn limit(&self) -> Option<Limit> {
        Some(Limit::Rows)
    }
}

impl OpRule for ScatterAdd {
    fn name(&self) -> &str {
        "scatter_add"
    }
    fn kind(&self) -> Kind {
        Kind::Alone
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        let (values, indices, rows) = (x[0], x[1], self.rows);
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
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        if self.padding.is_some() {
            return Err(at.unsupported(g, "a second derivative of a table with a padding row"));
        }
        let grad = at.grad(g)?;
        Ok(vec![Some(at.add(g, Take { padding: None }, &[grad, at.inputs[1]])?), None])
    }
    fn flops(&self, x: &[&Type], _: &[Type]) -> u64 {
        size(x[0])
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        self.rows.hash(&mut h);
    }
}
