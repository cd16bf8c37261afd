//! Graphs for people: a listing, and a drawing for Graphviz.

use super::{Graph, Leaf, Type, Value};
use std::fmt;

impl fmt::Display for Graph {
    /// One line a node: number, op, operands, shapes, FLOPs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, n) in self.nodes.iter().enumerate() {
            let args: Vec<String> = n.inputs.iter().map(|v| name(*v)).collect();
            let outs: Vec<String> = n.outputs.iter().map(|t| format!("{} {}", t.dtype, t.shape)).collect();
            write!(f, "%{id} = {}({}) -> {}", n.op.rule().label(), args.join(", "), outs.join(", "))?;
            let flops = self.flops(id);
            if flops > 0 {
                write!(f, "  {flops} FLOP")?;
            }
            writeln!(f, "{}", if n.layer.is_empty() { String::new() } else { format!("  # {}", n.layer) })?;
        }
        Ok(())
    }
}

impl Graph {
    /// Floating-point operations of a node.
    pub fn flops(&self, id: usize) -> u64 {
        let n = &self.nodes[id];
        let types: Vec<&Type> = n.inputs.iter().map(|v| self.ty(*v)).collect();
        n.op.flops(&types, &n.outputs)
    }

    /// The graph in Graphviz' language: `dot -Tsvg step.dot`. Edges carry shapes and bytes, nodes FLOPs.
    pub fn to_dot(&self) -> String {
        let mut out = String::from("digraph step {\n  rankdir=TB; node [shape=box, fontname=\"monospace\", fontsize=10];\n");
        for (id, n) in self.nodes.iter().enumerate() {
            let color = match n.op.leaf() {
                Some(Leaf::Parameter(_)) => "lightblue",
                Some(Leaf::Buffer(_)) => "lightgreen",
                Some(Leaf::Batch(_)) => "lightyellow",
                Some(Leaf::State(_) | Leaf::Random(_)) | None => "white",
            };
            let flops = self.flops(id);
            let cost = if flops > 0 { format!("\\n{flops} FLOP") } else { String::new() };
            let layer = if n.layer.is_empty() { String::new() } else { format!("\\n{}", n.layer.replace('"', "'")) };
            let label = n.op.rule().label().replace('"', "'");
            out += &format!("  n{id} [label=\"{label}{layer}{cost}\", style=filled, fillcolor={color}];\n");
            for v in &n.inputs {
                let t = self.ty(*v);
                let bytes = t.shape.size() * t.dtype.size();
                out += &format!("  n{} -> n{id} [label=\"{} {}\\n{bytes} B\", fontsize=8];\n", v.node, t.dtype, t.shape);
            }
        }
        out + "}\n"
    }
}

fn name(v: Value) -> String {
    if v.output == 0 { format!("%{}", v.node) } else { format!("%{}.{}", v.node, v.output) }
}
