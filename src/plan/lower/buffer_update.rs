//! State that is not trained: its new values wait in one slot until all have read the old ones, then go to their arena together.

use super::lowering::Lowering;
use super::unplaced::Symbol;
use crate::graph::{Kind, Value};
use crate::kernels::{BufferCopy, Commit, Kernel};
use crate::plan::memory::{ALIGN, BufferId};
use crate::plan::step::Step;

/// New values of a step's buffers, on their way.
#[derive(Debug, Default)]
pub(super) struct Updates {
    /// Each new value and its place in the slot.
    parts: Vec<(String, Value, BufferCopy)>,
    /// The slot, if there is anything in it.
    slot: Option<Symbol>,
}

impl Lowering<'_> {
    /// Gives every new value a place in one slot. Those that nobody else reads are made there.
    pub(super) fn place_updates(&mut self, step: &Step) -> Updates {
        let mut out = Updates::default();
        let mut end = 0;
        for (name, v) in &step.updates {
            let Some(e) = self.r.arena.find_buffer(name) else { continue };
            out.parts.push((name.clone(), *v, BufferCopy { from: end, to: e.offset, len: e.shape.size() }));
            end += e.shape.size().next_multiple_of(ALIGN);
        }
        if out.parts.is_empty() {
            return out;
        }
        let slot = self.temporary(end);
        out.slot = Some(slot);
        for (_, v, part) in &out.parts {
            let b = self.g.base(*v);
            // their kernels bind a buffer once, however many results lie in it
            let alone = match self.g.kind(b.node) {
                Kind::Map | Kind::Constant | Kind::Reduce | Kind::Product => true,
                Kind::Leaf | Kind::Random | Kind::Cast | Kind::Alias | Kind::Detach | Kind::Move | Kind::Loss | Kind::Alone => false,
            };
            if alone && self.is_wanted_alone(b) && self.groups.owner.contains_key(&b.node) {
                self.direct.insert(b, (slot, part.from));
            }
        }
        out
    }

    /// Brings what was made elsewhere to the slot.
    pub(super) fn gather_updates(&mut self, updates: &Updates) {
        for (name, v, part) in &updates.parts {
            let to = updates.slot.map(|slot| (slot, part.from));
            if let Some(to) = to.filter(|to| self.place(*v) != *to) {
                self.copy(*v, to, name);
            }
        }
    }

    /// Brings all of the slot to the arena, unless the step halts: the tick knows that, be it by the loss or by the norm of its gradients.
    pub(super) fn commit(&mut self, updates: &Updates) {
        let Some(slot) = updates.slot else { return };
        let state = Symbol::Fixed(BufferId::State(self.r.purpose.state_set()));
        for parts in updates.parts.chunks(Commit::MOST) {
            let parts: Vec<BufferCopy> = parts.iter().map(|(.., p)| *p).collect();
            let kernel = Commit { parts };
            let label = format!("{} buffers", kernel.parts.len());
            let buffers = vec![state, Symbol::Fixed(BufferId::Buffers), slot];
            self.push(Kernel::Commit(kernel), buffers, label);
        }
    }
}
