//! Two groups of maps that meet in one map become one launch.

use super::fuser::Fuser;
use super::{Core, Operand};
use crate::graph::{Kind, NodeId, Value};
use crate::kernels::{DIMS, Map};
use crate::portable::STORAGE_BUFFERS;

/// Maps of groups that become one, at most.
const MOST: usize = 64;

impl Fuser<'_> {
    /// Takes the groups of maps whose values this map alone reads, `sources` among others, into its own.
    pub(super) fn unite(&mut self, map: NodeId, at: usize, sources: &[usize]) {
        for &from in sources.iter().filter(|from| **from != at) {
            if let Some(inputs) = self.united(map, at, from) {
                let maps = std::mem::take(&mut self.f.groups[from].maps); // empty: it is no group any more
                maps.iter().for_each(|m| _ = self.f.owner.insert(*m, at));
                let all = &mut self.f.groups[at].maps;
                all.extend(maps);
                // operands stand before what reads them
                all.sort_unstable();
                self.held[at].inputs = inputs;
                self.needs.merge(at, from);
            }
        }
    }

    /// What both groups read from outside, if they can be one.
    fn united(&mut self, map: NodeId, at: usize, from: usize) -> Option<Vec<Operand>> {
        let (g, f) = (self.g, &self.f);
        let (own, other) = (&f.groups[at], &f.groups[from]);
        let plain = |m: &NodeId| matches!(g.kind(*m), Kind::Map | Kind::Constant);
        // what is looked at here is looked at again with the next one
        if own.maps.len() + other.maps.len() > MOST
            || (own.core, other.core) != (Core::Maps, Core::Maps)
            || own.shape != other.shape
            || !own.maps.iter().chain(&other.maps).all(plain)
        {
            return None;
        }
        // what is read elsewhere, too, is stored either way
        let read = |v: Value| g.nodes[map].inputs.iter().filter(|i| f.views.source(g, **i) == v).all(|i| *i == v);
        let alone = |v: Value| read(v) && !f.roots.contains(&v) && f.readers.get(&v).is_some_and(|r| r.iter().all(|n| *n == map));
        let outside = |v: &Value| f.readers.get(v).is_some_and(|r| r.iter().any(|n| f.owner.get(n) != Some(&from)));
        let mut needed = other.maps.iter().map(|m| Value::from(*m)).filter(|v| f.roots.contains(v) || outside(v));
        if !needed.all(alone) || self.needs.depends(from, at) {
            return None;
        }
        let made = |o: &Operand| self.f.owner.get(&g.base(o.value).node) == Some(&from);
        let mut all: Vec<Operand> = self.held[at].inputs.iter().copied().filter(|o| !made(o)).collect();
        all.extend(self.held[from].inputs.iter().copied().filter(|o| !self.held[at].inputs.contains(o)));
        let (windows, outputs, rank) =
            (all.iter().filter(|o| o.through.is_some()).count(), self.held[at].outputs, self.f.groups[at].shape.rank());
        let fits = all.len() + outputs <= STORAGE_BUFFERS && Map::words(rank, all.len() - windows, windows, 0, outputs) <= DIMS;
        fits.then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fuse;
    use crate::graph::{Builder, Precision, Var};
    use crate::plan::Step;

    /// How many launches these results take, of two operands of a shape and one number.
    fn launches(of: impl Fn(&Var, &Var, &Var) -> Vec<Var>) -> usize {
        let b = Builder::new();
        let [x, y] = ["x", "y"].map(|n| b.parameter(n, [4, 6].into()));
        let made = of(&x, &y, &b.parameter("z", [1].into()));
        let outputs = made.iter().enumerate().map(|(i, v)| (format!("{i}"), v.value().unwrap())).collect();
        let (gradients, metrics, updates, precision) = (vec![], vec![], vec![], Precision::F32);
        let step = Step { graph: b.finish().unwrap(), loss: None, gradients, weight: None, metrics, outputs, updates, precision };
        fuse(&step.rewritten().unwrap()).unwrap().groups.len()
    }

    #[test]
    fn what_one_map_reads_is_made_beside_it() {
        assert_eq!(launches(|x, y, _| vec![x.sin() * y.cos()]), 1);
        // both ways from the same operand were one launch before; three ways, one behind the other
        assert_eq!(launches(|x, y, _| vec![(x.sin() * y.cos()) * (x + y).exp()]), 1);
        // a result, or read by a sum, too: stored either way
        assert_eq!(launches(|x, y, _| vec![x.sin(), x.sin() * y.cos()]), 2);
        assert_eq!(launches(|x, y, _| vec![x.sin().t().reshape([24]).cumsum(0), x.sin() * y.cos()]), 4);
        // of another shape
        assert_eq!(launches(|x, _, z| vec![x.sin() * z.cos()]), 2);
    }
}
