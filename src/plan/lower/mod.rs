//! From groups of nodes to kernels with sizes, over buffers that have no slot yet.

mod batch;
mod buffer_update;
mod custom;
mod formula;
mod index;
mod long;
mod lowering;
mod maps;
mod metrics;
mod movement;
mod product;
mod reduce;
mod rows;
pub(super) mod unplaced;
mod update;

use self::lowering::Lowering;
use self::unplaced::{Draft, Place, Symbol};
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
    let mut l = Lowering { r, g: &step.graph, groups, places: HashMap::new(), direct: HashMap::new(), draft: Draft::default() };
    l.direct = direct_gradients(r, step, groups);
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
        l.group(group);
        l.draft.unit(first, l.g, group.nodes(), &l.places);
    }
    for (name, v) in &step.gradients {
        if !l.direct.contains_key(&l.g.base(*v)) {
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

/// The update of a rule alone, over gradients that are there: a step of no nodes.
pub fn update_alone(r: &Request<'_>) -> Draft {
    let (groups, places, direct) = (Groups::default(), HashMap::new(), HashMap::new());
    let mut l = Lowering { r, g: &r.step.graph, groups: &groups, places, direct, draft: Draft::default() };
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
    /// The launches of a group: the one place that says which file lowers an operation.
    fn group(&mut self, group: &Group) {
        match group.core {
            Core::Maps => self.maps(group),
            Core::Gemm(n) => self.gemm(group, n),
            Core::Reduce(n) => self.reduce(group, n),
            Core::Alone(n) => self.alone(n, group),
        }
    }

    /// A group whose core is an operation with a kernel of its own.
    fn alone(&mut self, node: NodeId, group: &Group) {
        let g = self.g;
        match &g.nodes[node].op {
            Op::Softmax(op) => self.softmax(node, op.log),
            Op::CrossEntropy(op) => self.cross_entropy(node, group, op),
            Op::Accuracy(op) => self.accuracy(node, op),
            Op::CumSum(op) => self.cumsum(node, op.reverse),
            Op::ArgMax(op) => self.argmax(node, op.axis),
            Op::Take(_) => self.take(node),
            Op::ScatterAdd(op) => self.scatter_add(node, op.rows, op.padding),
            Op::Custom(op) => self.custom(node, op),
            // the cores of other groups, and what has no kernel
            Op::Map(_) | Op::Broadcast(_) | Op::Constant(_) | Op::Random(_) | Op::ToF32(_) => {}
            Op::Permute(_) | Op::Slice(_) | Op::Pad(_) | Op::Concat(_) | Op::MatMul(_) | Op::Reduce(_) => {}
            Op::Batch(_) | Op::Parameter(_) | Op::Buffer(_) | Op::State(_) | Op::Reshape(_) | Op::Detach(_) => {}
        }
    }
}

/// Values that are one parameter's gradient and nothing else.
fn direct_gradients(r: &Request<'_>, step: &Step, groups: &Groups) -> HashMap<Value, Place> {
    let g = &step.graph;
    let bases: Vec<Value> = step.roots().into_iter().map(|v| g.base(v)).collect();
    let mut out = HashMap::new();
    for (name, v) in &step.gradients {
        let b = g.base(*v);
        // results of one operation have a binding each, and no buffer may be bound twice to write: only the first goes to the arena at once
        let made = groups.owner.contains_key(&b.node) && (b.output == 0 || g.kind(b.node) == Kind::Loss);
        let once = bases.iter().filter(|x| **x == b).count() == 1 && !groups.readers.contains_key(&b);
        if let (true, true, Some(e)) = (made, once, r.arena.find(name)) {
            out.insert(b, (Symbol::Fixed(BufferId::Gradients), e.offset));
        }
    }
    out
}
