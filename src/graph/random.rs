//! Random numbers in a graph: what they are drawn from, and by which stream.

use crate::tensor::Shape;

/// What random numbers are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Distribution {
    /// [0, 1), in steps of 2^-24: the top 24 bits of a word.
    Uniform,
    /// The standard normal, by Box and Muller's rule: two words make two numbers.
    Normal,
    /// 1 where the top 24 bits of a word are below this, else 0.
    Bernoulli {
        /// Of 2^24.
        below: u32,
    },
}

impl Distribution {
    /// 1 with this probability, to the next of 2^24 steps.
    pub fn bernoulli(p: f64) -> Self {
        Distribution::Bernoulli { below: (p.clamp(0.0, 1.0) * f64::from(1u32 << 24)).round() as u32 }
    }

    /// Its name in listings.
    pub fn name(self) -> &'static str {
        match self {
            Distribution::Uniform => "uniform",
            Distribution::Normal => "normal",
            Distribution::Bernoulli { .. } => "bernoulli",
        }
    }
}

/// Numbers that are drawn anew in every step: element `e` from word `e % 4` of block `e / 4` of Philox4x32-10, with the seed as key and
/// (block, batch counter, stream) as counter. They are drawn where they are read, in forward and backward alike, and never stored unless
/// something other than a formula of their own size reads them.
#[derive(Debug, Clone, PartialEq)]
pub struct Draws {
    /// From what.
    pub distribution: Distribution,
    /// How many.
    pub shape: Shape,
    /// Which stream: the place in the model, as in `blocks.0.drop#0`.
    pub stream: String,
}

impl Draws {
    /// The stream's number.
    pub fn key(&self) -> u64 {
        crate::rng::stream(&self.stream)
    }
}
