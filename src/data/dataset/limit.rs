//! The check that class labels and table indices are in range.

use super::Dataset;
use crate::error::{Error, Result};
use crate::tensor::DType;

/// Of a label that the loss passes over.
const IGNORED: &str = "The loss ignores this label, and something of your own reads it as a class: `Var::accuracy_ignoring` and \
    `Var::cross_entropy_ignoring` are told which label does not count, and so are gradus' metrics of classes beside the loss";

/// What the integers of a field must be below.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    pub field: usize,
    /// The number that they must be below; 0 says that the field has reals, which must be from 0 to 1.
    pub below: usize,
    /// One that need not be: a label whose rows do not count.
    pub except: Option<u32>,
    /// The label that the loss ignores, be it that this reader does not.
    pub ignored: Option<u32>,
    /// The table whose rows the integers number; none for class labels.
    pub table: Option<String>,
}

impl Dataset {
    /// Fails if a value is not below the limit.
    pub(crate) fn check_limit(&self, limit: &Limit) -> Result<()> {
        self.each_chunk(limit.field, |first, words| self.check_words(limit, words, |i| first + i))
    }

    /// As [`Dataset::check_limit`], over stored words; `row` tells a word's row.
    pub(crate) fn check_words(&self, limit: &Limit, words: &[u32], row: impl Fn(usize) -> usize) -> Result<()> {
        let look = &self.looks[limit.field];
        let at = format!("the data set `{}`", self.name);
        match &limit.table {
            None if limit.below == 0 => {
                let Some((i, label)) = self.first_beyond_1(limit.field, words) else { return Ok(()) };
                Err(Error::LabelOutOfRange { label: label.into(), row: row(i), classes: 0, at })
            }
            None => {
                let classes = look.classes().map_or(limit.below, |c| c.min(limit.below));
                let Some((i, label)) = self.first_beyond(limit, classes, words) else { return Ok(()) };
                let at = if Some(label) == limit.ignored { format!("{at}. {IGNORED}") } else { at };
                Err(Error::LabelOutOfRange { label: label.into(), row: row(i), classes, at })
            }
            Some(table) => {
                let Some((i, index)) = self.first_beyond(limit, limit.below, words) else { return Ok(()) };
                let at = format!("{table}; the field `{}` of {at}", look.name);
                Err(Error::IndexOutOfRange { index: index.into(), row: row(i), size: limit.below, at })
            }
        }
    }

    /// The first real of a field's stored words that the model would see outside of 0 to 1 (NaN is not told of), and its row among them.
    fn first_beyond_1(&self, field: usize, words: &[u32]) -> Option<(usize, f32)> {
        let f = self.looks[field].field();
        let value = |w: &u32| f32::from_bits(*w) * f.scale + f.shift;
        words.chunks_exact(f.words()).enumerate().find_map(|(i, row)| row.iter().map(value).find(|v| *v < 0.0 || *v > 1.0).map(|v| (i, v)))
    }

    /// The first integer of a field's stored words that is not below `most` though it should be, and its row among them.
    fn first_beyond(&self, &Limit { field, except, .. }: &Limit, most: usize, words: &[u32]) -> Option<(usize, u32)> {
        let (f, bytes) = (self.looks[field].field(), self.sources[field].dtype() == DType::U8);
        words.chunks_exact(f.words()).enumerate().find_map(|(i, stored)| {
            let value = |e: usize| if bytes { stored[e / 4] >> (8 * (e % 4)) & 255 } else { stored[e] };
            (0..f.stored_width()).map(value).find(|&v| v as usize >= most && Some(v) != except).map(|v| (i, v))
        })
    }
}
