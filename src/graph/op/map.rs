//! Formulas, element by element, and what is as good as one: a constant, a repetition, integers as reals.

use super::fault::{Inferred, OpFault, all_f32, shapes, size};
use super::multiple::{multiple, times};
use super::{Adjoint, Broadcast, Constant, Kind, Map, Op, OpRule, Rewrite, ToF32};
use crate::error::Result;
use crate::expr::{Binary, Node, Tape};
use crate::graph::{Graph, Type, Value};
use crate::tensor::{DType, Shape};
use std::hash::{Hash, Hasher};

impl OpRule for Map {
    fn name(&self) -> &str {
        if self.0.flops() != 1 {
            return "map";
        }
        match self.0.nodes() {
            [.., Node::Binary(b, ..)] => match b {
                Binary::Add => "add",
                Binary::Sub => "sub",
                Binary::Mul => "mul",
                Binary::Div => "div",
                Binary::Max => "maximum",
                Binary::Min => "minimum",
                Binary::Pow => "pow",
                Binary::Less => "less",
                Binary::LessEqual => "less_equal",
                Binary::Equal => "equal",
            },
            [.., Node::Unary(u, _)] => u.name(),
            [.., Node::Select(..)] => "select",
            _ => "map",
        }
    }
    fn kind(&self) -> Kind {
        Kind::Map
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        all_f32(x)?;
        debug_assert_eq!(self.0.arity(), x.len());
        let mut out = Shape::default();
        for t in x {
            out = out.broadcast(&t.shape).ok_or_else(|| {
                OpFault::shape(format!("shapes {} do not broadcast", shapes(x)), "align them from the last axis: sizes must be equal or 1")
            })?;
        }
        Ok(vec![Type::f32(out)])
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        let y: Value = at.id.into();
        // what a derivative may read: the operands, the result, the gradient for it
        let args: Vec<Value> = at.inputs.iter().copied().chain([y, at.grad(g)?]).collect();
        let full = g.shape(y).clone();
        let mut out = vec![None; at.inputs.len()];
        for i in (0..at.inputs.len()).filter(|&i| at.wants[i]) {
            let Some(d) = self.0.gradient(i) else { continue };
            let (d, kept) = d.prune();
            let read: Vec<Value> = kept.iter().map(|&k| args[k]).collect();
            let v = at.add(g, Map(d), &read)?;
            let v = if *g.shape(v) == full { v } else { at.repeat(g, v, &full)? };
            let to = g.shape(at.inputs[i]).clone();
            out[i] = Some(at.sum_to(g, v, &to)?);
        }
        Ok(out)
    }
    fn flops(&self, _: &[&Type], y: &[Type]) -> u64 {
        size(&y[0]) * self.0.flops() as u64
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        self.0.hash(&mut h);
    }
    /// Constants and repetitions go into the formula, and so does a factor of the loss scale; the same operand is read once.
    fn simplified(&self, x: &[Value], shape: &Shape, g: &Graph) -> Option<Rewrite> {
        let mut tape = Tape::default();
        let mut reads: Vec<Value> = Vec::new();
        let mut args = Vec::new();
        for &v in x {
            let source = &g.nodes[v.node];
            if let Op::Constant(Constant { value, .. }) = source.op {
                args.push(tape.constant(value));
                continue;
            }
            let v = if let Op::Broadcast(_) = source.op { source.inputs[0] } else { v };
            let (v, factor) = multiple(g, v).unwrap_or((v, 1.0));
            let at = reads.iter().position(|r| *r == v).unwrap_or_else(|| {
                reads.push(v);
                reads.len() - 1
            });
            let x = tape.input(at);
            args.push(times(&mut tape, x, factor));
        }
        let outputs = tape.inline(&self.0, &args);
        let (f, kept) = tape.finish(reads.len(), &outputs).prune();
        let reads: Vec<Value> = kept.iter().map(|&i| reads[i]).collect();
        if f.is_identity() && g.shape(reads[0]) == shape {
            return Some(Rewrite::value(reads[0]));
        }
        if f.arity() == 0 {
            let value = f.eval::<f64>(&[], &[])[0];
            return Some(Rewrite::op(Constant { value, shape: shape.clone() }, vec![]));
        }
        // reading through a repetition may have made the result smaller: repeat it at the end
        Some(Rewrite { on: reads, ops: vec![Map(f).into(), Broadcast(shape.clone()).into()] })
    }
    fn formula(&self, tape: &mut Tape, x: &[usize]) -> usize {
        tape.inline(&self.0, x)[0]
    }
}

impl OpRule for Broadcast {
    fn name(&self) -> &str {
        "broadcast_to"
    }
    fn kind(&self) -> Kind {
        Kind::Map
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        all_f32(x)?;
        let (own, to) = (&x[0].shape, &self.0);
        match own.broadcast(to) {
            Some(s) if s == *to => Ok(vec![Type::f32(s)]),
            _ => Err(OpFault::shape(
                format!("{own} cannot be repeated to {to}"),
                "aligned from the last axis, each size must be 1 or the target's",
            )),
        }
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        let to = g.shape(at.inputs[0]).clone();
        let grad = at.grad(g)?;
        Ok(vec![Some(at.sum_to(g, grad, &to)?)])
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        self.0.hash(&mut h);
    }
    fn simplified(&self, x: &[Value], shape: &Shape, g: &Graph) -> Option<Rewrite> {
        if g.shape(x[0]) == shape {
            return Some(Rewrite::value(x[0]));
        }
        let Op::Constant(Constant { value, .. }) = g.nodes[x[0].node].op else { return None };
        Some(Rewrite::op(Constant { value, shape: shape.clone() }, vec![]))
    }
}

impl OpRule for Constant {
    fn name(&self) -> &str {
        "constant"
    }
    fn kind(&self) -> Kind {
        Kind::Constant
    }
    fn infer(&self, _: &[&Type]) -> Inferred {
        Ok(vec![Type::f32(self.shape.clone())])
    }
    fn vjp(&self, _: &Adjoint<'_>, _: &mut Graph) -> Result<Vec<Option<Value>>> {
        Ok(vec![])
    }
    fn label(&self) -> String {
        format!("constant {}", self.value)
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        // 0 and -0 are equal
        ((self.value + 0.0).to_bits(), &self.shape).hash(&mut h);
    }
    fn formula(&self, tape: &mut Tape, _: &[usize]) -> usize {
        tape.constant(self.value)
    }
}

impl OpRule for ToF32 {
    fn name(&self) -> &str {
        "to_f32"
    }
    fn kind(&self) -> Kind {
        Kind::Cast
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        if x[0].dtype == DType::U32 {
            return Ok(vec![Type::f32(x[0].shape.clone())]);
        }
        Err(OpFault::dtype(format!("an operand {} is {}", x[0].shape, x[0].dtype), "it is no integer"))
    }
    fn vjp(&self, _: &Adjoint<'_>, _: &mut Graph) -> Result<Vec<Option<Value>>> {
        Ok(vec![]) // integers have no gradient
    }
}
