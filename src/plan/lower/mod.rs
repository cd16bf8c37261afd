//! From groups of nodes to kernels with sizes, over buffers that have no slot yet.

mod batch;
mod buffer_update;
mod convolution;
mod custom;
mod formula;
mod index;
mod known;
mod long;
mod lowering;
mod maps;
mod metrics;
mod patches;
mod product;
mod reduce;
mod row;
mod rows;
mod shards;
pub(super) mod unplaced;
mod update;
mod window;

use self::lowering::Lowering;
use self::unplaced::Draft;
use super::fuse::{Core, Group, Groups};
use super::memory::BufferId;
use super::program::{LogMetric, Phase};
use super::request::Request;
use super::step::Step;
use crate::error::{Error, Result};
use crate::graph::{Kind, NodeId, Op, Value};
use crate::kernels::MAX_COLUMNS;
use crate::kernels::words::BOUND_METRICS;
use std::collections::HashMap;

/// Lowers every group, then the optimizer and the tick.
pub fn lower(r: &Request<'_>, step: &Step, groups: &Groups) -> Result<Draft> {
    let logged = logged(step)?;
    let columns = logged.iter().map(|m| m.columns).sum::<usize>();
    let g = &step.graph;
    let mut wanted: HashMap<Value, usize> = HashMap::new();
    step.roots().into_iter().for_each(|v| *wanted.entry(g.base(v)).or_default() += 1);
    let mut l = Lowering {
        r,
        g,
        groups,
        places: HashMap::new(),
        direct: HashMap::new(),
        wanted,
        draft: Draft::default(),
        patches: vec![],
        lists: vec![],
    };
    l.direct_gradients(step);
    let updates = l.place_updates(step);
    let together = (logged.len() > BOUND_METRICS).then(|| l.temporary(columns));
    together.iter().for_each(|&to| l.direct_metrics(step, to));
    l.begin(Phase::Batch);
    l.gather();
    let batches = (0..l.g.nodes.len()).filter(|&n| matches!(step.graph.nodes[n].op, Op::Batch(_)));
    l.draft.unit(0, l.g, batches, &l.places);
    l.begin(Phase::Compute);
    for group in &groups.groups {
        let first = l.draft.launches.len();
        l.group(group)?;
        l.draft.unit(first, l.g, group.nodes(), &l.places);
    }
    for (name, v) in &step.gradients {
        if !l.direct.contains_key(&l.g.base(*v)) {
            let to = l.in_arena(BufferId::Gradients, r.arena.find(name).map_or(0, |e| e.offset));
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

/// The update of a rule alone, over gradients that are there: a step of no nodes.
pub fn update_alone(r: &Request<'_>) -> Draft {
    let (groups, places, direct) = (Groups::default(), HashMap::new(), HashMap::new());
    let mut l = Lowering {
        r,
        g: &r.step.graph,
        groups: &groups,
        places,
        direct,
        wanted: HashMap::new(),
        draft: Draft::default(),
        patches: vec![],
        lists: vec![],
    };
    l.finish(None, &[]);
    l.draft
}

/// The columns of a log line. Fails where there are more than a line holds.
fn logged(step: &Step) -> Result<Vec<LogMetric>> {
    let metric = |(n, v): &(String, Value)| LogMetric { name: n.clone(), columns: step.graph.shape(*v).size() };
    let logged: Vec<LogMetric> = step.metrics.iter().map(metric).collect();
    let columns = logged.iter().map(|m| m.columns).sum::<usize>();
    if columns <= MAX_COLUMNS {
        return Ok(logged);
    }
    let wide = logged.iter().filter(|m| m.columns > 1 || logged.len() == columns);
    Err(Error::Unsupported {
        what: format!("metrics of {columns} values at each step"),
        at: wide.map(|m| format!("{} ({})", m.name, m.columns)).collect::<Vec<_>>().join(", "),
        help: format!(
            "at most {MAX_COLUMNS} fit in a line of the device's log (a confusion matrix of 127 classes): leave the widest out, and count \
             on what `predict` gives"
        ),
    })
}

impl Lowering<'_> {
    /// The launches of a group.
    fn group(&mut self, group: &Group) -> Result<()> {
        match group.core {
            Core::Maps => self.maps(group),
            Core::Row(width) => self.row(group, width),
            Core::Gemm(n) | Core::Reduce(n) | Core::Alone(n) => self.core(n, group)?,
        }
        Ok(())
    }

    /// Values that are one parameter's gradient and nothing else are made where the gradients lie.
    fn direct_gradients(&mut self, step: &Step) {
        for (name, v) in &step.gradients {
            let b = self.g.base(*v);
            // results of one operation have a binding each, and no buffer may be bound twice to write: only the first goes to the arena at once
            let made = self.groups.owner.contains_key(&b.node) && (b.output == 0 || self.g.kind(b.node) == Kind::Loss);
            if let (true, true, Some(e)) = (made, self.is_wanted_alone(b), self.r.arena.find(name)) {
                self.direct.insert(b, self.in_arena(BufferId::Gradients, e.offset));
            }
        }
    }

    /// A group around an operation with a kernel of its own: the one place that says which file lowers an operation.
    fn core(&mut self, node: NodeId, group: &Group) -> Result<()> {
        let g = self.g;
        match &g.nodes[node].op {
            Op::MatMul(op) => self.gemm(node, group, op)?,
            Op::Conv(op) => self.conv(node, group, op)?,
            Op::MaxPool(op) => self.max_pool(node, op),
            Op::Resample(op) => self.resample(node, op),
            Op::Reduce(op) => self.reduce(node, group, op)?,
            Op::CrossEntropy(op) => self.cross_entropy(node, group, op),
            Op::Accuracy(op) => self.accuracy(node, op),
            Op::CumSum(op) => self.cumsum(node, op.reverse),
            Op::ArgMax(op) => self.argmax(node, op.axis),
            Op::Take(_) => self.take(node),
            Op::ScatterAdd(op) => self.scatter_add(node, op.rows, op.padding),
            Op::Custom(op) => self.custom(node, op),
            // what has no kernel of its own: maps, movements, what goes along rows, and what is there before the first launch
            Op::Map(_) | Op::Broadcast(_) | Op::Constant(_) | Op::Random(_) | Op::ToF32(_) | Op::Softmax(_) => {
                return Err(self.no_kernel(node));
            }
            Op::Permute(_) | Op::Slice(_) | Op::Pad(_) | Op::Concat(_) => return Err(self.no_kernel(node)),
            Op::Batch(_) | Op::Parameter(_) | Op::Buffer(_) | Op::State(_) | Op::Reshape(_) | Op::Detach(_) => {
                return Err(self.no_kernel(node));
            }
        }
        Ok(())
    }

    /// The kind of an operation promises a kernel of its own, and there is none.
    fn no_kernel(&self, node: NodeId) -> Error {
        let n = &self.g.nodes[node];
        Error::Unsupported {
            what: format!("a kernel of its own for `{}`, which is of the kind {:?}", n.op.name(), n.op.kind()),
            at: n.site(),
            help: "this is an error in gradus itself: its kind and `plan/lower/mod.rs` must say the same".into(),
        }
    }
}
