//! In which precision values are stored: a pass behind autodiff and simplification that marks each by the class of what makes it.
//!
//! A value of dtype f16 is *stored* as f16. Kernels load it to f32, compute and accumulate in f32, and round once, where they store. So there
//! are no cast nodes, and a cast costs no launch.

use super::{Graph, NodeId, Op, Type, Value};
use crate::error::{Error, Faults, Result};
use crate::glob::covers;
use crate::tensor::DType;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

/// In which precision a model computes: `Compile::precision`.
///
/// `Mixed` stores activations, their gradients and a working copy of the weights as f16. Master weights, moments, buffers, loss, softmax,
/// statistics, weight gradients and all accumulation stay f32 (Micikevicius et al. 2018, *Mixed Precision Training*; PyTorch's
/// `torch.autocast` sorts operations alike). A GPU without f16 in its shaders gives [`Error::NoF16`] at `compile`.
///
/// ```
/// use gradus::prelude::*;
/// assert_eq!("mixed".parse::<Precision>()?, Precision::mixed());
/// let p = Precision::mixed().keep_f32("head.*");
/// assert_eq!(p.kept(), ["head.*"]);
/// assert!("half".parse::<Precision>().is_err());
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Words", into = "Words")]
#[non_exhaustive]
#[must_use]
pub enum Precision {
    /// Everything is f32.
    #[default]
    F32,
    /// f16 where it does no harm.
    #[non_exhaustive]
    Mixed {
        /// Globs over the layers that stay f32.
        keep_f32: Vec<String>,
    },
}

/// As files have it: `"f32"`, `"mixed"`, or `{"mixed": {"keep_f32": ["head.*"]}}`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    F32,
    Mixed,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    #[serde(default)]
    keep_f32: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    mixed: Kept,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Words {
    Word(Word),
    Full(Full),
}

impl From<Words> for Precision {
    fn from(w: Words) -> Self {
        match w {
            Words::Word(Word::F32) => Precision::F32,
            Words::Word(Word::Mixed) => Precision::mixed(),
            Words::Full(Full { mixed }) => Precision::Mixed { keep_f32: mixed.keep_f32 },
        }
    }
}

impl From<Precision> for Words {
    fn from(p: Precision) -> Self {
        match p {
            Precision::F32 => Words::Word(Word::F32),
            Precision::Mixed { keep_f32 } if keep_f32.is_empty() => Words::Word(Word::Mixed),
            Precision::Mixed { keep_f32 } => Words::Full(Full { mixed: Kept { keep_f32 } }),
        }
    }
}

impl FromStr for Precision {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "f32" => Ok(Precision::F32),
            "mixed" => Ok(Precision::mixed()),
            _ => Err(Error::unknown_choice("precision", s, &["f32", "mixed"])),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_mixed() { "mixed" } else { "f32" })
    }
}

impl Precision {
    /// f16 where it does no harm.
    pub fn mixed() -> Self {
        Precision::Mixed { keep_f32: vec![] }
    }

    /// The layers that a glob covers stay f32: what they give, the gradients that flow through them, their weights. A pattern covers a layer by
    /// its own path (`head`) or by the full name of one of its parameters (`head.*` covers `head.weight`, hence the layer `head`). One that
    /// covers nothing is an `Err` of `compile`. Changes nothing for `F32`.
    pub fn keep_f32(mut self, pattern: impl Into<String>) -> Self {
        if let Precision::Mixed { keep_f32 } = &mut self {
            keep_f32.push(pattern.into());
        }
        self
    }

    /// Whether anything is stored as f16.
    pub fn is_mixed(&self) -> bool {
        matches!(self, Precision::Mixed { .. })
    }

    /// The patterns of layers that stay f32.
    pub fn kept(&self) -> &[String] {
        match self {
            Precision::F32 => &[],
            Precision::Mixed { keep_f32 } => keep_f32,
        }
    }

    /// Faults of the patterns against the names that there are: of layers, parameters and buffers.
    pub(crate) fn check<'a>(&self, names: impl Iterator<Item = &'a str> + Clone, f: &mut Faults) {
        for p in self.kept() {
            let found = names.clone().any(|n| covers(p, n));
            f.check(
                found,
                "compile.precision.keep_f32",
                format!("`{p}` covers no layer and no parameter"),
                "`Model::summary` lists the names",
            );
        }
    }
}

/// Why a value is stored as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A product: f16.
    Product,
    /// A map or a move between products: f16.
    Between,
    /// What a product reads of the data, or of the loss: f16.
    Feeds,
    /// Its layer is kept: f32.
    Kept,
    /// A gradient of a weight: f32.
    WeightGradient,
    /// The loss, metrics, outputs, new values of buffers: f32.
    Result,
    /// Behind the last product on the way to the loss, and back from there: f32.
    Loss,
    /// Sums, statistics, softmax and the rest: f32.
    Full,
}

