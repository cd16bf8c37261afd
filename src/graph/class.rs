//! In which precision each value is stored. This pass runs after autodiff and simplification, and gives each value a class.
//!
//! A value of dtype f16 is *stored* as f16. Kernels load it to f32, compute and accumulate in f32, and round once, where they store. So there
//! are no cast nodes, and a cast costs no launch.

use super::{Graph, Kind, Leaf, NodeId, Op, Type, Value, op};
use crate::glob::covers;
use crate::tensor::DType;
use std::collections::{HashMap, HashSet};

/// Why a value is stored as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// A product: f16.
    Product,
    /// A map or a move between products: f16.
    Between,
    /// A value of the data or a gradient of the loss that a product reads: f16.
    Feeds,
    /// A value of a layer that the user keeps in f32.
    Kept,
    /// A gradient of a weight: f32.
    WeightGradient,
    /// The loss, metrics, outputs, new values of buffers: f32.
    Result,
    /// Between the last product and the loss, forward and backward: f32.
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

/// The values of a graph that a step wants, as far as precision depends on them.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// The gradients of parameters.
    pub gradients: &'a [Value],
    /// Loss, metrics, outputs, new values of buffers.
    pub results: &'a [Value],
    /// Where the forward pass ends: the loss, or the outputs where there is none.
    pub ends: &'a [Value],
    /// The layers that stay f32.
    pub keep: &'a [String],
}

/// The layers that stay f32.
struct Kept(HashSet<String>);

impl Kept {
    /// The layers whose path a pattern covers, or the name of one of whose parameters.
    fn of(g: &Graph, patterns: &[String]) -> Self {
        let covered = |name: &str| patterns.iter().any(|p| covers(p, name));
        let mut layers: HashSet<String> = HashSet::new();
        for n in &g.nodes {
            if !n.layer.is_empty() && covered(&n.layer) {
                layers.insert(n.layer.clone());
            }
            if let Op::Parameter(op::Parameter { name, .. }) | Op::Buffer(op::Buffer { name, .. }) = &n.op
                && covered(name)
            {
                layers.insert(name.rsplit_once('.').map_or(String::new(), |(layer, _)| layer.to_string()));
            }
        }
        layers.remove("");
        Kept(layers)
    }

    /// Whether a layer is one of these layers, or lies within one.
    fn holds(&self, layer: &str) -> bool {
        let ends = layer.match_indices('.').map(|(i, _)| i).chain([layer.len()]);
        !self.0.is_empty() && ends.into_iter().any(|end| self.0.contains(&layer[..end]))
    }
}

/// A graph with all that the classes of its values depend on. Reshapes store nothing: here a value is always the one that a reshape shows.
struct Marking<'a> {
    g: &'a Graph,
    /// Whether a node's layer stays f32.
    kept: Vec<bool>,
    /// Whether a node belongs to the forward pass.
    forward: Vec<bool>,
    /// The nodes that read a value, each with the number of its operand.
    readers: HashMap<Value, Vec<(NodeId, usize)>>,
    results: HashSet<Value>,
    gradients: HashSet<Value>,
}

/// What follows each node, seen from the graph's end.
struct Ahead {
    /// A product of the forward pass follows.
    product: Vec<bool>,
    /// A product reads the node's result, directly or through moves.
    feeds: Vec<bool>,
    /// The node's result is a gradient of a weight, or is summed up to one.
    weight: Vec<bool>,
}

/// The class of every real value. It depends on the graph alone and not on dtypes, so that it is the same before and after [`assign`].
pub(crate) fn classes(g: &Graph, wanted: &Wanted<'_>) -> HashMap<Value, Class> {
    let marking = Marking::new(g, wanted);
    marking.sweep_forward(&marking.sweep_back())
}

