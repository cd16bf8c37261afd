//! How groups grow: each node in turn joins a group of those before it, or begins one.

use super::needs::Needs;
use super::sums::results;
use super::{Core, Group, Groups, Operand};
use crate::graph::op::ConvPart;
use crate::graph::{Graph, Kind, NodeId, Op, ReduceKind, Value, op};
use crate::kernels::{DIMS, Gemm, Map, Strided};
use crate::plan::axes::lies_alike;
use crate::plan::views::{Factor, along, matrix_steps};
use crate::portable::STORAGE_BUFFERS;
use crate::tensor::{DType, Shape};
use std::collections::{HashMap, HashSet};

/// Groups while they grow. What a group is asked for with each node is kept beside it, so that no question walks through all of its maps.
pub(super) struct Fuser<'a> {
    pub(super) g: &'a Graph,
    pub(super) f: Groups,
    pub(super) needs: Needs,
    pub(super) held: Vec<Held>,
    /// How many readers of a value lie outside of its group; of products and maps.
    outside: HashMap<Value, usize>,
}

/// What a group reads and makes so far.
#[derive(Default)]
pub(super) struct Held {
    /// The operands that its maps read from outside or draw, each once.
    pub inputs: Vec<Operand>,
    /// How many values someone outside needs.
    pub outputs: usize,
}

impl<'a> Fuser<'a> {
    pub(super) fn new(g: &'a Graph, f: Groups) -> Self {
        Fuser { g, f, needs: Needs::default(), held: Vec::new(), outside: HashMap::new() }
    }

    /// Puts a node into a group of those before it, or begins one.
    pub(super) fn take_in(&mut self, id: NodeId) {
        let g = self.g;
        if self.f.views.contains(id) || self.f.drawn.contains(&id) {
            return;
        }
        let (own, operand) = (|| g.shape(id.into()).clone(), || g.shape(g.nodes[id].inputs[0]).clone());
        let sources = self.sources(id);
        let (host, core, shape) = match g.kind(id) {
            // a graph that is planned was simplified: nothing is detached
            Kind::Leaf | Kind::Alias | Kind::Detach => return,
            Kind::Random | Kind::Cast | Kind::Move => (None, Core::Maps, own()),
            Kind::Map | Kind::Constant => (self.host_for_map(id, &sources), Core::Maps, own()),
            Kind::Reduce => (self.host_for_reduce(id), Core::Reduce(id), operand()),
            Kind::Product => (None, Core::Gemm(id), own()),
            Kind::Loss | Kind::Window | Kind::Alone => (None, Core::Alone(id), operand()),
        };
        let at = host.unwrap_or(self.f.groups.len());
        match host {
            None => {
                self.f.groups.push(Group { core, maps: vec![], row_sum: None, sums: vec![], shape });
                self.held.push(Held::default());
                self.needs.add(&sources);
            }
            Some(host) => self.needs.read(host, &sources),
        }
        match core {
            Core::Maps => self.f.groups[at].maps.push(id),
            Core::Gemm(_) | Core::Reduce(_) | Core::Row(_) | Core::Alone(_) => self.f.groups[at].core = core,
        }
        self.f.owner.insert(id, at);
        self.count(id, at, core);
        if core == Core::Maps {
            self.unite(id, at, &sources);
        }
    }

    /// Notes what a node that has joined a group reads and makes.
    fn count(&mut self, id: NodeId, at: usize, core: Core) {
        for v in &self.g.nodes[id].inputs {
            let v = self.f.source(self.g, *v);
            let inside = self.f.owner.get(&v.node) == Some(&at);
            if let Some(left) = self.outside.get_mut(&v).filter(|_| inside) {
                *left -= 1;
                self.held[at].outputs -= usize::from(*left == 0 && !self.f.roots.contains(&v));
            }
        }
        if let Core::Maps | Core::Gemm(_) = core {
            let readers = self.f.readers.get(&Value::from(id)).map_or(0, Vec::len);
            self.outside.insert(id.into(), readers);
            self.held[at].outputs += usize::from(self.is_needed(id));
        }
        if core == Core::Maps {
            let new = self.new_inputs(at, id);
            self.held[at].inputs.extend(new);
        }
    }

    /// Whether anyone needs the value of a node that stands in no group yet.
    fn is_needed(&self, id: NodeId) -> bool {
        let v = Value::from(id);
        self.f.roots.contains(&v) || self.f.readers.contains_key(&v)
    }

