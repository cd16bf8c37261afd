//! The classes that the labels of a set have.

use super::Dataset;
use crate::error::{Error, Result};
use crate::tensor::DType;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many classes a warning names.
const TOLD: usize = 10;

impl Dataset {
    /// Names the classes of the labels, from class 0 on, for messages.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let set = Dataset::new(HostTensor::f32([2, 1], vec![0.0; 2])?, HostTensor::u8([2], vec![0, 1])?)?.class_names(["cat", "dog"]);
    /// assert_eq!(set.class_name(1), "dog");
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[must_use]
    pub fn class_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.class_names = Some(names.into_iter().map(Into::into).collect::<Arc<[String]>>());
        self
    }

    /// Names the classes as another set does.
    pub(crate) fn classes_as(mut self, other: &Dataset) -> Self {
        self.class_names = other.class_names.clone();
        self
    }

    /// What a class is called: its name, or its number where it has none.
    pub fn class_name(&self, class: u32) -> String {
        let name = self.class_names.as_ref().and_then(|n| n.get(class as usize));
        name.cloned().unwrap_or_else(|| class.to_string())
    }

    /// How many rows of each class the set has: the classes that are there, in order, each with its rows (pandas' `value_counts`). Reads all labels.
    ///
    /// Fails with `unsupported` unless the labels are one integer a row.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let set = Dataset::new(HostTensor::f32([3, 1], vec![0.0; 3])?, HostTensor::u8([3], vec![2, 0, 2])?)?;
    /// assert_eq!(set.class_counts()?, [(0, 1), (2, 2)]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "value_counts")]
    pub fn class_counts(&self) -> Result<Vec<(u32, usize)>> {
        Ok(self.rows_by_class("Dataset::class_counts")?.into_iter().map(|(class, rows)| (class, rows.len())).collect())
    }

    /// The set's own rows of each class, in order.
    pub(super) fn rows_by_class(&self, call: &str) -> Result<BTreeMap<u32, Vec<u32>>> {
        let Some(field) = self.class_field() else {
            let problem = match self.position("y") {
                None => "has no labels".into(),
                Some(y) => format!("has labels {} of the shape {} a row", self.sources[y].dtype(), self.sources[y].row()),
            };
            return Err(Error::Unsupported {
                what: format!("{call} without classes: the set {problem}"),
                at: format!("the data set `{}`", self.name),
                help: "give labels `y` of one integer a row, `HostTensor::u8` or `HostTensor::u32`".into(),
            });
        };
        let mut classes: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        // a byte stands alone in its word, as an integer does
        self.each_chunk(field, |first, words| {
            for (class, row) in words.iter().zip(first as u32..) {
                classes.entry(*class).or_default().push(row);
            }
            Ok(())
        })?;
        Ok(classes)
    }

    /// The labels, if they are one integer a row.
    pub(super) fn class_field(&self) -> Option<usize> {
        self.position("y").filter(|&y| self.sources[y].dtype() != DType::F32 && self.sources[y].row().size() == 1)
    }

    /// Warns of every class of this set that one of two parts does not have.
    pub(super) fn warn_of_left_out(&self, classes: &BTreeMap<u32, Vec<u32>>, in_first: &dyn Fn(u32) -> bool, what: &str) {
        let lacks = |part: bool| classes.iter().filter(move |(_, rows)| !rows.iter().any(|&r| in_first(r) == part)).map(|(c, _)| *c);
        for (part, name) in [(true, "training"), (false, "validation")] {
            let missing: Vec<u32> = lacks(part).collect();
            if missing.is_empty() {
                continue;
            }
            let mut names = missing.iter().take(TOLD).map(|&c| format!("`{}`", self.class_name(c))).collect::<Vec<_>>().join(", ");
            if missing.len() > TOLD {
                names += &format!(" and {} more", missing.len() - TOLD);
            }
            let plural = if missing.len() == 1 { "class" } else { "classes" };
            crate::terminal::warn!(data = %self.name, "{what} leaves no row of the {plural} {names} in the {name} part");
        }
    }
}
