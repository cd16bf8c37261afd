//! What a server makes of the average of its workers' parameters.

use crate::error::Faults;
use crate::exchange::Mode;
use serde::{Deserialize, Serialize};

/// The outer step of [`Mode::Local`]: SGD with Nesterov momentum on the difference between the parameters that the workers began with and the average
/// of those that they came to (DiLoCo, Douillard et al. 2023).
///
/// ```
/// use gradus::server::Outer;
/// assert_eq!(Outer::default(), Outer::average());
/// assert_eq!((Outer::diloco().lr, Outer::diloco().momentum), (0.7, 0.9));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Outer {
    /// How far the parameters go towards the average; 1.
    pub lr: f32,
    /// How much of the outer step before is kept; 0.
    pub momentum: f32,
}

impl Default for Outer {
    fn default() -> Self {
        Self::average()
    }
}

impl Outer {
    /// The parameters become the average, to the bit.
    pub fn average() -> Self {
        Outer { lr: 1.0, momentum: 0.0 }
    }

    /// DiLoCo's: a rate of 0.7 and a momentum of 0.9.
    pub fn diloco() -> Self {
        Outer { lr: 0.7, momentum: 0.9 }
    }

    /// Another rate and momentum.
    pub fn new(lr: f32, momentum: f32) -> Self {
        Outer { lr, momentum }
    }

    pub(super) fn faults(&self, f: &mut Faults, mode: Mode) {
        f.check(self.lr > 0.0 && self.lr.is_finite(), "outer.lr", self.lr, "give a finite number above 0");
        f.check((0.0..1.0).contains(&self.momentum), "outer.momentum", self.momentum, "give at least 0 and less than 1");
        let used = mode.is_local() || *self == Outer::average();
        f.check(used, "outer", format!("with the mode `{mode}`"), "it is for `local:EVERY`: leave it out");
    }

    /// Makes of the average where the parameters of now go to, by it and by the velocity of the steps before, which is empty where there is no momentum.
    ///
    /// `v = m v + d; p = p - lr (d + m v)` with `d = p - average`, written such that the average itself comes out where it should.
    pub(super) fn step(&self, now: &[f32], average: &mut [f32], velocity: &mut Vec<f32>) {
        let Outer { lr, momentum } = *self;
        let all = average.iter_mut().zip(now);
        if momentum == 0.0 {
            return if lr != 1.0 {
                all.for_each(|(a, p)| *a += (1.0 - lr) * (p - *a))
            };
        }
        velocity.resize(now.len(), 0.0);
        for ((a, p), v) in all.zip(velocity) {
            let d = p - *a;
            *v = momentum * *v + d;
            *a = *a + (1.0 - lr) * d - lr * momentum * *v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three steps of PyTorch's `SGD(lr=0.7, momentum=0.9, nesterov=True)` on the differences 1, 0.5, -0.25 from a parameter of 3.
    #[test]
    fn it_is_nesterovs_momentum() {
        let (mut p, mut v) = ([3.0f32], vec![]);
        let mut seen = vec![];
        for d in [1.0f32, 0.5, -0.25] {
            let mut average = [p[0] - d];
            Outer::diloco().step(&p, &mut average, &mut v);
            p = average;
            seen.push(p[0]);
        }
        // v: 1, 1.4, 1.01; p: 3 - 0.7 (1 + 0.9), then - 0.7 (0.5 + 1.26), then - 0.7 (-0.25 + 0.909)
        for (p, want) in seen.iter().zip([1.67f32, 0.438, -0.0233]) {
            assert!((p - want).abs() < 1e-5, "{seen:?}");
        }
    }

    #[test]
    fn a_rate_of_one_is_the_average_to_the_bit() {
        let (p, mut average, mut v) = ([1e8f32, 0.3, -5.0], [0.1f32, 1e-30, 7.7], vec![]);
        Outer::average().step(&p, &mut average, &mut v);
        assert_eq!(average, [0.1, 1e-30, 7.7]);
    }
}
