//! What a model takes, and whether a data set has it.

use crate::data::Dataset;
use crate::error::{Error, Faults, Result};
use crate::graph::Field;
use crate::model::compile::Compile;
use crate::model::core::Core;
use crate::plan::Purpose;
use crate::tensor::{DType, Shape};
use serde::{Deserialize, Serialize};

/// An input besides `x`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Input {
    /// The name of the field.
    pub name: String,
    /// The shape of one row.
    pub shape: Shape,
    /// f32, or u32 for indices; f32.
    #[serde(default = "crate::model::compile::f32_input")]
    pub dtype: DType,
}

impl Compile {
    /// Declares an input by its name: the field `batch[name]`, f32, with one row of this shape. `x` is [`Compile::input`].
    pub fn input_named(self, name: impl Into<String>, shape: impl Into<Shape>) -> Self {
        self.declare(name.into(), shape.into(), DType::F32)
    }

    /// As [`Compile::input_named`], for u32: indices into a table.
    pub fn indices_named(self, name: impl Into<String>, shape: impl Into<Shape>) -> Self {
        self.declare(name.into(), shape.into(), DType::U32)
    }

    fn declare(mut self, name: String, shape: Shape, dtype: DType) -> Self {
        if name == "x" {
            (self.input, self.input_dtype) = (shape, dtype);
        } else {
            self.inputs.push(Input { name, shape, dtype });
        }
        self
    }

    /// Name, row and dtype of every input, `x` first if there is one.
    pub(crate) fn all_inputs(&self) -> Vec<(&str, &Shape, DType)> {
        let x = (self.input.rank() > 0).then_some(("x", &self.input, self.input_dtype));
        x.into_iter().chain(self.inputs.iter().map(|i| (i.name.as_str(), &i.shape, i.dtype))).collect()
    }

    pub(crate) fn check_inputs(&self, f: &mut Faults) {
        let x = self.input.rank() > 0 || !self.inputs.is_empty();
        f.check(x && self.input.size() > 0, "compile.input", &self.input, "give the shape of one row: `.input([784])`");
        let known = |d: DType| matches!(d, DType::F32 | DType::U32);
        f.check(known(self.input_dtype), "compile.input_dtype", self.input_dtype, "a model takes f32 numbers or u32 indices");
        for (i, input) in self.inputs.iter().enumerate() {
            let key = format!("compile.inputs.{}", input.name);
            let taken = input.name == "x" || self.inputs[..i].iter().any(|o| o.name == input.name);
            f.check(!input.name.is_empty(), "compile.inputs", "an input has no name", "name it as the data set does");
            f.check(!taken, &key, "two inputs have this name", "declare each once");
            f.check(input.shape.size() > 0, &key, &input.shape, "every size of a row must be at least 1");
            f.check(known(input.dtype), &key, input.dtype, "a model takes f32 numbers or u32 indices");
        }
    }
}

impl Compile {
    /// Fields that are stored as integers stay so where the model takes them as integers, without a word of the data set's.
    fn take_integers(&self, fields: &mut [Field]) {
        for f in fields {
            let taken = self.all_inputs().iter().any(|(n, _, dtype)| *n == f.name && *dtype == DType::U32);
            f.keep_integer |= taken && f.stored != DType::F32 && as_stored(f);
        }
    }
}

/// Whether nothing is made of the field's values.
fn as_stored(f: &Field) -> bool {
    f.one_hot.is_none() && f.scale == 1.0 && f.shift == 0.0
}

impl Core {
    /// The fields of a batch: for `predict` the declared inputs, else all that the data has.
    pub(crate) fn fields_of(&self, data: &Dataset, purpose: Purpose) -> Vec<Field> {
        let mut fields = data.fields();
        if purpose == Purpose::Predict {
            let inputs = self.settings.all_inputs();
            fields.retain(|f| inputs.iter().any(|(n, ..)| *n == f.name));
        }
        self.settings.take_integers(&mut fields);
        fields
    }

