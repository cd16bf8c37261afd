//! How close two machines must come to each other and to the truth: DESIGN section 5, never ulp, never more than the rule.
//!
//! Every value of a graph gets a tolerance of its own: what its operation may do, and what its operands' tolerances move it by. So a
//! composite case adds up what it contains, and nothing has to be tuned.

use crate::window_tolerance;
use gradus::expr::{Binary, Expr, Node as ExprNode, Unary};
use gradus::graph::op::ConvPart;
use gradus::graph::{CustomOp, Distribution, Graph, Labels, Node, Op, ReduceKind, Type, Value, op};
use gradus::reference::{Data, evaluate_node};
use gradus::tensor::{DType, Shape};

/// Absolute part of an elementwise operation, and of each term's share in a sum at scale 1: GPUs' tanh is off by 1.5e-7, the rational erf by 1e-6.
pub const ATOL: f64 = 1e-6;
/// Relative part of every operation that rounds: GPUs' exp is off by 4e-6, log by 1.6e-5 near 1 (where [`ATOL`] is more).
pub const RTOL: f64 = 1e-5;

/// A sum of `terms` terms, none larger than `scale`: `1e-6 * sqrt(K)` at the scale of its terms, because roundings of either sign meet.
pub fn sum(terms: usize, scale: f64, result: f64) -> f64 {
    ATOL * (terms as f64).sqrt() * scale + RTOL * result.abs()
}

/// An elementwise operation.
pub fn elementwise(result: f64) -> f64 {
    ATOL + RTOL * result.abs()
}

/// The elements of one value, and how far each may be off.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub value: Vec<f64>,
    pub tol: Vec<f64>,
}

/// Tolerances for the outputs of every node that the reference computed.
pub fn known(g: &Graph, all: &[Option<Vec<Data<f64>>>]) -> Vec<Vec<Known>> {
    let mut out: Vec<Vec<Known>> = Vec::with_capacity(all.len());
    let plain = unrounded(g);
    for (id, (node, data)) in g.nodes.iter().zip(all).enumerate() {
        let Some(data) = data else {
            out.push(vec![]);
            continue;
        };
        let values: Vec<Vec<f64>> = data.iter().map(Data::to_f64).collect();
        let inputs: Vec<(&Known, &Type)> = node.inputs.iter().map(|v: &Value| (&out[v.node][v.output], g.ty(*v))).collect();
        let mut tols = outputs(node, &inputs, &values, plain.is_some());
        if plain.is_some() {
            stored(plain.as_ref(), node, id, all, &values, &mut tols);
        }
        out.push(values.into_iter().zip(tols).map(|(value, tol)| Known { value, tol }).collect());
    }
    out
}

/// The graph with nothing stored as f16, if anything is.
fn unrounded(g: &Graph) -> Option<Graph> {
    let mut plain = g.clone();
    let types = plain.nodes.iter_mut().flat_map(|n| &mut n.outputs).filter(|t| t.dtype == DType::F16);
    (types.map(|t| t.dtype = DType::F32).count() > 0).then_some(plain)
}

