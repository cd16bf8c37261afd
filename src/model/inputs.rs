//! Whether a data set has what a model takes.

use super::core::Core;
use crate::data::{Dataset, Limit};
use crate::error::{Error, Faults, Result};
use crate::graph::Field;
use crate::nn::Loss;
use crate::plan::{LabelLimit, Program, Purpose};
use crate::tensor::DType;

impl Core {
    /// The fields of a batch: for `predict` the declared inputs, else all that the data has.
    pub(crate) fn fields_of(&self, data: &Dataset, purpose: Purpose) -> Vec<Field> {
        let mut fields = data.fields();
        if purpose == Purpose::Predict {
            let inputs = self.description.settings.all_inputs();
            fields.retain(|f| inputs.iter().any(|(n, ..)| *n == f.name));
        }
        self.description.settings.take_integers(&mut fields);
        fields
    }

    /// Fails unless the data has what the model takes. The message begins with [`CALL`], which [`in_call`] replaces by the call that the
    /// user made.
    pub(crate) fn check_data(&self, data: &Dataset, purpose: Purpose) -> Result<()> {
        let (fields, inputs) = (self.fields_of(data, purpose), self.description.settings.all_inputs());
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
            // the user gave one row without the axis of the batch
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
        if purpose != Purpose::Predict && self.description.settings.loss.is_some() && !data.has_labels() {
            return Err(Error::Unsupported {
                what: "a loss without labels".into(),
                at: at(),
                help: "make it with `Dataset::new(features, labels)`".into(),
            });
        }
        Ok(())
    }

    /// The limits of the integers that a program takes from the data: class labels and indices must lie below these.
    pub(crate) fn limits(&self, data: &Dataset, program: &Program) -> Vec<Limit> {
        let names: Vec<String> = data.fields().into_iter().map(|f| f.name).collect();
        let integers = |name: &str| names.iter().position(|n| n == name).filter(|&i| data.holds_integers(i));
        let ignored = self.description.settings.loss.as_ref().and_then(Loss::ignored);
        let label =
            |l: &LabelLimit| integers(&l.field).map(|field| Limit { field, below: l.classes, except: l.ignored, ignored, table: None });
        let labels = program.label_limits.iter().filter_map(label);
        let indices = program.index_limits.iter().filter_map(|l| {
            integers(&l.field).map(|field| Limit { field, below: l.rows, except: None, ignored: None, table: Some(l.at.clone()) })
        });
        // beside sample weights a row of weight 0 may have any label
        let reads = program.fields.iter().any(|f| f.name == "y" && f.stored == DType::F32) && !names.iter().any(|n| n == "weight");
        let checked = reads && self.description.settings.loss.as_ref().is_some_and(|l| l.takes_parts());
        let y = names.iter().position(|n| checked && n == "y");
        let parts = y.map(|field| Limit { field, below: 0, except: None, ignored: None, table: None });
        labels.chain(indices).chain(parts).collect()
    }

    /// Fails if an integer of the data is out of its range.
    pub(crate) fn check_limits(&self, data: &Dataset, program: &Program) -> Result<()> {
        self.limits(data, program).iter().try_for_each(|l| data.check_limit(l))
    }
}

/// Notes a batch size of 0 among the faults of `fit`.
pub(crate) fn fault_of_batch_size(f: &mut Faults, rows: usize) {
    f.check(rows > 0, "fit.batch_size", rows, "give at least 1");
}

/// Fails on a batch size of 0. The key of the fault begins with [`CALL`].
pub(crate) fn check_batch_size(rows: usize) -> Result<()> {
    let mut f = Faults::default();
    fault_of_batch_size(&mut f, rows);
    f.finish()
}

/// What messages say in place of the call that the user made, until [`in_call`] puts its name there.
const CALL: &str = "fit";

/// Puts the name of the call that the user made into an error: the checks further down do not know it.
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
