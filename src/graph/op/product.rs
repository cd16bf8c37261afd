//! Products of matrices.

use super::fault::{Inferred, OpFault, all_f32, size};
use super::{Adjoint, Kind, MatMul, Op, OpRule, Permute, Rewrite};
use crate::error::Result;
use crate::graph::{Graph, Node, Type, Value};
use crate::tensor::Shape;

impl OpRule for MatMul {
    fn name(&self) -> &str {
        "matmul"
    }
    fn kind(&self) -> Kind {
        Kind::Product
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        all_f32(x)?;
        let (a, b) = (&x[0].shape, &x[1].shape);
        let flag = |t: bool| if t { " (transposed)" } else { "" };
        let fail = |why: &str| {
            OpFault::shape(
                format!("{a}{} times {b}{}: {why}", flag(self.ta), flag(self.tb)),
                "[.., m, k] times [.., k, n] gives [.., m, n]; the axes in front must be equal",
            )
        };
        if a.rank() < 2 || a.rank() != b.rank() {
            return Err(fail("both need the same rank, at least 2"));
        }
        let (r, lead) = (a.rank(), a.rank() - 2);
        let pick = |s: &Shape, t: bool| if t { (s[r - 1], s[r - 2]) } else { (s[r - 2], s[r - 1]) };
        let ((m, ka), (kb, n)) = (pick(a, self.ta), pick(b, self.tb));
        if ka != kb {
            return Err(fail(&format!("the inner sizes {ka} and {kb} differ")));
        }
        // one matrix serves for all
        let (fa, fb) = (&a.dims()[..lead], &b.dims()[..lead]);
        let one = |f: &[usize]| f.iter().all(|&d| d == 1);
        if fa != fb && !one(fa) && !one(fb) {
            return Err(fail("the axes in front differ"));
        }
        let mut out = if one(fa) { fb.to_vec() } else { fa.to_vec() };
        out.extend([m, n]);
        Ok(vec![Type::f32(out)])
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        let (a, b, grad) = (at.inputs[0], at.inputs[1], at.grad(g)?);
        let (ta, tb) = (self.ta, self.tb);
        let mut product = |wanted: bool, of: Value, x: Value, tx: bool, y: Value, ty: bool| {
            if !wanted {
                return Ok(None);
            }
            let v = at.add(g, MatMul { ta: tx, tb: ty }, &[x, y])?;
            let to = g.shape(of).clone();
            at.sum_to(g, v, &to).map(Some)
        };
        let of_a = if ta { product(at.wants[0], a, b, tb, grad, true)? } else { product(at.wants[0], a, grad, false, b, !tb)? };
        let of_b = if tb { product(at.wants[1], b, grad, true, a, ta)? } else { product(at.wants[1], b, a, !ta, grad, false)? };
        Ok(vec![of_a, of_b])
    }
    fn flops(&self, x: &[&Type], y: &[Type]) -> u64 {
        let s = &x[0].shape;
        (2 * size(&y[0])).saturating_mul(s[s.rank() - if self.ta { 2 } else { 1 }] as u64)
    }
    fn label(&self) -> String {
        format!("matmul_{}{}", if self.ta { 't' } else { 'n' }, if self.tb { 't' } else { 'n' })
    }
    fn simplified(&self, x: &[Value], _: &Shape, g: &Graph) -> Option<Rewrite> {
        let (a, ta) = untransposed(g, x[0], self.ta);
        let (b, tb) = untransposed(g, x[1], self.tb);
        Some(Rewrite::op(MatMul { ta, tb }, vec![a, b]))
    }
}

/// A matrix that is a swap of the last two axes is read the other way round.
fn untransposed(g: &Graph, v: Value, flag: bool) -> (Value, bool) {
    let Node { op: Op::Permute(Permute(axes)), inputs, .. } = &g.nodes[v.node] else { return (v, flag) };
    let r = axes.len();
    let swap = r >= 2 && axes[..r - 2].is_sorted() && axes[r - 2] == r - 1 && axes[r - 1] == r - 2;
    if swap { (inputs[0], !flag) } else { (v, flag) }
}
