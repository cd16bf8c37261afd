//! A long step in pieces: drivers take work that lasts seconds for a hang.

use super::program::{Launch, Program};
use std::ops::Range;

/// What a launch weighs beside its own work, in floating-point operations.
const LAUNCH: u64 = 100_000;
/// What moving a byte weighs.
const BYTE: u64 = 8;

impl Program {
    /// The dispatches of its schedule in so many runs of about equal work, fewer where it has fewer of them.
    pub fn cut(&self, pieces: usize) -> Vec<Range<usize>> {
        let all = self.schedule().count();
        if pieces <= 1 || all <= 1 {
            return std::iter::once(0..all).collect();
        }
        let weight = |l: &Launch| LAUNCH.saturating_add(l.flops).saturating_add(BYTE * l.bytes);
        let weights: Vec<u64> = self.schedule().map(|d| weight(&self.launches[d.launch])).collect();
        let total: u128 = weights.iter().map(|w| u128::from(*w)).sum();
        let (mut out, mut begin, mut done) = (Vec::new(), 0, 0u128);
        for (i, w) in weights.iter().enumerate() {
            done += u128::from(*w);
            // the dispatch after which this piece has its share
            if done * pieces as u128 >= total * (out.len() as u128 + 1) {
                out.push(begin..i + 1);
                begin = i + 1;
            }
        }
        out
    }

    /// Floating-point operations of a step, what its bytes weigh among them.
    pub(crate) fn work(&self) -> u64 {
        let work = |l: &Launch| l.flops.saturating_add(BYTE * l.bytes);
        self.schedule().map(|d| work(&self.launches[d.launch])).fold(0, u64::saturating_add)
    }
}
