//! Movements of elements, each by where an element of the result comes from.

use super::Data;
use super::ops::index_of;
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

/// The first of the largest along an axis; the first NaN, if there is one.
pub(super) fn argmax<T: Real>(x: &[T], shape: &Shape, axis: usize) -> Data<T> {
    let (outer, inner): (usize, usize) = (shape.dims()[..axis].iter().product(), shape.dims()[axis + 1..].iter().product());
    let mut out = Vec::new();
    for o in 0..outer {
        for i in 0..inner {
            let at = |c: usize| x[(o * shape[axis] + c) * inner + i];
            let nan = (0..shape[axis]).find(|&c| at(c).is_nan());
            let best = (1..shape[axis]).fold(0, |b, c| if at(c) > at(b) { c } else { b });
            out.push(nan.unwrap_or(best) as u32);
        }
    }
    Data::Integer(out)
}
