//! How far a device may be off: the size that roundings can have, and their effect on each value, which is tried out.
//!
//! Every value is disturbed by what its operation may be off by (`1e-6 + 1e-5 |y|` for an element, `1e-6 sqrt(K)` at the scale of its terms
//! for a sum of K), with signs drawn once and then turned round, and the disturbance runs on through the graph. That needs no rule for how
//! an operation passes errors on, and it sees kinks: where a ReLU's input is as good as 0, one of the runs takes the other branch.

use super::Data;
use super::evaluate::{computed, stored};
use crate::error::Result;
use crate::expr;
use crate::graph::{Distribution, Graph, Kind, Leaf, Node, NodeId, Op, Type, op};
use std::collections::{HashMap, HashSet};

/// Absolute part of an element's tolerance, and of each term's share in a sum at scale 1.
const ATOL: f64 = 1e-6;
/// Relative part.
const RTOL: f64 = 1e-5;
/// Draws of signs; each is run both ways.
const DRAWS: u64 = 2;
/// A tolerance is this many times the error that the runs showed at an element, plus the average error.
const MARGIN: f64 = 4.0;

/// The outputs of every node, as [`evaluate_all`](super::evaluate_all) gives them.
pub type Values = [Option<Vec<Data<f64>>>];

/// For each of these nodes the tolerance of every element of every output, if all nodes before them are exact.
pub fn tolerances(g: &Graph, exact: &Values, nodes: &[NodeId]) -> Result<HashMap<NodeId, Vec<Vec<f64>>>> {
    let known = |id: NodeId| exact.get(id).and_then(Option::as_ref);
    let mut out: HashMap<NodeId, Vec<Vec<f64>>> = HashMap::new();
    for &id in nodes {
        if let Some(values) = known(id) {
            out.insert(id, values.iter().map(|v| vec![0.0; v.len()]).collect());
        }
    }
    for (draw, sign) in (0..DRAWS).flat_map(|d| [(d, 1.0), (d, -1.0)]) {
        for (id, disturbed) in run(g, exact, nodes, draw, sign)? {
            let (Some(worst), Some(values)) = (out.get_mut(&id), known(id)) else { continue };
            for ((worst, exact), found) in worst.iter_mut().zip(values).zip(&disturbed) {
                let moved = exact.to_f64().into_iter().zip(found.to_f64()).map(|(a, b)| (a - b).abs());
                worst.iter_mut().zip(moved).for_each(|(w, m)| *w = w.max(m)); // a NaN moves nothing
            }
        }
    }
    for worst in out.values_mut().flatten() {
        let mean = (worst.iter().map(|w| w * w).sum::<f64>() / worst.len().max(1) as f64).sqrt();
        worst.iter_mut().for_each(|w| *w = MARGIN * (*w + mean));
    }
    Ok(out)
}

/// One run in which every one of `nodes` is disturbed. Nodes between them (views) pass the disturbance on.
fn run(g: &Graph, exact: &Values, nodes: &[NodeId], draw: u64, sign: f64) -> Result<HashMap<NodeId, Vec<Data<f64>>>> {
    let mut moved: HashMap<NodeId, Vec<Data<f64>>> = HashMap::new();
    let all: HashSet<NodeId> = nodes.iter().copied().collect();
    let (first, last) = (nodes.iter().min().copied().unwrap_or(0), nodes.iter().max().map_or(0, |m| m + 1));
    for id in first..last {
        let (Some(Some(own)), node) = (exact.get(id), &g.nodes[id]) else { continue };
        let disturbed = all.contains(&id);
        if !disturbed && !node.inputs.iter().any(|v| moved.contains_key(&v.node)) {
            continue;
        }
        let operands: Vec<&Data<f64>> = node
            .inputs
            .iter()
            .filter_map(|v| moved.get(&v.node).or(exact[v.node].as_ref()).and_then(|outputs| outputs.get(v.output)))
            .collect();
        let mut outputs = if node.op.leaf().is_some() { own.clone() } else { computed(g, id, &operands)? };
        if disturbed {
            for (output, values) in outputs.iter_mut().enumerate() {
                let Data::Real(values) = values else { continue };
                let own = own.get(output).map(Data::to_f64).unwrap_or_default();
                let size = amplitude(g, node, &operands, &own);
                for (e, (v, y)) in values.iter_mut().zip(&own).enumerate() {
                    *v += sign * coin(draw, id, output, e) * size(*y);
                }
            }
        }
        // a value that is stored as f16 is off by a whole step of f16 where its rounding turns over, and not at all elsewhere
        moved.insert(id, stored(node, outputs));
    }
    Ok(moved)
}

