//! What is stored as f16: of the values that the precision's pass marks those that a kernel stores. What stays inside a kernel is never rounded.

use super::fuse::{Core, Groups, fuse};
use super::human::human_bytes;
use super::program::{Launch, Program, Stored, Unit};
use super::step::Step;
use crate::error::Result;
use crate::graph::{Class, Graph, Kind, Op, Precision, Value, Wanted, assign, classes};
use crate::tensor::DType;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

impl Step {
    fn wanted<T>(&self, use_it: impl FnOnce(&Graph, &Wanted<'_>) -> T) -> T {
        let values = |list: &[(String, Value)]| list.iter().map(|(_, v)| *v).collect::<Vec<_>>();
        let (gradients, outputs) = (values(&self.gradients), values(&self.outputs));
        let ends: Vec<Value> = self.loss.map_or(outputs, |l| vec![l]);
        let results: Vec<Value> =
            self.loss.into_iter().chain([&self.metrics, &self.outputs, &self.updates].into_iter().flat_map(|l| values(l))).collect();
        use_it(&self.graph, &Wanted { gradients: &gradients, results: &results, ends: &ends, keep: self.precision.kept() })
    }

    /// The class of each value of a simplified step.
    pub(super) fn classes(&self) -> HashMap<Value, Class> {
        self.wanted(classes)
    }

    /// Gives the values of a simplified step the dtypes that they are stored in.
    pub(super) fn store(&mut self) -> Result<()> {
        if self.precision == Precision::F32 {
            return Ok(());
        }
        let mut graph = self.graph.clone();
        self.wanted(|_, w| assign(&mut graph, w));
        self.graph = graph;
        let groups = fuse(self)?;
        let stored = made(&self.graph, &groups);
        for id in 0..self.graph.nodes.len() {
            let node = &self.graph.nodes[id];
            let seen = node.op.kind() == Kind::Alias || groups.views.contains(id);
            let source = node.inputs.first().map(|v| self.graph.ty(*v).dtype).filter(|_| seen);
            for output in 0..node.outputs.len() {
                let leaf = matches!(self.graph.nodes[id].op, Op::Parameter(_));
                let ty = &mut self.graph.nodes[id].outputs[output];
                match source {
                    Some(dtype) => ty.dtype = dtype,
                    None if ty.dtype == DType::F16 && !leaf && !stored.contains(&Value { node: id, output }) => ty.dtype = DType::F32,
                    None => {}
                }
            }
        }
        Ok(())
    }
}

/// The values that kernels store.
fn made(g: &Graph, groups: &Groups) -> HashSet<Value> {
    let mut out: HashSet<Value> = (0..g.nodes.len()).filter(|&n| matches!(g.nodes[n].op, Op::Batch(_))).map(Value::from).collect();
    for group in &groups.groups {
        match group.core {
            Core::Maps | Core::Gemm(_) | Core::Row(_) => out.extend(groups.outputs(group)),
            Core::Reduce(_) => out.extend(Groups::reductions(group).into_iter().map(Value::from)),
            Core::Alone(n) => {
                // what rides on a gradient takes its place
                let riding = groups.outputs(group);
                let own = (0..g.nodes[n].outputs.len()).filter(|&output| output != 1 || riding.is_empty());
                out.extend(own.map(|output| Value { node: n, output }));
                out.extend(riding);
            }
        }
    }
    out
}

/// How the launches' results are stored; nothing where all is f32.
pub(super) fn explain(step: &Step, units: &[Unit], launches: &[Launch]) -> Vec<Stored> {
    if step.precision == Precision::F32 {
        return vec![];
    }
    let classes = step.classes();
    let mut out = Vec::new();
    for u in units {
        let last = u.launches.end.saturating_sub(1).min(launches.len().saturating_sub(1));
        for m in &u.made {
            let v = step.graph.base(m.value);
            if let Some(&class) = classes.get(&v) {
                out.push(Stored { launch: last, dtype: step.graph.ty(v).dtype, class });
            }
        }
    }
    out
}

impl Program {
    /// What mixed precision saves, and how each launch's results are stored.
    pub(super) fn explain_precision(&self, out: &mut String) {
        if self.stored.is_empty() {
            return;
        }
        let slots: usize = self.slots.iter().sum();
        let _ = writeln!(
            out,
            "  mixed     slots take {} less than the {} of f32",
            human_bytes(self.full_slots.saturating_sub(slots) as u64),
            human_bytes(self.full_slots as u64)
        );
        for s in &self.stored {
            let l = &self.launches[s.launch];
            let _ = writeln!(out, "    {:3} {:14} {:44} {}", s.dtype, l.kernel.name(), l.label, s.class.why());
        }
    }
}