/// What is stored as f16 is off by a step of f16 where its rounding may turn over, and by nothing elsewhere.
fn stored(plain: Option<&Graph>, node: &Node, id: usize, all: &[Option<Vec<Data<f64>>>], values: &[Vec<f64>], tols: &mut Vec<Vec<f64>>) {
    // a parameter's second output is its copy
    tols.resize_with(node.outputs.len().max(tols.len()), || vec![0.0; values[0].len()]);
    let operands: Vec<&Data<f64>> = node.inputs.iter().filter_map(|v| all[v.node].as_ref()?.get(v.output)).collect();
    let leaf = node.inputs.is_empty();
    let exact = plain.filter(|_| !leaf).and_then(|g| evaluate_node(g, id, &operands).ok());
    let round = |v: f64| half::f16::from_f64(v).to_f64();
    for (i, ty) in node.outputs.iter().enumerate().filter(|(_, t)| t.dtype == DType::F16) {
        let before = exact.as_ref().map_or_else(|| values[i].clone(), |e| e[i].to_f64());
        for ((tol, y), stored) in tols[i].iter_mut().zip(before).zip(&values[i]) {
            *tol = [y - *tol, y + *tol].map(|v| (round(v) - stored).abs()).into_iter().fold(0.0, f64::max);
        }
        // a batch's values before they were rounded are not known here
        if leaf && matches!(node.op, Op::Batch(_)) && !ty.shape.dims().is_empty() {
            let off = |v: f64| (half::f16::from_f64(v).to_f64().abs() * 2.0f64.powi(-10)).max(2.0f64.powi(-24));
            let Op::Batch(op::Batch { field, .. }) = &node.op else { continue };
            if (field.scale, field.shift) != (1.0, 0.0) && field.one_hot.is_none() {
                tols[i].iter_mut().zip(&values[i]).for_each(|(t, v)| *t = off(*v));
            }
        }
    }
}

/// What the terms' tolerances move a sum by. Roundings to f16 that turn over know nothing of each other and are of either sign: they add up as
/// squares do; [`TURNED`] times that.
#[derive(Default)]
pub struct Moved {
    sum: f64,
    squares: f64,
}

/// Times the root of the squares: a sum of independent steps is beyond it once in ten thousand times.
const TURNED: f64 = 4.0;

impl Moved {
    pub fn add(&mut self, t: f64) {
        (self.sum, self.squares) = (self.sum + t, self.squares + t * t);
    }

    pub fn total(&self, mixed: bool) -> f64 {
        if mixed { self.sum.min(TURNED * self.squares.sqrt()) } else { self.sum }
    }
}

fn outputs(node: &Node, x: &[(&Known, &Type)], y: &[Vec<f64>], mixed: bool) -> Vec<Vec<f64>> {
    let y0 = &y[0];
    let shape = &node.outputs[0].shape;
    vec![match &node.op {
        Op::Parameter(_) | Op::Buffer(_) => vec![0.0; y0.len()],
        // only `v * scale + shift` rounds
        // a bilinear sample of bytes, colours, noise: products and sums of a few, of numbers as large as what is stored
        Op::Batch(op::Batch { field: f, .. }) if f.augmented.is_some() || f.channels.is_some() => {
            let largest = y0.iter().fold(1.0f64, |m, v| m.max(v.abs()));
            y0.iter().map(|_| 2e-5 * largest).collect()
        }
        Op::Batch(op::Batch { field: f, .. }) if f.keep_integer || f.one_hot.is_some() || (f.scale, f.shift) == (1.0, 0.0) => {
            vec![0.0; y0.len()]
        }
        Op::Batch(_) => y0.iter().map(|&y| elementwise(y)).collect(),
        Op::Constant(c) if f64::from(c.value as f32) == c.value => vec![0.0; y0.len()],
        Op::Constant(c) => vec![c.value.abs() * f64::from(f32::EPSILON); y0.len()],
        // bits make the others
        Op::State(_) => vec![0.0],
        Op::Random(op::Random(d)) => {
            y0.iter().map(|&y| if d.distribution == Distribution::Normal { elementwise(y) } else { 0.0 }).collect()
        }
        Op::Map(op::Map(f)) => map(f, x, shape, y0),
        Op::Broadcast(_) => {
            let at = strides(&x[0].1.shape, shape);
            (0..y0.len()).map(|e| x[0].0.tol[index(e, shape, &at)]).collect()
        }
        Op::Reshape(_) | Op::Detach(_) => x[0].0.tol.clone(),
        // exact up to 2^24
        Op::ToF32(_) => y0.iter().map(|&y| if y > f64::from(1 << 24) { elementwise(y) } else { 0.0 }).collect(),
        Op::Reduce(r) => reduce(r.kind, &r.axes, x[0], y0, mixed),
        Op::MatMul(m) => matmul((x[0], m.ta), (x[1], m.tb), shape, y0, mixed),
        Op::Conv(c) => conv(c, x, shape, y0, mixed),
        Op::Permute(_) | Op::Slice(_) | Op::Pad(_) | Op::Concat(_) => (0..y0.len()).map(|e| moved(&node.op, x, shape, e)).collect(),
        Op::MaxPool(p) => window_tolerance::max_pool(p, x, y0, mixed),
        Op::Resample(r) => window_tolerance::resample(r, x[0], y0, mixed),
        Op::ArgMax(a) => argmax(x[0], a.axis, y0.len()),
        Op::CumSum(c) => rows(x[0]).zip(y0.chunks(shape.last())).flat_map(|(r, y)| r.running(y, c.reverse)).collect(),
        Op::Softmax(op::Softmax { log: false }) => rows(x[0]).flat_map(|r| r.softmax()).map(|(_, t)| t).collect(),
        Op::Softmax(op::Softmax { log: true }) => rows(x[0]).zip(y0.chunks(shape.last())).flat_map(|(r, y)| r.log_softmax(y)).collect(),
        Op::CrossEntropy(c) => return cross_entropy(x, y, c),
        Op::Accuracy(a) => vec![ambiguous(x[0], y0[0], counted(x, a.0))],
        Op::Custom(c) => return custom(c.op(), x, y),
        Op::Take(_) => take(x[0], x[1].0, y0.len()),
        Op::ScatterAdd(s) => scatter_add(x[0].0, x[1].0, s.padding, y0),
    }]
}