/// What a device may be off by in an element of this node, its operands being exact.
fn amplitude(g: &Graph, node: &Node, x: &[&Data<f64>], own: &[f64]) -> impl Fn(f64) -> f64 {
    let operand = |i: usize| x.get(i).map_or(0.0, |d| largest(&d.to_f64()));
    let (absolute, relative) = match node.op.kind() {
        Kind::Leaf | Kind::Random => of_leaf(node.op.leaf(), own),
        Kind::Alias => (0.0, 0.0),
        Kind::Constant => (0.0, f64::from(f32::EPSILON)),
        Kind::Map => of_map(&node.op, own),
        Kind::Product => {
            let types: Vec<&Type> = node.inputs.iter().map(|v| g.ty(*v)).collect();
            // a multiplication and an addition for each term
            let terms = node.op.flops(&types, &node.outputs) / (2 * own.len().max(1) as u64);
            (ATOL * (terms as f64).sqrt() * operand(0) * operand(1), RTOL)
        }
        Kind::Cast | Kind::Detach | Kind::Move | Kind::Reduce | Kind::Loss | Kind::Window | Kind::Alone => {
            let terms = x.first().map_or(1, |d| d.len()).div_ceil(own.len().max(1));
            (ATOL * (terms as f64).sqrt() * operand(0).max(largest(own)), RTOL)
        }
    };
    move |y| absolute + if y.is_finite() { relative * y.abs() } else { 0.0 }
}

fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0f64, |m, v| m.max(v.abs()))
}

/// The absolute and the relative part for a value that a graph is given.
fn of_leaf(leaf: Option<Leaf<'_>>, own: &[f64]) -> (f64, f64) {
    match leaf {
        Some(Leaf::Parameter(_) | Leaf::Buffer(_)) => (0.0, 0.0),
        Some(Leaf::Random(d)) if d.distribution != Distribution::Normal => (0.0, 0.0),
        Some(Leaf::Random(_)) => (ATOL, RTOL),
        // only `v * scale + shift` rounds
        Some(Leaf::Batch(op::Batch { field, .. })) => {
            let plain = field.keep_integer || field.one_hot.is_some() || (field.scale, field.shift) == (1.0, 0.0);
            let plain = plain && field.channels.is_none() && field.augmented.is_none();
            if plain { (0.0, 0.0) } else { (ATOL, RTOL) }
        }
        Some(Leaf::State(_)) | None => (ATOL * largest(own), RTOL),
    }
}

/// The absolute and the relative part for a formula; a repetition is exact.
fn of_map(op: &Op, own: &[f64]) -> (f64, f64) {
    let Op::Map(op::Map(f)) = op else { return (0.0, 0.0) };
    // exp, tanh and their like are off by an absolute amount; products and sums of a few are not
    let curved = f.nodes().iter().any(|n| matches!(n, expr::Node::Unary(..)));
    if curved { (ATOL, RTOL) } else { (ATOL * largest(own).min(1.0), RTOL) }
}

/// 1 or -1, the same each time.
fn coin(draw: u64, node: usize, output: usize, element: usize) -> f64 {
    let mut z = (draw << 56) ^ ((node as u64) << 36) ^ ((output as u64) << 32) ^ element as u64;
    // splitmix64's finish
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    if (z ^ (z >> 31)) & 1 == 0 { 1.0 } else { -1.0 }
}
