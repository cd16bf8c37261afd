//! Losses and scores over class labels: cross-entropy and accuracy.

use super::Data;
use super::faults::wrong_kind;
use super::rows::log_softmax;
use crate::error::{Error, Result};
use crate::expr::Real;
use crate::graph::Node;
use crate::tensor::Shape;

/// The label of one row.
enum Target<'a, T> {
    Class(usize),
    Probabilities(&'a [T]),
}

/// The mean loss, its gradient for the logits, and the fraction of hits.
pub(super) fn cross_entropy<T: Real>(node: &Node, logits: &[T], labels: &Data<T>, shape: &Shape, smoothing: f64) -> Result<Vec<Data<T>>> {
    let (rest, share) = (T::from_f64(1.0 - smoothing), T::from_f64(smoothing / shape[1] as f64));
    let (zero, one, rows) = (T::from_f64(0.0), T::from_f64(1.0), T::from_f64(shape[0] as f64));
    let mut loss = zero;
    let mut gradient = Vec::with_capacity(logits.len());
    for (r, target) in targets(node, labels, shape)?.iter().enumerate() {
        let log_p = log_softmax(&logits[r * shape[1]..(r + 1) * shape[1]]);
        match *target {
            _ if smoothing != 0.0 => {
                let p = |c: usize| match *target {
                    Target::Class(label) => rest * (if c == label { one } else { zero }) + share,
                    Target::Probabilities(p) => rest * p[c] + share,
                };
                let total = (0..shape[1]).fold(zero, |s, c| s + p(c));
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
    let hits = accuracy(node, logits, labels, shape)?;
    Ok([vec![Data::Real(vec![loss / rows]), Data::Real(gradient)], hits].concat())
}

/// The fraction of rows whose largest score is the label's.
pub(super) fn accuracy<T: Real>(node: &Node, scores: &[T], labels: &Data<T>, shape: &Shape) -> Result<Vec<Data<T>>> {
    let mut hits = 0.0;
    for (r, target) in targets(node, labels, shape)?.iter().enumerate() {
        let label = match *target {
            Target::Class(label) => label,
            Target::Probabilities(p) => first_largest(p),
        };
        if first_largest(&scores[r * shape[1]..(r + 1) * shape[1]]) == label {
            hits += 1.0;
        }
    }
    Ok(vec![Data::Real(vec![T::from_f64(hits) / T::from_f64(shape[0] as f64)])])
}

/// One label for each row, all in range.
fn targets<'a, T: Real>(node: &Node, labels: &'a Data<T>, shape: &Shape) -> Result<Vec<Target<'a, T>>> {
    let &[rows, classes] = shape.dims() else { return Err(wrong_kind(node, format!("scores of shape {shape}"))) };
    match labels {
        Data::Real(p) => Ok((0..rows).map(|r| Target::Probabilities(&p[r * classes..(r + 1) * classes])).collect()),
        Data::Integer(labels) => {
            if let Some((row, &label)) = labels.iter().enumerate().find(|&(_, &l)| l as usize >= classes) {
                return Err(Error::LabelOutOfRange { label: label.into(), row, classes, at: node.site() });
            }
            Ok(labels.iter().map(|&l| Target::Class(l as usize)).collect())
        }
    }
}

/// The class of the largest score; of equal ones the first. A NaN is never larger.
fn first_largest<T: Real>(row: &[T]) -> usize {
    (1..row.len()).fold(0, |best, c| if row[c] > row[best] { c } else { best })
}