impl Class {
    /// Whether it is stored as f16.
    pub fn is_half(self) -> bool {
        matches!(self, Class::Product | Class::Between | Class::Feeds)
    }

    /// In words, for listings.
    pub fn why(self) -> &'static str {
        match self {
            Class::Product => "a product",
            Class::Between => "between products",
            Class::Feeds => "feeds a product",
            Class::Kept => "keep_f32",
            Class::WeightGradient => "a weight's gradient",
            Class::Result => "a result",
            Class::Loss => "part of the loss",
            Class::Full => "sums, statistics, rows",
        }
    }
}

/// What a step wants of its graph, as far as precision asks.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The gradients of parameters.
    pub gradients: &'a [Value],
    /// Loss, metrics, outputs, new values of buffers.
    pub results: &'a [Value],
    /// Where the forward pass ends: the loss, or the outputs where there is none.
    pub ends: &'a [Value],
    /// The layers that stay f32.
    pub keep: &'a [String],
}

fn base(g: &Graph, mut v: Value) -> Value {
    while let Op::Reshape(_) = g.nodes[v.node].op {
        v = g.nodes[v.node].inputs[0];
    }
    v
}

fn is_product(op: &Op) -> bool {
    matches!(op, Op::MatMul { .. })
}

/// What only passes elements on, changed one by one.
fn is_between(op: &Op) -> bool {
    matches!(op, Op::Map(_) | Op::Broadcast(_)) || op.is_movement()
}

/// Whether a kernel reads this operand as f16, too.
fn reads_half(op: &Op, operand: usize) -> bool {
    match op {
        Op::Softmax { .. } | Op::Reduce { .. } => true,
        Op::CrossEntropy { .. } | Op::Accuracy(_) => operand == 0,
        op => is_product(op) || is_between(op),
    }
}

/// The layers that stay f32: covered by their own path, or by a parameter's name.
fn kept_layers(g: &Graph, keep: &[String]) -> HashSet<String> {
    let covered = |name: &str| keep.iter().any(|p| covers(p, name));
    let mut out: HashSet<String> = HashSet::new();
    for n in &g.nodes {
        if !n.layer.is_empty() && covered(&n.layer) {
            out.insert(n.layer.clone());
        }
        if let Op::Parameter { name, .. } | Op::Buffer { name, .. } = &n.op
            && covered(name)
        {
            out.insert(name.rsplit_once('.').map_or(String::new(), |(layer, _)| layer.to_string()));
        }
    }
    out.remove("");
    out
}

