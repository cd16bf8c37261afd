//! Operations that move elements and compute nothing: their shape rules and gradients.

use super::op::Inferred;
use super::{Graph, NodeId, Op, OpFault, Type, Value};
use crate::error::Result;
use crate::tensor::{DType, Shape};

pub(super) fn permute(x: &Type, axes: &[usize]) -> Inferred {
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    if sorted != (0..x.shape.rank()).collect::<Vec<_>>() {
        let problem = format!("the axes {axes:?} are no order of those of {}", x.shape);
        return Err(OpFault::shape(problem, "name each axis once, counting from 0"));
    }
    let dims: Vec<usize> = axes.iter().map(|&a| x.shape[a]).collect();
    Ok(vec![Type { shape: dims.into(), dtype: x.dtype }])
}

pub(super) fn slice(x: &Type, start: &[usize], shape: &Shape) -> Inferred {
    let inside = |i: usize| shape[i] > 0 && start[i].checked_add(shape[i]).is_some_and(|end| end <= x.shape[i]);
    if start.len() != x.shape.rank() || shape.rank() != x.shape.rank() || !(0..shape.rank()).all(inside) {
        let problem = format!("{shape} from {start:?} on does not lie in {}", x.shape);
        return Err(OpFault::shape(problem, "a range has at least one element and ends at the axis' size at most"));
    }
    Ok(vec![Type { shape: shape.clone(), dtype: x.dtype }])
}

pub(super) fn pad(x: &Type, before: &[usize], shape: &Shape) -> Inferred {
    let holds = |i: usize| before[i].checked_add(x.shape[i]).is_some_and(|end| end <= shape[i]);
    if before.len() != x.shape.rank() || shape.rank() != x.shape.rank() || !(0..shape.rank()).all(holds) {
        let problem = format!("{} at {before:?} does not lie in {shape}", x.shape);
        return Err(OpFault::shape(problem, "give the padding before and after for each axis"));
    }
    Ok(vec![Type { shape: shape.clone(), dtype: x.dtype }])
}

pub(super) fn concat(inputs: &[&Type], axis: usize) -> Inferred {
    let first = inputs[0];
    if axis >= first.shape.rank() {
        return Err(OpFault::shape(format!("there is no axis {axis} in {}", first.shape), "axes count from 0, outermost first"));
    }
    let mut dims = first.shape.dims().to_vec();
    for t in inputs {
        if t.dtype != DType::F32 {
            let problem = format!("an operand {} is {}", t.shape, t.dtype);
            return Err(OpFault::dtype(problem, "f32 tensors can be put together; give integers as one field"));
        }
        let alike = t.shape.rank() == dims.len() && (0..dims.len()).all(|i| i == axis || t.shape[i] == first.shape[i]);
        if !alike {
            let all = inputs.iter().map(|t| t.shape.to_string()).collect::<Vec<_>>().join(" and ");
            let problem = format!("{all} differ in more than axis {axis}");
            return Err(OpFault::shape(problem, "all axes but the one along which they are put together must be equal"));
        }
    }
    dims[axis] = inputs.iter().map(|t| t.shape[axis]).sum();
    Ok(vec![Type::f32(dims)])
}

pub(super) fn argmax(x: &Type, axis: usize) -> Inferred {
    if x.dtype != DType::F32 || axis >= x.shape.rank() || x.shape[axis] == 0 {
        let problem = format!("there is no axis {axis} of reals in {} {}", x.dtype, x.shape);
        return Err(OpFault::shape(problem, "axes count from 0, outermost first"));
    }
    let dims: Vec<usize> = (0..x.shape.rank()).filter(|&i| i != axis).map(|i| x.shape[i]).collect();
    Ok(vec![Type { shape: dims.into(), dtype: DType::U32 }])
}

/// The gradient's contribution to each input of a movement.
pub(super) fn vjp(g: &mut Graph, id: NodeId, grad: Value) -> Result<Vec<(Value, Value)>> {
    let node = g.nodes[id].clone();
    let input = node.inputs[0];
    let back = match &node.op {
        Op::Permute(axes) => {
            let mut inverse = vec![0; axes.len()];
            axes.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
            Op::Permute(inverse)
        }
        Op::Slice { start, .. } => Op::Pad { before: start.clone(), shape: g.shape(input).clone(), value: 0.0 },
        Op::Pad { before, .. } => Op::Slice { start: before.clone(), shape: g.shape(input).clone() },
        Op::Concat { axis } => {
            let mut out = Vec::new();
            let mut start = vec![0; g.shape(input).rank()];
            for v in node.inputs {
                let shape = g.shape(v).clone();
                let end = start[*axis] + shape[*axis];
                out.push((v, g.derived(id, Op::Slice { start: start.clone(), shape }, &[grad])?));
                start[*axis] = end;
            }
            return Ok(out);
        }
        _ => return Ok(vec![]),
    };
    Ok(vec![(input, g.derived(id, back, &[grad])?)])
}
