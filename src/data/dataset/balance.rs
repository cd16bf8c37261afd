//! Balanced sampling: every class as often as any other.

use super::Dataset;
use crate::error::Result;
use crate::graph::RowList;
use std::sync::{Arc, OnceLock};

/// How a balanced set draws its rows.
#[derive(Debug, Clone)]
pub(super) struct Balance {
    seed: u64,
    /// The set's own rows class by class, read from the labels once.
    list: Arc<OnceLock<Arc<RowList>>>,
}

/// By what is drawn: the list follows from the labels.
impl PartialEq for Balance {
    fn eq(&self, other: &Self) -> bool {
        self.seed == other.seed
    }
}

impl Balance {
    /// The same draws from the classes of other rows.
    pub fn of_other_rows(&self) -> Self {
        Balance { seed: self.seed, list: Arc::default() }
    }
}

impl Dataset {
    /// The same rows, of which **training** draws each class equally often, whatever its share: a row of the batch is of any class that the labels have
    /// with the same probability, and of a class any row (PyTorch's `WeightedRandomSampler` with weights of one over the class' rows, with
    /// replacement). An epoch has as many rows as the set, each epoch other draws, by the seed, whether [`Fit::shuffle`](crate::train::Fit::shuffle) is set or
    /// not; the draws are made in the gather, so no launch and no copy is added. `evaluate`, `predict` and batches by hand take each row once, in order, as ever.
    ///
    /// Fails with `unsupported` unless the labels are one integer a row, and with their errors where they cannot be read.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let y = HostTensor::u8([100], (0..100).map(|i| u8::from(i % 20 == 0)).collect())?;
    /// let train = Dataset::new(HostTensor::f32([100, 1], vec![0.5; 100])?, y)?.balanced(0)?;
    /// assert_eq!((train.len(), train.class_counts()?), (100, vec![(0, 95), (1, 5)]));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias("WeightedRandomSampler", "class_weight", "oversample"))]
    pub fn balanced(&self, seed: u64) -> Result<Self> {
        let drawn = Dataset { balance: Some(Balance { seed, list: Arc::default() }), ..self.clone() };
        drawn.drawn_rows()?;
        Ok(drawn)
    }

    /// The seed of [`Dataset::balanced`], if training draws the rows.
    pub fn balance(&self) -> Option<u64> {
        self.balance.as_ref().map(|b| b.seed)
    }

    /// The same rows, each once, in order and as it is.
    pub(crate) fn undrawn(&self) -> Dataset {
        Dataset { balance: None, augment: None, ..self.clone() }
    }

    /// The set's own rows by class, where training draws them.
    pub(super) fn drawn_rows(&self) -> Result<Option<Arc<RowList>>> {
        let Some(balance) = &self.balance else { return Ok(None) };
        if let Some(list) = balance.list.get() {
            return Ok(Some(list.clone()));
        }
        let classes: Vec<Vec<u32>> = self.rows_by_class("Dataset::balanced")?.into_values().collect();
        let list = Arc::new(RowList::drawn(balance.seed, &classes));
        Ok(Some(balance.list.get_or_init(|| list).clone()))
    }

    /// What a gather over the rows of `base` on the device looks up for this set.
    pub(crate) fn row_list(&self, base: &Dataset) -> Result<RowList> {
        // over rows of its own or over all that are stored
        let same = self.rows == base.rows;
        let number = |own: u32| if same { own } else { self.rows.at(own as usize) as u32 };
        Ok(match self.drawn_rows()? {
            Some(list) => (*list).clone().renumbered(number),
            None => RowList::listed((0..self.len() as u32).map(number)),
        })
    }
}