    /// Fails unless the data has what the model takes. The message begins with [`CALL`]: whoever calls puts its own name there.
    pub(crate) fn check_data(&self, data: &Dataset, purpose: Purpose) -> Result<()> {
        let (fields, inputs) = (self.fields_of(data, purpose), self.settings.all_inputs());
        let at = || format!("the data set `{}`", data.name());
        let named = |n: &str| fields.iter().find(|f| f.name == n);
        let shaped = inputs.iter().all(|(n, s, _)| named(n).is_some_and(|f| f.out_row() == **s));
        if !shaped {
            let takes: Vec<String> = inputs.iter().map(|(n, s, _)| format!("{n} {s}")).collect();
            let has: Vec<String> = data.fields().iter().map(|f| format!("{} {}", f.name, f.out_row())).collect();
            let problem = match (inputs.as_slice(), named("x")) {
                ([("x", s, _)], Some(f)) => format!("a row of `{}` is {} and the model takes {s}", data.name(), f.out_row()),
                _ => format!("a row of `{}` has {} and the model takes {}", data.name(), has.join(", "), takes.join(", ")),
            };
            // what was given has the shape of a row
            let bare = inputs.iter().find(|(n, s, _)| named(n).is_some_and(|f| f.out_row().batched(data.len()) == **s));
            let help = match bare {
                Some((n, s, _)) => format!("the first axis counts the rows: one row of `{n}` is {}", s.batched(1)),
                None => "set `.input(..)` and `.input_named(..)` of Compile to the rows' shapes, or `.flatten()` the data set".into(),
            };
            return Err(Error::ShapeMismatch { op: CALL.into(), problem, at: at(), help });
        }
        for (name, _, dtype) in &inputs {
            let Some(f) = named(name).filter(|f| f.out_dtype() != *dtype) else { continue };
            let (problem, help) = match (dtype, f.stored) {
                (DType::U32, DType::F32) => {
                    (format!("the field `{name}` is stored as f32 and the model takes u32"), "give indices as `HostTensor::u32` or `u8`")
                }
                (DType::U32, _) => (
                    format!("the data set makes f32 of the field `{name}` and the model takes u32"),
                    "indices go to the model as they are stored: leave `scale`, `shift` and `one_hot` away",
                ),
                _ => (
                    format!("the field `{name}` gives {} and the model takes {dtype}", f.out_dtype()),
                    "declare indices by `.input_dtype(DType::U32)` or `.indices_named(..)` on Compile, or leave `.integers()` away",
                ),
            };
            return Err(Error::DTypeMismatch { op: CALL.into(), problem, at: at(), help: help.into() });
        }
        if purpose != Purpose::Predict && self.settings.loss.is_some() && !data.has_labels() {
            return Err(Error::Unsupported {
                what: "a loss without labels".into(),
                at: at(),
                help: "make it with `Dataset::new(features, labels)`".into(),
            });
        }
        Ok(())
    }
}

/// Notes a batch of no rows among the faults of `fit`.
pub(crate) fn fault_of_batch_size(f: &mut Faults, rows: usize) {
    f.check(rows > 0, "fit.batch_size", rows, "give at least 1");
}

/// Fails on a batch of no rows. The key of the fault begins with [`CALL`].
pub(crate) fn check_batch_size(rows: usize) -> Result<()> {
    let mut f = Faults::default();
    fault_of_batch_size(&mut f, rows);
    f.finish()
}

/// Stands for the call that the user made: [`in_call`] puts its name there.
const CALL: &str = "fit";

/// The error as the user of this call meets it. What is checked deep within does not know who asked.
pub(crate) fn in_call(call: &str) -> impl Fn(Error) -> Error {
    move |mut e| {
        match &mut e {
            Error::ShapeMismatch { op, .. } | Error::DTypeMismatch { op, .. } if op == CALL => *op = call.into(),
            Error::InvalidConfig { faults } => {
                faults.iter_mut().filter(|f| f.key == "fit.batch_size").for_each(|f| f.key = format!("{call}.batch_size"));
            }
            _ => {}
        }
        e
    }
}