/// The rule, and how far the formula moves when an operand moves by its tolerance either way: kinks and steps are seen, too.
fn map(f: &Expr, x: &[(&Known, &Type)], shape: &Shape, y: &[f64]) -> Vec<f64> {
    let at: Vec<Vec<usize>> = x.iter().map(|(_, t)| strides(&t.shape, shape)).collect();
    let mut args = vec![0.0; x.len()];
    // picking a value or its sign rounds nothing: ReLU's 0 is 0 on every machine
    let picks = |n: &ExprNode| match n {
        ExprNode::Unary(u, _) => matches!(u, Unary::Neg | Unary::Abs | Unary::Sign | Unary::Floor | Unary::Relu | Unary::Positive),
        ExprNode::Binary(b, ..) => matches!(b, Binary::Max | Binary::Min | Binary::Less | Binary::LessEqual | Binary::Equal),
        _ => true,
    };
    let exact = f.nodes().iter().all(picks);
    let element = |(e, &y): (usize, &f64)| {
        let places: Vec<usize> = at.iter().map(|s| index(e, shape, s)).collect();
        args.iter_mut().zip(x).zip(&places).for_each(|((a, (k, _)), &p)| *a = k.value[p]);
        let mut tol = if exact { 0.0 } else { elementwise(y) };
        for (i, (k, _)) in x.iter().enumerate().filter(|(i, (k, _))| k.tol[places[*i]] != 0.0) {
            let (v, t) = (k.value[places[i]], k.tol[places[i]]);
            let moved = [v - t, v + t].map(|v| {
                args[i] = v;
                (f.eval(&args, &[])[0] - y).abs()
            });
            args[i] = v;
            tol += moved[0].max(moved[1]);
        }
        tol
    };
    y.iter().enumerate().map(element).collect()
}

