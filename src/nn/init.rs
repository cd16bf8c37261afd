use crate::rng::Philox;
use serde::{Deserialize, Serialize};

/// How a parameter starts. Drawn on the host in f64, from the seed and the parameter's own name: the same on every device, and
/// adding a layer does not change the others' values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Init {
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
    /// One value everywhere.
    Constant(f64),
    /// Uniform in `[-bound, bound)`.
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
}

impl Init {
    /// The first `n` values for this seed and parameter.
    pub fn draw(self, seed: u64, name: &str, n: usize) -> Vec<f32> {
        let mut r = Philox::new(seed, name);
        (0..n)
            .map(|_| match self {
                Init::Zeros => 0.0,
                Init::Ones => 1.0,
                Init::Constant(c) => c as f32,
                Init::Uniform(bound) => (bound * (2.0 * r.uniform() - 1.0)) as f32,
                Init::Normal(std) => (std * r.normal()) as f32,
            })
            .collect()
    }
}
