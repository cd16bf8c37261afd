//! Which nodes share a kernel: maps ride on the gemm, map or reduction that makes or takes their values.

mod fuser;
mod needs;
mod rows;
mod sums;
mod unite;

pub use rows::{Read, Reads, Rows};
pub use sums::results;

use self::fuser::Fuser;
use super::axes::steps_over;
use super::step::Step;
use super::views::Views;
use crate::error::Result;
use crate::graph::{Graph, Kind, NodeId, Op, Value};
use crate::kernels::{PadBox, Strided};
use crate::tensor::Shape;
use std::collections::{HashMap, HashSet};

/// The kernel of a group, which its maps ride on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Core {
    /// Maps alone.
    Maps,
    /// A matmul with maps behind it.
    Gemm(NodeId),
    /// A reduction with maps before it.
    Reduce(NodeId),
    /// Maps, reductions and softmaxes along rows of so many values.
    Row(usize),
    /// An operation with a kernel of its own, and the one map that may ride on the gradient of a loss.
    Alone(NodeId),
}

/// Nodes that become one kernel.
#[derive(Debug, Clone)]
pub struct Group {
    /// The kernel.
    pub core: Core,
    /// The maps, in order; of a row kernel all that it computes.
    pub maps: Vec<NodeId>,
    /// A sum over the rows of a gemm's first operand, which the gemm makes on the way.
    pub row_sum: Option<NodeId>,
    /// Further reductions of the same extents, which the launch of the first makes too.
    pub sums: Vec<NodeId>,
    /// The shape that the maps run over.
    pub shape: Shape,
}

impl Group {
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let core = match self.core {
            Core::Maps | Core::Row(_) => None,
            Core::Gemm(n) | Core::Reduce(n) | Core::Alone(n) => Some(n),
        };
        core.into_iter().chain(self.maps.iter().copied()).chain(self.row_sum).chain(self.sums.iter().copied())
    }
}

/// The groups in launch order, and the readers of each value.
#[derive(Debug, Default)]
pub struct Groups {
    /// In launch order.
    pub groups: Vec<Group>,
    /// The group that makes a node's values.
    pub owner: HashMap<NodeId, usize>,
    /// The nodes that read a value.
    pub readers: HashMap<Value, Vec<NodeId>>,
    /// Values that outlive the step's kernels.
    pub roots: HashSet<Value>,
    /// Movements that cost no launch.
    pub views: Views,
    /// Random numbers that cost no launch: every map that reads them draws them.
    pub drawn: HashSet<NodeId>,
}

/// An operand of a map: a value that lies in a buffer, and how the map sees its elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Operand {
    /// The value.
    pub value: Value,
    /// In other places than in order.
    pub through: Option<Through>,
}

/// What a map sees an operand through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Through {
    /// This value, which is made without a kernel.
    View(Value),
    /// The movement that the map is, as its operand of this number.
    Own(NodeId, usize),
}

impl From<Value> for Operand {
    fn from(value: Value) -> Self {
        Operand { value, through: None }
    }
}

impl Groups {
    /// The values of a group that someone outside needs, in order.
    pub fn outputs(&self, group: &Group) -> Vec<Value> {
        let inside: HashSet<NodeId> = group.nodes().collect();
        let needed = |v: &Value| self.roots.contains(v) || self.readers.get(v).is_some_and(|r| r.iter().any(|n| !inside.contains(n)));
        let core = if let Core::Gemm(n) = group.core { Some(n) } else { None };
        core.into_iter().chain(group.maps.iter().copied()).map(Value::from).filter(needed).collect()
    }

    /// The reductions of a group of them.
    pub fn reductions(group: &Group) -> Vec<NodeId> {
        let first = if let Core::Reduce(n) = group.core { Some(n) } else { None };
        first.into_iter().chain(group.sums.iter().copied()).collect()
    }

    /// What a reduction without maps before it reads.
    pub fn reduced(&self, g: &Graph, reduce: NodeId) -> Operand {
        self.operands(g, reduce)[0]
    }