fn reduce(kind: ReduceKind, axes: &[usize], (x, ty): (&Known, &Type), y: &[f64], mixed: bool) -> Vec<f64> {
    let s = &ty.shape;
    let kept: Vec<usize> = (0..s.rank()).map(|i| if axes.contains(&i) { 1 } else { s[i] }).collect();
    let at = strides(&kept.into(), s);
    let mut scale = vec![0.0f64; y.len()];
    let mut moved: Vec<Moved> = y.iter().map(|_| Moved::default()).collect();
    for (e, (v, t)) in x.value.iter().zip(&x.tol).enumerate() {
        let to = index(e, s, &at);
        scale[to] = scale[to].max(v.abs());
        moved[to].add(*t);
    }
    if kind == ReduceKind::Max {
        // picking one rounds nothing; it moves no further than any of them
        let mut worst = vec![0.0f64; y.len()];
        x.tol.iter().enumerate().for_each(|(e, t)| worst[index(e, s, &at)] = worst[index(e, s, &at)].max(*t));
        return worst;
    }
    let terms = x.value.len() / y.len();
    if kind == ReduceKind::Variance {
        let (mut mean, mut most, mut moved) = (vec![0.0; y.len()], vec![0.0f64; y.len()], vec![0.0; y.len()]);
        x.value.iter().enumerate().for_each(|(e, v)| mean[index(e, s, &at)] += v / terms as f64);
        for (e, (v, t)) in x.value.iter().zip(&x.tol).enumerate() {
            let (to, d) = (index(e, s, &at), (v - mean[index(e, s, &at)]).abs());
            most[to] = most[to].max(d * d);
            moved[to] += 2.0 * d * t / terms as f64;
        }
        // sums of deviations and of their squares
        return (0..y.len()).map(|i| 4.0 * sum(terms, most[i], y[i] * terms as f64) / terms as f64 + moved[i]).collect();
    }
    let share = if kind == ReduceKind::Sum { 1.0 } else { 1.0 / terms as f64 };
    (0..y.len()).map(|i| share * (sum(terms, scale[i], y[i] / share) + moved[i].total(mixed))).collect()
}

fn matmul(
    ((a, a_ty), ta): ((&Known, &Type), bool),
    ((b, _), tb): ((&Known, &Type), bool),
    shape: &Shape,
    y: &[f64],
    mixed: bool,
) -> Vec<f64> {
    let r = shape.rank();
    let (rows, cols, inner) = (shape[r - 2], shape[r - 1], a_ty.shape[if ta { r - 2 } else { r - 1 }]);
    let element = |(e, &y): (usize, &f64)| {
        let (l, i, j) = (e / (rows * cols), e / cols % rows, e % cols);
        let one = |v: &Known, n: usize| if v.value.len() == n { 0 } else { l };
        let (la, lb) = (one(a, rows * inner), one(b, inner * cols));
        let (mut scale, mut moved) = (0.0f64, Moved::default());
        for k in 0..inner {
            let p = if ta { (la * inner + k) * rows + i } else { (la * rows + i) * inner + k };
            let q = if tb { (lb * cols + j) * inner + k } else { (lb * inner + k) * cols + j };
            scale = scale.max((a.value[p] * b.value[q]).abs());
            moved.add(a.value[p].abs() * b.tol[q]);
            moved.add(b.value[q].abs() * a.tol[p]);
        }
        sum(inner, scale, y) + moved.total(mixed)
    };
    y.iter().enumerate().map(element).collect()
}

