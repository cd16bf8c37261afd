//! Which rows of what is stored a data set has.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

/// Rows of a data set, in order: a range, or a list of their numbers, in which one may stand several times. A list is shared, not copied.
///
/// ```
/// use gradus::data::Rows;
/// let rows: Rows = vec![3, 1, 4].into();
/// assert_eq!((rows.len(), rows.at(2)), (3, 4));
/// assert_eq!(Rows::from(2..5).iter().collect::<Vec<_>>(), [2, 3, 4]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// All rows from the first to before the last.
    Range(Range<usize>),
    /// These rows.
    Index(Arc<[u32]>),
}

impl Rows {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Rows::Range(r) => r.len(),
            Rows::Index(list) => list.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at place `i`. Panics, as a slice does, where `i` is not below [`Rows::len`].
    pub fn at(&self, i: usize) -> usize {
        match self {
            Rows::Range(r) => {
                assert!(i < r.len(), "place {i} of {} rows", r.len());
                r.start + i
            }
            Rows::Index(list) => list[i] as usize,
        }
    }

    /// One after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        (0..self.len()).map(|i| self.at(i))
    }

    /// The list of these rows; a range where they follow each other.
    pub(crate) fn listed(list: Vec<u32>) -> Self {
        let follows = list.windows(2).all(|w| w[0].checked_add(1) == Some(w[1]));
        match list.first().filter(|_| follows) {
            Some(&first) => Rows::Range(first as usize..first as usize + list.len()),
            None => Rows::Index(list.into()),
        }
    }

    /// Of these rows the ones at the places that `chosen` names. They must be there.
    pub(crate) fn of(&self, chosen: &Rows) -> Rows {
        match (self, chosen) {
            (Rows::Range(own), Rows::Range(c)) => Rows::Range(own.start + c.start..own.start + c.end),
            (Rows::Range(own), Rows::Index(_)) if own.start == 0 => chosen.clone(),
            _ => Rows::listed(chosen.iter().map(|i| self.at(i) as u32).collect()),
        }
    }

    /// The first row that is not below `rows`, if there is one.
    pub(crate) fn first_beyond(&self, rows: usize) -> Option<usize> {
        match self {
            Rows::Range(r) => (r.end > rows && !r.is_empty()).then(|| r.start.max(rows)),
            Rows::Index(list) => list.iter().map(|&i| i as usize).find(|&i| i >= rows),
        }
    }
}

impl From<Range<usize>> for Rows {
    fn from(rows: Range<usize>) -> Self {
        Rows::Range(rows)
    }
}

impl From<RangeInclusive<usize>> for Rows {
    fn from(rows: RangeInclusive<usize>) -> Self {
        Rows::Range(*rows.start()..rows.end().saturating_add(1))
    }
}

/// No set has more than 2^32 - 1 rows: a number above that is no row's, and stays none.
impl From<&[usize]> for Rows {
    fn from(rows: &[usize]) -> Self {
        Rows::listed(rows.iter().map(|&r| u32::try_from(r).unwrap_or(u32::MAX)).collect())
    }
}

impl<const N: usize> From<&[usize; N]> for Rows {
    fn from(rows: &[usize; N]) -> Self {
        rows[..].into()
    }
}

impl From<Vec<usize>> for Rows {
    fn from(rows: Vec<usize>) -> Self {
        rows[..].into()
    }
}

impl From<&Vec<usize>> for Rows {
    fn from(rows: &Vec<usize>) -> Self {
        rows[..].into()
    }
}

impl From<&Rows> for Rows {
    fn from(rows: &Rows) -> Self {
        rows.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_rows() {
        let list = Rows::from(&[5, 2, 9, 2]);
        assert_eq!(list.iter().collect::<Vec<_>>(), [5, 2, 9, 2]);
        assert_eq!(list.of(&Rows::from(1..3)).iter().collect::<Vec<_>>(), [2, 9]);
        assert_eq!(list.of(&Rows::from(&[3, 0])).iter().collect::<Vec<_>>(), [2, 5]);
        assert_eq!(Rows::from(10..20).of(&(2..4).into()), Rows::Range(12..14));
        assert_eq!(Rows::from(10..20).of(&Rows::from(&[9, 0])), Rows::from(&[19, 10]));
        // what follows each other is a range
        assert_eq!(Rows::from(&[4, 5, 6]), Rows::Range(4..7));
        assert_eq!(Rows::from(2..=4), Rows::Range(2..5));
        assert!(Rows::from(&[0usize; 0]).is_empty());
    }

    #[test]
    fn rows_that_are_not_there() {
        assert_eq!(Rows::from(3..7).first_beyond(7), None);
        assert_eq!(Rows::from(3..8).first_beyond(7), Some(7));
        assert_eq!(Rows::from(9..12).first_beyond(7), Some(9));
        assert_eq!(Rows::from(&[1, 7, 8]).first_beyond(7), Some(7));
        assert_eq!(Rows::from(&[usize::MAX]).first_beyond(u32::MAX as usize), Some(u32::MAX as usize));
        let reversed = Range { start: 5, end: 2 };
        assert!(Rows::from(reversed.clone()).is_empty() && Rows::from(reversed).first_beyond(3).is_none());
    }
}
