//! From numbers to ticks and labels.

/// An axis: what it spans, where its ticks stand and what they say. Of a logarithmic one all values are decades.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Over these values, with a little room (`room`, a part of the span) on both sides. `None` where there are none.
    pub fn over(values: impl Iterator<Item = f64>, log: bool, room: f64, most: usize) -> Option<Axis> {
        let (mut low, mut high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            return None;
        }
        if high - low <= 1e-9 * high.abs().max(low.abs()) {
            let half = if log { 0.5 } else { (0.1 * high.abs()).max(1e-12) };
            (low, high) = (low - half, high + half);
        }
        let span = high - low;
        (low, high) = (low - room * span, high + room * span);
        let ticks = if log { decades(low, high, most) } else { even(low, high, most) };
        Some(Axis { low, high, ticks })
    }

    /// Where a value stands, 0 to 1.
    pub fn part(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

/// Whole multiples of 1, 2 or 5 times a power of ten, at most so many.
fn even(low: f64, high: f64, most: usize) -> Vec<(f64, String)> {
    let rough = (high - low) / most.max(1) as f64;
    let power = 10f64.powi(rough.log10().floor() as i32);
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough * (1.0 - 1e-9)).unwrap_or(10.0 * power);
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    let count = (last - first).clamp(0.0, 100.0) as usize;
    let ticks: Vec<f64> = (0..=count).map(|i| (first + i as f64) * step).collect();
    let most = ticks.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    ticks.into_iter().map(|v| (v, label(v, step, most))).collect()
}

/// Powers of ten; between them 2 and 5 where the span is short.
fn decades(low: f64, high: f64, most: usize) -> Vec<(f64, String)> {
    let every = ((high - low) / most.max(1) as f64).ceil().max(1.0);
    let (first, last) = ((low / every).ceil(), (high / every).floor());
    let whole: Vec<f64> = (0..=(last - first).clamp(-1.0, 100.0) as i64).map(|i| (first + i as f64) * every).collect();
    if high - low > 2.0 {
        return whole.into_iter().filter(|v| (low..=high).contains(v)).map(|v| (v, format!("1e{v}"))).collect();
    }
    let (a, b) = (low.floor() as i32, high.ceil() as i32);
    let values = (a..=b).flat_map(|p| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(p)));
    values.filter(|v| (low..=high).contains(&v.log10())).map(|v| (v.log10(), label(v, v, v))).collect()
}

/// A number to the digits that a step of this size shows, in the form that suits the greatest of its axis.
fn label(value: f64, step: f64, most: f64) -> String {
    let value = if value.abs() < 1e-9 * step { 0.0 } else { value };
    if !(1e-2..1e5).contains(&most) {
        if value == 0.0 {
            return "0".into();
        }
        let digits = (value.abs().log10().floor() - step.log10().floor()).clamp(0.0, 4.0) as usize;
        return format!("{value:.digits$e}");
    }
    let digits = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], log: bool) -> String {
        let axis = Axis::over(values.iter().copied(), log, 0.05, 6).unwrap();
        assert!(axis.ticks.iter().all(|(v, _)| (0.0..=1.0).contains(&axis.part(*v))), "{axis:?}");
        axis.ticks.into_iter().map(|(_, l)| l).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(&[0.0, 10.0], false), "0 2 4 6 8 10");
        assert_eq!(labels(&[0.9, 0.981], false), "0.90 0.92 0.94 0.96 0.98");
        assert_eq!(labels(&[-1.0, 1.0], false), "-1.0 -0.5 0.0 0.5 1.0");
        assert_eq!(labels(&[5.0], false), "4.6 4.8 5.0 5.2 5.4");
        assert_eq!(labels(&[0.0, 1e-3], false), "0 2e-4 4e-4 6e-4 8e-4 1.0e-3");
        assert_eq!(labels(&[1e-6, 3e-6], false), "1.0e-6 1.5e-6 2.0e-6 2.5e-6 3.0e-6");
        assert_eq!(labels(&[-12.0, 3.0], true), "1e-12 1e-9 1e-6 1e-3 1e0 1e3");
        assert_eq!(labels(&[-1.0, 0.0], true), "0.1 0.2 0.5 1");
        assert_eq!(Axis::over([].into_iter(), false, 0.1, 6), None);
    }
}
