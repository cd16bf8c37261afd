//! Values that cost less to compute again than to store: a difference from a row's mean, a product with a number. Where only maps, reductions and rows
//! of other launches read such a value, each of those computes it for itself, from the one large operand that lies there anyway.

use super::fuse::{Core, Group, Groups, fuse, results};
use super::step::Step;
use crate::error::Result;
use crate::graph::{Graph, Kind, Node, NodeId, Op, Value, op};
use crate::kernels::Row;
use crate::portable::STORAGE_BUFFERS;
use crate::tensor::DType;
use std::collections::{BTreeMap, HashMap, HashSet};

/// How often launches are looked through.
const ROUNDS: usize = 6;

/// Light values that are made one of another.
const MOST: usize = 3;

impl Step {
    /// The step with light values for each launch that reads them, as long as that costs less.
    pub(super) fn lightened(mut self) -> Result<Step> {
        let mut groups = fuse(&self)?;
        // a launch that has its own light values may leave others to be light
        for _ in 0..ROUNDS {
            let Some(lighter) = apart(&self, &groups) else { break };
            let fused = fuse(&lighter)?;
            if cost(&lighter.graph, &fused) >= cost(&self.graph, &groups) {
                break;
            }
            (self, groups) = (lighter, fused);
        }
        Ok(self)
    }
}

/// Elements that are read and written in the time of a launch: 1 MiB of them, at some 200 GB/s and 5 us.
const LAUNCH: usize = 1 << 18;

/// What these launches cost, in elements that they move.
fn cost(g: &Graph, f: &Groups) -> usize {
    moved(g, f) + LAUNCH * f.groups.len()
}

/// How many elements these launches read and write.
fn moved(g: &Graph, f: &Groups) -> usize {
    let of = |group: &Group| -> usize {
        let inside: HashSet<NodeId> = group.nodes().collect();
        let read = inside.iter().flat_map(|n| &g.nodes[*n].inputs).map(|v| f.views.source(g, *v)).filter(|v| !inside.contains(&v.node));
        let all = inside.iter().flat_map(|&node| (0..g.nodes[node].outputs.len()).map(move |output| Value { node, output }));
        let outside = |v: &Value| f.readers.get(v).is_some_and(|r| r.iter().any(|n| !inside.contains(n)));
        let written = all.filter(|v| f.roots.contains(v) || outside(v));
        let distinct: HashSet<Value> = read.chain(written).collect();
        distinct.into_iter().map(|v| g.shape(v).size()).sum()
    };
    f.groups.iter().map(of).sum()
}

/// The step in which each of these launches has its own light values, if there are any.
fn apart(step: &Step, f: &Groups) -> Option<Step> {
    let g = &step.graph;
    // of each launch what it shall compute for itself, with what that is made of
    let mut own: BTreeMap<(usize, NodeId), Vec<NodeId>> = BTreeMap::new();
    for (k, group) in f.groups.iter().enumerate() {
        let stored: HashSet<Value> = f.outputs(group).into_iter().collect();
        for v in &stored {
            let Some(readers) = readers(g, f, k, *v) else { continue };
            let Some(chain) = Light { g, f, k, group, stored: &stored }.chain(v.node) else { continue };
            if readers.iter().all(|&r| has_room(g, f, &f.groups[r], &chain)) {
                own.extend(readers.into_iter().map(|r| ((r, v.node), chain.clone())));
            }
        }
    }
    (!own.is_empty()).then(|| rebuilt(step, f, &own))
}

/// The launches that read a value, if none of them needs it in memory.
fn readers(g: &Graph, f: &Groups, k: usize, v: Value) -> Option<HashSet<usize>> {
    let all = f.readers.get(&v).filter(|_| !f.roots.contains(&v))?;
    let reader = |&n: &NodeId| {
        let r = *f.owner.get(&n)?;
        let kind = matches!(g.kind(n), Kind::Map | Kind::Reduce) || matches!(g.nodes[n].op, Op::Softmax(_));
        let core = matches!(f.groups[r].core, Core::Maps | Core::Reduce(_) | Core::Row(_));
        let plain = g.nodes[n].inputs.iter().filter(|i| f.views.source(g, **i) == v).all(|i| *i == v);
        (r == k || (kind && core && plain)).then_some(r)
    };
    let found: Option<HashSet<usize>> = all.iter().map(reader).collect();
    found.map(|found| found.into_iter().filter(|r| *r != k).collect()).filter(|found: &HashSet<usize>| !found.is_empty())
}

