//! Each operation in the plainest loops.

use super::faults::wrong_kind;
use super::index::{broadcast_index, index_of};
use super::movement::moved;
use super::{Data, classify, convolution, movement, rows, take, window};
use crate::error::{Error, Result};
use crate::expr::{self, Expr, Real};
use crate::graph::custom::checked_reference;
use crate::graph::{CustomOp, Graph, Node, Op, ReduceKind, Type, op};
use crate::tensor::{DType, Shape};

/// The node's outputs for operands that have its inputs' types.
pub(super) fn run<T: Real>(g: &Graph, node: &Node, x: &[&Data<T>]) -> Result<Vec<Data<T>>> {
    let shape = |i: usize| g.shape(node.inputs[i]);
    let out = &node.outputs[0].shape;
    let one = match &node.op {
        Op::Batch(_) | Op::Parameter(_) | Op::Buffer(_) | Op::State(_) | Op::Random(_) => {
            return Err(Error::Unsupported {
                what: format!("computing a {} from operands", node.op.name()),
                at: node.site(),
                help: "give its elements by the feed of `evaluate`".into(),
            });
        }
        Op::Constant(op) => vec![T::from_f64(op.value); op.shape.size()],
        Op::Map(op::Map(f)) => {
            plain_formula(node, f)?;
            let inputs = (0..x.len()).map(|i| Ok((real(node, x, i)?, shape(i)))).collect::<Result<Vec<_>>>()?;
            map(f, &inputs, out)
        }
        Op::Broadcast(op::Broadcast(to)) => {
            let v = real(node, x, 0)?;
            (0..to.size()).map(|flat| v[broadcast_index(&index_of(flat, to), shape(0))]).collect()
        }
        Op::Reduce(op) => reduce(op.kind, &op.axes, real(node, x, 0)?, shape(0), out.size()),
        Op::MatMul(op) => matmul((real(node, x, 0)?, op.ta), (real(node, x, 1)?, op.tb), shape(0), out),
        Op::Conv(op) => convolution::conv(op, real(node, x, 0)?, real(node, x, 1)?, shape(0), out),
        Op::MaxPool(op) => window::max_pool(op, &reals(node, x)?, shape(0)),
        Op::Resample(op) => window::resample(op, real(node, x, 0)?, shape(0)),
        Op::Permute(op) => return Ok(vec![moved(g, node, x, 0.0, |at| movement::permute(&op.0, at))]),
        Op::Slice(op) => return Ok(vec![moved(g, node, x, 0.0, |at| movement::slice(&op.start, at))]),
        Op::Pad(op) => return Ok(vec![moved(g, node, x, op.value, |at| movement::pad(&op.before, shape(0), at))]),
        Op::Concat(op) => {
            let sizes: Vec<usize> = (0..x.len()).map(|k| shape(k)[op.axis]).collect();
            return Ok(vec![moved(g, node, x, 0.0, |at| movement::concat(op.axis, &sizes, at))]);
        }
        Op::ArgMax(op) => return Ok(vec![rows::argmax(real(node, x, 0)?, shape(0), op.axis)]),
        Op::Reshape(_) | Op::Detach(_) => return Ok(vec![x[0].clone()]),
        Op::ToF32(_) => integer(node, x, 0)?.iter().map(|&v| T::from_f64(v.into())).collect(),
        Op::CumSum(op) => rows::cumsum(real(node, x, 0)?, shape(0).last(), op.reverse),
        Op::Softmax(op) => rows::softmax(real(node, x, 0)?, shape(0).last(), op.log),
        Op::CrossEntropy(op) => return classify::cross_entropy(node, real(node, x, 0)?, x[1], shape(0), op),
        Op::Accuracy(op) => return classify::accuracy(node, real(node, x, 0)?, x[1], shape(0), op.0),
        Op::Custom(c) => return custom(g, node, c.op(), x),
        Op::Take(_) => take::take(real(node, x, 0)?, shape(0)[0], integer(node, x, 1)?),
        Op::ScatterAdd(op) => take::scatter_add(real(node, x, 0)?, op.rows, op.padding, integer(node, x, 1)?),
    };
    Ok(vec![Data::Real(one)])
}

fn real<'a, T: Real>(node: &Node, x: &[&'a Data<T>], i: usize) -> Result<&'a [T]> {
    x[i].as_real().ok_or_else(|| wrong_kind(node, format!("operand {i} is of integers")))
}

fn reals<'a, T: Real>(node: &Node, x: &[&'a Data<T>]) -> Result<Vec<&'a [T]>> {
    (0..x.len()).map(|i| real(node, x, i)).collect()
}

