//! Reductions of the same extents that read the same operand become one launch.

use super::fuser::Fuser;
use super::{Core, Groups, Operand};
use crate::graph::{Graph, NodeId, Op, ReduceKind, op};
use crate::kernels::Reduce;
use crate::portable::STORAGE_BUFFERS;
use crate::tensor::Shape;
use std::collections::HashMap;

/// What reductions must have in common to be one launch: an operand, the shape, the axes.
type Key = (Operand, Shape, Vec<usize>);

fn is_variance(g: &Graph, n: NodeId) -> bool {
    matches!(g.nodes[n].op, Op::Reduce(op::Reduce { kind: ReduceKind::Variance, .. }))
}

/// The results of a launch of these reductions over the same axes. A variance comes with the mean of the same, which may be one of them.
pub fn results(g: &Graph, nodes: impl IntoIterator<Item = NodeId>) -> usize {
    let nodes: Vec<NodeId> = nodes.into_iter().collect();
    let of = |n: NodeId| g.base(g.nodes[n].inputs[0]);
    let is_mean = |n: NodeId| matches!(g.nodes[n].op, Op::Reduce(op::Reduce { kind: ReduceKind::MeanFromFirst, .. }));
    let alone = |v: NodeId| !nodes.iter().any(|&m| is_mean(m) && of(m) == of(v));
    nodes.len() + nodes.iter().filter(|&&n| is_variance(g, n) && alone(n)).count()
}

impl Fuser<'_> {
    /// Joins reductions that read one operand as a whole: it is read once. What one of them needs of another keeps them apart.
    pub(super) fn sums_together(&mut self) {
        let mut known: HashMap<Key, Vec<usize>> = HashMap::new();
        for at in 0..self.f.groups.len() {
            let Core::Reduce(node) = self.f.groups[at].core else { continue };
            let Op::Reduce(op::Reduce { axes, .. }) = &self.g.nodes[node].op else { continue };
            let shape = self.g.shape(self.g.nodes[node].inputs[0]);
            let keys: Vec<Key> = self.whole_operands(at).into_iter().map(|v| (v, shape.clone(), axes.clone())).collect();
            let hosts: Vec<usize> = keys.iter().filter_map(|k| known.get(k)).flatten().copied().collect();
            match hosts.into_iter().find(|&host| self.sums_fit(host, at)) {
                Some(host) => {
                    self.join_sums(host, at);
                    keys.into_iter().for_each(|k| known.entry(k).or_default().push(host));
                }
                None => keys.into_iter().for_each(|k| known.entry(k).or_default().push(at)),
            }
        }
    }

    /// The operands of which a reduction reads every element.
    fn whole_operands(&self, at: usize) -> Vec<Operand> {
        let (g, group) = (self.g, &self.f.groups[at]);
        let whole = |o: &Operand| g.shape(o.value).size() == group.shape.size();
        self.f.sum_inputs(g, group).into_iter().filter(whole).map(|o| Operand { value: g.base(o.value), ..o }).collect()
    }

    fn sums_fit(&mut self, host: usize, at: usize) -> bool {
        let inputs = |k: usize| self.f.sum_inputs(self.g, &self.f.groups[k]);
        let mut all: Vec<Operand> = inputs(host);
        all.extend(inputs(at).into_iter().filter(|o| !all.contains(o)).collect::<Vec<_>>());
        let nodes = [host, at].iter().flat_map(|&k| Groups::reductions(&self.f.groups[k])).collect::<Vec<_>>();
        let results = results(self.g, nodes.iter().copied());
        // variances count their terms, too
        let counts = nodes.iter().any(|&n| is_variance(self.g, n));
        results + usize::from(counts) <= Reduce::MOST_RESULTS
            && all.len() + results <= STORAGE_BUFFERS
            && !self.needs.depends(host, at)
            && !self.needs.depends(at, host)
    }

    fn join_sums(&mut self, host: usize, at: usize) {
        let Core::Reduce(node) = self.f.groups[at].core else { return };
        let maps = std::mem::take(&mut self.f.groups[at].maps);
        for &n in maps.iter().chain([&node]) {
            self.f.owner.insert(n, host);
        }
        self.f.groups[host].maps.extend(maps);
        self.f.groups[host].sums.push(node);
        self.needs.merge(host, at);
        self.f.groups[at].core = Core::Maps; // empty: it is no group any more
    }
}
