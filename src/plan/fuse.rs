//! Which nodes share a kernel: maps ride on the gemm, map or reduction that makes or takes their values.

use super::step::Step;
use crate::error::Result;
use crate::graph::{Graph, Kind, NodeId, Op, ReduceKind, Value, op};
use crate::kernels::{DIMS, Map};
use crate::portable::STORAGE_BUFFERS;
use crate::tensor::{DType, Shape};
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
    /// An operation with a kernel of its own, and the one map that may ride on the gradient of a loss.
    Alone(NodeId),
}

/// Nodes that become one kernel.
#[derive(Debug, Clone)]
pub struct Group {
    /// The kernel.
    pub core: Core,
    /// The maps, in order.
    pub maps: Vec<NodeId>,
    /// A sum over the rows of a gemm's first operand, which the gemm makes on the way.
    pub row_sum: Option<NodeId>,
    /// The shape that the maps run over.
    pub shape: Shape,
}

impl Group {
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let core = match self.core {
            Core::Maps => None,
            Core::Gemm(n) | Core::Reduce(n) | Core::Alone(n) => Some(n),
        };
        core.into_iter().chain(self.maps.iter().copied()).chain(self.row_sum)
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
    /// Movements that cost no launch: the maps that read them step through their operand.
    pub views: HashSet<NodeId>,
    /// Random numbers that cost no launch: every map that reads them draws them.
    pub drawn: HashSet<NodeId>,
}

/// An operand of a map: a value, and the movement through which the map reads it, with the number of the value among that movement's operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// The value.
    pub value: Value,
    /// The movement.
    pub through: Option<(NodeId, usize)>,
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
        random && (self.drawn.contains(&node) || group.maps.contains(&node))
    }

    /// What a node of a group reads, in its order. Random numbers read themselves.
    pub fn operands(&self, g: &Graph, node: NodeId) -> Vec<Operand> {
        if g.kind(node) == Kind::Random {
            return vec![Value::from(node).into()];
        }
        let moves = g.kind(node) == Kind::Move;
        let seen = |(i, &v): (usize, &Value)| match (moves, self.views.contains(&v.node)) {
            (true, _) => Operand { value: v, through: Some((node, i)) },
            (false, true) => Operand { value: g.nodes[v.node].inputs[0], through: Some((v.node, 0)) },
            (false, false) => v.into(),
        };
        g.nodes[node].inputs.iter().enumerate().map(seen).collect()
    }

    /// The value whose elements are read, behind reshapes and views.
    fn source(&self, g: &Graph, v: Value) -> Value {
        let v = g.base(v);
        if self.views.contains(&v.node) { g.base(g.nodes[v.node].inputs[0]) } else { v }
    }
}

/// The movements of one operand that only maps read: those read along strides.
fn views(g: &Graph, step: &Step) -> HashSet<NodeId> {
    let moves = |&id: &NodeId| g.kind(id) == Kind::Move && g.nodes[id].inputs.len() == 1 && g.ty(id.into()).dtype != DType::U32;
    let mut free: HashSet<NodeId> = (0..g.nodes.len()).filter(moves).collect();
    let others = g.nodes.iter().filter(|n| !matches!(n.op, Op::Map(_))).flat_map(|n| n.inputs.iter().copied());
    others.chain(step.roots()).for_each(|v| _ = free.remove(&v.node));
    free
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
    let (views, drawn) = (views(g, step), drawn(g, step));
    let mut f = Groups { groups: Vec::new(), owner: HashMap::new(), readers: HashMap::new(), roots, views, drawn };
    for (id, n) in g.nodes.iter().enumerate().filter(|(id, n)| n.op.kind() != Kind::Alias && !f.views.contains(id)) {
        for v in &n.inputs {
            let from = f.source(g, *v);
            f.readers.entry(from).or_default().push(id);
        }
    }
    for id in (0..g.nodes.len()).filter(|&id| !f.views.contains(&id) && !f.drawn.contains(&id)).collect::<Vec<_>>() {
        f.take_in(g, id);
    }
    f.sums_into_gemms(g);
    f.order(g);
    Ok(f)
}

