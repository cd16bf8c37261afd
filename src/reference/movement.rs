//! Operations that move elements: permute, slice, pad, concatenate.

use super::Data;
use super::index::index_of;
use crate::expr::Real;
use crate::graph::{Graph, Node, Op};

/// Every element of the result is looked up by its position.
pub(super) fn run<T: Real>(g: &Graph, node: &Node, x: &[&Data<T>]) -> Data<T> {
    let out = &node.outputs[0].shape;
    let places: Vec<Option<(usize, usize)>> = (0..out.size()).map(|flat| source(g, node, &index_of(flat, out))).collect();
    let value = if let Op::Pad { value, .. } = node.op { value } else { 0.0 };
    if x.iter().all(|d| d.as_integer().is_some()) {
        let pick = |p: &Option<(usize, usize)>| p.and_then(|(k, e)| Some(x[k].as_integer()?[e])).unwrap_or(value as u32);
        return Data::Integer(places.iter().map(pick).collect());
    }
    let pick = |p: &Option<(usize, usize)>| p.and_then(|(k, e)| Some(x[k].as_real()?[e])).unwrap_or(T::from_f64(value));
    Data::Real(places.iter().map(pick).collect())
}

/// The operand and its element that stand at this position of the result; `None` in the padding.
fn source(g: &Graph, node: &Node, at: &[usize]) -> Option<(usize, usize)> {
    let shape = |k: usize| g.shape(node.inputs[k]);
    let flat = |k: usize, at: &[usize]| (0..at.len()).fold(0, |f, i| f * shape(k)[i] + at[i]);
    match &node.op {
        Op::Permute(axes) => {
            let mut from = vec![0; at.len()];
            axes.iter().zip(at).for_each(|(&axis, &i)| from[axis] = i);
            Some((0, flat(0, &from)))
        }
        Op::Slice { start, .. } => {
            let from: Vec<usize> = at.iter().zip(start).map(|(i, s)| i + s).collect();
            Some((0, flat(0, &from)))
        }
        Op::Pad { before, .. } => {
            let from: Vec<usize> = at.iter().zip(before).map(|(&i, &b)| i.checked_sub(b)).collect::<Option<_>>()?;
            from.iter().zip(shape(0).dims()).all(|(i, d)| i < d).then(|| (0, flat(0, &from)))
        }
        Op::Concat { axis } => {
            let mut from = at.to_vec();
            for k in 0..node.inputs.len() {
                let n = shape(k)[*axis];
                if from[*axis] < n {
                    return Some((k, flat(k, &from)));
                }
                from[*axis] -= n;
            }
            None
        }
        _ => None,
    }
}
