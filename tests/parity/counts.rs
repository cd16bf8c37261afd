//! What was proved, by operation: counted as the rows run, printed at the end.

use crate::check::Ready;
use crate::make::{Built, Truth};
use gradus::graph::{Op, op};
use gradus::plan::Program;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One use of an operation in a row.
struct Use {
    op: String,
    /// Its attributes: formula, axes, transposition, kind, rank.
    variant: String,
    /// The shapes of its operands and results.
    sizes: String,
    backward: bool,
}

/// The operations of a row.
#[derive(Default)]
pub struct Facts(Vec<Use>);

impl Facts {
    /// What is no operation of a graph: an optimizer, a tick.
    pub fn of(op: &str, variant: impl Into<String>, sizes: impl Into<String>) -> Self {
        Facts(vec![Use { op: op.into(), variant: variant.into(), sizes: sizes.into(), backward: false }])
    }
}

/// The operations of a graph; those that the derivative added count as backward.
pub fn facts(built: &Built) -> Facts {
    let g = built.graph();
    let live = g.live(&built.step.roots());
    let one = |id: usize| {
        let n = &g.nodes[id];
        let ranks: Vec<usize> = n.inputs.iter().map(|v| g.shape(*v).rank()).collect();
        let attributes = match &n.op {
            Op::Parameter(_) | Op::Buffer(_) | Op::Constant(_) => return None,
            Op::Batch(op::Batch { field, .. }) => {
                format!("{} {:?} {} {}", field.stored, field.one_hot.is_some(), field.keep_integer, field.shift != 0.0)
            }
            Op::Map(op::Map(f)) => {
                let names: Vec<String> = (0..f.arity()).map(|i| format!("x{i}")).collect();
                let same = n.inputs.iter().all(|v| g.shape(*v) == g.shape(id.into()));
                format!("{} {same}", f.wgsl(&names.iter().map(String::as_str).collect::<Vec<_>>()).statements)
            }
            Op::Broadcast(_) | Op::Reshape(_) => format!("to rank {}", g.shape(id.into()).rank()),
            op => format!("{op:?}"),
        };
        let shapes = n.inputs.iter().map(|v| g.shape(*v)).chain(n.outputs.iter().map(|t| &t.shape));
        let sizes = shapes.map(|s| s.to_string()).collect::<Vec<_>>().join(" ");
        Some(Use { op: n.op.name().into(), variant: format!("{attributes} {ranks:?}"), sizes, backward: id >= built.forward })
    };
    Facts((0..g.nodes.len()).filter(|&id| live[id]).filter_map(one).collect())
}

#[derive(Default)]
struct Line {
    rows: usize,
    variants: BTreeSet<String>,
    sizes: BTreeSet<String>,
    forward: usize,
    backward: usize,
    runs: usize,
}

#[derive(Default)]
struct Counts {
    ops: BTreeMap<String, Line>,
    kernels: BTreeMap<String, BTreeSet<u64>>,
    rows: usize,
    runs: usize,
    values: usize,
}

static COUNTS: Mutex<Option<Counts>> = Mutex::new(None);

fn locked() -> MutexGuard<'static, Option<Counts>> {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A row that agreed on all of its machines.
pub fn row(ready: &Ready, runs: usize) {
    let mut guard = locked();
    let c = guard.get_or_insert_default();
    let values = |t: &Truth| t.iter().map(|(_, k)| k.value.len()).sum::<usize>();
    (c.rows, c.runs, c.values) = (c.rows + 1, c.runs + runs, c.values + runs * values(&ready.truth));
    let mut seen: BTreeMap<&str, [bool; 2]> = BTreeMap::new();
    for u in &ready.facts.0 {
        let line = c.ops.entry(u.op.clone()).or_default();
        line.variants.insert(u.variant.clone());
        line.sizes.insert(u.sizes.clone());
        seen.entry(&u.op).or_default()[usize::from(u.backward)] = true;
    }
    for (op, [forward, backward]) in seen {
        let line = c.ops.entry(op.into()).or_default();
        line.rows += 1;
        line.forward += usize::from(forward);
        line.backward += usize::from(backward);
        line.runs += runs;
    }
}

/// The kernels of a program that is run.
pub fn program(p: &Program) {
    let mut guard = locked();
    let c = guard.get_or_insert_default();
    for l in &p.launches {
        let mut h = DefaultHasher::new();
        l.kernel.source().hash(&mut h);
        c.kernels.entry(l.kernel.name()).or_default().insert(h.finish());
    }
}

/// The table and its total.
pub fn report() -> Vec<String> {
    let guard = locked();
    let Some(c) = guard.as_ref() else { return vec![] };
    let mut out = vec![format!(
        "{:<16} {:>6} {:>9} {:>6} {:>8} {:>9} {:>6}",
        "operation", "rows", "variants", "sizes", "forward", "backward", "runs"
    )];
    for (op, l) in &c.ops {
        let (variants, sizes) = (l.variants.len(), l.sizes.len());
        out.push(format!("{op:<16} {:>6} {variants:>9} {sizes:>6} {:>8} {:>9} {:>6}", l.rows, l.forward, l.backward, l.runs));
    }
    let total = |f: fn(&Line) -> usize| c.ops.values().map(f).sum::<usize>();
    let kernels: usize = c.kernels.values().map(BTreeSet::len).sum();
    out.push(format!(
        "proved: {} operations in {} variants at {} sizes: {} rows, {} runs, {} values; {} kernels of {} archetypes",
        c.ops.len(),
        total(|l| l.variants.len()),
        total(|l| l.sizes.len()),
        c.rows,
        c.runs,
        c.values,
        kernels,
        c.kernels.len(),
    ));
    out
}
