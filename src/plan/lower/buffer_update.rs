//! State that is not trained: its new values wait in one slot (one for each shard of their arena) until all have read the old ones, then go to their arena together.

use super::lowering::Lowering;
use super::unplaced::Symbol;
use crate::graph::{Kind, Value};
use crate::kernels::{BufferCopy, Commit, Kernel};
use crate::plan::memory::{ALIGN, BufferId};
use crate::plan::step::Step;

/// New values of a step's buffers, on their way.
#[derive(Debug, Default)]
pub(super) struct Updates {
    /// Each new value, the buffer that it goes to, and its place in that buffer's slot.
    parts: Vec<(String, Value, BufferId, BufferCopy)>,
    /// The slot of each buffer that anything goes to.
    slots: Vec<(BufferId, Symbol)>,
}

impl Updates {
    fn slot(&self, of: BufferId) -> Option<Symbol> {
        self.slots.iter().find(|(id, _)| *id == of).map(|(_, slot)| *slot)
    }
}

impl Lowering<'_> {
    /// Gives every new value a place in one slot. Those that nobody else reads are made there.
    pub(super) fn place_updates(&mut self, step: &Step) -> Updates {
        let mut out = Updates::default();
        let mut ends: Vec<(BufferId, usize)> = Vec::new();
        for (name, v) in &step.updates {
            let Some(e) = self.r.arena.find_buffer(name) else { continue };
            let (to, offset) = self.r.arena.place(BufferId::Buffers, e.offset);
            let at = ends.iter().position(|(id, _)| *id == to).unwrap_or_else(|| {
                ends.push((to, 0));
                ends.len() - 1
            });
            let end = &mut ends[at].1;
            out.parts.push((name.clone(), *v, to, BufferCopy { from: *end, to: offset, len: e.shape.size() }));
            *end += e.shape.size().next_multiple_of(ALIGN);
        }
        out.slots = ends.into_iter().map(|(id, end)| (id, self.temporary(end))).collect();
        for (_, v, to, part) in &out.parts {
            let b = self.g.base(*v);
            // their kernels bind a buffer once, however many results lie in it
            let alone = match self.g.kind(b.node) {
                Kind::Map | Kind::Constant | Kind::Reduce | Kind::Product => true,
                Kind::Leaf
                | Kind::Random
                | Kind::Cast
                | Kind::Alias
                | Kind::Detach
                | Kind::Move
                | Kind::Loss
                | Kind::Window
                | Kind::Alone => false,
            };
            let alone = alone && self.is_wanted_alone(b) && self.groups.owner.contains_key(&b.node);
            if let Some(slot) = out.slot(*to).filter(|_| alone) {
                self.direct.insert(b, (slot, part.from));
            }
        }
        out
    }

    /// Brings what was made elsewhere to the slot.
    pub(super) fn gather_updates(&mut self, updates: &Updates) {
        for (name, v, buffer, part) in &updates.parts {
            let to = updates.slot(*buffer).map(|slot| (slot, part.from));
            if let Some(to) = to.filter(|to| self.place(*v) != *to) {
                self.copy(*v, to, name);
            }
        }
    }

    /// Brings all of the slots to the arena, unless the step halts: the tick knows that, be it by the loss or by the norm of its gradients.
    pub(super) fn commit(&mut self, updates: &Updates) {
        let state = Symbol::Fixed(BufferId::State(self.r.purpose.state_set()));
        for &(buffer, slot) in &updates.slots {
            let own: Vec<BufferCopy> = updates.parts.iter().filter(|(_, _, to, _)| *to == buffer).map(|(.., p)| *p).collect();
            for parts in own.chunks(Commit::MOST) {
                let label = format!("{} buffers", parts.len());
                let buffers = vec![state, Symbol::Fixed(buffer), slot];
                self.push(Kernel::Commit(Commit { parts: parts.to_vec() }), buffers, label);
            }
        }
    }
}
