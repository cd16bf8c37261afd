//! Penalties on the size of parameters, as part of the loss.

use crate::error::Faults;
use crate::glob::covers;
use crate::graph::Var;
use serde::{Deserialize, Serialize};

/// What the size of parameters adds to the loss (Keras' regularizers): `l1 * sum |w| + l2 * sum w^2`, without a half.
///
/// Unlike weight decay, it is part of the loss: of the one that is reported, and of the gradient that an optimizer scales.
///
/// ```
/// use gradus::nn::Penalty;
/// assert_eq!(Penalty::l2(1e-4).l2, 1e-4);
/// assert_eq!(Penalty::l1_l2(1e-5, 1e-4).l1, 1e-5);
/// ```
#[doc(alias = "regularizer")]
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Penalty {
    /// Of the sum of magnitudes; 0.
    pub l1: f64,
    /// Of the sum of squares; 0.
    pub l2: f64,
}

impl Penalty {
    /// `l1` times the sum of magnitudes: makes parameters 0.
    pub fn l1(l1: f64) -> Self {
        Penalty { l1, l2: 0.0 }
    }

    /// `l2` times the sum of squares: makes parameters small.
    pub fn l2(l2: f64) -> Self {
        Penalty { l1: 0.0, l2 }
    }

    /// Both.
    pub fn l1_l2(l1: f64, l2: f64) -> Self {
        Penalty { l1, l2 }
    }

    /// What a parameter costs, `[]`.
    fn of(self, w: &Var) -> Option<Var> {
        let first = (self.l1 > 0.0).then(|| w.abs().sum() * self.l1);
        let second = (self.l2 > 0.0).then(|| w.square().sum() * self.l2);
        match (first, second) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        }
    }
}

/// A penalty and what it is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Penalized {
    /// Which parameters: a glob over full names.
    pub pattern: String,
    /// What they cost.
    pub penalty: Penalty,
}

impl Penalized {
    pub(crate) fn new(pattern: impl Into<String>, penalty: Penalty) -> Self {
        Penalized { pattern: pattern.into(), penalty }
    }

    /// Numbers that are none.
    pub(crate) fn check(list: &[Penalized], f: &mut Faults) {
        for (i, p) in list.iter().enumerate() {
            for (key, v) in [("l1", p.penalty.l1), ("l2", p.penalty.l2)] {
                let good = (v as f32).is_finite() && v >= 0.0;
                f.check(good, &format!("compile.penalties[{i}].{key}"), v, "give a factor of 0 or above that f32 holds");
            }
        }
    }

    /// Patterns that cover nothing.
    pub(crate) fn check_names(list: &[Penalized], names: &[&str], f: &mut Faults) {
        for (i, p) in list.iter().enumerate() {
            let used = names.iter().any(|n| covers(&p.pattern, n));
            let problem = format!("the pattern `{}` covers no parameter", p.pattern);
            f.check(used, &format!("compile.penalties[{i}]"), problem, &format!("the parameters are {}", names.join(", ")));
        }
    }

    /// The loss with what these parameters cost. Every penalty whose pattern covers a parameter counts.
    pub(crate) fn add<'a>(list: &[Penalized], loss: Var, parameters: impl Iterator<Item = (&'a str, &'a Var)>) -> Var {
        let costs = parameters.flat_map(|(name, w)| list.iter().filter(move |p| covers(&p.pattern, name)).filter_map(|p| p.penalty.of(w)));
        // the loss of a model may be [1]
        costs.collect::<Vec<_>>().iter().fold(loss, |sum, cost| sum + cost)
    }
}
