//! Weights of rows, of classes and of outputs: what counts 0 adds nothing, be it infinite or no number.

use super::kind::Weight;
use crate::error::Faults;
use crate::graph::Var;
use crate::nn::labels::fault;
use crate::tensor::DType;

/// Weights of classes, of labels 1: 0 or above, not all 0.
pub(super) fn check_weights(f: &mut Faults, key: &str, weights: &[f64]) {
    let fine = weights.iter().all(|w| w.is_finite() && *w >= 0.0) && (weights.is_empty() || weights.iter().any(|w| *w > 0.0));
    f.check(fine, key, format!("{weights:?}"), "give finite numbers, 0 or above, and not all of them 0");
}

/// The mean over all elements; with weights `[rows]` each row's part times its weight, still over all rows.
pub(super) fn mean(parts: &Var, weight: Weight<'_>) -> Var {
    weighed(parts, weight).mean()
}

/// Each row's parts times its weight; those of weight 0 are 0, be they NaN.
pub(super) fn weighed(parts: &Var, weight: Weight<'_>) -> Var {
    let Some(w) = weight else { return parts.clone() };
    let column = column(parts, w);
    some(&column, parts) * column
}

/// The outputs; those of rows of weight 0 are 0 and get no gradient, be they NaN.
pub(super) fn counted(output: &Var, weight: Weight<'_>) -> Var {
    weight.map_or_else(|| output.clone(), |w| some(&column(output, w), output))
}

/// Weights `[rows]` against these rows.
fn column(of: &Var, w: &Var) -> Var {
    let (rows, shape) = (of.shape().dims().first().copied().unwrap_or(1), of.shape());
    if of.value().is_none() || w.value().is_none() {
        return of.builder().poisoned();
    }
    if w.dtype() != DType::F32 || w.shape().size() != rows {
        let problem = format!("sample weights {} {} for {rows} rows", w.dtype(), w.shape());
        return fault(of, "sample weights", problem, "the field `weight` has one number a row");
    }
    let mut column = vec![1; shape.rank()];
    column[..1.min(shape.rank())].fill(rows);
    w.reshape(column)
}

/// The value where the factor that it is going to be multiplied by is not 0, else 0: 0 times infinity is NaN, and what counts 0 does not count.
pub(super) fn some(factor: &Var, value: &Var) -> Var {
    factor.not_equal(&factor.number(0.0)).select(value, &value.number(0.0))
}

/// A number for each class or output, against the last axis; the mistake is noted where there are more or fewer.
pub(super) fn numbers(op: &str, what: &str, output: &Var, values: &[f64]) -> Var {
    match values {
        [one] => output.number(*one),
        _ if values.len() == output.shape().last() => output.builder().table(values),
        _ => {
            let problem = format!("{} {what} for outputs {}", values.len(), output.shape());
            fault(output, op, problem, "give one number for each value of the last axis")
        }
    }
}
