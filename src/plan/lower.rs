//! From groups of nodes to kernels with sizes, over buffers that have no slot yet.

use super::draft::{Draft, DraftLaunch, Place, Symbol, bind};
use super::fuse::{Core, Group, Groups, Operand, base};
use super::long::Sum;
use super::view::strided;
use super::{BufferId, LogMetric, Phase, Request, Step};
use crate::error::{Error, Result};
use crate::expr::{Activation, Binary, Expr, Tape, Unary};
use crate::graph::{Graph, NodeId, Op, StateField, Value};
use crate::kernels::words::{BOUND_METRICS, STATE_LOSS_SCALE};
use crate::kernels::{
    CrossEntropy, Draw, Gather, GatherField, Gemm, GemmCoop, GemmSpec, Halves, Kernel, MAX_COLUMNS, Map, Matrix, Plane, Softmax, Strided,
    Term, Tile,
};
use crate::tensor::DType;
use std::collections::HashMap;
use std::ops::Range;

pub(super) struct Lowering<'a> {
    pub(super) r: &'a Request<'a>,
    pub(super) g: &'a Graph,
    pub(super) groups: &'a Groups,
    pub(super) places: HashMap<Value, Place>,
    /// Gradients, new values of buffers and metrics that are written to their place at once.
    pub(super) direct: HashMap<Value, Place>,
    draft: Draft,
}

/// Lowers every group, then the optimizer and the tick.
pub fn lower(r: &Request<'_>, step: &Step, groups: &Groups) -> Result<Draft> {
    let logged = |(n, v): &(String, Value)| LogMetric { name: n.clone(), columns: step.graph.shape(*v).size() };
    let logged: Vec<LogMetric> = step.metrics.iter().map(logged).collect();
    let columns = logged.iter().map(|m| m.columns).sum::<usize>();
    if columns > MAX_COLUMNS {
        let wide = logged.iter().filter(|m| m.columns > 1 || logged.len() == columns);
        return Err(Error::Unsupported {
            what: format!("metrics of {columns} values at each step"),
            at: wide.map(|m| format!("{} ({})", m.name, m.columns)).collect::<Vec<_>>().join(", "),
            help: format!(
                "at most {MAX_COLUMNS} fit in a line of the device's log (a confusion matrix of 127 classes): leave the widest out, and count \
                 on what `predict` gives"
            ),
        });
    }
    let mut l = Lowering { r, g: &step.graph, groups, places: HashMap::new(), direct: HashMap::new(), draft: Draft::default() };
    l.direct = direct_gradients(r, step, groups);
    let updates = l.place_updates(step);
    let together = (logged.len() > BOUND_METRICS).then(|| l.temporary(columns));
    together.iter().for_each(|&to| l.direct_metrics(step, to));
    l.begin(Phase::Batch);
    l.gather();
    let batches = (0..l.g.nodes.len()).filter(|&n| matches!(step.graph.nodes[n].op, Op::Batch { .. }));
    l.draft.unit(0, l.g, batches, &l.places);
    l.begin(Phase::Compute);
    for group in &groups.groups {
        let first = l.draft.launches.len();
        match group.core {
            Core::Maps => l.maps(group),
            Core::Gemm(n) => l.gemm(group, n),
            Core::Reduce(n) => l.reduce(group, n),
            Core::Rows(n) => l.rows(n, group),
        }
        l.draft.unit(first, l.g, group.nodes(), &l.places);
    }
    for (name, v) in &step.gradients {
        if !l.direct.contains_key(&base(l.g, *v)) {
            let to = (Symbol::Fixed(BufferId::Gradients), r.arena.find(name).map_or(0, |e| e.offset));
            l.copy(*v, to, name);
        }
    }
    let loss = step.loss.map(|v| l.settled(v, "loss"));
    let metrics = l.metrics(step, together);
    for (name, v) in &step.outputs {
        let place = l.settled(*v, name);
        l.draft.outputs.push((name.clone(), place, l.g.ty(*v).clone()));
    }
    l.gather_updates(&updates);
    l.draft.metrics = logged;
    l.finish(loss, &metrics);
    l.commit(&updates);
    Ok(l.draft)
}

