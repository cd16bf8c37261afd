//! Central differences in f64 through a whole graph, against the gradients that the graph computes; and `simplify` against both.

use super::super::{Data, evaluate};
use crate::expr::Real;
use crate::graph::{Builder, Field, Graph, NodeId, Op, Value, Var, gradients, op, simplify};
use crate::rng::Philox;
use crate::tensor::{DType, Shape};
use std::collections::HashMap;

/// A field of the batch; `one_hot` makes rows of probabilities of it.
pub fn field(name: &str, stored: DType, row: Shape, one_hot: Option<usize>) -> Field {
    let keep_integer = stored == DType::U32;
    Field { keep_integer, one_hot, ..Field::new(name, stored, row) }
}

/// What a check that passed has seen.
#[derive(Debug)]
pub struct Checked {
    /// Nodes of the whole graph with its gradients, and of the simplified one.
    pub nodes: (usize, usize),
    /// Parameters without a gradient.
    pub ignored: Vec<String>,
}

type Differentiate<'a> = &'a dyn Fn(&mut Graph, Value, &[Value]) -> crate::Result<Vec<Option<Value>>>;

/// Builds a loss, draws its parameters and batch from the stream `name`, and checks every element of every gradient.
pub fn check(name: &str, build: impl Fn(&Builder) -> Var) -> Result<Checked, String> {
    let (g, loss) = built(build)?;
    check_graph(name, g, loss, &gradients)
}

/// The graph of a loss.
pub fn built(build: impl Fn(&Builder) -> Var) -> Result<(Graph, Value), String> {
    let b = Builder::new();
    let loss = build(&b);
    let g = b.finish().map_err(|e| e.to_string())?;
    Ok((g, loss.value().ok_or("poisoned")?))
}

/// As [`check`], for a graph that is built and any way to differentiate it.
pub fn check_graph(name: &str, mut g: Graph, loss: Value, differentiate: Differentiate) -> Result<Checked, String> {
    let err = |e: crate::Error| format!("{name}: {e}");
    let mut values = draw(name, &g);
    let forward = g.clone();
    let parameters: Vec<NodeId> = (0..g.nodes.len()).filter(|&i| matches!(g.nodes[i].op, Op::Parameter(_))).collect();
    let wrt: Vec<Value> = parameters.iter().map(|&p| p.into()).collect();
    let grads = differentiate(&mut g, loss, &wrt).map_err(err)?;

    let roots: Vec<Value> = grads.iter().flatten().copied().chain([loss]).collect();
    let exact = run(&g, &values, &roots).map_err(err)?;
    let nodes = check_simplified(name, &g, &values, &roots, &exact)?;
    let narrow: HashMap<String, Data<f32>> = values.iter().map(|(k, v)| (k.clone(), super::narrowed(v))).collect();
    let narrow = evaluate(&forward, &|op| feed(op, &narrow), &[loss]).map_err(err)?[0].to_f64()[0];
    let wide = exact[roots.len() - 1][0];
    if (narrow - wide).abs() > 1e-5 * (1.0 + wide.abs()) {
        return Err(format!("{name}: the loss is {narrow} in f32 and {wide} in f64"));
    }

    let (mut next, mut ignored) = (exact.iter(), Vec::new());
    for (&p, grad) in parameters.iter().zip(&grads) {
        let parameter = leaf(&g.nodes[p].op).unwrap_or_default().to_string();
        let slopes = differences(&forward, &mut values, &parameter, loss).map_err(err)?;
        let Some(grad) = grad else {
            if slopes.iter().any(|&s| s != 0.0) {
                return Err(format!("{name}: `{parameter}` has no gradient, and the differences {slopes:?}"));
            }
            ignored.push(parameter);
            continue;
        };
        if g.shape(*grad) != g.shape(p.into()) {
            return Err(format!("{name}: `{parameter}` {} has a gradient {}", g.shape(p.into()), g.shape(*grad)));
        }
        let got = next.next().ok_or("a gradient was not evaluated")?;
        // 1e-9 is what is left of the loss' rounding after division by the step; not `>`, which lets NaN pass
        let close = |(got, want): (&f64, &f64)| (got - want).abs() <= 1e-9 + 1e-6 * want.abs();
        if !got.iter().zip(&slopes).all(close) {
            return Err(format!("{name}: the gradient of `{parameter}` is {got:?}, the differences are {slopes:?}"));
        }
        if slopes.iter().all(|s| s.abs() < 1e-5) {
            return Err(format!("{name}: every slope of `{parameter}` is 0, so this shows nothing"));
        }
    }
    Ok(Checked { nodes, ignored })
}

/// Both graphs give the same values, and the simplified one has no more to compute than the roots needed before.
fn check_simplified(name: &str, g: &Graph, values: &Feed, roots: &[Value], exact: &[Vec<f64>]) -> Result<(usize, usize), String> {
    let (small, small_roots) = simplify(g, roots).map_err(|e| format!("{name}: simplify: {e}"))?;
    for ((root, small_root), exact) in roots.iter().zip(&small_roots).zip(exact) {
        if g.ty(*root) != small.ty(*small_root) {
            return Err(format!("{name}: simplify makes {:?} of {:?}", small.ty(*small_root), g.ty(*root)));
        }
        let got = run(&small, values, &[*small_root]).map_err(|e| e.to_string())?;
        if !got[0].iter().zip(exact).all(|(a, b)| (a - b).abs() <= 1e-12 * (1.0 + b.abs())) {
            return Err(format!("{name}: simplified {:?}, before {exact:?}\n{g}\n{small}", got[0]));
        }
    }
    let (before, after) = (launches(g, &g.live(roots)), launches(&small, &vec![true; small.nodes.len()]));
    if after > before {
        return Err(format!("{name}: simplify makes {after} operations of {before}\n{g}\n{small}"));
    }
    if let Some(dead) = small.live(&small_roots).iter().position(|l| !l) {
        return Err(format!("{name}: simplify keeps %{dead}, which nothing reads\n{small}"));
    }
    Ok((g.nodes.len(), small.nodes.len()))
}

