//! The view that a model has of one field: scaled, flattened, one-hot.

use crate::data::Source;
use crate::error::Faults;
use crate::graph::Field;
use crate::tensor::{DType, Shape};
use std::sync::Arc;

/// How one field of a data set is shown to the model. All of it is done in the gather on the device; see [`Dataset::on`](super::Dataset::on).
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Look {
    pub(super) name: Arc<str>,
    stored: DType,
    row: Shape,
    scale: f32,
    shift: f32,
    integers: bool,
    one_hot: Option<usize>,
}

impl Look {
    pub(super) fn new(name: &str, source: &dyn Source) -> Self {
        // class labels stay integers
        let integers = name == "y" && source.dtype() != DType::F32;
        Look { name: name.into(), stored: source.dtype(), row: source.row(), scale: 1.0, shift: 0.0, integers, one_hot: None }
    }

    /// Each row as one axis.
    pub fn flatten(mut self) -> Self {
        self.row = [self.row.size()].into();
        self
    }

    /// Multiplies every value. Without effect on integers.
    pub fn scale(mut self, factor: f32) -> Self {
        self.scale *= factor;
        self.shift *= factor;
        self
    }

    /// Adds to every value, after any scaling so far. Without effect on integers.
    pub fn shift(mut self, offset: f32) -> Self {
        self.shift += offset;
        self
    }

    /// Values stored as u8 or u32 stay integers (u32), as an embedding takes them, and do not become f32. Without effect on f32.
    pub fn integers(mut self) -> Self {
        self.integers = self.stored != DType::F32;
        self
    }

    /// Classes (one integer a row) become rows of `classes` values, one of them 1. Without effect on f32.
    pub fn one_hot(mut self, classes: usize) -> Self {
        self.one_hot = Some(classes).filter(|_| self.stored != DType::F32);
        self
    }

    /// The number of classes, if values were made one-hot.
    pub(super) fn classes(&self) -> Option<usize> {
        self.one_hot
    }

    pub(super) fn row(&self) -> &Shape {
        &self.row
    }

    /// What it makes of what is stored, for messages.
    pub(super) fn told(&self) -> String {
        let Look { stored, row, scale, shift, one_hot, integers, .. } = self;
        let shown = match one_hot {
            Some(classes) => format!("one-hot rows of {classes}"),
            None if *integers => "integers".into(),
            None => format!("times {scale} plus {shift}"),
        };
        format!("{stored} {row}, {shown}")
    }

    pub(super) fn check(&self, f: &mut Faults) {
        let key = |what: &str| format!("data.{}.{what}", self.name);
        f.check(self.one_hot != Some(0), &key("one_hot"), 0, "give at least 1 class");
        let one = self.one_hot.is_none() || self.row.size() == 1;
        f.check(one, &key("one_hot"), format!("a row has the shape {}", self.row), "one-hot rows come from one integer a row");
        f.check(self.scale.is_finite(), &key("scale"), self.scale, "give a finite number");
        f.check(self.shift.is_finite(), &key("shift"), self.shift, "give a finite number");
    }

    pub(super) fn field(&self) -> Field {
        Field {
            name: self.name.to_string(),
            stored: self.stored,
            row: self.row.clone(),
            scale: self.scale,
            shift: self.shift,
            keep_integer: self.integers,
            one_hot: self.one_hot,
        }
    }
}
