//! The maps of a group as one formula.

use super::lowering::Lowering;
use crate::expr::{Expr, Tape, Unary};
use crate::graph::Value;
use crate::plan::fuse::{Group, Operand};
use std::collections::{HashMap, HashSet};

impl Lowering<'_> {
    /// One formula for a group's maps. With `core` the first input is that value; then come the values from outside.
    pub(super) fn formula(&self, group: &Group, core: Option<Value>, outputs: &[Value]) -> (Expr, Vec<Operand>) {
        let inputs = self.groups.map_inputs(self.g, group);
        let first = usize::from(core.is_some());
        let operands: Vec<Vec<Operand>> = group.maps.iter().map(|&m| self.groups.operands(self.g, m)).collect();
        let read: HashSet<Value> =
            operands.iter().flatten().filter(|o| o.through.is_none()).map(|o| self.g.base(o.value)).filter(|v| self.half(*v)).collect();
        // a value of the group's own is rounded where it is stored as f16 and the group reads it, so that all readers see the same
        let as_stored = |tape: &mut Tape, v: Value, id: usize| if read.contains(&v) { tape.unary(Unary::Half, id) } else { id };
        let mut tape = Tape::default();
        let mut made: HashMap<Value, usize> = HashMap::new();
        if let Some(v) = core {
            let id = tape.input(0);
            made.insert(v, as_stored(&mut tape, v, id));
        }
        for (&m, operands) in group.maps.iter().zip(&operands) {
            let node = &self.g.nodes[m];
            let mut args = Vec::new();
            for o in operands {
                let inside = made.get(&self.g.base(o.value)).copied().filter(|_| o.through.is_none());
                let outside = inputs.iter().position(|i| i == o);
                args.push(match (inside, outside) {
                    (Some(id), _) => id,
                    (None, at) => tape.input(first + at.unwrap_or(0)),
                });
            }
            let id = node.op.rule().formula(&mut tape, &args);
            made.insert(m.into(), as_stored(&mut tape, m.into(), id));
        }
        let ids: Vec<usize> = outputs.iter().map(|v| made[v]).collect();
        (tape.finish(first + inputs.len(), &ids), inputs)
    }
}
