//! Losses and scores over class labels: cross-entropy and accuracy.

use super::Data;
use super::faults::wrong_kind;
use super::rows::log_softmax;
use crate::error::{Error, Result};
use crate::expr::Real;
use crate::graph::{Labels, Node, op};
use crate::tensor::Shape;

/// The label of one row.
enum Target<'a, T> {
    Class(usize),
    Probabilities(&'a [T]),
    /// The row does not count.
    Ignored,
}

/// The mean loss, its gradient for the logits, and the fraction of hits.
pub(super) fn cross_entropy<T: Real>(
    node: &Node,
    logits: &[T],
    labels: &Data<T>,
    shape: &Shape,
    &op::CrossEntropy { smoothing, labels: kind }: &op::CrossEntropy,
) -> Result<Vec<Data<T>>> {
    let classes = shape.last();
    let (rest, share) = (T::from_f64(1.0 - smoothing), T::from_f64(smoothing / classes as f64));
    let targets = targets(node, labels, shape, kind)?;
    let (zero, one, rows) = (T::from_f64(0.0), T::from_f64(1.0), counted(&targets));
    let mut loss = zero;
    let mut gradient = Vec::with_capacity(logits.len());
    for (target, logits) in targets.iter().zip(logits.chunks(classes)) {
        let log_p = log_softmax(logits);
        match *target {
            Target::Ignored => gradient.extend(log_p.iter().map(|_| zero)),
            _ if smoothing != 0.0 => {
                let p = |c: usize| match *target {
                    Target::Class(label) => rest * (if c == label { one } else { zero }) + share,
                    Target::Probabilities(p) => rest * p[c] + share,
                    Target::Ignored => zero,
                };
                let total = (0..classes).fold(zero, |s, c| s + p(c));
                for (c, &l) in log_p.iter().enumerate() {
                    loss = loss - p(c) * l;
                    gradient.push((l.exp() * total - p(c)) / rows);
                }
            }
            // not computed as a one-hot row: a masked logit would give 0 * -inf, which is NaN
            Target::Class(label) => {
                loss = loss - log_p[label];
                for (c, &l) in log_p.iter().enumerate() {
                    gradient.push((l.exp() - if c == label { one } else { zero }) / rows);
                }
            }
            Target::Probabilities(p) => {
                let total = p.iter().fold(zero, |s, &p| s + p);
                for (&l, &p) in log_p.iter().zip(p) {
                    // as for classes: a class without probability adds nothing, even where its logit is masked
                    loss = if p == zero { loss } else { loss - p * l };
                    gradient.push((l.exp() * total - p) / rows);
                }
            }
        }
    }
    let hits = accuracy(node, logits, labels, shape, kind)?;
    Ok([vec![Data::Real(vec![loss / rows]), Data::Real(gradient)], hits].concat())
}

/// The fraction of rows whose largest score is the label's.
pub(super) fn accuracy<T: Real>(node: &Node, scores: &[T], labels: &Data<T>, shape: &Shape, kind: Labels) -> Result<Vec<Data<T>>> {
    let targets = targets(node, labels, shape, kind)?;
    let mut hits = 0.0;
    for (target, scores) in targets.iter().zip(scores.chunks(shape.last())) {
        let label = match *target {
            Target::Class(label) => label,
            Target::Probabilities(p) => first_largest(p),
            Target::Ignored => continue,
        };
        if first_largest(scores) == label {
            hits += 1.0;
        }
    }
    Ok(vec![Data::Real(vec![T::from_f64(hits) / counted(&targets)])])
}

/// Rows that count; 1 where none does, so that a mean over them is 0.
fn counted<T: Real>(targets: &[Target<'_, T>]) -> T {
    let count = targets.iter().filter(|t| !matches!(t, Target::Ignored)).count();
    T::from_f64(count.max(1) as f64)
}

/// One label for each row, all in range.
fn targets<'a, T: Real>(node: &Node, labels: &'a Data<T>, shape: &Shape, kind: Labels) -> Result<Vec<Target<'a, T>>> {
    let classes = shape.last();
    if shape.rank() < 2 || classes == 0 {
        return Err(wrong_kind(node, format!("scores of shape {shape}")));
    }
    let target = |(row, &label): (usize, &u32)| match label {
        _ if Some(label) == kind.ignored() => Ok(Target::Ignored),
        _ if label as usize >= classes => Err(Error::LabelOutOfRange { label: label.into(), row, classes, at: node.site() }),
        _ => Ok(Target::Class(label as usize)),
    };
    match labels {
        Data::Real(p) => Ok(p.chunks(classes).map(Target::Probabilities).collect()),
        Data::Integer(labels) => labels.iter().enumerate().map(target).collect(),
    }
}

/// The class of the largest score; of equal ones the first. A NaN is never larger.
fn first_largest<T: Real>(row: &[T]) -> usize {
    (1..row.len()).fold(0, |best, c| if row[c] > row[best] { c } else { best })
}
