//! What a graph is given: fields of the batch, parameters, buffers, numbers of the state, random numbers. No gradient flows on from there.

use super::fault::Inferred;
use super::{Adjoint, Batch, Buffer, Kind, Op, OpRule, Parameter, Random, State};
use crate::error::Result;
use crate::graph::{Draws, Graph, StateField, Type, Value};
use std::hash::{Hash, Hasher};

/// What a graph is given, for whoever gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Leaf<'a> {
    /// A field of the batch.
    Batch(&'a Batch),
    /// A trainable parameter.
    Parameter(&'a Parameter),
    /// State that is not trained.
    Buffer(&'a Buffer),
    /// A number of the device's state.
    State(StateField),
    /// Random numbers.
    Random(&'a Draws),
}

impl Op {
    /// What is to be given for it; none where it is computed from operands.
    pub fn leaf(&self) -> Option<Leaf<'_>> {
        match self {
            Op::Batch(op) => Some(Leaf::Batch(op)),
            Op::Parameter(op) => Some(Leaf::Parameter(op)),
            Op::Buffer(op) => Some(Leaf::Buffer(op)),
            Op::State(State(field)) => Some(Leaf::State(*field)),
            Op::Random(Random(draws)) => Some(Leaf::Random(draws)),
            _ => None,
        }
    }
}

impl OpRule for Batch {
    fn name(&self) -> &str {
        "batch"
    }
    fn kind(&self) -> Kind {
        Kind::Leaf
    }
    fn infer(&self, _: &[&Type]) -> Inferred {
        Ok(vec![Type { shape: self.field.out_row().batched(self.batch), dtype: self.field.out_dtype() }])
    }
    fn vjp(&self, _: &Adjoint<'_>, _: &mut Graph) -> Result<Vec<Option<Value>>> {
        Ok(vec![])
    }
    fn label(&self) -> String {
        format!("batch {}", self.field.name)
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        (self.batch, &self.field.name).hash(&mut h);
    }
}

impl OpRule for Parameter {
    fn name(&self) -> &str {
        "parameter"
    }
    fn kind(&self) -> Kind {
        Kind::Leaf
    }
    fn infer(&self, _: &[&Type]) -> Inferred {
        Ok(vec![Type::f32(self.shape.clone())])
    }
    fn vjp(&self, _: &Adjoint<'_>, _: &mut Graph) -> Result<Vec<Option<Value>>> {
        Ok(vec![])
    }
    fn label(&self) -> String {
        format!("parameter {}", self.name)
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        self.name.hash(&mut h);
    }
}

impl OpRule for Buffer {
    fn name(&self) -> &str {
        "buffer"
    }
    fn kind(&self) -> Kind {
        Kind::Leaf
    }
    fn infer(&self, _: &[&Type]) -> Inferred {
        Ok(vec![Type::f32(self.shape.clone())])
    }
    fn vjp(&self, _: &Adjoint<'_>, _: &mut Graph) -> Result<Vec<Option<Value>>> {
        Ok(vec![])
    }
    fn label(&self) -> String {
        format!("buffer {}", self.name)
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        self.name.hash(&mut h);
    }
}

impl OpRule for State {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn kind(&self) -> Kind {
        Kind::Leaf
    }
    fn infer(&self, _: &[&Type]) -> Inferred {
        Ok(vec![Type::f32([])])
    }
    fn vjp(&self, _: &Adjoint<'_>, _: &mut Graph) -> Result<Vec<Option<Value>>> {
        Ok(vec![])
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        self.0.hash(&mut h);
    }
}

impl OpRule for Random {
    fn name(&self) -> &str {
        self.0.distribution.name()
    }
    fn kind(&self) -> Kind {
        Kind::Random
    }
    fn infer(&self, _: &[&Type]) -> Inferred {
        Ok(vec![Type::f32(self.0.shape.clone())])
    }
    fn vjp(&self, _: &Adjoint<'_>, _: &mut Graph) -> Result<Vec<Option<Value>>> {
        Ok(vec![])
    }
    fn label(&self) -> String {
        format!("{} of {}", self.name(), self.0.stream)
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        self.0.stream.hash(&mut h);
    }
}
