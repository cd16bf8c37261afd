//! Reductions: sums, means and the largest along some axes.

use super::fault::{Inferred, OpFault, all_f32, size};
use super::{Adjoint, Kind, OpRule, Reduce, ReduceKind, Reshape, Rewrite};
use crate::error::Result;
use crate::graph::{Graph, Type, Value};
use crate::tensor::Shape;
use std::hash::{Hash, Hasher};

impl OpRule for Reduce {
    fn name(&self) -> &str {
        match self.kind {
            ReduceKind::Sum => "sum",
            ReduceKind::Mean | ReduceKind::MeanFromFirst => "mean",
            ReduceKind::Variance => "variance",
            ReduceKind::Max => "max",
        }
    }
    fn kind(&self) -> Kind {
        Kind::Reduce
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        all_f32(x)?;
        let s = &x[0].shape;
        if let Some(a) = self.axes.iter().find(|&&a| a >= s.rank()) {
            return Err(OpFault::shape(format!("there is no axis {a} in {s}"), "axes count from 0, outermost first"));
        }
        if self.kind == ReduceKind::Variance && self.axes.windows(2).any(|two| two[0] + 1 != two[1]) {
            return Err(OpFault::shape(
                format!("the axes {:?} are no neighbours", self.axes),
                "take `Var::variance_keep`, which takes any",
            ));
        }
        let size = |i: usize| if self.axes.contains(&i) { self.keep.then_some(1) } else { Some(s[i]) };
        Ok(vec![Type::f32((0..s.rank()).filter_map(size).collect::<Vec<usize>>())])
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        let full = g.shape(at.inputs[0]).clone();
        let reduced = |i: &usize| self.axes.contains(i);
        let kept: Vec<usize> = (0..full.rank()).map(|i| if reduced(&i) { 1 } else { full[i] }).collect();
        let grad = at.grad(g)?;
        let v = at.reshape(g, grad, &kept.clone().into())?;
        let count: usize = (0..full.rank()).filter(reduced).map(|i| full[i]).product();
        let v = match self.kind {
            ReduceKind::Max => return self.vjp_of_max(at, g, v, &kept.into()),
            // what its mean hands on is 0 in all
            ReduceKind::Variance => {
                let mean = at.add(g, Reduce { kind: ReduceKind::MeanFromFirst, axes: self.axes.clone(), keep: true }, &[at.inputs[0]])?;
                return Ok(vec![Some(at.map(g, &[at.inputs[0], mean, v], |x| (&x[0] - &x[1]) * (&x[2] * (2.0 / count as f64)))?)]);
            }
            ReduceKind::Sum => v,
            ReduceKind::Mean | ReduceKind::MeanFromFirst => at.map(g, &[v], |x| &x[0] / count as f64)?,
        };
        Ok(vec![Some(at.repeat(g, v, &full)?)])
    }
    fn flops(&self, x: &[&Type], _: &[Type]) -> u64 {
        size(x[0])
    }
    fn label(&self) -> String {
        format!("{} {:?}", self.name(), self.axes)
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        (self.kind, &self.axes, self.keep).hash(&mut h);
    }
    fn reads_half(&self, _: usize) -> bool {
        true
    }
    /// A kernel reduces neighbouring axes. Others become one reduction for each run of neighbours, the last axes first.
    fn simplified(&self, x: &[Value], shape: &Shape, _: &Graph) -> Option<Rewrite> {
        let mut ops = Vec::new();
        let mut axes = self.axes.clone();
        axes.sort_unstable();
        axes.dedup();
        while !axes.is_empty() {
            let mut run = axes.len() - 1;
            while run > 0 && axes[run - 1] + 1 == axes[run] {
                run -= 1;
            }
            // a variance of variances is another one
            if self.kind == ReduceKind::Variance && run > 0 {
                return None;
            }
            ops.push(Reduce { kind: self.kind, axes: axes.split_off(run), keep: true }.into());
        }
        ops.push(Reshape(shape.clone()).into());
        Some(Rewrite { on: x.to_vec(), ops })
    }
}

impl Reduce {
    /// Equal elements share the gradient `v`: `v * [x = y] / count`, as in PyTorch's `amax`.
    fn vjp_of_max(&self, at: &Adjoint<'_>, g: &mut Graph, v: Value, kept: &Shape) -> Result<Vec<Option<Value>>> {
        let y = at.reshape(g, at.id.into(), kept)?;
        let hits = at.map(g, &[at.inputs[0], y], |x| x[0].equal(&x[1]))?;
        let count = at.sum_keep(g, hits, self.axes.clone())?;
        Ok(vec![Some(at.map(g, &[hits, v, count], |x| &x[0] * (&x[1] / &x[2]))?)])
    }
}