/// Operations that compute: a reshape or a repeat is a view, and a reduction takes one for each run of neighbouring axes.
fn launches(g: &Graph, live: &[bool]) -> usize {
    let cost = |op: &Op| match op {
        Op::Reshape(_) | Op::Broadcast(_) => 0,
        Op::Reduce(op::Reduce { axes, .. }) => axes.iter().filter(|&&a| !axes.contains(&(a + 1))).count(),
        _ => 1,
    };
    g.nodes.iter().zip(live).filter(|(_, live)| **live).map(|(n, _)| cost(&n.op)).sum()
}

type Feed = HashMap<String, Data<f64>>;

fn run(g: &Graph, values: &Feed, wanted: &[Value]) -> crate::Result<Vec<Vec<f64>>> {
    let out = evaluate(g, &|op| feed(op, values), wanted)?;
    Ok(out.iter().map(Data::to_f64).collect())
}

/// A leaf's values; random numbers are those of one batch, the same each time.
fn feed<T: Real>(op: &Op, values: &HashMap<String, Data<T>>) -> Option<Data<T>> {
    if let Op::Random(op::Random(d)) = op { Some(super::super::draw(d, 7, 3)) } else { values.get(leaf(op)?).cloned() }
}

fn leaf(op: &Op) -> Option<&str> {
    match op {
        Op::Parameter(op::Parameter { name, .. }) | Op::Buffer(op::Buffer { name, .. }) => Some(name),
        Op::Batch(op::Batch { field, .. }) => Some(&field.name),
        _ => None,
    }
}

/// The slope of the loss along each element of a parameter.
fn differences(g: &Graph, values: &mut Feed, parameter: &str, loss: Value) -> crate::Result<Vec<f64>> {
    let Some(Data::Real(middle)) = values.get(parameter).cloned() else { return Ok(vec![]) };
    let mut slopes = Vec::new();
    for i in 0..middle.len() {
        let h = 1e-5;
        let mut at = |x: f64| {
            let mut moved = middle.clone();
            moved[i] = x;
            values.insert(parameter.into(), Data::Real(moved));
            Ok(run(g, values, &[loss])?[0][0])
        };
        slopes.push((at(middle[i] + h)? - at(middle[i] - h)?) / (2.0 * h));
    }
    values.insert(parameter.into(), Data::Real(middle));
    Ok(slopes)
}

/// Values for every leaf. Parameters keep away from 0, where kinks and poles are.
fn draw(name: &str, g: &Graph) -> Feed {
    let mut values = Feed::new();
    for (id, node) in g.nodes.iter().enumerate() {
        let Some(leaf) = leaf(&node.op) else { continue };
        let mut rng = Philox::new(7, &format!("{name}/{leaf}"));
        let size = node.outputs[0].shape.size();
        let data = match &node.op {
            Op::Batch(_) if node.outputs[0].dtype == DType::U32 => {
                let classes = classes(g, id) as f64;
                Data::Integer((0..size).map(|_| (rng.uniform() * classes) as u32).collect())
            }
            Op::Batch(op::Batch { field, .. }) if field.one_hot.is_some() => {
                let p: Vec<f64> = (0..size).map(|_| 0.05 + rng.uniform()).collect();
                let rows = p.chunks(node.outputs[0].shape.last());
                Data::Real(rows.flat_map(|r| r.iter().map(|p| p / r.iter().sum::<f64>())).collect())
            }
            // among them variances
            Op::Buffer(_) => Data::Real((0..size).map(|_| 0.3 + rng.uniform()).collect()),
            Op::Batch(_) => Data::Real((0..size).map(|_| rng.normal()).collect()),
            _ => Data::Real((0..size).map(|_| (0.3 + rng.uniform()) * if rng.uniform() < 0.5 { -1.0 } else { 1.0 }).collect()),
        };
        values.insert(leaf.to_string(), data);
    }
    values
}

/// How many classes the reader of these labels has, or rows the table that they index.
fn classes(g: &Graph, labels: NodeId) -> usize {
    let read =
        |v: &Value| v.node == labels || matches!(&g.nodes[v.node], n if matches!(n.op, Op::Reshape(_)) && n.inputs[0].node == labels);
    if let Some(take) = g.nodes.iter().find(|n| matches!(n.op, Op::Take(_)) && read(&n.inputs[1])) {
        return g.shape(take.inputs[0])[0];
    }
    let reads =
        |op: &Op| matches!(op, Op::CrossEntropy(op) if op.labels.are_classes()) || matches!(op, Op::Accuracy(op) if op.0.are_classes());
    g.nodes.iter().find(|n| reads(&n.op) && read(&n.inputs[1])).map_or(1, |n| g.shape(n.inputs[0]).last())
}
