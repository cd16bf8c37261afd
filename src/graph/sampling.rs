//! Weighted sums of the places along one axis of images: what average pools and changes of size have in common.

use std::fmt;

/// How the results along one axis of images are weighted sums of its places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sampling {
    /// Places.
    pub from: usize,
    /// Results.
    pub to: usize,
    /// Which places a result sees, and what each weighs.
    pub rule: SamplingRule,
    /// The other way round, with the same weights: `to` places and `from` results. The gradient.
    pub turned: bool,
}

/// Which places a result sees, and what each weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SamplingRule {
    /// The mean of a window of neighbours.
    Mean {
        /// Places of the window.
        kernel: usize,
        /// From one window to the next.
        stride: usize,
        /// Zeros that stand before and behind.
        padding: [usize; 2],
        /// Whether a mean counts these zeros.
        counted: bool,
    },
    /// The mean of bins as equal as can be: from `floor(i * from / to)` to `ceil((i + 1) * from / to)`.
    Bins,
    /// The place `floor(i * from / to)`.
    Nearest,
    /// Between the two places next to `(i + 1/2) * from / to - 1/2`, by how near they are; where corners meet, next to `i * (from - 1) / (to - 1)`.
    Linear {
        /// Whether the first and last results are the first and last places.
        corners: bool,
    },
}

impl Sampling {
    /// The results along an axis of so many places.
    pub fn new(from: usize, to: usize, rule: SamplingRule) -> Self {
        Sampling { from, to, rule, turned: false }
    }

    /// The other way round.
    #[must_use]
    pub fn turned(self) -> Self {
        Sampling { turned: !self.turned, ..self }
    }

    /// Places that it reads, and results.
    pub fn ends(&self) -> [usize; 2] {
        if self.turned { [self.to, self.from] } else { [self.from, self.to] }
    }

    /// The places that each result sees, in order, with their weights.
    pub fn lists(&self) -> Vec<Vec<(usize, f64)>> {
        let plain: Vec<Vec<(usize, f64)>> = (0..self.to).map(|i| self.places(i)).collect();
        if !self.turned {
            return plain;
        }
        let mut turned = vec![Vec::new(); self.from];
        for (i, list) in plain.into_iter().enumerate() {
            list.into_iter().for_each(|(place, weight)| turned[place].push((i, weight)));
        }
        turned
    }

    fn places(&self, i: usize) -> Vec<(usize, f64)> {
        let (from, to) = (self.from, self.to);
        let mean = |first: usize, end: usize, count: usize| (first..end).map(|p| (p, 1.0 / count as f64)).collect();
        match self.rule {
            SamplingRule::Mean { kernel, stride, padding: [before, behind], counted } => {
                let (first, padded) = (i * stride, from + before + behind);
                let (begin, end) = (first.max(before) - before, (first + kernel).min(before + from).saturating_sub(before));
                mean(begin, end, if counted { (first + kernel).min(padded) - first } else { end.saturating_sub(begin) })
            }
            SamplingRule::Bins => {
                let (begin, end) = (i * from / to, ((i + 1) * from).div_ceil(to));
                mean(begin, end, end - begin)
            }
            SamplingRule::Nearest => vec![(i * from / to, 1.0)],
            SamplingRule::Linear { corners } => {
                let at = match corners {
                    true if to == 1 => 0.0,
                    true => i as f64 * (from - 1) as f64 / (to - 1) as f64,
                    false => ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0),
                };
                let place = (at as usize).min(from - 1);
                let part = at - place as f64;
                if part == 0.0 || place + 1 == from { vec![(place, 1.0)] } else { vec![(place, 1.0 - part), (place + 1, part)] }
            }
        }
    }

    /// Why there is none, if there is none.
    pub(crate) fn fault(&self) -> Option<String> {
        let most = u32::MAX as usize / 4;
        if [self.from, self.to].iter().any(|&n| n == 0 || n > most) {
            return Some(format!("no {self}"));
        }
        let SamplingRule::Mean { kernel, stride, padding, .. } = self.rule else { return None };
        if kernel == 0 || stride == 0 || [kernel, stride, padding[0], padding[1]].iter().any(|&n| n > most) {
            return Some(format!("a window of {kernel} by steps of {stride}"));
        }
        let empty = |i: usize| i.saturating_mul(stride) >= self.from + padding[0] || i * stride + kernel <= padding[0];
        [0, self.to - 1].into_iter().any(empty).then(|| format!("a window of {kernel} by steps of {stride} that holds padding alone"))
    }
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [from, to] = self.ends();
        match self.rule {
            SamplingRule::Mean { kernel, stride, .. } => write!(f, "mean of {kernel} by {stride} {from} to {to}"),
            SamplingRule::Bins => write!(f, "bins {from} to {to}"),
            SamplingRule::Nearest => write!(f, "nearest {from} to {to}"),
            SamplingRule::Linear { .. } => write!(f, "linear {from} to {to}"),
        }
    }
}
