//! The numbers of a schedule that a flag holds in words: `cosine:20000:1e-5`.

use std::str::FromStr;

/// The base rate of a schedule in words: that of every optimizer's default.
pub(super) const RATE: f64 = 1e-3;

/// What stands behind a schedule's name, between colons.
pub(super) struct Words<'a>(std::str::Split<'a, char>);

impl<'a> Words<'a> {
    pub fn of(text: &'a str) -> Self {
        Words(text.trim().split(':'))
    }

    /// The next word.
    pub fn next(&mut self) -> Option<&'a str> {
        self.0.next().map(str::trim)
    }

    /// The next word as a number.
    pub fn number<T: FromStr>(&mut self) -> Option<T> {
        self.next()?.parse().ok()
    }

    /// The next word as a number, or this one where there is no word.
    pub fn number_or<T: FromStr>(&mut self, default: T) -> Option<T> {
        self.next().map_or(Some(default), |w| w.parse().ok())
    }

    /// The next word as several numbers with commas between them.
    pub fn numbers<T: FromStr>(&mut self) -> Option<Vec<T>> {
        self.next()?.split(',').map(|w| w.trim().parse().ok()).collect()
    }
}