/// Whether a launch that reads a light value can read what that is made of in its place.
fn has_room(g: &Graph, f: &Groups, reader: &Group, chain: &[NodeId]) -> bool {
    let inside: HashSet<NodeId> = reader.nodes().chain(chain.iter().copied()).collect();
    let read: HashSet<Value> =
        inside.iter().flat_map(|n| &g.nodes[*n].inputs).map(|v| g.base(*v)).filter(|v| !inside.contains(&v.node)).collect();
    // long rows are cut, and what each of their joins gives is an operand of the next
    let joins = match reader.core {
        Core::Row(width) if width > Row::LONG => STORAGE_BUFFERS,
        Core::Row(_) | Core::Maps => 0,
        _ => results(g, Groups::reductions(reader)),
    };
    read.len() + f.outputs(reader).len() + joins <= STORAGE_BUFFERS
}

/// The search for what a value of a launch is made of.
struct Light<'a> {
    g: &'a Graph,
    f: &'a Groups,
    k: usize,
    group: &'a Group,
    /// What the launch stores.
    stored: &'a HashSet<Value>,
}

impl Light<'_> {
    /// The light values that make this one, itself the last, from what lies there anyway.
    fn chain(&self, last: NodeId) -> Option<Vec<NodeId>> {
        let mut chain = vec![last];
        loop {
            let n = *chain.last()?;
            let large = self.large(n)?;
            let kept = self.stored.contains(&large) && (self.f.roots.contains(&large) || self.large(large.node).is_none());
            if self.lies(large) || kept {
                chain.reverse();
                return Some(chain);
            }
            if chain.len() == MOST || large.node == n {
                return None;
            }
            chain.push(large.node);
        }
    }

    /// Whether a value lies in memory without this launch.
    fn lies(&self, v: Value) -> bool {
        self.f.owner.get(&v.node) != Some(&self.k)
    }

    /// The one operand of a light map that is as large as its result; the others are numbers of rows, columns, or one for all.
    fn large(&self, n: NodeId) -> Option<Value> {
        let (g, f) = (self.g, self.f);
        let Op::Map(op::Map(formula)) = &g.nodes[n].op else { return None };
        let light = formula.is_light();
        let own = g.shape(n.into());
        let inputs = &g.nodes[n].inputs;
        let real = |v: &Value| g.ty(*v).dtype == DType::F32 && g.kind(v.node) != Kind::Random && !f.views.sees(g, *v);
        if !light || g.ty(n.into()).dtype != DType::F32 || !inputs.iter().all(real) {
            return None;
        }
        let mut large = inputs.iter().filter(|v| g.shape(**v).size() == own.size());
        let first = *large.next()?;
        let small = |v: &&Value| g.shape(**v).size() < own.size();
        // a number of a row is stored for others; what else this launch makes would be a launch more
        let told = |v: &Value| self.lies(g.base(*v)) || matches!(self.group.core, Core::Row(_));
        (large.all(|v| *v == first) && inputs.iter().filter(small).all(told) && first == g.base(first)).then_some(first)
    }
}

