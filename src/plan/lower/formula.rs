//! The maps of a group as one formula.

use super::lowering::Lowering;
use crate::expr::{Expr, Tape, Unary};
use crate::graph::{NodeId, Value};
use crate::plan::fuse::{Group, Operand};
use std::collections::HashMap;

impl Lowering<'_> {
    /// One formula for a group's maps. With `core` the first input is that value; then come the values from outside.
    pub(super) fn formula(&self, group: &Group, core: Option<Value>, outputs: &[Value]) -> (Expr, Vec<Operand>) {
        let inputs = self.groups.map_inputs(self.g, group);
        let first = usize::from(core.is_some());
        let mut tape = Tape::default();
        let mut made: HashMap<Value, usize> = HashMap::new();
        if let Some(v) = core {
            let id = tape.input(0);
            made.insert(v, self.as_stored(&mut tape, group, v, id));
        }
        for &m in &group.maps {
            let node = &self.g.nodes[m];
            let mut args = Vec::new();
            for o in self.groups.operands(self.g, m) {
                let inside = made.get(&self.g.base(o.value)).copied().filter(|_| o.through.is_none());
                let outside = inputs.iter().position(|i| *i == o);
                args.push(match (inside, outside) {
                    (Some(id), _) => id,
                    (None, at) => tape.input(first + at.unwrap_or(0)),
                });
            }
            let id = node.op.rule().formula(&mut tape, &args);
            let id = self.as_stored(&mut tape, group, m.into(), id);
            made.insert(m.into(), id);
        }
        let ids: Vec<usize> = outputs.iter().map(|v| made[v]).collect();
        (tape.finish(first + inputs.len(), &ids), inputs)
    }

    /// A value of a group's own: rounded where it is stored as f16 and the group reads it, so that all readers see the same.
    fn as_stored(&self, tape: &mut Tape, group: &Group, v: Value, id: usize) -> usize {
        let reads = |&m: &NodeId| self.groups.operands(self.g, m).iter().any(|o| o.through.is_none() && self.g.base(o.value) == v);
        if self.half(v) && group.maps.iter().any(reads) { tape.unary(Unary::Half, id) } else { id }
    }
}