    /// What a group would read from outside or draw, beside what it does, with this map.
    fn new_inputs(&self, host: usize, map: NodeId) -> Vec<Operand> {
        let (g, group, known) = (self.g, &self.f.groups[host], &self.held[host].inputs);
        let mut new: Vec<Operand> = Vec::new();
        for o in self.f.operands(g, map) {
            let inside = self.f.owner.get(&g.base(o.value).node) == Some(&host);
            if (!inside || self.f.is_drawn(g, group, o)) && !known.contains(&o) && !new.contains(&o) {
                new.push(o);
            }
        }
        new
    }

    /// How many values of a group someone outside would need, with this map.
    fn outputs_with(&self, host: usize, map: NodeId) -> usize {
        let mut read: Vec<Value> = self.g.nodes[map].inputs.iter().map(|v| self.f.source(self.g, *v)).collect();
        read.retain(|v| self.f.owner.get(&v.node) == Some(&host) && !self.f.roots.contains(v));
        read.sort_unstable_by_key(|v| (v.node, v.output));
        let ended = read.chunk_by(|a, b| a == b).filter(|same| self.outside.get(&same[0]) == Some(&same.len())).count();
        self.held[host].outputs + usize::from(self.is_needed(map)) - ended
    }

    /// The groups whose values a node reads, each once.
    fn sources(&self, id: NodeId) -> Vec<usize> {
        let mut all: Vec<usize> =
            self.g.nodes[id].inputs.iter().filter_map(|v| self.f.owner.get(&self.f.source(self.g, *v).node)).copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The latest group that this map can ride on, of those that it reads.
    fn host_for_map(&mut self, map: NodeId, sources: &[usize]) -> Option<usize> {
        let host =
            sources.iter().rev().copied().find(|&h| self.fits(h, map) && sources.iter().all(|&s| s == h || !self.needs.depends(s, h)))?;
        (!self.belongs_to_reader(host, map)).then_some(host)
    }

    /// Whether a map would only add a result to a product or to other maps: it is light, what it is made of is stored anyway, and one sum reads it, or a map
    /// behind the product, which makes it as it goes. So are the gradient that batch normalisation scales, and its product with deviations.
    fn belongs_to_reader(&self, host: usize, map: NodeId) -> bool {
        let (g, f, size) = (self.g, &self.f, |v: Value| self.g.shape(v).size());
        let (core, Op::Map(op::Map(formula))) = (f.groups[host].core, &g.nodes[map].op) else { return false };
        if !matches!(core, Core::Gemm(_) | Core::Maps) {
            return false;
        }
        let own = Value::from(map);
        let Some(&[reader]) = f.readers.get(&own).map(Vec::as_slice) else { return false };
        let mut large = g.nodes[map].inputs.iter().map(|v| f.source(g, *v)).filter(|v| size(*v) == size(own));
        let within = |v: &Value| f.owner.get(&v.node) == Some(&host);
        let elsewhere = |n: &NodeId| *n != map && matches!(g.kind(*n), Kind::Reduce | Kind::Product);
        let stored = |v: Value| f.readers.get(&v).is_some_and(|r| r.iter().any(elsewhere));
        if f.roots.contains(&own) || !formula.is_light() || !large.clone().filter(within).all(stored) {
            return false;
        }
        match &g.nodes[reader].op {
            Op::Reduce(op) => {
                let takes = |o| self.sums_take(host, o, g.shape(own), op);
                g.nodes[reader].inputs[0] == own && f.operands(g, map).into_iter().all(takes)
            }
            // a reader that can ride on a product would find it there, or in memory, at no cost
            Op::Map(_) => match core {
                Core::Gemm(product) => {
                    size(reader.into()) == size(own) && large.all(|v| within(&v)) && self.waits_for_sums(reader, host, product)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether a map reads what sums of this product's results have made: it rides on none of it.
    fn waits_for_sums(&self, map: NodeId, host: usize, product: NodeId) -> bool {
        const MOST: usize = 64;
        let mut open = vec![(map, false)];
        let mut met = HashSet::new();
        while let Some((n, summed)) = open.pop().filter(|_| met.len() < MOST) {
            if self.f.owner.get(&n) == Some(&host) {
                if summed {
                    return true;
                }
                continue;
            }
            // nodes before the product know nothing of it
            let before = self.g.nodes[n].inputs.iter().map(|v| v.node).filter(|&i| i >= product);
            let summed = summed || self.g.kind(n) == Kind::Reduce;
            open.extend(before.map(|i| (i, summed)).filter(|&next| met.insert(next)));
        }
        false
    }

    /// Whether a map can be appended to a group, looking at shapes and buffers alone.
    fn fits(&self, host: usize, map: NodeId) -> bool {
        let (g, f, group) = (self.g, &self.f, &self.f.groups[host]);
        let (shape, own) = (&group.shape, g.shape(map.into()));
        if let Core::Alone(core) = group.core {
            return group.maps.is_empty() && self.rides_on_loss(core, map);
        }
        if matches!(group.core, Core::Reduce(_)) || shape.size() != own.size() {
            return false;
        }
        for v in &g.nodes[map].inputs {
            let inside = f.owner.get(&f.source(g, *v).node) == Some(&host);
            // a view steps through a whole buffer, along the axes of this very shape
            if f.views.sees(g, *v) && (inside || shape != own) {
                return false;
            }
            // a kernel has its own results at hand element for element only; operands of another shape but equal size are read so, too
            let flat = g.shape(*v).size() == own.size();
            if (inside && !flat) || !lies_alike(g.shape(*v), own, shape) {
                return false;
            }
        }
        let (new, outputs) = (self.new_inputs(host, map), self.outputs_with(host, map));
        let inputs = || self.held[host].inputs.iter().chain(&new);
        let windows = inputs().filter(|o| o.through.is_some()).count();
        let draws = inputs().filter(|o| f.is_drawn(g, group, **o)).count();
        let stored = inputs().count() - draws;
        match group.core {
            Core::Gemm(product) => {
                let read: Vec<Strided> = inputs().filter(|o| !f.is_drawn(g, group, **o)).map(|o| f.strided(g, *o, shape)).collect();
                let conv = matches!(g.nodes[product].op, Op::Conv(_));
                let words = Gemm::words(stored, draws, outputs) + if conv { Gemm::PATCHES } else { 0 };
                // both factors, the sums of rows that may come along, and the tables of patches
                let room = 3 + usize::from(conv) + stored + outputs <= STORAGE_BUFFERS && words <= DIMS;
                room && read.iter().all(|r| r.pad.is_none()) && self.counts(product, read, draws)
            }
            _ => stored + outputs <= STORAGE_BUFFERS && Map::words(shape.rank(), stored - windows, windows, draws, outputs) <= DIMS,
        }
    }

    /// Whether a product's kernel can count the axes of its result with such operands beside its factors.
    fn counts(&self, product: NodeId, read: Vec<Strided>, draws: usize) -> bool {
        let op = match &self.g.nodes[product].op {
            Op::MatMul(op) => op,
            // draws count the result's elements one by one, and groups do not make them so
            Op::Conv(op) if op.groups > 1 && draws > 0 => return false,
            Op::Conv(op) if op.part == ConvPart::Data && op.rests() > 1 => return false,
            _ => return read.iter().all(|r| matrix_steps(self.g, product, &r.strides).is_some()),
        };
        let [Some(left), Some(right)] = Factor::of(self.g, &self.f.views, product, op) else { return false };
        let riding: Vec<Vec<usize>> = read.into_iter().map(|r| r.strides).collect();
        Factor::axes(&left, &right, self.g.shape(product.into()), &riding).is_some()
    }

    /// Whether a map reads the gradient that a loss makes, as its only reader, and beside it one number of the state.
    fn rides_on_loss(&self, loss: NodeId, map: NodeId) -> bool {
        let g = self.g;
        let slope = Value { node: loss, output: 1 };
        let inputs = &g.nodes[map].inputs;
        let number = |v: &Value| matches!(g.nodes[v.node].op, Op::State(_));
        let alone = self.f.readers.get(&slope).is_some_and(|r| r.iter().all(|n| *n == map)) && !self.f.roots.contains(&slope);
        let numbers = inputs.iter().filter(|v| number(v)).count();
        let slopes = inputs.iter().filter(|v| g.base(**v) == slope).count();
        let kinds = (g.kind(loss), g.kind(map)) == (Kind::Loss, Kind::Map);
        kinds && alone && (numbers, slopes) == (1, 1) && inputs.len() == 2
    }

    /// The group of maps whose one result only this reduction reads.
    fn host_for_reduce(&self, reduce: NodeId) -> Option<usize> {
        let (g, f) = (self.g, &self.f);
        let v = g.base(g.nodes[reduce].inputs[0]);
        let host = *f.owner.get(&v.node)?;
        let (group, held) = (&f.groups[host], &self.held[host]);
        // its reader lies outside, so that the one result is this value
        let alone = !f.roots.contains(&v) && f.readers[&v] == [reduce] && held.outputs == 1;
        let shape = g.shape(g.nodes[reduce].inputs[0]);
        let Op::Reduce(op) = &g.nodes[reduce].op else { return None };
        let fits =
            group.core == Core::Maps && alone && group.shape == *shape && held.inputs.len() + results(g, [reduce]) <= STORAGE_BUFFERS;
        (fits && held.inputs.iter().all(|o| self.sums_take(host, *o, shape, op))).then_some(host)
    }

    /// Whether a reduction over values of this shape, which a group makes of it, can read an operand by itself.
    fn sums_take(&self, host: usize, o: Operand, shape: &Shape, op: &op::Reduce) -> bool {
        let (g, f) = (self.g, &self.f);
        let (real, read) = (g.ty(o.value).dtype != DType::U32 && !f.is_drawn(g, &f.groups[host], o), f.strided(g, o, shape));
        real && read.pad.is_none() && along(shape, &read.strides, op).is_some()
    }

    /// A bias' gradient sums what the weight's gradient multiplies: the gemm makes both.
    pub(super) fn sums_into_gemms(&mut self) {
        let g = self.g;
        // the products that read each value by columns, in their order
        let mut products: HashMap<Value, Vec<usize>> = HashMap::new();
        for (k, group) in self.f.groups.iter().enumerate() {
            if let Core::Gemm(m) = group.core
                && let Some(by_columns) = by_columns(g, m)
            {
                products.entry(g.base(by_columns)).or_default().push(k);
            }
        }
        for r in 0..self.f.groups.len() {
            let Core::Reduce(node) = self.f.groups[r].core else { continue };
            let Op::Reduce(op::Reduce { kind: ReduceKind::Sum, axes, .. }) = &g.nodes[node].op else { continue };
            let input = g.nodes[node].inputs[0];
            // over all but the last axis
            if !self.f.groups[r].maps.is_empty() || g.shape(input).rank() < 2 || !axes.iter().copied().eq(0..g.shape(input).rank() - 1) {
                continue;
            }
            let alike = products.get(&g.base(input)).map_or(&[][..], Vec::as_slice);
            let gemm = alike.iter().copied().find(|&k| {
                let Core::Gemm(m) = self.f.groups[k].core else { return false };
                by_columns(g, m).is_some_and(|v| g.shape(v) == g.shape(input))
                    && self.f.groups[k].row_sum.is_none()
                    && !self.needs.depends(k, r)
            });
            if let Some(k) = gemm {
                self.f.groups[k].row_sum = Some(node);
                self.f.owner.insert(node, k);
                self.needs.merge(k, r);
                self.f.groups[r].core = Core::Maps; // empty: it is no group any more
            }
        }
    }

    /// The groups in launch order: each behind those it reads from, otherwise as the nodes came.
    pub(super) fn ordered(self) -> Groups {
        let mut f = self.f;
        let mut left: Vec<usize> = (0..f.groups.len()).filter(|&k| f.groups[k].nodes().next().is_some()).collect();
        left.sort_by_cached_key(|&k| f.groups[k].nodes().max());
        f.groups = self.needs.in_order(&left).iter().map(|&k| f.groups[k].clone()).collect();
        f.owner = f.groups.iter().enumerate().flat_map(|(i, k)| k.nodes().map(move |n| (n, i))).collect();
        f
    }
}

/// The factor of a product whose columns are the rows of the result.
fn by_columns(g: &Graph, product: NodeId) -> Option<Value> {
    match &g.nodes[product].op {
        Op::MatMul(op::MatMul { ta: true, .. }) => Some(g.nodes[product].inputs[0]).filter(|v| g.shape(*v).rank() == 2),
        Op::Conv(op) if op.part == ConvPart::Weights => Some(g.nodes[product].inputs[1]),
        _ => None,
    }
}