impl Groups {
    /// Puts a node into a group of those before it, or begins one.
    fn take_in(&mut self, g: &Graph, id: NodeId) {
        let (own, operand) = (|| g.shape(id.into()).clone(), || g.shape(g.nodes[id].inputs[0]).clone());
        let (host, core, shape) = match g.kind(id) {
            // a graph that is planned was simplified: nothing is detached
            Kind::Leaf | Kind::Alias | Kind::Detach => return,
            Kind::Random | Kind::Cast | Kind::Move => (None, Core::Maps, own()),
            Kind::Map | Kind::Constant => (self.host_for_map(g, id), Core::Maps, own()),
            Kind::Reduce => (self.host_for_reduce(g, id), Core::Reduce(id), operand()),
            Kind::Product => (None, Core::Gemm(id), own()),
            Kind::Loss | Kind::Alone => (None, Core::Alone(id), operand()),
        };
        let at = host.unwrap_or(self.groups.len());
        if host.is_none() {
            self.groups.push(Group { core, maps: vec![], row_sum: None, shape });
        }
        match core {
            Core::Maps => self.groups[at].maps.push(id),
            Core::Gemm(_) | Core::Reduce(_) | Core::Alone(_) => self.groups[at].core = core,
        }
        self.owner.insert(id, at);
    }
}

impl Groups {
    /// The groups whose values a group reads.
    fn sources(&self, g: &Graph, group: usize) -> HashSet<usize> {
        let inputs = self.groups[group].nodes().flat_map(|n| &g.nodes[n].inputs);
        inputs.filter_map(|v| self.owner.get(&self.source(g, *v).node)).copied().filter(|&o| o != group).collect()
    }

    /// Whether group `a` needs what group `b` makes, however indirectly.
    fn depends(&self, g: &Graph, a: usize, b: usize) -> bool {
        let (mut todo, mut seen) = (vec![a], HashSet::new());
        while let Some(x) = todo.pop() {
            if x == b {
                return true;
            }
            if seen.insert(x) {
                todo.extend(self.sources(g, x));
            }
        }
        false
    }

    /// The latest group that this map can ride on.
    fn host_for_map(&self, g: &Graph, map: NodeId) -> Option<usize> {
        let sources: HashSet<usize> =
            g.nodes[map].inputs.iter().filter_map(|v| self.owner.get(&self.source(g, *v).node)).copied().collect();
        let mut hosts: Vec<usize> = sources.iter().copied().filter(|&h| self.fits(g, h, map)).collect();
        hosts.retain(|&h| sources.iter().all(|&s| s == h || !self.depends(g, s, h)));
        hosts.into_iter().max()
    }

    /// Whether a map can be appended to a group, looking at shapes and buffers alone.
    fn fits(&self, g: &Graph, host: usize, map: NodeId) -> bool {
        let group = &self.groups[host];
        let (shape, own) = (&group.shape, g.shape(map.into()));
        if let Core::Alone(core) = group.core {
            return group.maps.is_empty() && self.rides_on_loss(g, core, map);
        }
        if matches!(group.core, Core::Reduce(_)) || shape.size() != own.size() {
            return false;
        }
        for v in &g.nodes[map].inputs {
            let inside = self.owner.get(&self.source(g, *v).node) == Some(&host);
            // a view steps through a whole buffer, along the axes of this very shape
            if self.views.contains(&v.node) && (inside || shape != own || group.core != Core::Maps) {
                return false;
            }
            let flat = g.shape(*v).size() == own.size();
            // a kernel has its own results at hand element for element only; operands of another shape but equal size are read so, too
            let one = g.shape(*v).size() == 1;
            // a gemm's epilogue steps along one batch axis only
            let deep = matches!(group.core, Core::Gemm(_)) && own.rank() > 3;
            if (inside && !flat) || ((shape != own || deep) && !flat && !one) {
                return false;
            }
        }
        let mut trial = group.clone();
        trial.maps.push(map);
        let core = if let Core::Gemm(_) = group.core { 3 } else { 0 };
        let (inputs, outputs) = (self.map_inputs(g, &trial), self.outputs(&trial).len());
        let windows = inputs.iter().filter(|o| o.through.is_some()).count();
        let draws = inputs.iter().filter(|o| self.is_drawn(g, &trial, **o)).count();
        let stored = inputs.len() - draws;
        let words = Map::words(shape.rank(), stored - windows, windows, draws, outputs);
        // only a map's own kernel draws
        (core == 0 || draws == 0) && core + stored + outputs <= STORAGE_BUFFERS && words <= DIMS
    }

