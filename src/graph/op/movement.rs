//! What computes nothing: elements in other places, under another shape, or cut off from their gradient.

use super::fault::{Inferred, OpFault, shapes};
use super::{Adjoint, Concat, Constant, Detach, Kind, Op, OpRule, Pad, Permute, Reshape, Rewrite, Slice, View};
use crate::error::Result;
use crate::expr::{Binary, Tape};
use crate::graph::{Graph, Node, Type, Value};
use crate::tensor::{DType, Shape};
use std::hash::{Hash, Hasher};

impl OpRule for Reshape {
    fn name(&self) -> &str {
        "reshape"
    }
    fn kind(&self) -> Kind {
        Kind::Alias
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        let (own, to) = (&x[0].shape, &self.0);
        if own.size() != to.size() {
            return Err(OpFault::shape(
                format!("{own} has {} elements and {to} has {}", own.size(), to.size()),
                "a reshape keeps the number of elements",
            ));
        }
        Ok(vec![Type { shape: to.clone(), dtype: x[0].dtype }])
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        let to = g.shape(at.inputs[0]).clone();
        let grad = at.grad(g)?;
        Ok(vec![Some(at.reshape(g, grad, &to)?)])
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        self.0.hash(&mut h);
    }
    fn simplified(&self, x: &[Value], shape: &Shape, g: &Graph) -> Option<Rewrite> {
        if g.shape(x[0]) == shape {
            return Some(Rewrite::value(x[0]));
        }
        match &g.nodes[x[0].node] {
            Node { op: Op::Reshape(_), inputs, .. } => Some(Rewrite::op(self.clone(), inputs.clone())),
            Node { op: Op::Constant(Constant { value, .. }), .. } => {
                Some(Rewrite::op(Constant { value: *value, shape: shape.clone() }, vec![]))
            }
            _ => None,
        }
    }
}

impl OpRule for Detach {
    fn name(&self) -> &str {
        "detach"
    }
    fn kind(&self) -> Kind {
        Kind::Detach
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        Ok(vec![x[0].clone()])
    }
    fn vjp(&self, _: &Adjoint<'_>, _: &mut Graph) -> Result<Vec<Option<Value>>> {
        Ok(vec![])
    }
    fn simplified(&self, x: &[Value], _: &Shape, _: &Graph) -> Option<Rewrite> {
        Some(Rewrite::value(x[0]))
    }
}

impl OpRule for Permute {
    fn name(&self) -> &str {
        "permute"
    }
    fn kind(&self) -> Kind {
        Kind::Move
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        let (own, axes) = (&x[0].shape, &self.0);
        let mut sorted = axes.clone();
        sorted.sort_unstable();
        if sorted != (0..own.rank()).collect::<Vec<_>>() {
            let problem = format!("the axes {axes:?} are no order of those of {own}");
            return Err(OpFault::shape(problem, "name each axis once, counting from 0"));
        }
        let dims: Vec<usize> = axes.iter().map(|&a| own[a]).collect();
        Ok(vec![Type { shape: dims.into(), dtype: x[0].dtype }])
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        let mut inverse = vec![0; self.0.len()];
        self.0.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
        let grad = at.grad(g)?;
        Ok(vec![Some(at.add(g, Permute(inverse), &[grad])?)])
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        self.0.hash(&mut h);
    }
    fn simplified(&self, x: &[Value], shape: &Shape, g: &Graph) -> Option<Rewrite> {
        let (mut axes, mut from) = (self.0.clone(), x[0]);
        if let Node { op: Op::Permute(Permute(first)), inputs, .. } = &g.nodes[from.node] {
            axes.iter_mut().for_each(|a| *a = first[*a]);
            from = inputs[0];
        }
        // an order that moves no axis of more than one element keeps every element's place
        let moved: Vec<usize> = axes.iter().copied().filter(|&a| g.shape(from)[a] != 1).collect();
        let op: Op = if moved.is_sorted() { Reshape(shape.clone()).into() } else { Permute(axes).into() };
        Some(Rewrite::op(op, vec![from]))
    }
    fn view(&self, _: usize, x: &[&Type]) -> View {
        View { order: self.0.clone(), ..View::whole(x[0].shape.rank()) }
    }
}

