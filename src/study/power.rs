//! What difference the seeds of a study can show.

use super::student::quantile;
use serde::Serialize;

/// What difference to a first arm the seeds of a study show, told by its first few runs.
///
/// A study of `n` seeds finds a difference of `(t(0.975, n - 1) + t(0.8, n - 1)) * s * sqrt(2 / n)` four times in five, in that its 95 % interval lies on one
/// side of 0 (the usual approximation of a paired t-test's power at 80 %; `t(p, df)` are Student's quantiles). `s` is the deviation of the pilot runs; the factor
/// of the root of 2 takes the runs of two arms for independent, and the more a seed has in common between them (its rows, its initial weights), the smaller
/// the difference that shows. Of three pilot runs `s` itself is known to a factor of two or so.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Power {
    /// The first arm, with the arms of the other axes.
    pub arms: Vec<String>,
    /// The value that was looked at.
    pub column: String,
    /// The pilot runs.
    pub pilots: usize,
    /// Their deviation.
    pub deviation: f64,
    /// The seeds.
    pub seeds: usize,
    /// The difference that these show.
    pub detectable: f64,
}

impl Power {
    /// Of the pilot runs' values; none where they are fewer than two, or seeds are.
    pub(super) fn of(arms: &[String], column: &str, pilot: &[f64], seeds: usize) -> Option<Self> {
        let deviation = deviation(pilot)?;
        if seeds < 2 {
            return None;
        }
        let df = seeds as f64 - 1.0;
        let detectable = (quantile(0.975, df) + quantile(0.8, df)) * deviation * (2.0 / seeds as f64).sqrt();
        Some(Power { arms: arms.into(), column: column.into(), pilots: pilot.len(), deviation, seeds, detectable })
    }
}

/// The mean of values; none of no value.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() { None } else { Some(values.iter().sum::<f64>() / values.len() as f64) }
}

/// The deviation of a sample; none of fewer than two values.
pub(super) fn deviation(values: &[f64]) -> Option<f64> {
    let m = mean(values).filter(|_| values.len() > 1)?;
    Some((values.iter().map(|v| (v - m).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Philox;

    /// Fifteen pairs with the difference that is said to show: the interval is on one side of 0 four times in five. Known deviation, independent arms.
    #[test]
    fn the_difference_shows() {
        let mut rng = Philox::new(1, "power");
        let n = 15;
        let pilot: Vec<f64> = vec![-1.0, 0.0, 1.0]; // deviation 1
        let p = Power::of(&[], "x", &pilot, n).unwrap();
        assert_eq!((p.deviation, p.pilots), (1.0, 3));
        let t = quantile(0.975, n as f64 - 1.0);
        let shows = |by: f64, rng: &mut Philox| {
            let d: Vec<f64> = (0..n).map(|_| by + rng.normal() - rng.normal()).collect();
            mean(&d).unwrap().abs() > t * deviation(&d).unwrap() / (n as f64).sqrt()
        };
        let often = |by: f64, rng: &mut Philox| (0..4000).filter(|_| shows(by, rng)).count() as f64 / 4000.0;
        let (with, without) = (often(p.detectable, &mut rng), often(0.0, &mut rng));
        assert!((0.77..0.83).contains(&with) && (0.035..0.065).contains(&without), "{with} {without}");
        assert_eq!((Power::of(&[], "x", &[1.0], n), Power::of(&[], "x", &pilot, 1)), (None, None));
    }
}