/// So many for each element. Beyond what any machine ends they are no longer told apart, so that sums of them are numbers.
pub(super) fn flops(elements: usize, each: usize) -> u64 {
    (elements as u64).saturating_mul(each as u64).min(1 << 56)
}

/// Values that are one parameter's gradient and nothing else.
fn direct_gradients(r: &Request<'_>, step: &Step, groups: &Groups) -> HashMap<Value, Place> {
    let g = &step.graph;
    let bases: Vec<Value> = step.roots().into_iter().map(|v| base(g, v)).collect();
    let mut out = HashMap::new();
    for (name, v) in &step.gradients {
        let b = base(g, *v);
        // a custom op's results have a binding each, and no buffer may be bound twice to write: only the first goes to the arena at once
        let made = groups.owner.contains_key(&b.node) && (b.output == 0 || !matches!(g.nodes[b.node].op, Op::Custom(_)));
        let once = bases.iter().filter(|x| **x == b).count() == 1 && !groups.readers.contains_key(&b);
        if let (true, true, Some(e)) = (made, once, r.arena.find(name)) {
            out.insert(b, (Symbol::Fixed(BufferId::Gradients), e.offset));
        }
    }
    out
}

impl Lowering<'_> {
    pub(super) fn begin(&mut self, phase: Phase) {
        let at = self.draft.launches.len();
        self.draft.phases.push((phase, at..at));
    }

    pub(super) fn push(&mut self, kernel: Kernel, buffers: Vec<Symbol>, label: String, flops: u64, elements: usize) {
        self.draft.launches.push(DraftLaunch { kernel, buffers, label, flops, bytes: 4 * elements as u64 });
        let end = self.draft.launches.len();
        if let Some((_, range)) = self.draft.phases.last_mut() {
            range.end = end;
        }
    }

    pub(super) fn temporary(&mut self, elements: usize) -> Symbol {
        self.stored(elements, DType::F32)
    }

    fn stored(&mut self, elements: usize, dtype: DType) -> Symbol {
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
        let b = base(self.g, v);
        if let Op::Parameter { name, .. } = &self.g.nodes[b.node].op {
            let entry = self.r.arena.find(name);
            if b.output == 1 {
                return (Symbol::Fixed(BufferId::Working), entry.map_or(0, |e| self.r.arena.working_offset(e)));
            }
            return entry.map_or((Symbol::Fixed(BufferId::Parameters), 0), |e| (Symbol::Fixed(e.buffer()), e.offset));
        }
        if let Op::Buffer { name, .. } = &self.g.nodes[b.node].op {
            let offset = self.r.arena.find_buffer(name).map_or(0, |e| e.offset);
            return (Symbol::Fixed(BufferId::Buffers), offset);
        }
        if let Op::State(StateField::LossScale) = self.g.nodes[b.node].op {
            return (Symbol::Fixed(BufferId::State(self.r.purpose.lane())), STATE_LOSS_SCALE);
        }
        self.places[&b]
    }

    pub(super) fn size(&self, v: Value) -> usize {
        self.g.shape(v).size()
    }

    /// Whether a value is stored as f16.
    pub(super) fn half(&self, v: Value) -> bool {
        self.g.ty(v).dtype == DType::F16
    }

    /// The words that a value takes.
    pub(super) fn words(&self, v: Value) -> usize {
        (self.size(v) * self.g.ty(v).dtype.size()).div_ceil(4)
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

    fn describe(&self, map: NodeId) -> String {
        let node = &self.g.nodes[map];
        let Op::Map(f) = &node.op else { return node.op.name().into() };
        let canonical = |e: Expr| e.prune().0;
        let is_slope = |a: &Activation| a.expr().gradient(0).is_some_and(|d| canonical(d) == *f);
        if let Some(a) = Activation::ALL.iter().find(|a| canonical(a.expr()) == *f) {
            a.name().into()
        } else if let Some(a) = Activation::ALL.iter().find(|a| is_slope(a)) {
            format!("{}'", a.name())
        } else {
            node.op.name().into()
        }
    }

    /// One formula for a group's maps. With `core` the first input is that value; then come the values from outside.
    fn formula(&self, group: &Group, core: Option<Value>, outputs: &[Value]) -> (Expr, Vec<Operand>) {
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
                let inside = made.get(&base(self.g, o.value)).copied().filter(|_| o.through.is_none());
                let outside = inputs.iter().position(|i| *i == o);
                args.push(match (inside, outside) {
                    (Some(id), _) => id,
                    (None, at) => tape.input(first + at.unwrap_or(0)),
                });
            }
            let id = match &node.op {
                Op::Map(f) => tape.inline(f, &args)[0],
                Op::Constant { value, .. } => tape.constant(*value),
                // around its own window each part is -0: adding that changes nothing
                Op::Concat { .. } => args[1..].iter().fold(args[0], |sum, &a| tape.binary(Binary::Add, sum, a)),
                _ => args[0],
            };
            let id = self.as_stored(&mut tape, group, m.into(), id);
            made.insert(m.into(), id);
        }
        let ids: Vec<usize> = outputs.iter().map(|v| made[v]).collect();
        (tape.finish(first + inputs.len(), &ids), inputs)
    }

    /// A value of a group's own: rounded where it is stored as f16 and the group reads it, so that all readers see the same.
    fn as_stored(&self, tape: &mut Tape, group: &Group, v: Value, id: usize) -> usize {
        let reads = |&m: &NodeId| self.groups.operands(self.g, m).iter().any(|o| o.through.is_none() && base(self.g, o.value) == v);
        if self.half(v) && group.maps.iter().any(reads) { tape.unary(Unary::Half, id) } else { id }
    }

    fn gather(&mut self) {
        let mut fields = Vec::new();
        let mut buffers = vec![Symbol::Fixed(BufferId::State(self.r.purpose.lane()))];
        let mut elements = 0;
        for (id, n) in self.g.nodes.iter().enumerate() {
            let Op::Batch { field, .. } = &n.op else { continue };
            let (to, output) = self.assign(id.into());
            buffers.extend([Symbol::Fixed(BufferId::Data(fields.len())), to]);
            elements += self.words(id.into()) + self.r.batch * field.words();
            fields.push(GatherField { field: field.clone(), output, half: self.half(id.into()) });
        }
        self.draft.fields = fields.iter().map(|f| f.field.clone()).collect();
        if !fields.is_empty() {
            let names: Vec<String> =
                fields.iter().map(|f| format!("{} {}", f.field.name, f.field.out_row().batched(self.r.batch))).collect();
            let kernel = Kernel::Gather(Gather { batch: self.r.batch, fields });
            self.push(kernel, buffers, names.join(", "), 0, elements);
        }
    }

    fn maps(&mut self, group: &Group) {
        let shape = group.shape.clone();
        if self.g.nodes[group.maps[0]].outputs[0].dtype == DType::U32 {
            return self.integers(group.maps[0]);
        }
        let outputs = self.groups.outputs(group);
        let (f, inputs) = self.formula(group, None, &outputs);
        let mut reads = Vec::new();
        let mut buffers = Vec::new();
        let (drawn, inputs): (Vec<Operand>, Vec<Operand>) = inputs.into_iter().partition(|o| self.groups.is_drawn(self.g, group, *o));
        let draws: Vec<Draw> = drawn.iter().filter_map(|o| self.draw(*o)).collect();
        if !draws.is_empty() {
            buffers.push(Symbol::Fixed(BufferId::State(self.r.purpose.lane())));
        }
        for o in &inputs {
            let (from, offset) = self.place(o.value);
            reads.push(strided(self.g, *o, offset, &shape));
            buffers.push(from);
        }
        let places: Vec<Place> = outputs.iter().map(|v| self.assign(*v)).collect();
        let via = bind(&mut buffers, places.iter().map(|p| p.0));
        let elements = inputs.iter().map(|o| o.value).chain(outputs.iter().copied()).map(|v| self.words(v)).sum();
        let halves = Halves::new(inputs.iter().map(|o| self.half(o.value)).collect(), outputs.iter().map(|v| self.half(*v)).collect());
        let flops = flops(shape.size(), f.flops());
        let label = self.label(group.maps[0], &shape, &group.maps);
        let mut map = Map::new(f, shape.dims(), reads, places.iter().map(|p| p.1).collect()).drawing(draws).storing(halves);
        map.spec.via = via;
        map = map.reading_integers(inputs.iter().map(|o| self.g.ty(o.value).dtype == DType::U32).collect());
        self.push(Kernel::Map(map), buffers, label, flops, elements);
    }

    fn draw(&self, o: Operand) -> Option<Draw> {
        let Op::Random(d) = &self.g.nodes[base(self.g, o.value).node].op else { return None };
        Some(Draw { distribution: d.distribution, stream: d.key() })
    }

    fn gemm(&mut self, group: &Group, node: NodeId) {
        let n = &self.g.nodes[node];
        let Op::MatMul { ta, tb } = n.op else { return };
        let (va, vb) = (n.inputs[0], n.inputs[1]);
        let out = self.g.shape(node.into()).clone();
        let (r, sa) = (out.rank(), self.g.shape(va).clone());
        let (rows, columns) = (out[r - 2], out[r - 1]);
        let k = sa[r - if ta { 2 } else { 1 }];
        let batch = out.size() / (rows * columns);
        let tile = Tile::choose(self.r.target, rows, columns, k);
        let matrix = |l: &Self, v: Value| {
            let s = l.g.shape(v);
            let (from, offset) = l.place(v);
            let one = s[r - 1] * s[r - 2];
            // a single matrix serves for the whole batch
            (from, Matrix { offset, pitch: s[r - 1], batch: if s.size() == one { 0 } else { one } })
        };
        let ((from_a, a), (from_b, b)) = (matrix(self, va), matrix(self, vb));
        let outputs = self.groups.outputs(group);
        let (epilogue, inputs) = self.formula(group, Some(node.into()), &outputs);
        let mut buffers = vec![from_a, from_b];
        let mut extras = Vec::new();
        for o in &inputs {
            let (from, offset) = self.place(o.value);
            buffers.push(from);
            extras.push(self.plane(o.value, offset, &out));
        }
        let places: Vec<Place> = outputs.iter().map(|v| self.assign(*v)).collect();
        let sum = group.row_sum.map(|s| self.assign(s.into()));
        let via = bind(&mut buffers, places.iter().chain(&sum).map(|p| p.0));
        let read = [va, vb].into_iter().chain(inputs.iter().map(|o| o.value)).map(|v| self.half(v));
        let halves = Halves::new(read.collect(), outputs.iter().map(|v| self.half(*v)).collect());
        let spec = GemmSpec { ta, tb, va: a.in_fours(), vb: b.in_fours(), vc: false, tile, epilogue, row_sum: sum.is_some(), via, halves };
        let flops = flops(out.size(), 2 * k + spec.epilogue.flops());
        let elements = [va, vb].into_iter().chain(inputs.iter().map(|o| o.value)).chain(outputs).map(|v| self.words(v)).sum();
        let mut label = self.label(node, &out, &group.maps);
        if sum.is_some() {
            label = format!("rowsum {label}");
        }
        let gemm = Gemm {
            spec,
            m: rows,
            n: columns,
            k,
            batch,
            a,
            b,
            extras,
            outputs: places.iter().map(|p| p.1).collect(),
            row_sum: sum.map_or(0, |p| p.1),
        };
        let pieces = Gemm::pieces_for(k, out.size());
        if pieces > 1 {
            return self.long_product(gemm, pieces, &buffers, &places, sum, &label);
        }
        self.push_product(gemm, buffers, label, flops, elements);
    }

    pub(super) fn push_product(&mut self, gemm: Gemm, buffers: Vec<Symbol>, label: String, flops: u64, elements: usize) {
        let kernel = match self.r.coop.and_then(|caps| GemmCoop::of(&gemm, &caps)) {
            Some(coop) => Kernel::GemmCoop(coop),
            None => Kernel::Gemm(gemm.by_vectors()),
        };
        self.push(kernel, buffers, label, flops, elements);
    }

    /// How an epilogue reads a value that broadcasts to the gemm's output.
    fn plane(&self, v: Value, offset: usize, out: &crate::tensor::Shape) -> Plane {
        let own = self.g.shape(v);
        let strides = if own.size() == out.size() {
            out.strides()
        } else if own.size() == 1 {
            vec![0; out.rank()]
        } else {
            own.broadcast_strides(out)
        };
        let r = out.rank();
        // several batch axes only come flat, so that the innermost one's step serves for all
        Plane { offset, row: strides[r - 2], column: strides[r - 1], batch: if r > 2 { strides[r - 3] } else { 0 } }
    }

    fn reduce(&mut self, group: &Group, node: NodeId) {
        let n = &self.g.nodes[node];
        let Op::Reduce { kind, axes, .. } = &n.op else { return };
        let shape = self.g.shape(n.inputs[0]).clone();
        let lo = axes.iter().min().copied().unwrap_or(shape.rank());
        let hi = axes.iter().max().map_or(lo, |m| m + 1);
        let product = |r: Range<usize>| shape.dims()[r].iter().product::<usize>();
        let (outer, length, inner) = (product(0..lo), product(lo..hi), product(hi..shape.rank()));
        let (f, inputs) = if group.maps.is_empty() {
            (Expr::identity(), vec![n.inputs[0].into()])
        } else {
            self.formula(group, None, &[base(self.g, n.inputs[0])])
        };
        let halves: Vec<bool> = inputs.iter().map(|o| self.half(o.value)).collect();
        let mut terms = Vec::new();
        let mut from = Vec::new();
        for Operand { value, .. } in inputs {
            let (symbol, offset) = self.place(value);
            from.push(symbol);
            terms.push(if self.size(value) == shape.size() {
                Term { offset, outer: length * inner, along: inner, inner: 1 }
            } else {
                Term { offset, outer: 0, along: 0, inner: 0 }
            });
        }
        let to = self.assign(node.into());
        let label = self.label(node, format!("{} {shape} to {}", n.op.name(), self.g.shape(node.into())), &group.maps);
        self.sum(Sum { f, halves, terms, from, to, extents: [outer, length, inner], kind: *kind, count: length }, &label);
    }

    fn rows(&mut self, node: NodeId, group: &Group) {
        let n = &self.g.nodes[node];
        let (x, offset) = self.place(n.inputs[0]);
        let shape = self.g.shape(n.inputs[0]).clone();
        let (width, rows) = (shape.last(), shape.size() / shape.last());
        let flops = self.g.flops(node);
        let elements = shape.size();
        let half = self.half(n.inputs[0]);
        let label = self.label(node, &shape, &group.maps);
        match n.op {
            Op::Softmax { log } => {
                let to = self.assign(node.into());
                if width > Softmax::LONG {
                    return self.long_softmax(log, [rows, width], (x, offset), half, to, &label);
                }
                let kernel = Softmax { log, rows, width, offsets: [offset, to.1], half };
                self.push(Kernel::Softmax(kernel), vec![x, to.0], label, flops, 2 * elements);
            }
            Op::CrossEntropy { labels, smoothing } => {
                let (y, y_offset) = self.place(n.inputs[1]);
                let part = |output| Value { node, output };
                let needed = |v: Value| self.groups.roots.contains(&v) || self.groups.readers.contains_key(&v);
                let gradient = needed(part(1));
                let long = width > CrossEntropy::LONG;
                let pieces = if long { width.div_ceil(CrossEntropy::PIECE) } else { 1 };
                let single = !long && CrossEntropy::is_single(self.r.target, rows, width);
                let (loss, hits) = (self.assign(part(0)), self.assign(part(2)));
                // what rides on the gradient takes its place
                let outputs = self.groups.outputs(group);
                let stored = outputs.first().copied().unwrap_or(part(1));
                let slope = gradient.then(|| self.assign(stored));
                let epilogue = outputs.first().map(|_| self.formula(group, Some(part(1)), &outputs));
                let epilogue = epilogue.map(|(f, inputs)| (f, inputs.first().map(|o| self.place(o.value))));
                let factor = epilogue.as_ref().and_then(|e| e.1);
                let to_loss = if single { loss } else { (self.temporary(rows * pieces), 0) };
                let to_hits = if single || long { hits } else { (self.temporary(rows), 0) };
                let kernel = CrossEntropy {
                    labels,
                    smoothing: smoothing as f32,
                    gradient,
                    single,
                    group: self.r.target.group(),
                    rows,
                    classes: width,
                    offsets: [offset, y_offset, to_loss.1, to_hits.1, slope.map_or(0, |p| p.1)],
                    epilogue: epilogue.map(|(f, factor)| (f, factor.map_or(0, |p| p.1))),
                    half,
                    half_gradient: gradient && self.half(stored),
                    pieces,
                };
                let mut buffers = vec![x, y, to_loss.0];
                buffers.extend((!long).then_some(to_hits.0));
                buffers.extend(slope.into_iter().chain(factor).map(|p| p.0));
                if long {
                    buffers.extend(self.long_rows(&kernel, x, y, &label));
                }
                self.push(Kernel::CrossEntropy(kernel), buffers, label.clone(), flops, 2 * elements);
                if !single {
                    self.mean_of_rows(to_loss.0, rows, pieces, loss, "mean loss");
                    if needed(part(2)) {
                        let own = if long { self.hits(labels, [rows, width], (x, offset), (y, y_offset), half, &label) } else { to_hits.0 };
                        self.mean_of_rows(own, rows, 1, hits, "mean hits");
                    }
                }
            }
            Op::Accuracy(labels) => {
                let (y, y_offset) = self.place(n.inputs[1]);
                let hits = self.hits(labels, [rows, width], (x, offset), (y, y_offset), half, &label);
                let to = self.assign(node.into());
                self.mean_of_rows(hits, rows, 1, to, "mean hits");
            }
            Op::CumSum { reverse } => self.cumsum(node, reverse),
            Op::ArgMax { axis } => self.argmax(node, axis),
            Op::Take { .. } => self.take(node),
            Op::ScatterAdd { rows, padding } => self.scatter_add(node, rows, padding),
            Op::Custom(ref op) => self.custom(node, op),
            _ => {}
        }
    }

    /// Copies a value.
    pub(super) fn copy(&mut self, v: Value, to: Place, name: &str) {
        let (from, offset) = self.place(v);
        let n = self.size(v);
        let halves = Halves::new(vec![self.half(v)], vec![]);
        let map = Map::new(Expr::identity(), &[n], vec![Strided::new(offset, vec![1])], vec![to.1]).storing(halves);
        self.push(Kernel::Map(map), vec![from, to.0], format!("copy {name} [{n}]"), 0, 2 * n);
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
