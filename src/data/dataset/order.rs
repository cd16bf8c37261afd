//! The order in which training takes the rows of a set, on the host: what streams and whoever looks a step up again follow.

use super::{Dataset, Rows};
use crate::error::Result;
use crate::graph::{RowList, listed_row};
use crate::rng::Permutation;
use std::sync::Arc;

/// The order of one epoch.
pub(crate) struct EpochOrder<'a> {
    rows: &'a Rows,
    permutation: Option<Permutation>,
    drawn: Option<Arc<RowList>>,
    epoch: u32,
}

impl Dataset {
    /// The order of this epoch: shuffled by a seed or not, and drawn where the set is balanced.
    pub(crate) fn order(&self, shuffle: Option<u64>, epoch: u32) -> Result<EpochOrder<'_>> {
        let permutation = shuffle.map(|seed| Permutation::new(self.len() as u32, seed, epoch));
        Ok(EpochOrder { rows: &self.rows, permutation, drawn: self.drawn_rows()?, epoch })
    }
}

impl EpochOrder<'_> {
    /// The set's own row at this place.
    pub fn own(&self, at: u32) -> u32 {
        let permuted = self.permutation.map_or(at, |o| o.at(at));
        let drawn = self.drawn.as_ref().and_then(|list| listed_row(list.words(), at, permuted, self.epoch));
        drawn.unwrap_or(permuted)
    }

    /// The stored row that one of the set's own is.
    pub fn stored(&self, own: u32) -> u32 {
        self.rows.at(own as usize) as u32
    }
}
