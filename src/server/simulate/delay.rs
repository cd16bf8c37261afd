//! How long a worker computes.

use crate::error::{Error, Faults, Result};
use crate::rng;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const CHOICES: [&str; 3] = ["constant:SECONDS", "lognormal:MEDIAN:SIGMA", "pareto:LEAST:SHAPE"];

/// How long a worker computes for a batch, in seconds. As text: `constant:0.01`, `lognormal:0.01:0.5`, `pareto:0.01:1.5`.
///
/// ```
/// use gradus::server::Delay;
/// let delay: Delay = "pareto:0.01:1.5".parse()?;
/// assert!((0..1_000).all(|clock| delay.at(0, 3, clock) >= 0.01));
/// assert_eq!(delay.at(0, 3, 7), delay.at(0, 3, 7));
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Delay {
    /// Always as long.
    Constant(f64),
    /// Its logarithm is normal: half of all are shorter than the median.
    LogNormal {
        /// The median.
        median: f64,
        /// The deviation of the natural logarithm.
        sigma: f64,
    },
    /// Few are far longer than most (Pareto's law).
    Pareto {
        /// The shortest.
        least: f64,
        /// The smaller, the longer the longest; the mean is finite above 1.
        shape: f64,
    },
}

impl Delay {
    /// That of a batch, drawn for this worker and number.
    pub fn at(&self, seed: u64, rank: usize, number: u64) -> f64 {
        let [a, b] = uniforms(seed, "simulate.compute", rank, number);
        match *self {
            Delay::Constant(seconds) => seconds,
            Delay::LogNormal { median, sigma } => {
                let normal = libm::sqrt(-2.0 * libm::log(a)) * libm::cos(std::f64::consts::TAU * b);
                median * libm::exp(sigma * normal)
            }
            Delay::Pareto { least, shape } => least * libm::pow(a, -1.0 / shape),
        }
    }

    pub(super) fn faults(&self, f: &mut Faults) {
        let (first, second) = self.numbers();
        f.check(first.is_finite() && first >= 0.0, "compute", first, "give seconds, at least 0");
        f.check(second.is_finite() && second >= 0.0, "compute", second, "give a finite number, at least 0");
        f.check(!matches!(self, Delay::Pareto { shape, .. } if *shape <= 0.0), "compute", second, "give a shape above 0");
    }

    fn numbers(&self) -> (f64, f64) {
        match *self {
            Delay::Constant(seconds) => (seconds, 0.0),
            Delay::LogNormal { median, sigma } => (median, sigma),
            Delay::Pareto { least, shape } => (least, shape),
        }
    }
}

/// Two numbers above 0 and at most 1.
pub(super) fn uniforms(seed: u64, stream: &str, rank: usize, number: u64) -> [f64; 2] {
    let w = rng::words(seed ^ (rank as u64) << 32, rng::stream(stream), (number >> 32) as u32, number as u32);
    let of = |a: u32, b: u32| ((u64::from(a) << 21 | u64::from(b) >> 11) + 1) as f64 / (1u64 << 53) as f64;
    [of(w[0], w[1]), of(w[2], w[3])]
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Delay::Constant(seconds) => write!(f, "constant:{seconds}"),
            Delay::LogNormal { median, sigma } => write!(f, "lognormal:{median}:{sigma}"),
            Delay::Pareto { least, shape } => write!(f, "pareto:{least}:{shape}"),
        }
    }
}

impl FromStr for Delay {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let numbers: Option<Vec<f64>> = parts.map(|n| n.trim().parse().ok()).collect();
        match (name, numbers.as_deref()) {
            ("constant", Some([seconds])) => Ok(Delay::Constant(*seconds)),
            ("lognormal", Some([median, sigma])) => Ok(Delay::LogNormal { median: *median, sigma: *sigma }),
            ("pareto", Some([least, shape])) => Ok(Delay::Pareto { least: *least, shape: *shape }),
            _ => Err(Error::unknown_choice("delay", text, &CHOICES)),
        }
    }
}

impl TryFrom<String> for Delay {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Delay> for String {
    fn from(d: Delay) -> Self {
        d.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Medians and tails are those of the laws.
    #[test]
    fn delays_follow_their_laws() {
        let of = |d: Delay| {
            let mut all: Vec<f64> = (0..20_000).map(|i| d.at(7, (i % 5) as usize, i / 5)).collect();
            all.sort_by(f64::total_cmp);
            [all[10_000], all[19_000]]
        };
        // the 95th part in 100: exp(1.645 sigma), and 0.05 to the power of -1 / shape
        let near = |found: [f64; 2], want: [f64; 2]| found.iter().zip(want).all(|(f, w)| (f / w - 1.0).abs() < 0.05);
        assert!(near(of(Delay::LogNormal { median: 0.02, sigma: 0.5 }), [0.02, 0.02 * 2.276]));
        assert!(near(of(Delay::Pareto { least: 1.0, shape: 2.0 }), [2f64.sqrt(), 20f64.sqrt()]));
        assert_eq!(of(Delay::Constant(3.0)), [3.0; 2]);
        for bad in ["", "constant", "constant:x", "pareto:1", "normal:1:2", "lognormal:1:2:3"] {
            assert_eq!(bad.parse::<Delay>().unwrap_err().code(), "unknown-choice", "{bad}");
        }
    }
}
