//! Where metrics lie until the tick brings them to the log: in slots of their own, or together where they are many.

use super::lowering::Lowering;
use super::unplaced::{Place, Symbol};
use crate::plan::step::Step;

impl Lowering<'_> {
    /// Metrics that their kernels write to the buffer of all of them: those that nothing else reads. A kernel binds no buffer twice to write,
    /// so of several results only the first.
    pub(super) fn direct_metrics(&mut self, step: &Step, to: Symbol) {
        let mut at = 0;
        for (_, v) in &step.metrics {
            let b = self.g.base(*v);
            let made = self.groups.owner.contains_key(&b.node) && b.output == 0;
            if made && self.is_wanted_alone(b) {
                self.direct.insert(b, (to, at));
            }
            at += self.size(*v);
        }
    }

    /// The metrics with their sizes, each in a slot of its own; where they are many, all in this one.
    pub(super) fn metrics(&mut self, step: &Step, together: Option<Symbol>) -> Vec<(Place, usize)> {
        let Some(to) = together else {
            return step.metrics.iter().map(|(n, v)| (self.settled(*v, n), self.size(*v))).collect();
        };
        let mut at = 0;
        for (n, v) in &step.metrics {
            if !self.direct.contains_key(&self.g.base(*v)) {
                self.copy(*v, (to, at), n);
            }
            at += self.size(*v);
        }
        vec![((to, 0), at)]
    }
}