/// The class of every real value. It looks at the graph alone, not at dtypes: what is marked already changes nothing.
pub fn classes(g: &Graph, wanted: &Wanted<'_>) -> HashMap<Value, Class> {
    let layers = kept_layers(g, wanted.keep);
    let inside = |layer: &str| layers.iter().any(|l| layer == l || layer.strip_prefix(l.as_str()).is_some_and(|r| r.starts_with('.')));
    let kept: Vec<bool> = g.nodes.iter().map(|n| inside(&n.layer)).collect();
    let mut readers: HashMap<Value, Vec<(NodeId, usize)>> = HashMap::new();
    for (id, n) in g.nodes.iter().enumerate().filter(|(_, n)| !matches!(n.op, Op::Reshape(_))) {
        n.inputs.iter().enumerate().for_each(|(i, v)| readers.entry(base(g, *v)).or_default().push((id, i)));
    }
    let readers = |v: Value| readers.get(&v).map_or(&[][..], Vec::as_slice);
    let bases = |list: &[Value]| list.iter().map(|v| base(g, *v)).collect::<HashSet<Value>>();
    let (results, gradients) = (bases(wanted.results), bases(wanted.gradients));
    let forward = g.live(wanted.ends);
    let n = g.nodes.len();
    // seen from the end: whether a product of the forward pass follows, whether a product reads it at once, and weights' gradients
    let (mut before, mut feeds, mut of_weight) = (vec![false; n], vec![false; n], vec![false; n]);
    for id in (0..n).rev() {
        let all = || (0..g.nodes[id].outputs.len()).map(|output| Value { node: id, output });
        let follows = |&(r, _): &(NodeId, usize)| forward[r] && (before[r] || is_product(&g.nodes[r].op));
        before[id] = all().any(|v| readers(v).iter().any(follows));
        let fed = |&(r, _): &(NodeId, usize)| is_product(&g.nodes[r].op) && !kept[r] || g.nodes[r].op.is_movement() && feeds[r];
        feeds[id] = all().any(|v| readers(v).iter().any(fed));
        let product = is_product(&g.nodes[id].op);
        let sums = |&(r, _): &(NodeId, usize)| {
            of_weight[r] && (is_between(&g.nodes[r].op) || product && matches!(g.nodes[r].op, Op::Reduce { .. }))
        };
        let own = readers(id.into());
        of_weight[id] = all().any(|v| gradients.contains(&v)) || (!own.is_empty() && own.iter().all(sums));
    }
    // whether a product of the backward pass came before
    let mut behind = vec![false; n];
    let mut out: HashMap<Value, Class> = HashMap::new();
    for (id, node) in g.nodes.iter().enumerate() {
        let earlier = |v: &Value| behind[v.node] || (!forward[v.node] && is_product(&g.nodes[v.node].op));
        behind[id] = node.inputs.iter().any(earlier);
        for (output, ty) in node.outputs.iter().enumerate() {
            let v = Value { node: id, output };
            if matches!(node.op, Op::Reshape(_) | Op::Parameter { .. }) || !matches!(ty.dtype, DType::F32 | DType::F16) {
                continue;
            }
            let half_input = || node.inputs.iter().any(|v| out.get(&base(g, *v)).is_some_and(|c| c.is_half()));
            let class = if results.contains(&v) {
                Class::Result
            } else if of_weight[id] {
                Class::WeightGradient
            } else if kept[id] && !matches!(node.op, Op::Batch { .. }) {
                Class::Kept
            } else if !readers(v).iter().all(|&(r, i)| reads_half(&g.nodes[r].op, i)) {
                Class::Full
            } else {
                match &node.op {
                    // logits and the like: what the loss or the user sees
                    op if is_product(op) && forward[id] && !before[id] => Class::Loss,
                    op if is_product(op) => Class::Product,
                    op if is_between(op) => {
                        let within = if forward[id] { before[id] } else { behind[id] };
                        match (feeds[id], within && half_input()) {
                            (true, _) => Class::Feeds,
                            (_, true) => Class::Between,
                            _ if within => Class::Full,
                            _ => Class::Loss,
                        }
                    }
                    // not where a loss reads it too
                    Op::Batch { .. }
                        if feeds[id] && readers(v).iter().all(|&(r, _)| !forward[r] || before[r] || is_product(&g.nodes[r].op)) =>
                    {
                        Class::Feeds
                    }
                    Op::CrossEntropy { .. } if output == 1 && feeds[id] => Class::Feeds,
                    Op::CrossEntropy { .. } | Op::Accuracy(_) => Class::Loss,
                    _ => Class::Full,
                }
            };
            out.insert(v, class);
        }
    }
    // a product whose readers are all kept, or the gradient that flows to one
    for (&v, class) in out.iter_mut().filter(|(_, c)| c.is_half()) {
        let all = readers(v);
        if !all.is_empty() && all.iter().all(|&(r, _)| kept[r]) {
            *class = Class::Kept;
        }
    }
    out
}

/// Marks what is stored as f16, and lets products read the working copies of their weights: a parameter's second output.
pub fn assign(g: &mut Graph, wanted: &Wanted<'_>) {
    let layers = kept_layers(g, wanted.keep);
    let inside = |layer: &str| layers.iter().any(|l| layer == l || layer.strip_prefix(l.as_str()).is_some_and(|r| r.starts_with('.')));
    for (v, class) in classes(g, wanted) {
        if class.is_half() {
            g.nodes[v.node].outputs[v.output].dtype = DType::F16;
        }
    }
    // what a reshape shows is working copy where only products look
    let mut others: HashSet<NodeId> =
        g.nodes.iter().filter(|n| !is_product(&n.op) || inside(&n.layer)).flat_map(|n| &n.inputs).map(|v| v.node).collect();
    others.extend(wanted.results.iter().chain(wanted.gradients).map(|v| v.node));
    for id in 0..g.nodes.len() {
        let node = &g.nodes[id];
        let product = is_product(&node.op) && !inside(&node.layer);
        let shown = matches!(node.op, Op::Reshape(_)) && !others.contains(&id);
        for i in 0..if product || shown { node.inputs.len() } else { 0 } {
            let of = g.nodes[id].inputs[i].node;
            let Op::Parameter { shape, .. } = &g.nodes[of].op else { continue };
            let ty = Type { shape: shape.clone(), dtype: DType::F16 };
            g.nodes[of].outputs.truncate(1);
            g.nodes[of].outputs.push(ty);
            g.nodes[id].inputs[i] = Value { node: of, output: 1 };
        }
        if let Op::Reshape(_) = g.nodes[id].op {
            g.nodes[id].outputs[0].dtype = g.ty(g.nodes[id].inputs[0]).dtype;
        }
    }
}
