//! Several sets as one.

use super::{Dataset, Rows, nothing_yet};
use crate::data::Source;
use crate::data::chain::Chain;
use crate::error::{Error, Result, place};
use std::panic::Location;
use std::sync::Arc;

impl Dataset {
    /// The rows of these sets one after the other, as the first of them is called (PyTorch's `ConcatDataset`, pandas' `concat`). Nothing is copied: parts of
    /// one set become a list of its rows, and other sets are read where they are.
    ///
    /// The sets must show the same fields in the same way: name, dtype, shape, scaling, one-hot. Concatenate first, and describe what comes of it:
    /// `Dataset::concat(&[a, b])?.scale(0.5)`.
    ///
    /// Fails with `shape-mismatch` if there is no set, or one that differs, with the field and both forms; with `unsupported` if one of them is
    /// [balanced](Dataset::balanced) and others are not.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let set = |labels: Vec<u8>| Dataset::new(HostTensor::f32([2, 1], vec![0.0; 2])?, HostTensor::u8([2], labels)?);
    /// let all = Dataset::concat(&[set(vec![1, 2])?, set(vec![3, 4])?])?;
    /// assert_eq!(all.labels().and_then(HostTensor::as_u8), Some(&[1, 2, 3, 4][..]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "ConcatDataset")]
    #[track_caller]
    pub fn concat(sets: &[Dataset]) -> Result<Dataset> {
        let at = place(Location::caller());
        let wrong =
            |problem: String, help: &str| Error::ShapeMismatch { op: "Dataset::concat".into(), problem, at: at.clone(), help: help.into() };
        let Some(first) = sets.first() else {
            return Err(wrong("there is no set".into(), "give at least one"));
        };
        for (i, set) in sets.iter().enumerate().skip(1) {
            if let Some(problem) = first.differs(set) {
                let help = "make both alike: show them in the same way, or concatenate first and describe what comes of it";
                return Err(wrong(format!("set {i}, `{}`, is not like the first, `{}`: {problem}", set.name, first.name), help));
            }
            if set.balance != first.balance {
                return Err(Error::Unsupported {
                    what: "concatenating balanced sets with others, or of other seeds".into(),
                    at,
                    help: "concatenate first, and call `balanced` on what comes of it".into(),
                });
            }
        }
        let rows = sets.iter().map(Dataset::len).fold(0usize, usize::saturating_add);
        if rows >= u32::MAX as usize {
            return Err(wrong(format!("{rows} rows together"), "a set has at most 2^32 - 1 rows"));
        }
        let mut all = first.clone();
        all.budget = sets.iter().filter_map(|s| s.budget).max();
        all.balance = first.balance.as_ref().map(|b| b.of_other_rows());
        all.rows = if sets.iter().all(|s| Arc::ptr_eq(&s.sources, &first.sources)) {
            Rows::listed(sets.iter().flat_map(|s| s.rows.iter().map(|r| r as u32)).collect())
        } else {
            let chain = |field: usize| -> Arc<dyn Source> {
                Arc::new(Chain::new(sets.iter().map(|s| (s.sources[field].clone(), s.rows.clone())).collect()))
            };
            all.sources = (0..first.sources.len()).map(chain).collect();
            all.augment = first.augment.as_ref().map(|a| a.of_rows(0..rows));
            Rows::Range(0..rows)
        };
        (all.own, all.drawn) = (nothing_yet(all.sources.len()), Arc::default());
        Ok(all)
    }

    /// In what another set differs that its rows could not stand behind these.
    fn differs(&self, other: &Dataset) -> Option<String> {
        let names = |d: &Dataset| d.looks.iter().map(|l| l.name.to_string()).collect::<Vec<_>>().join(", ");
        if self.augment != other.augment {
            return Some("training changes its rows in another way".into());
        }
        if self.looks.len() != other.looks.len() || self.looks.iter().zip(&other.looks).any(|(a, b)| a.name != b.name) {
            return Some(format!("its fields are {}, and not {}", names(other), names(self)));
        }
        let pair = self.looks.iter().zip(&other.looks).find(|(a, b)| a != b)?;
        Some(format!("its field `{}` is {}, and not {}", pair.0.name, pair.1.told(), pair.0.told()))
    }
}
