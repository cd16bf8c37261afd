//! Rows of a data set by a list: which stored row stands at a place of an epoch's order.

use crate::rng::{block, split};

/// Words in front of a [`RowList`]'s rows: how many classes it draws from, and the seed of that.
pub const HEAD: usize = 3;

/// A part of the counter, so that draws of rows are none of the step's and no orders: "ba", "la", "nc", "ed".
const BALANCED: [u32; 2] = [0x6261_6c61, 0x6e63_6564];

/// Which stored row stands at each place of a set's order. The gather reads it where a set is not a range of what is stored, or where its classes are
/// drawn equally often.
///
/// As words: the number of classes (0 where nothing is drawn), the seed's two halves, for a drawn order where each class begins and where the last one
/// ends, and the stored rows: in the set's order, or class after class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowList {
    words: Vec<u32>,
}

impl RowList {
    /// These stored rows, in this order.
    pub fn listed(rows: impl IntoIterator<Item = u32>) -> Self {
        RowList { words: [0; HEAD].into_iter().chain(rows).collect() }
    }

    /// The rows of classes, none of them empty: each place of the order is a draw from `seed` of a class, all equally likely, and of one of its rows.
    pub fn drawn(seed: u64, classes: &[Vec<u32>]) -> Self {
        let [lo, hi] = split(seed);
        let mut words = vec![classes.len() as u32, lo, hi, 0];
        words.extend(classes.iter().scan(0, |end, rows| {
            *end += rows.len() as u32;
            Some(*end)
        }));
        words.extend(classes.iter().flatten());
        RowList { words }
    }

    /// The list with other numbers for its rows.
    pub fn renumbered(mut self, number: impl Fn(u32) -> u32) -> Self {
        let first = first_row(self.words[0]);
        self.words[first..].iter_mut().for_each(|w| *w = number(*w));
        self
    }

    /// As the device holds it.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// How many rows it names.
    pub fn len(&self) -> usize {
        self.words.len() - first_row(self.words[0])
    }

    /// Whether it names none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn first_row(classes: u32) -> usize {
    HEAD + if classes == 0 { 0 } else { classes as usize + 1 }
}

/// The stored row at place `at` of an epoch, by the words of a [`RowList`]; `permuted` is what the epoch's order makes of `at`. None where the list has no
/// such row. The twin of `listed_row` in `shaders/lib/row_list.wgsl`.
///
/// ```
/// use gradus::graph::{RowList, listed_row};
/// let list = RowList::listed([7, 7, 3]);
/// assert_eq!(listed_row(list.words(), 0, 2, 0), Some(3));
/// let even = RowList::drawn(1, &[vec![0], (1..100).collect()]);
/// let zeros = (0..1000).filter(|&at| listed_row(even.words(), at, at, 5) == Some(0)).count();
/// assert!((400..600).contains(&zeros));
/// ```
#[inline]
pub fn listed_row(list: &[u32], at: u32, permuted: u32, epoch: u32) -> Option<u32> {
    let &[classes, lo, hi, ..] = list else { return None };
    if classes == 0 {
        return list.get(HEAD + permuted as usize).copied();
    }
    let words = block([at, epoch, BALANCED[0], BALANCED[1]], [lo, hi]);
    let below = |word: u32, n: u32| (u64::from(word) * u64::from(n)) >> 32;
    let class = HEAD + below(words[0], classes) as usize;
    let &[begin, end] = list.get(class..class + 2)? else { return None };
    let row = begin as usize + below(words[1], end.checked_sub(begin)?) as usize;
    list.get(first_row(classes) + row).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_list() {
        let list = RowList::listed([9, 4, 4]);
        assert_eq!(list.words(), [0, 0, 0, 9, 4, 4]);
        assert_eq!((list.len(), listed_row(list.words(), 0, 0, 0), listed_row(list.words(), 0, 3, 0)), (3, Some(9), None));
        assert_eq!(list.renumbered(|r| r + 1).words(), [0, 0, 0, 10, 5, 5]);
        assert_eq!(listed_row(&[], 0, 0, 0), None);
    }

    /// Each class as often as any other, each of its rows as often; another epoch, another seed: other draws.
    #[test]
    fn classes_are_equally_likely() {
        let classes = [vec![0, 1], (2..40).collect(), vec![40]];
        let list = RowList::drawn(u64::MAX - 5, &classes);
        assert_eq!((&list.words()[..7], list.len()), (&[3, u32::MAX - 5, u32::MAX, 0, 2, 40, 41][..], 41));
        let draws = |list: &RowList, epoch| (0..30_000).map(|at| listed_row(list.words(), at, 0, epoch).unwrap()).collect::<Vec<_>>();
        let first = draws(&list, 0);
        for (class, share) in classes.iter().zip([5_000.0, 10_000.0 / 38.0, 10_000.0]) {
            for row in class {
                let seen = first.iter().filter(|r| *r == row).count() as f64;
                assert!((seen - share).abs() < 6.0 * share.sqrt(), "row {row}: {seen} of {share}");
            }
        }
        assert_ne!(draws(&list, 1), first);
        assert_ne!(draws(&RowList::drawn(u64::MAX - 6, &classes), 0), first);
        assert_eq!(draws(&list.clone().renumbered(|r| r * 2), 0), first.iter().map(|r| r * 2).collect::<Vec<_>>());
    }
}
