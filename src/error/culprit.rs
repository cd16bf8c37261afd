//! The operation that made the first value that is not finite.

use std::fmt;

/// The operation that made the first value that is not finite, as
/// [`Model::find_non_finite`](crate::train::Model::find_non_finite) finds it.
///
/// Prints as one sentence: `` `log` in layer `head` (src/main.rs:9:70) gave 2 of 2 elements that are not finite, from add in fc: 0 to 0 ``.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Culprit {
    /// The operation's name.
    pub op: String,
    /// The layer's full name; empty outside of layers.
    pub layer: String,
    /// The user's line that made the operation, or the layer, loss or metric that it belongs to. Empty where that is not known, as for a model from a
    /// file.
    pub place: String,
    /// A description for people: the operation and its layer, or the parameter or the field of the data that was not finite.
    pub what: String,
    /// Elements of its result that are not finite.
    pub bad: usize,
    /// Elements of its result.
    pub size: usize,
    /// For a field of the data, the first element that is not finite: its row in the data set, and its number within the row (the column, where rows
    /// have one axis).
    pub element: Option<(usize, usize)>,
    /// The ranges of its operands; none for a parameter and for a field of the data.
    pub operands: Vec<OperandRange>,
}

/// The range of a value's elements.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct OperandRange {
    /// The value's name: a parameter, a field of the data, or an operation and its layer.
    pub name: String,
    /// The least of the finite elements.
    pub least: f64,
    /// The largest of the finite elements.
    pub largest: f64,
    /// Elements that are not finite.
    pub bad: usize,
    /// Elements.
    pub size: usize,
}

impl fmt::Display for OperandRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:e} to {:e}", self.name, self.least, self.largest)
    }
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Culprit { op, layer, place, what, bad, size, element, operands } = self;
        if let Some((row, element)) = element {
            return write!(
                f,
                "{what} has {bad} of {size} elements that are not finite, the first in row {row}, element {element} of the row"
            );
        }
        let line = if place.is_empty() { String::new() } else { format!(" ({place})") };
        if operands.is_empty() {
            return write!(f, "{what}{line} has {bad} of {size} elements that are not finite");
        }
        write!(f, "`{op}`")?;
        if !layer.is_empty() {
            write!(f, " in layer `{layer}`")?;
        }
        let from: Vec<String> = operands.iter().map(OperandRange::to_string).collect();
        write!(f, "{line} gave {bad} of {size} elements that are not finite, from {}", from.join("; "))
    }
}