/// A sum of products for each element, whichever of the three parts it is.
fn conv(op: &op::Conv, x: &[(&Known, &Type)], shape: &Shape, y: &[f64], mixed: bool) -> Vec<f64> {
    let ((a, a_ty), (b, _)) = (x[0], x[1]);
    let (w, groups) = (op.window, op.groups);
    let (n, channels, results) = match op.part {
        ConvPart::Forward => (a_ty.shape[0], a_ty.shape[3], shape[3]),
        ConvPart::Data => (a_ty.shape[0], shape[3], a_ty.shape[3]),
        ConvPart::Weights => (a_ty.shape[0], a_ty.shape[3], shape[0]),
    };
    let (within, positions) = (channels / groups, w.positions[0] * w.positions[1]);
    let mut found: Vec<(usize, f64, Moved)> = y.iter().map(|_| Default::default()).collect();
    for (image, position, o) in (0..n).flat_map(|i| (0..positions).flat_map(move |p| (0..results).map(move |o| (i, p, o)))) {
        for (tap, i) in (0..w.taps()).flat_map(|t| (0..within).map(move |i| (t, i))) {
            let Some([row, column]) = w.inside(position, tap) else { continue };
            let place = ((image * w.image[0] + row) * w.image[1] + column) * channels + o / (results / groups) * within + i;
            let (weight, result) = ((o * w.taps() + tap) * within + i, (image * positions + position) * results + o);
            let (p, q, to) = match op.part {
                ConvPart::Forward => (place, weight, result),
                ConvPart::Data => (result, weight, place),
                ConvPart::Weights => (place, result, weight),
            };
            let (terms, scale, moved) = &mut found[to];
            (*terms, *scale) = (*terms + 1, scale.max((a.value[p] * b.value[q]).abs()));
            moved.add(a.value[p].abs() * b.tol[q]);
            moved.add(b.value[q].abs() * a.tol[p]);
        }
    }
    found
        .iter()
        .zip(y)
        .map(|((terms, scale, moved), &y)| if *terms == 0 { 0.0 } else { sum(*terms, *scale, y) + moved.total(mixed) })
        .collect()
}

/// As a map, each operand's element moved by its tolerance one after another. Integers are exact.
fn custom(op: &dyn CustomOp, x: &[(&Known, &Type)], y: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let types: Vec<&Type> = x.iter().map(|(_, t)| *t).collect();
    let announced = op.infer(&types).unwrap_or_default();
    let own = |(v, t): (&Vec<f64>, &Type)| v.iter().map(|&v| if t.dtype == DType::U32 { 0.0 } else { elementwise(v) }).collect();
    let mut tols: Vec<Vec<f64>> = y.iter().zip(&announced).map(own).collect();
    let mut values: Vec<Vec<f64>> = x.iter().map(|(k, _)| k.value.clone()).collect();
    for (i, (k, _)) in x.iter().enumerate() {
        for (e, &t) in k.tol.iter().enumerate().filter(|(_, t)| **t != 0.0) {
            values[i][e] = k.value[e] + t;
            let moved = op.reference(&types, &values.iter().map(Vec::as_slice).collect::<Vec<_>>());
            values[i][e] = k.value[e];
            for (tol, (moved, y)) in tols.iter_mut().zip(moved.iter().zip(y)) {
                tol.iter_mut().zip(moved.iter().zip(y)).for_each(|(t, (m, y))| *t += (m - y).abs());
            }
        }
    }
    tols
}

/// What was moved to this place is off by what it was; padding by nothing.
fn moved(op: &Op, x: &[(&Known, &Type)], shape: &Shape, e: usize) -> f64 {
    let (mut rest, mut at) = (e, vec![0usize; shape.rank()]);
    for i in (0..shape.rank()).rev() {
        (at[i], rest) = (rest % shape[i], rest / shape[i]);
    }
    let mut operand = 0;
    match op {
        Op::Permute(op::Permute(axes)) => {
            let to = at.clone();
            axes.iter().zip(to).for_each(|(&a, i)| at[a] = i);
        }
        Op::Slice(s) => at.iter_mut().zip(&s.start).for_each(|(i, s)| *i += s),
        Op::Pad(op::Pad { before, .. }) => {
            let own = &x[0].1.shape;
            if (0..at.len()).any(|i| at[i] < before[i] || at[i] - before[i] >= own[i]) {
                return 0.0;
            }
            at.iter_mut().zip(before).for_each(|(i, b)| *i -= b);
        }
        Op::Concat(op::Concat { axis }) => {
            while at[*axis] >= x[operand].1.shape[*axis] {
                at[*axis] -= x[operand].1.shape[*axis];
                operand += 1;
            }
        }
        _ => {}
    }
    let (known, ty) = x[operand];
    known.tol[ty.shape.strides().iter().zip(&at).map(|(s, i)| s * i).sum::<usize>()]
}

