//! Groups: parameters that an optimizer treats otherwise than the rest.

use super::check::{NUMBER, is_rate};
use crate::error::Faults;
use serde::{Deserialize, Serialize};

/// What an optimizer does otherwise with some parameters: [`Adam::group`](super::Adam::group) and its kin name them by a pattern.
///
/// A parameter belongs to one group, as in PyTorch: the first whose pattern covers its full name. Patterns are globs: `*` any text,
/// `?` one character. One that covers no parameter is an `Err` of `compile`. Groups cost no launch.
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = AdamW::new(1e-3)
///     .group("layer?.*", Group::new().frozen())
///     .group("head.*", Group::new().lr_multiplier(10.0))
///     .group("*.bias", Group::new().weight_decay(0.0));
/// assert!(optimizer.groups[0].frozen);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Group {
    /// Which parameters: a glob over full names.
    pub pattern: String,
    /// They keep their values: no gradient, no moment, no backward launch; `false`.
    #[serde(default)]
    pub frozen: bool,
    /// Multiplies the learning rate, whatever its schedule; 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub lr_multiplier: f64,
    /// In place of the optimizer's weight decay, coupled or decoupled as that is; none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// In place of the optimizer's L1 penalty; none. Only where the optimizer has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l1: Option<f64>,
}

fn one() -> f64 {
    1.0
}

fn is_one(x: &f64) -> bool {
    *x == 1.0
}

impl Default for Group {
    fn default() -> Self {
        Group { pattern: String::new(), frozen: false, lr_multiplier: 1.0, weight_decay: None, l1: None }
    }
}

impl Group {
    /// As the optimizer says for all.
    pub fn new() -> Self {
        Self::default()
    }

    /// The parameters keep their values.
    pub fn frozen(mut self) -> Self {
        self.frozen = true;
        self
    }

    /// Multiplies the learning rate: the schedule's, or the one that was set by hand.
    pub fn lr_multiplier(mut self, multiplier: f64) -> Self {
        self.lr_multiplier = multiplier;
        self
    }

    /// In place of the optimizer's weight decay; 0 for none, as is usual for biases and norms.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = Some(weight_decay);
        self
    }

    /// In place of the optimizer's L1 penalty.
    pub fn l1(mut self, l1: f64) -> Self {
        self.l1 = Some(l1);
        self
    }

    /// Of this pattern.
    pub(super) fn over(mut self, pattern: impl Into<String>) -> Self {
        self.pattern = pattern.into();
        self
    }

    /// The place of the group that a parameter belongs to.
    pub(crate) fn place(groups: &[Group], name: &str) -> Option<usize> {
        groups.iter().position(|g| crate::glob::covers(&g.pattern, name))
    }

    /// The group that a parameter belongs to.
    pub(crate) fn of<'a>(groups: &'a [Group], name: &str) -> Option<&'a Group> {
        Self::place(groups, name).map(|i| &groups[i])
    }

    /// Notes every pattern that covers none of these parameters.
    pub(crate) fn check(groups: &[Group], names: &[&str], faults: &mut Faults) {
        for (i, g) in groups.iter().enumerate() {
            let used = names.iter().any(|n| crate::glob::covers(&g.pattern, n));
            let problem = format!("the pattern `{}` covers no parameter", g.pattern);
            faults.check(used, &format!("optimizer.groups[{i}]"), problem, &format!("the parameters are {}", names.join(", ")));
        }
    }

    /// Notes numbers that cannot be used. An optimizer without an L1 penalty gives the names of those that have one: then a group must have none, too.
    pub(super) fn check_numbers(groups: &[Group], with_l1: Option<&str>, faults: &mut Faults) {
        for (i, g) in groups.iter().enumerate() {
            let mut number = |key: &str, x: f64| {
                faults.check(is_rate(x), &format!("optimizer.groups[{i}].{key}"), x, NUMBER);
            };
            number("lr_multiplier", g.lr_multiplier);
            g.weight_decay.into_iter().for_each(|x| number("weight_decay", x));
            g.l1.into_iter().for_each(|x| number("l1", x));
            if let Some(others) = with_l1 {
                let key = format!("optimizer.groups[{i}].l1");
                faults.check(g.l1.is_none(), &key, "this optimizer has no L1 penalty", &format!("leave it out, or take {others}"));
            }
        }
    }
}