    /// Whether a map reads the gradient that a loss makes, as its only reader, and beside it one number of the state.
    fn rides_on_loss(&self, g: &Graph, loss: NodeId, map: NodeId) -> bool {
        let slope = Value { node: loss, output: 1 };
        let inputs = &g.nodes[map].inputs;
        let number = |v: &Value| matches!(g.nodes[v.node].op, Op::State(_));
        let alone = self.readers.get(&slope).is_some_and(|r| r.iter().all(|n| *n == map)) && !self.roots.contains(&slope);
        let numbers = inputs.iter().filter(|v| number(v)).count();
        let slopes = inputs.iter().filter(|v| g.base(**v) == slope).count();
        let kinds = (g.kind(loss), g.kind(map)) == (Kind::Loss, Kind::Map);
        kinds && alone && (numbers, slopes) == (1, 1) && inputs.len() == 2
    }

    /// The group of maps whose one result only this reduction reads.
    fn host_for_reduce(&self, g: &Graph, reduce: NodeId) -> Option<usize> {
        let v = g.base(g.nodes[reduce].inputs[0]);
        let host = *self.owner.get(&v.node)?;
        let group = &self.groups[host];
        let alone = !self.roots.contains(&v) && self.readers[&v] == [reduce] && self.outputs(group) == [v];
        let shape = g.shape(g.nodes[reduce].inputs[0]);
        let inputs = self.map_inputs(g, group);
        let drawn = inputs.iter().any(|i| self.is_drawn(g, group, *i));
        let real = inputs.iter().all(|i| g.ty(i.value).dtype != DType::U32);
        let plain =
            real && !drawn && inputs.iter().all(|i| i.through.is_none() && (g.shape(i.value) == shape || g.shape(i.value).size() == 1));
        // the launch that joins the pieces of a long mean reads the first term again, beside the sums
        let shifted = matches!(g.nodes[reduce].op, Op::Reduce(op::Reduce { kind: ReduceKind::MeanFromFirst, .. }));
        let most = STORAGE_BUFFERS - usize::from(shifted);
        (group.core == Core::Maps && alone && plain && group.shape == *shape && inputs.len() < most).then_some(host)
    }

    /// A bias' gradient sums what the weight's gradient multiplies: the gemm makes both.
    fn sums_into_gemms(&mut self, g: &Graph) {
        for r in 0..self.groups.len() {
            let Core::Reduce(node) = self.groups[r].core else { continue };
            let Op::Reduce(op::Reduce { kind: ReduceKind::Sum, axes, .. }) = &g.nodes[node].op else { continue };
            let input = g.nodes[node].inputs[0];
            if !self.groups[r].maps.is_empty() || axes != &[0] || g.shape(input).rank() != 2 {
                continue;
            }
            let gemm = (0..self.groups.len()).find(|&k| {
                let Core::Gemm(m) = self.groups[k].core else { return false };
                let a = g.nodes[m].inputs[0];
                matches!(g.nodes[m].op, Op::MatMul(op::MatMul { ta: true, .. }))
                    && g.base(a) == g.base(input)
                    && g.shape(a) == g.shape(input)
                    && self.groups[k].row_sum.is_none()
                    && !self.depends(g, k, r)
            });
            if let Some(k) = gemm {
                self.groups[k].row_sum = Some(node);
                self.owner.insert(node, k);
                self.groups[r].maps.clear();
                self.groups[r].core = Core::Maps; // empty: dropped by `order`
            }
        }
    }

    /// Launch order: every group after those it reads from, otherwise as the nodes came.
    fn order(&mut self, g: &Graph) {
        let first = |k: &Group| k.nodes().min();
        let mut left: Vec<usize> = (0..self.groups.len()).filter(|&k| first(&self.groups[k]).is_some()).collect();
        left.sort_by_key(|&k| self.groups[k].nodes().max());
        let mut done: Vec<usize> = Vec::new();
        while !left.is_empty() {
            let next = left.iter().position(|&k| self.sources(g, k).iter().all(|s| done.contains(s))).unwrap_or(0);
            done.push(left.remove(next));
        }
        self.groups = done.iter().map(|&k| self.groups[k].clone()).collect();
        self.owner = self.groups.iter().enumerate().flat_map(|(i, k)| k.nodes().map(move |n| (n, i))).collect();
    }
}