/// Where two values are too close to call any index may come out.
fn argmax((x, ty): (&Known, &Type), axis: usize, size: usize) -> Vec<f64> {
    let (n, inner) = (ty.shape[axis], ty.shape.dims()[axis + 1..].iter().product::<usize>());
    let open = |item: usize| {
        let at = |c: usize| (item / inner * n + c) * inner + item % inner;
        let best = (1..n).fold(0, |b, c| if x.value[at(c)] > x.value[at(b)] { c } else { b });
        let near = |c: usize| x.value[at(best)] - x.value[at(c)] <= x.tol[at(best)] + x.tol[at(c)] && x.tol[at(best)] + x.tol[at(c)] > 0.0;
        (0..n).any(|c| c != best && near(c))
    };
    (0..size).map(|item| if open(item) { n as f64 } else { 0.0 }).collect()
}

/// A row that is copied is off by what it was.
fn take((table, ty): (&Known, &Type), indices: &Known, size: usize) -> Vec<f64> {
    let width = table.value.len() / ty.shape[0];
    (0..size).map(|e| table.tol.get(indices.value[e / width] as usize * width + e % width).copied().unwrap_or(0.0)).collect()
}

/// A sum for each element, of as many terms as name its row.
fn scatter_add(values: &Known, indices: &Known, padding: Option<usize>, y: &[f64]) -> Vec<f64> {
    let width = values.value.len() / indices.value.len();
    let (mut terms, mut scale, mut moved) = (vec![0; y.len()], vec![0.0f64; y.len()], vec![0.0; y.len()]);
    for (e, (v, t)) in values.value.iter().zip(&values.tol).enumerate() {
        let to = indices.value[e / width] as usize * width + e % width;
        if to < y.len() && Some(to / width) != padding {
            (terms[to], scale[to], moved[to]) = (terms[to] + 1, scale[to].max(v.abs()), moved[to] + t);
        }
    }
    (0..y.len()).map(|i| if terms[i] == 0 { 0.0 } else { sum(terms[i], scale[i], y[i]) + moved[i] }).collect()
}

/// One row of scores.
struct Row<'a> {
    x: &'a [f64],
    tol: &'a [f64],
}

fn rows<'a>((x, ty): (&'a Known, &Type)) -> impl Iterator<Item = Row<'a>> {
    let n = ty.shape.last();
    x.value.chunks(n).zip(x.tol.chunks(n)).map(|(x, tol)| Row { x, tol })
}

impl Row<'_> {
    /// Each running sum is a sum of its own; whole numbers have no error.
    fn running(&self, y: &[f64], reverse: bool) -> Vec<f64> {
        let whole = self.x.iter().zip(self.tol).all(|(x, t)| x.fract() == 0.0 && *t == 0.0);
        if whole && self.x.iter().map(|x| x.abs()).sum::<f64>() < f64::from(1 << 24) {
            return vec![0.0; y.len()];
        }
        let n = self.x.len();
        let range = |i: usize| if reverse { i..n } else { 0..i + 1 };
        let scale = |i: usize| self.x[range(i)].iter().fold(0.0f64, |m, v| m.max(v.abs()));
        (0..n).map(|i| sum(range(i).len(), scale(i), y[i]) + self.tol[range(i)].iter().sum::<f64>()).collect()
    }

    /// The tolerance of each logarithm of a probability: a relative error of the sum of exponentials is an absolute one here.
    fn log_softmax(&self, y: &[f64]) -> Vec<f64> {
        let p = self.softmax();
        let all: f64 = p.iter().zip(self.tol).map(|((p, _), t)| p * t).sum();
        y.iter().zip(self.tol).map(|(&y, &t)| elementwise(y) + RTOL + t + all).collect()
    }

    /// Each probability and its tolerance: an exponential, a sum and a division, and the Jacobian `p_c (d_cj - p_j)`.
    fn softmax(&self) -> Vec<(f64, f64)> {
        let top = self.x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = self.x.iter().map(|v| (v - top).exp()).sum();
        let p: Vec<f64> = self.x.iter().map(|v| (v - top).exp() / total).collect();
        let all: f64 = p.iter().zip(self.tol).map(|(p, t)| p * t).sum();
        p.iter().zip(self.tol).map(|(&p, &t)| (p, ATOL + 3.0 * RTOL * p + p * (t + all))).collect()
    }
}