impl OpRule for Slice {
    fn name(&self) -> &str {
        "slice"
    }
    fn kind(&self) -> Kind {
        Kind::Move
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        let (own, start, shape) = (&x[0].shape, &self.start, &self.shape);
        let inside = |i: usize| shape[i] > 0 && start[i].checked_add(shape[i]).is_some_and(|end| end <= own[i]);
        if start.len() != own.rank() || shape.rank() != own.rank() || !(0..shape.rank()).all(inside) {
            let problem = format!("{shape} from {start:?} on does not lie in {own}");
            return Err(OpFault::shape(problem, "a range has at least one element and ends at the axis' size at most"));
        }
        Ok(vec![Type { shape: shape.clone(), dtype: x[0].dtype }])
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        let back = Pad { before: self.start.clone(), shape: g.shape(at.inputs[0]).clone(), value: 0.0 };
        let grad = at.grad(g)?;
        Ok(vec![Some(at.add(g, back, &[grad])?)])
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        self.shape.hash(&mut h);
    }
    fn simplified(&self, x: &[Value], shape: &Shape, g: &Graph) -> Option<Rewrite> {
        (g.shape(x[0]) == shape).then(|| Rewrite::value(x[0]))
    }
    fn view(&self, _: usize, x: &[&Type]) -> View {
        View { start: self.start.clone(), ..View::whole(x[0].shape.rank()) }
    }
}

impl OpRule for Pad {
    fn name(&self) -> &str {
        "pad"
    }
    fn kind(&self) -> Kind {
        Kind::Move
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        let (own, before, shape) = (&x[0].shape, &self.before, &self.shape);
        let holds = |i: usize| before[i].checked_add(own[i]).is_some_and(|end| end <= shape[i]);
        if before.len() != own.rank() || shape.rank() != own.rank() || !(0..shape.rank()).all(holds) {
            let problem = format!("{own} at {before:?} does not lie in {shape}");
            return Err(OpFault::shape(problem, "give the padding before and after for each axis"));
        }
        Ok(vec![Type { shape: shape.clone(), dtype: x[0].dtype }])
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        let back = Slice { start: self.before.clone(), shape: g.shape(at.inputs[0]).clone() };
        let grad = at.grad(g)?;
        Ok(vec![Some(at.add(g, back, &[grad])?)])
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        self.shape.hash(&mut h);
    }
    fn simplified(&self, x: &[Value], shape: &Shape, g: &Graph) -> Option<Rewrite> {
        (g.shape(x[0]) == shape).then(|| Rewrite::value(x[0]))
    }
    fn view(&self, _: usize, x: &[&Type]) -> View {
        View { within: Some((self.before.clone(), self.value)), ..View::whole(x[0].shape.rank()) }
    }
}

impl OpRule for Concat {
    fn name(&self) -> &str {
        "concat"
    }
    fn kind(&self) -> Kind {
        Kind::Move
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        let (first, axis) = (&x[0].shape, self.axis);
        if axis >= first.rank() {
            return Err(OpFault::shape(format!("there is no axis {axis} in {first}"), "axes count from 0, outermost first"));
        }
        let mut dims = first.dims().to_vec();
        for t in x {
            if t.dtype != DType::F32 {
                let problem = format!("an operand {} is {}", t.shape, t.dtype);
                return Err(OpFault::dtype(problem, "f32 tensors can be put together; give integers as one field"));
            }
            let alike = t.shape.rank() == dims.len() && (0..dims.len()).all(|i| i == axis || t.shape[i] == first[i]);
            if !alike {
                let problem = format!("{} differ in more than axis {axis}", shapes(x));
                return Err(OpFault::shape(problem, "all axes but the one along which they are put together must be equal"));
            }
        }
        dims[axis] = x.iter().map(|t| t.shape[axis]).sum();
        Ok(vec![Type::f32(dims)])
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        let grad = at.grad(g)?;
        let mut start = vec![0; g.shape(at.inputs[0]).rank()];
        let mut out = Vec::new();
        for &v in at.inputs {
            let shape = g.shape(v).clone();
            let end = start[self.axis] + shape[self.axis];
            out.push(Some(at.add(g, Slice { start: start.clone(), shape }, &[grad])?));
            start[self.axis] = end;
        }
        Ok(out)
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        self.axis.hash(&mut h);
    }
    fn simplified(&self, x: &[Value], _: &Shape, _: &Graph) -> Option<Rewrite> {
        (x.len() == 1).then(|| Rewrite::value(x[0]))
    }
    /// Around its own part of the result each operand is -0: adding that changes nothing.
    fn formula(&self, tape: &mut Tape, x: &[usize]) -> usize {
        x[1..].iter().fold(x[0], |sum, &a| tape.binary(Binary::Add, sum, a))
    }
    fn view(&self, operand: usize, x: &[&Type]) -> View {
        let mut before = vec![0; x[operand].shape.rank()];
        before[self.axis] = x[..operand].iter().map(|t| t.shape[self.axis]).sum();
        View { within: Some((before, -0.0)), ..View::whole(x[operand].shape.rank()) }
    }
}
