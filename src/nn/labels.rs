//! Labels of both kinds, as losses and metrics need them: rows of probabilities, class numbers, zeros and ones.

use super::closure::alike;
use crate::error::{Error, place};
use crate::graph::{IGNORES_CLASSES, REAL_CLASSES, Var};
use crate::tensor::DType;
use std::panic::Location;

/// Notes a mistake of the model with the caller's line. Everything that is built on the result is passed over.
#[track_caller]
pub(super) fn fault(output: &Var, op: &str, problem: String, help: &str) -> Var {
    // one after an earlier mistake says nothing new
    if output.value().is_some() {
        output.builder().fail(Error::ShapeMismatch { op: op.into(), problem, at: place(Location::caller()), help: help.into() });
    }
    output.builder().poisoned()
}

/// Whether the labels are integers, where they must be reals: then the mistake is noted.
#[track_caller]
pub(super) fn integers(op: &str, output: &Var, labels: &Var) -> bool {
    let found = output.value().is_some() && labels.value().is_some() && labels.dtype() == DType::U32;
    if found {
        let problem = format!("the labels {} are integers (u32)", labels.shape());
        let help = "give real labels, `HostTensor::f32`; for classes use `CrossEntropy` and `Accuracy`, for 0 and 1 `BinaryCrossEntropy`";
        output.builder().fail(Error::DTypeMismatch { op: op.into(), problem, at: place(Location::caller()), help: help.into() });
    }
    found
}

/// The labels in the output's shape, f32: reals of as many elements, or integers 0 and 1.
#[track_caller]
pub(super) fn same(op: &str, output: &Var, labels: &Var) -> Var {
    let (o, l) = (output.shape(), labels.shape());
    if integers(op, output, labels) {
        return output.builder().poisoned();
    }
    if o.size() != l.size() {
        let problem = format!("the model gives {o} and the labels are {l}");
        return fault(output, op, problem, "the last layer must have as many outputs as a row of labels has values");
    }
    alike(output, labels)
}

/// As [`same`] for labels 0 and 1, which may be integers.
#[track_caller]
pub(super) fn zeros_and_ones(op: &str, output: &Var, labels: &Var) -> Var {
    let labels = if labels.dtype() == DType::U32 { labels.class_ordinals(2) - 1.0 } else { labels.clone() };
    same(op, output, &labels)
}

/// Whether the output is `[.., classes]` and the labels fit it, else the mistake is noted.
#[track_caller]
pub(super) fn scores(op: &str, output: &Var, labels: &Var) -> bool {
    let (o, l) = (output.shape(), labels.shape());
    let Some((_, rows)) = o.dims().split_last().filter(|(_, rows)| !rows.is_empty()) else {
        fault(output, op, format!("the scores have shape {o}"), "give [.., classes]: one score for each class");
        return false;
    };
    let fits = if labels.dtype() == DType::F32 { l == o } else { l.dims() == rows };
    if !fits && labels.dtype() == DType::F32 && l.size() == rows.iter().product::<usize>() {
        fault(output, op, format!("scores {o} and labels {l} that are f32"), REAL_CLASSES);
    } else if !fits && labels.dtype() == DType::F32 {
        let help = "the last layer must have as many outputs as the labels have classes";
        fault(output, op, format!("scores {o} and label rows {l}"), help);
    } else if !fits {
        fault(output, op, format!("scores {o} and class labels {l}"), "give one label for each row of scores");
    }
    fits
}

/// The probabilities that the labels want of each row, `[.., classes]`, for scores of that shape.
#[track_caller]
pub(super) fn targets(op: &str, output: &Var, labels: &Var) -> Var {
    if output.value().is_none() || labels.value().is_none() || !scores(op, output, labels) {
        return output.builder().poisoned();
    }
    match labels.dtype() {
        DType::F32 => labels.clone(),
        _ => one_hot(labels, output.shape().last()),
    }
}

/// As [`targets`] for class labels one of which is ignored, and 1 where a row counts, `[.., 1]`. The targets of a row that does not are 0, those of a
/// label that is neither a class nor ignored NaN.
#[track_caller]
pub(super) fn targets_ignoring(op: &str, output: &Var, labels: &Var, ignored: u32) -> Option<(Var, Var)> {
    if output.value().is_none() || labels.value().is_none() || !scores(op, output, labels) {
        return None;
    }
    if labels.dtype() == DType::F32 {
        let problem = format!("labels {} of dtype {}, one of which is to be ignored", labels.shape(), labels.dtype());
        fault(output, op, problem, IGNORES_CLASSES);
        return None;
    }
    let numbers = labels.to_f32();
    let counts = numbers.not_equal(f64::from(ignored)).unsqueeze(labels.shape().rank());
    let rows = (numbers + 1.0).one_hot_rows(output.shape().last());
    Some((counts.select(&rows, 0.0), counts))
}

/// The classes of the labels, or the largest of their probabilities, as rows of 0 and 1 for scores of that shape, `[.., classes]`. Where a label is
/// ignored its rows are 0, and 1 where a row counts comes along, `[.., 1]`.
#[track_caller]
pub(super) fn told(op: &str, output: &Var, labels: &Var, ignored: Option<u32>) -> Option<(Var, Option<Var>)> {
    match ignored {
        Some(ignored) => targets_ignoring(op, output, labels, ignored).map(|(rows, counts)| (rows, Some(counts))),
        None => scores(op, output, labels).then(|| (one_hot(&classes(labels), output.shape().last()), None)),
    }
}

/// Rows of 0 and 1 for classes `[..]` (u32).
#[track_caller]
pub(super) fn one_hot(classes: &Var, n: usize) -> Var {
    classes.class_ordinals(n).one_hot_rows(n)
}

/// The class of each row, `[..]` (u32): the label itself, or its largest.
#[track_caller]
fn classes(labels: &Var) -> Var {
    if labels.dtype() == DType::F32 { labels.argmax(labels.shape().rank().saturating_sub(1)) } else { labels.clone() }
}
