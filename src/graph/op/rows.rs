//! What runs along one axis in a kernel of its own: softmax, running sums, the place of the largest.

use super::fault::{Inferred, OpFault, all_f32, size};
use super::{Adjoint, ArgMax, CumSum, Kind, OpRule, Softmax};
use crate::error::Result;
use crate::graph::{Graph, Type, Value};
use crate::tensor::DType;
use std::hash::{Hash, Hasher};

/// The type of what has an axis to run along.
fn along_the_last(x: &[&Type]) -> Inferred {
    all_f32(x)?;
    if x[0].shape.rank() == 0 {
        return Err(OpFault::shape("a scalar has no axis to normalise".into(), "give it at least one axis"));
    }
    Ok(vec![x[0].clone()])
}

impl OpRule for Softmax {
    fn name(&self) -> &str {
        if self.log { "log_softmax" } else { "softmax" }
    }
    fn kind(&self) -> Kind {
        Kind::Alone
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        along_the_last(x)
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        let (y, grad) = (at.id.into(), at.grad(g)?);
        let last = g.shape(grad).rank() - 1;
        let dx = if self.log {
            // g - exp(y) * sum(g); g alone where its sum is 0, so that a row of NaN which does not count gets 0
            let sum = at.sum_keep(g, grad, vec![last])?;
            at.map(g, &[y, grad, sum], |x| x[2].equal(0.0).select(&x[1], &x[1] - x[0].exp() * &x[2]))?
        } else {
            // y * (g - sum(g * y))
            let gy = at.map(g, &[grad, y], |x| &x[0] * &x[1])?;
            let sum = at.sum_keep(g, gy, vec![last])?;
            at.map(g, &[y, grad, sum], |x| &x[0] * (&x[1] - &x[2]))?
        };
        Ok(vec![Some(dx)])
    }
    fn flops(&self, x: &[&Type], _: &[Type]) -> u64 {
        5 * size(x[0])
    }
    fn reads_half(&self, _: usize) -> bool {
        true
    }
}

impl OpRule for CumSum {
    fn name(&self) -> &str {
        "cumsum"
    }
    fn kind(&self) -> Kind {
        Kind::Alone
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        along_the_last(x)
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        let grad = at.grad(g)?;
        Ok(vec![Some(at.add(g, CumSum { reverse: !self.reverse }, &[grad])?)])
    }
    fn flops(&self, x: &[&Type], _: &[Type]) -> u64 {
        size(x[0])
    }
}

impl OpRule for ArgMax {
    fn name(&self) -> &str {
        "argmax"
    }
    fn kind(&self) -> Kind {
        Kind::Alone
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        let (shape, axis) = (&x[0].shape, self.axis);
        if x[0].dtype != DType::F32 || axis >= shape.rank() || shape[axis] == 0 {
            let problem = format!("there is no axis {axis} of reals in {} {shape}", x[0].dtype);
            return Err(OpFault::shape(problem, "axes count from 0, outermost first"));
        }
        let dims: Vec<usize> = (0..shape.rank()).filter(|&i| i != axis).map(|i| shape[i]).collect();
        Ok(vec![Type { shape: dims.into(), dtype: DType::U32 }])
    }
    fn vjp(&self, _: &Adjoint<'_>, _: &mut Graph) -> Result<Vec<Option<Value>>> {
        Ok(vec![]) // flat almost everywhere
    }
    fn flops(&self, x: &[&Type], _: &[Type]) -> u64 {
        size(x[0])
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        self.axis.hash(&mut h);
    }
}