impl<'a> Marking<'a> {
    fn new(g: &'a Graph, wanted: &Wanted<'_>) -> Self {
        let layers = Kept::of(g, wanted.keep);
        let mut readers: HashMap<Value, Vec<(NodeId, usize)>> = HashMap::new();
        for (id, n) in g.nodes.iter().enumerate().filter(|(_, n)| n.op.kind() != Kind::Alias) {
            n.inputs.iter().enumerate().for_each(|(i, v)| readers.entry(g.base(*v)).or_default().push((id, i)));
        }
        let bases = |list: &[Value]| list.iter().map(|v| g.base(*v)).collect();
        Marking {
            g,
            kept: g.nodes.iter().map(|n| layers.holds(&n.layer)).collect(),
            forward: g.live(wanted.ends),
            readers,
            results: bases(wanted.results),
            gradients: bases(wanted.gradients),
        }
    }

    fn kind(&self, id: NodeId) -> Kind {
        self.g.nodes[id].op.kind()
    }

    fn is_product(&self, id: NodeId) -> bool {
        self.kind(id) == Kind::Product
    }

    fn readers(&self, v: Value) -> &[(NodeId, usize)] {
        self.readers.get(&v).map_or(&[], Vec::as_slice)
    }

    /// The nodes that read any result of this one.
    fn readers_of(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        self.outputs(id).flat_map(|v| self.readers(v)).map(|(r, _)| *r)
    }

    fn outputs(&self, node: NodeId) -> impl Iterator<Item = Value> + use<> {
        (0..self.g.nodes[node].outputs.len()).map(move |output| Value { node, output })
    }

    fn sweep_back(&self) -> Ahead {
        let n = self.g.nodes.len();
        let mut ahead = Ahead { product: vec![false; n], feeds: vec![false; n], weight: vec![false; n] };
        for id in (0..n).rev() {
            ahead.product[id] = self.readers_of(id).any(|r| self.forward[r] && (ahead.product[r] || self.is_product(r)));
            let fed = |r| self.is_product(r) && !self.kept[r] || self.kind(r) == Kind::Move && ahead.feeds[r];
            ahead.feeds[id] = self.readers_of(id).any(fed);
            ahead.weight[id] = self.outputs(id).any(|v| self.gradients.contains(&v)) || self.is_summed_to_a_weight(id, &ahead.weight);
        }
        ahead
    }

    /// Whether every reader of a node's first result makes a weight's gradient of it. Maps and moves do, and sums do behind a product.
    fn is_summed_to_a_weight(&self, id: NodeId, weight: &[bool]) -> bool {
        let readers = self.readers(id.into());
        let sums = |r: NodeId| self.kind(r).is_between() || self.is_product(id) && self.kind(r) == Kind::Reduce;
        !readers.is_empty() && readers.iter().all(|&(r, _)| weight[r] && sums(r))
    }

    fn sweep_forward(&self, ahead: &Ahead) -> HashMap<Value, Class> {
        // whether a product of the backward pass comes before each node
        let mut behind = vec![false; self.g.nodes.len()];
        let mut out: HashMap<Value, Class> = HashMap::new();
        for (id, node) in self.g.nodes.iter().enumerate() {
            let earlier = |v: &Value| behind[v.node] || (!self.forward[v.node] && self.is_product(v.node));
            behind[id] = node.inputs.iter().any(earlier);
            if node.op.kind() == Kind::Alias || matches!(node.op.leaf(), Some(Leaf::Parameter(_))) {
                continue;
            }
            let within = if self.forward[id] { ahead.product[id] } else { behind[id] };
            for v in self.outputs(id).filter(|v| matches!(self.g.ty(*v).dtype, DType::F32 | DType::F16)) {
                let half_input = || node.inputs.iter().any(|v| out.get(&self.g.base(*v)).is_some_and(|c| c.is_half()));
                let class = self.choose(v, ahead, within, &half_input);
                out.insert(v, class);
            }
        }
        self.keep_for_readers(&mut out);
        out
    }