    /// The operands that reductions read from outside, with the maps before them: each once.
    pub fn sum_inputs(&self, g: &Graph, group: &Group) -> Vec<Operand> {
        let mut all = if group.maps.is_empty() { vec![] } else { self.map_inputs(g, group) };
        for n in Self::reductions(group) {
            let o = self.reduced(g, n);
            if !group.maps.contains(&g.base(g.nodes[n].inputs[0]).node) && !all.contains(&o) {
                all.push(o);
            }
        }
        all
    }

    /// The operands that a group's maps read from outside, each once; then those that they draw.
    pub fn map_inputs(&self, g: &Graph, group: &Group) -> Vec<Operand> {
        let inside: HashSet<NodeId> = group.nodes().collect();
        let mut out = Vec::new();
        for o in group.maps.iter().flat_map(|&m| self.operands(g, m)) {
            if (!inside.contains(&g.base(o.value).node) || self.is_drawn(g, group, o)) && !out.contains(&o) {
                out.push(o);
            }
        }
        // in their order otherwise
        out.sort_by_key(|o| self.is_drawn(g, group, *o));
        out
    }

    /// Whether a group's kernel draws an operand itself. It also does so where it stores the numbers for other kernels.
    pub fn is_drawn(&self, g: &Graph, group: &Group, o: Operand) -> bool {
        let node = g.base(o.value).node;
        let random = o.through.is_none() && g.kind(node) == Kind::Random;
        // random numbers ride on nothing, so that those of a group come first in it
        random && (self.drawn.contains(&node) || group.maps.first() == Some(&node))
    }

    /// What a node of a group reads, in its order. Random numbers read themselves.
    pub fn operands(&self, g: &Graph, node: NodeId) -> Vec<Operand> {
        if g.kind(node) == Kind::Random {
            return vec![Value::from(node).into()];
        }
        let moves = g.kind(node) == Kind::Move;
        let seen = |(i, &v): (usize, &Value)| match (moves, self.views.sees(g, v)) {
            (true, _) => Operand { value: self.views.source(g, v), through: Some(Through::Own(node, i)) },
            (false, true) => Operand { value: self.views.source(g, v), through: Some(Through::View(v)) },
            (false, false) => v.into(),
        };
        g.nodes[node].inputs.iter().enumerate().map(seen).collect()
    }

    /// An operand as it is read over a shape, from its first element on.
    pub fn strided(&self, g: &Graph, o: Operand, shape: &Shape) -> Strided {
        let (read, from) = match o.through {
            None => return Strided::new(0, steps_over(g.shape(o.value), shape)),
            Some(Through::View(v)) => (self.views.resolve(g, v), g.shape(v)),
            Some(Through::Own(node, i)) => (self.views.through(g, node, i), g.shape(node.into())),
        };
        // a view is one because steps lead through it
        repeated(read.unwrap_or_else(|| Strided::new(0, from.strides())), from, shape)
    }

    /// The value whose elements are read, behind reshapes and views.
    fn source(&self, g: &Graph, v: Value) -> Value {
        self.views.source(g, v)
    }
}

/// What is read over `from`, read over a shape that `from` broadcasts to.
fn repeated(read: Strided, from: &Shape, to: &Shape) -> Strided {
    let skip = to.rank() - from.rank();
    let kept = |i: usize| (i >= skip && from[i - skip] == to[i]).then(|| i - skip);
    let each = |of: &dyn Fn(usize, usize) -> usize, other: &dyn Fn(usize) -> usize| -> Vec<usize> {
        (0..to.rank()).map(|i| kept(i).map_or_else(|| other(i), |k| of(i, k))).collect()
    };
    let pad =
        read.pad.map(|w| PadBox { before: each(&|_, k| w.before[k], &|_| 0), size: each(&|_, k| w.size[k], &|i| to[i]), fill: w.fill });
    Strided { offset: read.offset, strides: each(&|_, k| read.strides[k], &|_| 0), pad }
}

