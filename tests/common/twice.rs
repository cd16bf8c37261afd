//! The plainest operation of a user's own.

use gradus::graph::{CustomKernel, CustomOp, Type, Var};

/// `2 x` of one's own.
pub struct Twice;

impl CustomOp for Twice {
    fn name(&self) -> &str {
        "twice"
    }
    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>, String> {
        Ok(vec![x[0].clone()])
    }
    fn reference(&self, _: &[&Type], x: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![x[0].iter().map(|v| 2.0 * v).collect()]
    }
    fn vjp(&self, _: &[Var], _: &[Var], grads: &[Var]) -> Result<Vec<Option<Var>>, String> {
        Ok(vec![Some(&grads[0] * 2.0)])
    }
    fn kernel(&self, x: &[&Type], _: &[&Type]) -> Option<CustomKernel> {
        Some(CustomKernel::each(x[0].shape.size(), "out0(i, 2.0 * in0(i));"))
    }
}
