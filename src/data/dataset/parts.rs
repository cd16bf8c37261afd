//! Parts of a set: some of its rows, over the same values.

use super::{Dataset, Rows, nothing_yet};
use crate::error::{Error, Result, place};
use std::panic::Location;
use std::sync::Arc;

impl Dataset {
    /// The first `rows` rows (all, if there are fewer).
    #[must_use]
    pub fn take(self, rows: usize) -> Self {
        let rows = rows.max(1).min(self.len());
        self.cut(&Rows::Range(0..rows))
    }

    /// These rows, in this order: a range or a list of numbers, in which one may stand several times (PyTorch's `Subset`, pandas' `iloc`). The values are
    /// shared with this set, on the host, and on the device unless the part is a range or has fewer than one in 32 of the stored rows: such a part
    /// has a copy of its own rows there.
    ///
    /// Fails with `shape-mismatch` if there is no row, or one that the set does not have.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let set = Dataset::new(HostTensor::f32([5, 1], vec![0.0; 5])?, HostTensor::u8([5], vec![5, 6, 7, 8, 9])?)?;
    /// let part = set.select(&[3, 1, 4, 1])?;
    /// assert_eq!(part.labels().and_then(HostTensor::as_u8), Some(&[8, 6, 9, 6][..]));
    /// assert_eq!(part.select(1..3)?.labels().and_then(HostTensor::as_u8), Some(&[6, 9][..]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias("subset", "Subset", "iloc", "SubsetRandomSampler"))]
    #[track_caller]
    pub fn select(&self, rows: impl Into<Rows>) -> Result<Dataset> {
        let rows = rows.into();
        let problem = match rows.first_beyond(self.len()) {
            _ if rows.is_empty() => "no row is chosen".to_string(),
            Some(row) => format!("row {row} of {} is chosen", self.len()),
            None => return Ok(self.clone().cut(&rows)),
        };
        let help = format!("rows count from 0: choose at least one, and none above {}", self.len() - 1);
        Err(Error::ShapeMismatch { op: "Dataset::select".into(), problem, at: place(Location::caller()), help })
    }

    /// Two sets: the first `rows` rows, and the rest. Fails if one of them would be empty. See [`Dataset::split`] for parts that are drawn.
    #[track_caller]
    pub fn split_at(&self, rows: usize) -> Result<(Dataset, Dataset)> {
        if rows == 0 || rows >= self.len() {
            return Err(Error::ShapeMismatch {
                op: "Dataset::split_at".into(),
                problem: format!("{} rows cannot be split at {rows}", self.len()),
                at: place(Location::caller()),
                help: match self.len() {
                    1 => "a set of one row cannot be split".into(),
                    n => format!("split between 1 and {}", n - 1),
                },
            });
        }
        Ok((self.clone().cut(&Rows::Range(0..rows)), self.clone().cut(&Rows::Range(rows..self.len()))))
    }

    /// The same values, but only the rows at these places of the set. They must be there.
    pub(super) fn cut(mut self, places: &Rows) -> Self {
        let rows = self.rows.of(places);
        if rows != self.rows {
            (self.rows, self.own, self.drawn) = (rows, nothing_yet(self.sources.len()), Arc::default());
            // its classes have other rows now
            self.balance = self.balance.map(|b| b.of_other_rows());
        }
        self
    }

    /// All rows of all that is stored, as this set shows them.
    pub(crate) fn whole(&self) -> Dataset {
        let stored = self.sources.first().map_or(0, |s| s.len());
        Dataset { rows: Rows::Range(0..stored), own: nothing_yet(self.sources.len()), balance: None, augment: None, ..self.clone() }
    }
}
