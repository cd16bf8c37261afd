use crate::error::Faults;
use serde::{Deserialize, Serialize};

/// What an optimizer does otherwise with some parameters: [`Adam::group`](super::Adam::group) and its kin name them by a pattern.
///
/// A parameter belongs to one group, as in PyTorch: the first whose pattern covers its full name. Patterns are globs: `*` any text,
/// `?` one character. One that covers no parameter is an `Err` of `compile`.
///
/// ```
/// use gradus::prelude::*;
/// let optimizer = AdamW::new(1e-3).group("layer?.*", Group::new().frozen());
/// assert!(optimizer.groups[0].frozen);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Group {
    /// Which parameters: a glob over full names.
    pub pattern: String,
    /// They keep their values: no gradient, no moment, no backward launch; `false`.
    #[serde(default)]
    pub frozen: bool,
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

    /// Of this pattern.
    pub(super) fn over(mut self, pattern: impl Into<String>) -> Self {
        self.pattern = pattern.into();
        self
    }

    /// The group that a parameter belongs to.
    pub(crate) fn of<'a>(groups: &'a [Group], name: &str) -> Option<&'a Group> {
        groups.iter().find(|g| crate::glob::covers(&g.pattern, name))
    }

    /// Notes every pattern that covers none of these parameters.
    pub(crate) fn check(groups: &[Group], names: &[&str], faults: &mut Faults) {
        for (i, g) in groups.iter().enumerate() {
            let used = names.iter().any(|n| crate::glob::covers(&g.pattern, n));
            let problem = format!("the pattern `{}` covers no parameter", g.pattern);
            faults.check(used, &format!("optimizer.groups[{i}]"), problem, &format!("the parameters are {}", names.join(", ")));
        }
    }
}