/// How many rows the means of a loss or an accuracy of classes are over.
fn counted(x: &[(&Known, &Type)], labels: Labels) -> f64 {
    let all = x[0].1.shape.size() / x[0].1.shape.last();
    labels.ignored().map_or(all as f64, |_| x[2].0.value[0].max(1.0))
}

/// Loss, its slope, hits.
fn cross_entropy(x: &[(&Known, &Type)], y: &[Vec<f64>], c: &op::CrossEntropy) -> Vec<Vec<f64>> {
    let (n, count, smoothing) = (x[0].1.shape.last(), counted(x, c.labels), c.smoothing);
    let (mut losses, mut worst, mut slopes) = (0.0, 0.0f64, Vec::new());
    let l = &x[1].0.value;
    for (row, labels) in rows(x[0]).zip(0..) {
        if c.labels.ignored().is_some_and(|i| l[labels] == f64::from(i)) {
            slopes.extend(vec![0.0; n]);
            continue;
        }
        let target = |c: usize| {
            let p = if x[1].1.dtype == DType::U32 { f64::from(u8::from(l[labels] as usize == c)) } else { l[labels * n + c] };
            p * (1.0 - smoothing) + smoothing / n as f64
        };
        let total: f64 = (0..n).map(target).sum();
        let (mut loss, mut moved) = (0.0, 0.0);
        for (c, (p, tol)) in row.softmax().into_iter().enumerate() {
            loss -= if target(c) == 0.0 { 0.0 } else { target(c) * p.ln() };
            moved += (p * total - target(c)).abs() * row.tol[c];
            slopes.push((tol * total + RTOL * target(c)) / count);
        }
        // a relative error of the sum of exponentials is an absolute one of its logarithm
        losses += elementwise(loss) + RTOL * total + moved;
        worst = worst.max(loss.abs());
    }
    let loss = losses / count + sum(count as usize, worst, y[0][0] * count) / count;
    vec![vec![loss], slopes, vec![ambiguous(x[0], y[2][0], count)]]
}

/// Rows whose two largest scores are too close to call may count either way; the rest of a fraction of hits is a mean.
fn ambiguous(x: (&Known, &Type), y: f64, count: f64) -> f64 {
    let close = |row: &Row<'_>| {
        let best = (1..row.x.len()).fold(0, |b, c| if row.x[c] > row.x[b] { c } else { b });
        (0..row.x.len()).any(|c| c != best && row.x[best] - row.x[c] <= row.tol[best] + row.tol[c] && row.tol[best] + row.tol[c] > 0.0)
    };
    let open = rows(x).filter(|r| close(r)).count();
    open as f64 / count + sum(count as usize, 1.0, y * count) / count
}

/// Strides that read `from` over `to`: 0 along repeated axes.
fn strides(from: &Shape, to: &Shape) -> Vec<usize> {
    let (own, skip) = (from.strides(), to.rank() - from.rank());
    (0..to.rank()).map(|i| if i < skip || from[i - skip] == 1 { 0 } else { own[i - skip] }).collect()
}

fn index(mut e: usize, shape: &Shape, strides: &[usize]) -> usize {
    let mut at = 0;
    for i in (0..shape.rank()).rev() {
        at += e % shape[i] * strides[i];
        e /= shape[i];
    }
    at
}
