//! How terms become one number.

/// How terms become one number: down columns, over everything, along rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Join {
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// Their mean, summed as differences from the first one.
    MeanFromFirst,
    /// Their variance about the mean that stands right before it, a [`MeanFromFirst`](Join::MeanFromFirst) of the same terms: counts, sums and squares
    /// of deviations are joined by Chan's rule.
    Variance,
    /// The largest; NaN if one is.
    Max,
}

impl Join {
    /// Whether the first term is looked at before all others.
    pub(crate) fn looks_first(self) -> bool {
        matches!(self, Join::MeanFromFirst | Join::Max)
    }

    /// How the terms of a piece join, where pieces are joined by this.
    #[must_use]
    pub fn of_piece(self) -> Self {
        if self == Join::Mean { Join::Sum } else { self }
    }
}