    /// The class of one value. `within` says that its node lies between two products of its pass, `half_input` whether an operand is f16.
    fn choose(&self, v: Value, ahead: &Ahead, within: bool, half_input: &dyn Fn() -> bool) -> Class {
        let (id, op) = (v.node, &self.g.nodes[v.node].op);
        let of_batch = matches!(op.leaf(), Some(Leaf::Batch(_)));
        if self.results.contains(&v) {
            return Class::Result;
        }
        if ahead.weight[id] {
            return Class::WeightGradient;
        }
        if self.kept[id] && !of_batch {
            return Class::Kept;
        }
        if !self.readers(v).iter().all(|&(r, i)| self.g.nodes[r].op.rule().reads_half(i)) {
            return Class::Full;
        }
        match op.kind() {
            // logits and the like, which the loss or the user reads
            Kind::Product if self.forward[id] && !ahead.product[id] => Class::Loss,
            Kind::Product => Class::Product,
            Kind::Map | Kind::Move | Kind::Window => match (ahead.feeds[id], within && half_input()) {
                (true, _) => Class::Feeds,
                (_, true) => Class::Between,
                _ if within => Class::Full,
                _ => Class::Loss,
            },
            Kind::Leaf if of_batch && ahead.feeds[id] && !self.is_read_by_the_loss(v, ahead) => Class::Feeds,
            Kind::Loss if v.output == 1 && ahead.feeds[id] => Class::Feeds,
            Kind::Loss => Class::Loss,
            Kind::Leaf | Kind::Random | Kind::Constant | Kind::Cast | Kind::Alias | Kind::Detach | Kind::Reduce | Kind::Alone => {
                Class::Full
            }
        }
    }

    /// Whether a value of the batch is read between the last product and the loss.
    fn is_read_by_the_loss(&self, v: Value, ahead: &Ahead) -> bool {
        self.readers(v).iter().any(|&(r, _)| self.forward[r] && !ahead.product[r] && !self.is_product(r))
    }

    /// A value whose readers all lie in kept layers is kept with them.
    fn keep_for_readers(&self, classes: &mut HashMap<Value, Class>) {
        for (&v, class) in classes.iter_mut().filter(|(_, c)| c.is_half()) {
            let all = self.readers(v);
            if !all.is_empty() && all.iter().all(|&(r, _)| self.kept[r]) {
                *class = Class::Kept;
            }
        }
    }
}

/// Gives the dtype f16 to the values that are stored as f16, and lets products read the f16 copies of their weights. The copy is the second output of a
/// parameter.
pub(crate) fn assign(g: &mut Graph, wanted: &Wanted<'_>) {
    let layers = Kept::of(g, wanted.keep);
    for (v, class) in classes(g, wanted) {
        if class.is_half() {
            g.nodes[v.node].outputs[v.output].dtype = DType::F16;
        }
    }
    let is_product = |n: &super::Node| n.op.kind() == Kind::Product && !layers.holds(&n.layer);
    // a reshape of a weight shows the f16 copy if only products read it
    let mut others: HashSet<NodeId> = g.nodes.iter().filter(|n| !is_product(n)).flat_map(|n| &n.inputs).map(|v| v.node).collect();
    others.extend(wanted.results.iter().chain(wanted.gradients).map(|v| v.node));
    for id in 0..g.nodes.len() {
        let node = &g.nodes[id];
        let alias = node.op.kind() == Kind::Alias;
        if is_product(node) || alias && !others.contains(&id) {
            read_copies(g, id);
        }
        if alias {
            g.nodes[id].outputs[0].dtype = g.ty(g.nodes[id].inputs[0]).dtype;
        }
    }
}