/// The random numbers that only maps of their own size read, element for element.
fn drawn(g: &Graph, step: &Step) -> HashSet<NodeId> {
    let mut free: HashSet<NodeId> = (0..g.nodes.len()).filter(|&id| g.kind(id) == Kind::Random).collect();
    for n in g.nodes.iter().filter(|n| n.op.kind() != Kind::Alias) {
        let alike = |v: &Value| matches!(n.op, Op::Map(_)) && g.shape(*v).size() == n.outputs[0].shape.size();
        n.inputs.iter().filter(|v| !alike(v)).for_each(|v| _ = free.remove(&g.base(*v).node));
    }
    step.roots().iter().for_each(|v| _ = free.remove(&g.base(*v).node));
    free
}

/// Groups the nodes of a step.
pub fn fuse(step: &Step) -> Result<Groups> {
    let g = &step.graph;
    let roots = step.roots().into_iter().map(|v| g.base(v)).collect();
    let (views, drawn) = (Views::of(step), drawn(g, step));
    let mut f = Groups { groups: Vec::new(), owner: HashMap::new(), readers: HashMap::new(), roots, views, drawn };
    for (id, n) in g.nodes.iter().enumerate().filter(|(id, n)| n.op.kind() != Kind::Alias && !f.views.contains(*id)) {
        for v in &n.inputs {
            let from = f.source(g, *v);
            f.readers.entry(from).or_default().push(id);
        }
    }
    let mut fuser = Fuser::new(g, f);
    (0..g.nodes.len()).for_each(|id| fuser.take_in(id));
    fuser.join_rows();
    fuser.sums_into_gemms();
    fuser.sums_together();
    Ok(fuser.ordered())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, Field, Precision, Var, gradients};
    use crate::nn::{BatchNorm1d, Linear, Scope};
    use crate::tensor::DType;

    /// A training step of as many blocks, one behind the other.
    fn deep(blocks: usize, block: impl Fn(&Scope, &Var) -> Var) -> Step {
        let b = Builder::new();
        let (dtype, shift) = (DType::F32, 0.0);
        let field = Field { shift, ..Field::new("x", dtype, [4]) };
        let scope = Scope::root(&b, true);
        let x = b.batch(4, field);
        let loss = (0..blocks).fold(x, |x, i| block(&scope.at(i), &x)).square().mean().value().unwrap();
        let made = scope.parameters();
        let wrt: Vec<Value> = made.iter().filter_map(|(_, v)| v.value()).collect();
        let mut graph = b.finish().unwrap();
        let found = gradients(&mut graph, loss, &wrt).unwrap();
        let gradients = made.iter().zip(found).filter_map(|((p, _), g)| Some((p.name.clone(), g?))).collect();
        let (metrics, outputs, updates, precision) = (vec![], vec![], vec![], Precision::F32);
        let step = Step { graph, loss: Some(loss), gradients, weight: None, metrics, outputs, updates, precision };
        step.rewritten().unwrap()
    }

    /// Batch normalisation sums what its backward pass needs of one operand in one launch.
    #[test]
    fn sums_of_one_operand_are_one_launch() {
        let step = deep(2, |s, x| s.at("norm").call(&BatchNorm1d::new(), x).tanh());
        let groups = fuse(&step).unwrap();
        let sums: Vec<usize> = groups.groups.iter().map(|g| Groups::reductions(g).len()).filter(|n| *n > 0).collect();
        let single = step.graph.nodes.iter().filter(|n| n.op.kind() == Kind::Reduce).count();
        assert!(sums.iter().sum::<usize>() == single && sums.iter().any(|n| *n > 1), "{sums:?} of {single}");
    }

    /// Launches of what is made of two operands, a row and a matrix.
    fn launches(of: impl Fn(&Var, &Var, &Var, &Var) -> Vec<Var>) -> usize {
        let b = Builder::new();
        let [x, y] = ["x", "y"].map(|n| b.parameter(n, [4, 6].into()));
        let made = of(&x, &y, &b.parameter("s", [6].into()), &b.parameter("w", [6, 6].into()));
        let outputs = made.iter().enumerate().map(|(i, v)| (format!("{i}"), v.value().unwrap())).collect();
        let (gradients, metrics, updates, precision) = (vec![], vec![], vec![], Precision::F32);
        let step = Step { graph: b.finish().unwrap(), loss: None, gradients, weight: None, metrics, outputs, updates, precision };
        fuse(&step.rewritten().unwrap()).unwrap().groups.len()
    }

    /// A map that leaves a product never becomes a launch of its own: one sum takes it along, or it stays.
    #[test]
    fn maps_leave_products_only_for_who_takes_them() {
        let product = |x: &Var, w: &Var| x.matmul(w);
        // one sum
        assert_eq!(launches(|x, y, _, w| vec![(product(x, w) * y).sum_axes(&[0]), product(x, w).matmul(w)]), 3);
        // one sum of what other maps make, which a product reads
        let map = |x: &Var, y: &Var| (x + y).tanh();
        assert_eq!(launches(|x, y, s, w| vec![(map(x, y) * s).sum_axes(&[0]), map(x, y).matmul(w)]), 3);
        // two
        let two = |x: &Var, y: &Var, w: &Var| {
            let (h, m) = (product(x, w), product(x, w) * y);
            vec![m.sum_axes(&[0]), m.sum_axes(&[1]), h.matmul(w)]
        };
        assert_eq!(launches(|x, y, _, w| two(x, y, w)), 4);
        // a sum that goes another way than the row lies
        assert_eq!(launches(|x, y, _, w| vec![(product(x, w) * y).reshape([2, 12]).sum_axes(&[1]), product(x, w).matmul(w)]), 3);
        // a map that rides on the same product, and one that rides on the next
        assert_eq!(launches(|x, y, s, w| vec![(product(x, w) * s + y).tanh(), product(x, w).matmul(w)]), 2);
        assert_eq!(launches(|x, _, s, w| vec![product(x, w) * s + product(x, w).matmul(w).relu(), product(x, w).sum_axes(&[0])]), 3);
    }

    /// Mean and variance of a batch are one launch, which reads it once; no launch makes squares.
    #[test]
    fn statistics_are_one_launch() {
        let by_hand = |s: &Scope, x: &Var| {
            let centred = s.at("fc").call(&Linear::new(4), x).tanh();
            let centred = &centred - centred.mean_from_first(&[0]);
            let var = centred.square().mean_keep(&[0]);
            centred / (var + 1e-5).sqrt()
        };
        let layer = |s: &Scope, x: &Var| {
            let norm = BatchNorm1d::new().affine(false).track_running_stats(false);
            s.at("norm").call(&norm, &s.at("fc").call(&Linear::new(4), x).tanh())
        };
        let groups = |step: &Step| fuse(step).unwrap().groups;
        let (by_hand, layer) = (deep(1, by_hand), deep(1, layer));
        let kinds = |step: &Step, group: &Group| -> Vec<String> {
            Groups::reductions(group).iter().map(|&n| step.graph.nodes[n].op.name().to_string()).collect()
        };
        let found = groups(&layer);
        assert!(found.iter().any(|g| kinds(&layer, g) == ["mean", "variance"]), "{found:?}");
        assert!(found.len() < groups(&by_hand).len(), "{} launches for {} by hand", found.len(), groups(&by_hand).len());
    }

    /// What it costs to ask which group needs which grows with the nodes and no faster. Counted, not timed.
    #[test]
    fn deep_models_are_fused_in_linear_time() {
        type Block = fn(&Scope, &Var) -> Var;
        let blocks: [(&str, Block); 4] = [
            ("layers", |s, x| s.at("fc").call(&Linear::new(4), x).tanh()),
            ("residuals", |s, x| x + s.at("fc").call(&Linear::new(4), x).relu() * 0.1),
            ("norms", |s, x| x + s.at("norm").call(&BatchNorm1d::new(), &s.at("fc").call(&Linear::new(4), x)).relu()),
            ("gates", |s, x| {
                let gate = s.at("gate").call(&Linear::new(4), x).sigmoid();
                &gate * x + (1.0 - &gate) * s.at("fc").call(&Linear::new(4), x).softmax()
            }),
        ];
        for (name, block) in blocks {
            let step = deep(1000, block);
            needs::STEPS.set(0);
            let groups = fuse(&step).unwrap().groups.len();
            let steps = needs::STEPS.get();
            assert!(groups > 2500 && steps < 3 * step.graph.nodes.len(), "{name}: {steps} steps for {} nodes", step.graph.nodes.len());
        }
    }
}
