//! The state of a step while its groups become launches: where each value lies, and the launches so far.

use super::known::{Known, KnownList};
use super::unplaced::{Draft, DraftLaunch, Place, Symbol};
use crate::expr::{Activation, Expr};
use crate::graph::{Graph, NodeId, Op, StateField, Value, op};
use crate::kernels::words::STATE_LOSS_SCALE;
use crate::kernels::{Halves, Kernel, Map, Strided};
use crate::plan::fuse::{Groups, Operand};
use crate::plan::memory::BufferId;
use crate::plan::program::Phase;
use crate::plan::request::Request;
use crate::tensor::{DType, Shape};
use std::collections::HashMap;
use std::sync::OnceLock;

pub(super) struct Lowering<'a> {
    pub(super) r: &'a Request<'a>,
    pub(super) g: &'a Graph,
    pub(super) groups: &'a Groups,
    pub(super) places: HashMap<Value, Place>,
    /// Gradients, new values of buffers and metrics that are written to their place at once.
    pub(super) direct: HashMap<Value, Place>,
    /// How often each value is wanted of the step.
    pub(super) wanted: HashMap<Value, usize>,
    pub(super) draft: Draft,
    /// The patches of images that there are tables of.
    pub(super) patches: Vec<Known>,
    /// The lists of what places of a result see, which there are tables of.
    pub(super) lists: Vec<KnownList>,
}

impl Lowering<'_> {
    /// Whether a value is wanted once, and nothing of the step reads it.
    pub(super) fn is_wanted_alone(&self, v: Value) -> bool {
        self.wanted.get(&v) == Some(&1) && !self.groups.readers.contains_key(&v)
    }

    pub(super) fn begin(&mut self, phase: Phase) {
        let at = self.draft.launches.len();
        self.draft.phases.push((phase, at..at));
    }

    pub(super) fn push(&mut self, kernel: Kernel, buffers: Vec<Symbol>, label: String) {
        self.draft.launches.push(DraftLaunch { kernel, buffers, label });
        let end = self.draft.launches.len();
        if let Some((_, range)) = self.draft.phases.last_mut() {
            range.end = end;
        }
    }

    pub(super) fn temporary(&mut self, elements: usize) -> Symbol {
        self.stored(elements, DType::F32)
    }

    pub(super) fn stored(&mut self, elements: usize, dtype: DType) -> Symbol {
        // halves fill whole words
        self.draft.virtuals.push((elements * dtype.size()).next_multiple_of(4));
        self.draft.full.push(4 * elements);
        Symbol::Virtual(self.draft.virtuals.len() - 1)
    }

    /// Gives a value that a launch makes its place.
    pub(super) fn assign(&mut self, v: Value) -> Place {
        let place = match self.direct.get(&v) {
            Some(&place) => place,
            None => (self.stored(self.g.shape(v).size(), self.g.ty(v).dtype), 0),
        };
        self.places.insert(v, place);
        place
    }

    pub(super) fn place(&self, v: Value) -> Place {
        let b = self.g.base(v);
        if let Op::Parameter(op::Parameter { name, .. }) = &self.g.nodes[b.node].op {
            let entry = self.r.arena.find(name);
            if b.output == 1 {
                return self.in_arena(BufferId::HalfCopy, entry.map_or(0, |e| self.r.arena.half_copy_offset(e)));
            }
            return entry.map_or((Symbol::Fixed(BufferId::Parameters), 0), |e| self.in_arena(e.buffer(), e.offset));
        }
        if let Op::Buffer(op::Buffer { name, .. }) = &self.g.nodes[b.node].op {
            let offset = self.r.arena.find_buffer(name).map_or(0, |e| e.offset);
            return self.in_arena(BufferId::Buffers, offset);
        }
        if let Op::State(op::State(StateField::LossScale)) = self.g.nodes[b.node].op {
            return (self.state(), STATE_LOSS_SCALE);
        }
        self.places[&b]
    }

    /// An operand as a kernel over a shape reads it.
    pub(super) fn read(&self, o: Operand, shape: &Shape) -> (Symbol, Strided) {
        let (from, first) = self.place(o.value);
        let own = self.groups.strided(self.g, o, shape);
        (from, Strided { offset: first + own.offset, ..own })
    }

    /// The state that the step looks up.
    pub(super) fn state(&self) -> Symbol {
        Symbol::Fixed(BufferId::State(self.r.purpose.state_set()))
    }

    /// The place of an element of an arena.
    pub(super) fn in_arena(&self, id: BufferId, element: usize) -> Place {
        let (buffer, offset) = self.r.arena.place(id, element);
        (Symbol::Fixed(buffer), offset)
    }

    pub(super) fn size(&self, v: Value) -> usize {
        self.g.shape(v).size()
    }

    /// Whether a value is stored as f16.
    pub(super) fn half(&self, v: Value) -> bool {
        self.g.ty(v).dtype == DType::F16
    }

    /// `layer shape`, for listings.
    pub(super) fn label(&self, node: NodeId, shape: impl std::fmt::Display, maps: &[NodeId]) -> String {
        let n = &self.g.nodes[node];
        let mut out = String::new();
        for &m in maps {
            out += &format!("{} ", self.describe(m));
        }
        out += &shape.to_string();
        if n.layer.is_empty() { out } else { format!("{out}  {}", n.layer) }
    }

    pub(super) fn describe(&self, map: NodeId) -> String {
        let node = &self.g.nodes[map];
        let Op::Map(op::Map(f)) = &node.op else { return node.op.name().into() };
        known_formulas().get(f).map_or_else(|| node.op.name().into(), String::clone)
    }

    /// Copies a value.
    pub(super) fn copy(&mut self, v: Value, to: Place, name: &str) {
        let (from, offset) = self.place(v);
        let n = self.size(v);
        let halves = Halves::new(vec![self.half(v)], vec![]);
        let map = Map::new(Expr::identity(), &[n], vec![Strided::new(offset, vec![1])], vec![to.1]).storing(halves);
        self.push(Kernel::Map(map), vec![from, to.0], format!("copy {name} [{n}]"));
        self.draft.copied(v, to);
    }

    /// A value that lasts to the end of the step, in a slot of its own.
    pub(super) fn settled(&mut self, v: Value, name: &str) -> Place {
        let mut place = self.place(v);
        if let Symbol::Fixed(_) = place.0 {
            let to = (self.temporary(self.size(v)), 0);
            self.copy(v, to, name);
            place = to;
        }
        if let Symbol::Virtual(i) = place.0 {
            self.draft.kept.push(i);
        }
        place
    }
}

/// Activations and their slopes, by their formulas.
fn known_formulas() -> &'static HashMap<Expr, String> {
    static KNOWN: OnceLock<HashMap<Expr, String>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let canonical = |e: Expr| e.prune().0;
        let mut known = HashMap::new();
        // an activation's name goes before that of a slope, and the first of equals before the others
        for a in Activation::ALL {
            known.entry(canonical(a.expr())).or_insert_with(|| a.name().to_string());
        }
        for a in Activation::ALL {
            if let Some(slope) = a.expr().gradient(0) {
                known.entry(canonical(slope)).or_insert_with(|| format!("{}'", a.name()));
            }
        }
        known
    })
}