/// Lets a node read the f16 copies of the parameters among its operands.
fn read_copies(g: &mut Graph, id: NodeId) {
    for i in 0..g.nodes[id].inputs.len() {
        let of = g.nodes[id].inputs[i].node;
        let Op::Parameter(op::Parameter { shape, .. }) = &g.nodes[of].op else { continue };
        let copy = Type { shape: shape.clone(), dtype: DType::F16 };
        g.nodes[of].outputs.truncate(1);
        g.nodes[of].outputs.push(copy);
        g.nodes[id].inputs[i] = Value { node: of, output: 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Builder, Field, Var, gradients, simplify};

    /// Values of a small classifier by name, with the values that precision is told of.
    struct Example {
        graph: Graph,
        named: Vec<(&'static str, Value)>,
    }

    const PARAMETERS: [&str; 4] = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"];

    /// Two linear layers with a ReLU between them and a cross-entropy behind them, forward and backward, simplified.
    fn classifier() -> Example {
        let b = Builder::new();
        let field = |name: &str, stored, row: &[usize], keep_integer| Field { keep_integer, ..Field::new(name, stored, row) };
        let (x, y) = (b.batch(8, field("x", DType::F32, &[6], false)), b.batch(8, field("y", DType::U32, &[], true)));
        let p: Vec<Var> = PARAMETERS.iter().zip([[6, 5], [1, 5], [5, 3], [1, 3]]).map(|(n, s)| b.parameter(n, s.into())).collect();
        b.enter("fc1");
        let first = x.matmul(&p[0]);
        let before = &first + &p[1];
        b.enter("");
        let h = before.relu();
        b.enter("fc2");
        let second = h.matmul(&p[2]);
        let logits = &second + &p[3];
        b.enter("");
        let loss = logits.cross_entropy(&y);
        let value = |v: &Var| v.value().unwrap();
        let wrt: Vec<Value> = p.iter().map(value).collect();
        let mut named =
            vec![("x", value(&x)), ("x w1", value(&first)), ("h", value(&h)), ("h w2", value(&second)), ("logits", value(&logits))];
        named.push(("loss", value(&loss)));
        named.push(("dlogits", Value { node: value(&loss).node, output: 1 }));
        let mut graph = b.finish().unwrap();
        let grads = gradients(&mut graph, named[5].1, &wrt).unwrap();
        named.extend(["dw1", "db1", "dw2", "db2"].into_iter().zip(grads.into_iter().flatten()));
        let (graph, values) = simplify(&graph, &named.iter().map(|(_, v)| *v).collect::<Vec<_>>()).unwrap();
        let named = named.into_iter().zip(values).map(|((n, _), v)| (n, v)).collect();
        Example { graph, named }
    }

    fn told(keep: &[&str]) -> Vec<(&'static str, Class)> {
        let Example { graph, named } = classifier();
        let loss = named[5].1;
        let gradients: Vec<Value> = named[7..].iter().map(|(_, v)| *v).collect();
        let keep: Vec<String> = keep.iter().map(|k| k.to_string()).collect();
        let classes = classes(&graph, &Wanted { gradients: &gradients, results: &[loss], ends: &[loss], keep: &keep });
        named.into_iter().filter_map(|(n, v)| Some((n, *classes.get(&graph.base(v))?))).collect()
    }

    #[test]
    fn each_value_has_its_class() {
        use Class::*;
        let weights = [("dw1", WeightGradient), ("db1", WeightGradient), ("dw2", WeightGradient), ("db2", WeightGradient)];
        for (keep, values) in [
            (
                &[][..],
                [("x", Feeds), ("x w1", Product), ("h", Feeds), ("h w2", Loss), ("logits", Loss), ("loss", Result), ("dlogits", Feeds)],
            ),
            (&["fc1"], [("x", Full), ("x w1", Kept), ("h", Feeds), ("h w2", Loss), ("logits", Loss), ("loss", Result), ("dlogits", Feeds)]),
            // one covered parameter keeps its layer
            (
                &["fc2.bias"],
                [("x", Feeds), ("x w1", Product), ("h", Between), ("h w2", Kept), ("logits", Kept), ("loss", Result), ("dlogits", Loss)],
            ),
        ] {
            assert_eq!(told(keep), [&values[..], &weights].concat(), "keep_f32 {keep:?}");
        }
    }
}