/// Runs the op's own reference, which computes in f64.
fn custom<T: Real>(g: &Graph, node: &Node, op: &dyn CustomOp, x: &[&Data<T>]) -> Result<Vec<Data<T>>> {
    let types: Vec<&Type> = node.inputs.iter().map(|v| g.ty(*v)).collect();
    let reals: Vec<Vec<f64>> = x.iter().map(|x| x.to_f64()).collect();
    let made = checked_reference(op, &types, &reals.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let failed = |problem| Error::CustomOp { op: op.name().into(), problem, at: node.site() };
    let made = made.map_err(failed)?;
    let kind = |(ty, v): (Type, Vec<f64>)| match ty.dtype {
        DType::U32 => Data::Integer(v.into_iter().map(|v| v as u32).collect()),
        _ => Data::Real(v.into_iter().map(T::from_f64).collect()),
    };
    Ok(made.into_iter().map(kind).collect())
}

fn integer<'a, T: Real>(node: &Node, x: &[&'a Data<T>], i: usize) -> Result<&'a [u32]> {
    x[i].as_integer().ok_or_else(|| wrong_kind(node, format!("operand {i} is of reals")))
}

/// A node's formula has one output and reads no rates: those belong to the optimizer, which is no node.
fn plain_formula(node: &Node, f: &Expr) -> Result<()> {
    let rates = f.nodes().iter().any(|n| matches!(n, expr::Node::Rate(_)));
    if rates || f.outputs().len() != 1 || f.arity() != node.inputs.len() {
        let (operands, reads) = (node.inputs.len(), if rates { ", reading rates" } else { "" });
        return Err(Error::Unsupported {
            what: format!("a formula of {} inputs and {} outputs{reads} on {operands} operands", f.arity(), f.outputs().len()),
            at: node.site(),
            help: "a map takes one formula input for each operand, gives one output and reads no rates".into(),
        });
    }
    Ok(())
}

fn map<T: Real>(f: &Expr, inputs: &[(&[T], &Shape)], out: &Shape) -> Vec<T> {
    let element = |flat: usize| {
        let at = index_of(flat, out);
        let args: Vec<T> = inputs.iter().map(|(v, s)| v[broadcast_index(&at, s)]).collect();
        f.eval(&args, &[])[0]
    };
    (0..out.size()).map(element).collect()
}

/// Sums in index order; the mean divides at the end. A NaN is larger than all.
fn reduce<T: Real>(kind: ReduceKind, axes: &[usize], x: &[T], shape: &Shape, size: usize) -> Vec<T> {
    let mut sums = vec![T::from_f64(if kind == ReduceKind::Max { f64::NEG_INFINITY } else { 0.0 }); size];
    let mut first: Vec<Option<T>> = vec![None; size];
    let to = |flat: usize| {
        let at = index_of(flat, shape);
        // a reduced axis has size 1 in the result or is gone: either way its index adds nothing
        (0..shape.rank()).filter(|i| !axes.contains(i)).fold(0, |to, i| to * shape[i] + at[i])
    };
    for (flat, &v) in x.iter().enumerate() {
        let to = to(flat);
        sums[to] = match kind {
            ReduceKind::Max if v.is_nan() || v > sums[to] => v,
            ReduceKind::Max => sums[to],
            ReduceKind::MeanFromFirst | ReduceKind::Variance => sums[to] + (v - *first[to].get_or_insert(v)),
            ReduceKind::Sum | ReduceKind::Mean => sums[to] + v,
        };
    }
    let count: usize = (0..shape.rank()).filter(|i| axes.contains(i)).map(|i| shape[i]).product();
    let share = |s: T| s / T::from_f64(count as f64);
    let from_first =
        |sums: Vec<T>, first: Vec<Option<T>>| sums.into_iter().zip(first).map(move |(s, first)| first.map_or(share(s), |x| x + share(s)));
    match kind {
        ReduceKind::Sum | ReduceKind::Max => sums,
        ReduceKind::Mean => sums.into_iter().map(share).collect(),
        ReduceKind::MeanFromFirst => from_first(sums, first).collect(),
        ReduceKind::Variance => {
            let (means, mut squares) = (from_first(sums, first).collect::<Vec<T>>(), vec![T::from_f64(0.0); size]);
            for (flat, &v) in x.iter().enumerate() {
                let to = to(flat);
                squares[to] = squares[to] + (v - means[to]) * (v - means[to]);
            }
            squares.into_iter().map(share).collect()
        }
    }
}

/// `c[l, i, j] = sum_k a[l, i, k] * b[l, k, j]`, each operand read the other way round where its flag is set.
fn matmul<T: Real>((a, ta): (&[T], bool), (b, tb): (&[T], bool), a_shape: &Shape, out: &Shape) -> Vec<T> {
    let r = out.rank();
    let (rows, cols) = (out[r - 2], out[r - 1]);
    let inner = a_shape[if ta { r - 2 } else { r - 1 }];
    let mut c = Vec::with_capacity(out.size());
    for l in 0..out.dims()[..r - 2].iter().product() {
        // an operand with a single matrix is used for every one of the batch
        let (la, lb) = (if a.len() == rows * inner { 0 } else { l }, if b.len() == inner * cols { 0 } else { l });
        for i in 0..rows {
            for j in 0..cols {
                let mut sum = T::from_f64(0.0);
                for k in 0..inner {
                    let x = if ta { a[(la * inner + k) * rows + i] } else { a[(la * rows + i) * inner + k] };
                    let y = if tb { b[(lb * cols + j) * inner + k] } else { b[(lb * inner + k) * cols + j] };
                    sum = sum + x * y;
                }
                c.push(sum);
            }
        }
    }
    c
}
