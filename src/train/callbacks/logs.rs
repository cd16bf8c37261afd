//! What a callback is told.

use crate::train::evaluation::no_value;
use std::ops::Index;

/// What a callback is told.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Logs {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Updates applied so far, since the weights were drawn.
    pub step: u64,
    /// The learning rate of the last step.
    pub learning_rate: f64,
    /// The L2 norm of all gradients at the last step.
    pub grad_norm: f32,
    values: Vec<(String, f64)>,
}

impl Logs {
    /// Of this epoch, with these values: for tests of one's own callbacks.
    ///
    /// ```
    /// use gradus::train::callbacks::Logs;
    /// let logs = Logs::new(3, [("loss", 0.5), ("val_loss", 0.75)]);
    /// assert_eq!((logs["val_loss"], logs.get("accuracy")), (0.75, None));
    /// ```
    pub fn new<N: Into<String>>(epoch: usize, values: impl IntoIterator<Item = (N, f64)>) -> Self {
        Logs { epoch, values: values.into_iter().map(|(n, v)| (n.into(), v)).collect(), ..Self::default() }
    }

    /// A value by name: `loss`, a metric's, and both with `val_` where there is a validation set.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values.iter().map(|(n, v)| (n.as_str(), *v))
    }

    pub(in crate::train) fn push(&mut self, name: impl Into<String>, value: f64) {
        self.values.push((name.into(), value));
    }
}

/// Panics on a name that is not there, as the standard library's maps do: [`Logs::get`] gives an `Option`.
impl Index<&str> for Logs {
    type Output = f64;
    #[track_caller]
    fn index(&self, name: &str) -> &f64 {
        let found = self.values.iter().find(|(n, _)| n == name).map(|(_, v)| v);
        found.unwrap_or_else(|| no_value(name, self.values.iter().map(|(n, _)| n.as_str())))
    }
}
