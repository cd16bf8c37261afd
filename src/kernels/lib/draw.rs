//! Random numbers that a kernel draws, one for each element of its result.

use super::dims::Dims;
use crate::graph::Distribution;

/// Random numbers that a kernel draws, one for each element of its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// From what.
    pub distribution: Distribution,
    /// The stream's number.
    pub stream: u64,
}

/// Words of `dims` for each.
pub(crate) const DRAW_WORDS: usize = 3;

/// Turns of the loop that makes four words.
pub(crate) const ROUNDS: usize = 10;

/// What they are drawn from, as far as it makes a pipeline: a Bernoulli's probability is no part of it.
pub(crate) fn kinds(draws: &[Draw]) -> Vec<Distribution> {
    let kind = |d: &Draw| match d.distribution {
        Distribution::Bernoulli { .. } => Distribution::Bernoulli { below: 0 },
        other => other,
    };
    draws.iter().map(kind).collect()
}

/// The numbers of draw `i` for four elements of the result, or with `lane` for one of them; `block` is the number of the four.
pub(crate) fn drawn(of: Distribution, i: usize, block: &str, lane: &str) -> String {
    let words = format!("draw_words({block}, d.draw{i}_stream_lo, d.draw{i}_stream_hi)");
    match of {
        Distribution::Uniform => format!("uniforms({words}){lane}"),
        Distribution::Normal => format!("normals({words}){lane}"),
        Distribution::Bernoulli { .. } => format!("coins({words}, d.draw{i}_below){lane}"),
    }
}

impl Draw {
    /// The sizes that it needs, as number `i` of a kernel.
    pub(crate) fn dims(&self, d: Dims, i: usize) -> Dims {
        let [low, high] = crate::rng::split(self.stream);
        let below = if let Distribution::Bernoulli { below } = self.distribution { below } else { 0 };
        d.word(format!("draw{i}_stream_lo"), low).word(format!("draw{i}_stream_hi"), high).word(format!("draw{i}_below"), below)
    }
}
