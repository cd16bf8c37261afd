//! One column of a table while it is read.

use std::collections::HashMap;

/// Most different words of a column: more are names or numbers.
pub(super) const MOST_WORDS: usize = 1 << 16;

/// Most words of a one-hot column: each is a number in every row.
pub(super) const MOST_ONE_HOT: usize = 1 << 10;

/// The words of a column of categories.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Numbers in the order in which words are met, or as they are given.
    number: HashMap<String, u32>,
    /// Whether no other words may come.
    given: bool,
}

impl Words {
    /// These words and no other; those of the file where there are none.
    pub fn new(given: &[String]) -> Self {
        Words { number: given.iter().cloned().zip(0..).collect(), given: !given.is_empty() }
    }

    /// Whether no other words may come.
    #[cfg(feature = "data-parquet")]
    pub fn is_given(&self) -> bool {
        self.given
    }

    /// The words that were given, by their numbers.
    #[cfg(feature = "data-parquet")]
    pub fn in_order(&self) -> Vec<String> {
        let mut words: Vec<(&String, &u32)> = self.number.iter().collect();
        words.sort_by_key(|(_, n)| **n);
        words.into_iter().map(|(w, _)| w.clone()).collect()
    }

    /// The number of a word, or what is wrong with it.
    pub fn number(&mut self, word: &str) -> Result<u32, String> {
        if let Some(&n) = self.number.get(word) {
            return Ok(n);
        }
        if self.given {
            return Err(format!("`{}` is none of its {} categories", super::cell::short(word), self.number.len()));
        }
        if self.number.len() == MOST_WORDS {
            return Err(format!("it has more than {MOST_WORDS} different words"));
        }
        let n = self.number.len() as u32;
        self.number.insert(word.into(), n);
        Ok(n)
    }

    /// The words in the order of their final numbers, and the final number of each that was given so far.
    pub fn sorted(self) -> (Vec<String>, Vec<u32>) {
        let mut words: Vec<(String, u32)> = self.number.into_iter().collect();
        if self.given {
            words.sort_by_key(|(_, n)| *n);
        } else {
            // numbers by their values, then words by their bytes
            let value = |w: &str| w.parse::<f64>().ok().filter(|v| v.is_finite());
            words.sort_by(|(a, _), (b, _)| match (value(a), value(b)) {
                (Some(x), Some(y)) => x.total_cmp(&y).then_with(|| a.cmp(b)),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => a.cmp(b),
            });
        }
        let mut last = vec![0; words.len()];
        words.iter().zip(0..).for_each(|((_, met), n)| last[*met as usize] = n);
        (words.into_iter().map(|(w, _)| w).collect(), last)
    }
}