/// The step with these values once more for each launch that shall have its own, and without those that nothing reads any more.
fn rebuilt(step: &Step, f: &Groups, own: &BTreeMap<(usize, NodeId), Vec<NodeId>>) -> Step {
    let mut graph = Graph::default();
    let mut to: Vec<NodeId> = Vec::new();
    let mut made: HashMap<(usize, NodeId), NodeId> = HashMap::new();
    for (id, node) in step.graph.nodes.iter().enumerate() {
        let reader = f.owner.get(&id).copied();
        let mut inputs = Vec::new();
        for v in &node.inputs {
            let chain = reader.and_then(|r| Some((r, own.get(&(r, v.node))?)));
            if let Some((r, chain)) = chain {
                for &n in chain {
                    if !made.contains_key(&(r, n)) {
                        let old = &step.graph.nodes[n];
                        let inputs = old.inputs.iter().map(|v| copied(v, r, chain, &made, &to)).collect();
                        graph.nodes.push(Node { inputs, ..old.clone() });
                        made.insert((r, n), graph.nodes.len() - 1);
                    }
                }
            }
            let copy = chain.and_then(|(r, _)| made.get(&(r, v.node)));
            inputs.push(Value { node: *copy.unwrap_or(&to[v.node]), ..*v });
        }
        graph.nodes.push(Node { inputs, ..node.clone() });
        to.push(graph.nodes.len() - 1);
    }
    let roots: Vec<Value> = step.roots().iter().map(|v| Value { node: to[v.node], ..*v }).collect();
    let live = graph.live(&roots);
    let mut next = 0..;
    let new: Vec<NodeId> = live.iter().map(|live| if *live { next.next().unwrap_or(0) } else { usize::MAX }).collect();
    let mut keep = live.iter();
    graph.nodes.retain(|_| *keep.next().unwrap_or(&true));
    graph.nodes.iter_mut().flat_map(|n| &mut n.inputs).for_each(|v| v.node = new[v.node]);
    step.renamed(graph, |v| Value { node: new[to[v.node]], ..v })
}

/// What a copy for a launch reads: a copy before it, or the value itself.
fn copied(v: &Value, reader: usize, chain: &[NodeId], made: &HashMap<(usize, NodeId), NodeId>, to: &[NodeId]) -> Value {
    let copy = made.get(&(reader, v.node)).filter(|_| chain.contains(&v.node));
    Value { node: *copy.unwrap_or(&to[v.node]), ..*v }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, Precision, Var, gradients};

    /// Forward and backward of a formula of so many rows of 768: elements that launches move, and how many launches there are, as fused and with light values.
    fn before_and_after(rows: usize, of: impl Fn(&Var) -> Var) -> [(usize, usize); 2] {
        let b = Builder::new();
        let [x, w] = [("x", rows), ("w", 1)].map(|(n, rows)| b.parameter(n, [rows, 768].into()));
        let loss = (of(&x) * &w).relu().cumsum(0).mean().value().unwrap();
        let wrt = [&x, &w].map(|v| v.value().unwrap());
        let mut graph = b.finish().unwrap();
        let found = gradients(&mut graph, loss, &wrt).unwrap();
        let gradients = ["x", "w"].iter().zip(found).filter_map(|(n, g)| Some((n.to_string(), g?))).collect();
        let (metrics, outputs, updates, precision) = (vec![], vec![], vec![], Precision::F32);
        let step = Step { graph, loss: Some(loss), gradients, weight: None, metrics, outputs, updates, precision };
        let fused = step.rewritten().unwrap();
        let light = fused.clone().lightened().unwrap();
        assert_eq!(light.roots().len(), fused.roots().len());
        [fused, light].map(|s| {
            let groups = fuse(&s).unwrap();
            (moved(&s.graph, &groups), groups.groups.len())
        })
    }

    #[test]
    fn what_is_light_is_not_stored() {
        // differences from a mean, scaled by a number of the row, which the backward pass reads, too
        let norm = |x: &Var| (x - x.mean_from_first(&[1])) * (1.0 / (x.variance_keep(&[1]) + 1e-5).sqrt());
        let [(before, launches), (after, others)] = before_and_after(4096, norm);
        assert!(after + 4096 * 768 <= before, "{before} elements in {launches} launches, {after} in {others}");
        // what costs something stays, and where a launch costs more than it saves
        for [before, after] in [before_and_after(4096, |x| x.tanh()), before_and_after(2, norm)] {
            assert_eq!(before, after);
        }
    }
}
