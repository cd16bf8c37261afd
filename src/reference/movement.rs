//! Operations that move elements, each by where an element of its result comes from.

use super::Data;
use super::index::index_of;
use crate::expr::Real;
use crate::graph::{Graph, Node};
use crate::tensor::Shape;

/// Every element of the result is looked up: `source` gives, for a position of the result, the operand and the position there. Where it gives
/// none, `fill` stands.
pub(super) fn moved<T: Real>(
    g: &Graph,
    node: &Node,
    x: &[&Data<T>],
    fill: f64,
    source: impl Fn(&[usize]) -> Option<(usize, Vec<usize>)>,
) -> Data<T> {
    let out = &node.outputs[0].shape;
    let flat = |(k, at): (usize, Vec<usize>)| (k, at.iter().zip(g.shape(node.inputs[k]).dims()).fold(0, |f, (i, d)| f * d + i));
    let places: Vec<Option<(usize, usize)>> = (0..out.size()).map(|e| source(&index_of(e, out)).map(flat)).collect();
    if x.iter().all(|d| d.as_integer().is_some()) {
        let pick = |p: &Option<(usize, usize)>| p.and_then(|(k, e)| Some(x[k].as_integer()?[e])).unwrap_or(fill as u32);
        return Data::Integer(places.iter().map(pick).collect());
    }
    let pick = |p: &Option<(usize, usize)>| p.and_then(|(k, e)| Some(x[k].as_real()?[e])).unwrap_or(T::from_f64(fill));
    Data::Real(places.iter().map(pick).collect())
}

pub(super) fn permute(axes: &[usize], at: &[usize]) -> Option<(usize, Vec<usize>)> {
    let mut from = vec![0; at.len()];
    axes.iter().zip(at).for_each(|(&axis, &i)| from[axis] = i);
    Some((0, from))
}

pub(super) fn slice(start: &[usize], at: &[usize]) -> Option<(usize, Vec<usize>)> {
    Some((0, at.iter().zip(start).map(|(i, s)| i + s).collect()))
}

pub(super) fn pad(before: &[usize], own: &Shape, at: &[usize]) -> Option<(usize, Vec<usize>)> {
    let from: Vec<usize> = at.iter().zip(before).map(|(&i, &b)| i.checked_sub(b)).collect::<Option<_>>()?;
    from.iter().zip(own.dims()).all(|(i, d)| i < d).then_some((0, from))
}

pub(super) fn concat(axis: usize, sizes: &[usize], at: &[usize]) -> Option<(usize, Vec<usize>)> {
    let mut from = at.to_vec();
    for (k, &n) in sizes.iter().enumerate() {
        if from[axis] < n {
            return Some((k, from));
        }
        from[axis] -= n;
    }
    None
}
