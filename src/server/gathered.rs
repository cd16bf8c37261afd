//! The sum of what workers push at one clock: as a GPU accumulates batches, and so to the same bits.

use crate::exchange::Push;
use rayon::prelude::*;

/// What one worker has pushed.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub push: Option<Push>,
    pub values: Vec<u32>,
    pub buffers: Vec<u32>,
}

/// What comes with a push.
pub(super) trait Arrays {
    fn values(&self) -> &[u32];
    fn buffers(&self) -> &[u32];
    /// Moves them to where they wait for those of others.
    fn put(&mut self, part: &mut Part);
}

/// Arrays of a worker in this process, which are copied.
pub(super) struct Lent<'a>(pub &'a [u32], pub &'a [u32]);

impl Arrays for Lent<'_> {
    fn values(&self) -> &[u32] {
        self.0
    }
    fn buffers(&self) -> &[u32] {
        self.1
    }
    fn put(&mut self, part: &mut Part) {
        part.values.clear();
        part.values.extend_from_slice(self.0);
        part.buffers.clear();
        part.buffers.extend_from_slice(self.1);
    }
}

/// How much a part counts: its rows, or what its loss is a mean over.
fn weight(push: &Push) -> f32 {
    push.counted.unwrap_or(push.rows as f32)
}

/// Elements that one task sums.
const CHUNK: usize = 16 * 1024;

/// What becomes of a part's values in a sum. The order of the operations is that of the kernel `accumulate`: the first times its weight, the others' products
/// added one by one, the sum times one over the weights' sum.
#[derive(Debug, Clone, Copy)]
enum Step {
    First,
    Next,
    /// With what the sum is multiplied by.
    Last(f32),
}

fn step(step: Step, weight: f32, values: &[u32], sum: &mut [u32]) {
    let (f, all) = (|w: &u32| f32::from_bits(*w), sum.iter_mut().zip(values));
    match step {
        Step::First => all.for_each(|(s, g)| *s = (f(g) * weight).to_bits()),
        Step::Next => all.for_each(|(s, g)| *s = (f(s) + f(g) * weight).to_bits()),
        Step::Last(scale) => all.for_each(|(s, g)| *s = ((f(s) + f(g) * weight) * scale).to_bits()),
    }
}

/// One over what all count together.
fn inverse(rows: u64, weights: f32, counted: bool) -> f32 {
    let all = if counted { weights } else { rows as f32 };
    if all == 0.0 { 0.0 } else { 1.0 / all }
}

/// The mean of two parts and more, each counted by its weight, in this order.
pub(super) fn mean(parts: &[(&Push, &[u32])], out: &mut [u32]) {
    let weights: Vec<f32> = parts.iter().map(|(p, _)| weight(p)).collect();
    let counted = parts.iter().any(|(p, _)| p.counted.is_some());
    let scale = inverse(parts.iter().map(|(p, _)| p.rows).sum(), weights.iter().sum(), counted);
    let (size, last) = (out.len(), parts.len().saturating_sub(1));
    let run = |(i, out): (usize, &mut [u32])| {
        for (k, ((_, values), weight)) in parts.iter().zip(&weights).enumerate() {
            let of = if k == 0 {
                Step::First
            } else if k == last {
                Step::Last(scale)
            } else {
                Step::Next
            };
            step(of, *weight, &values[i * CHUNK..], out);
        }
    };
    if size <= 4 * CHUNK {
        return out.chunks_mut(CHUNK).enumerate().for_each(run);
    }
    out.par_chunks_mut(CHUNK).enumerate().for_each(run);
}

/// The same mean, of parts that come one after another in their order. One alone is as it is.
#[derive(Debug, Default)]
pub(super) struct Sum {
    sum: Vec<u32>,
    parts: usize,
    rows: u64,
    weights: f32,
    counted: bool,
}

impl Sum {
    pub fn begin(&mut self) {
        (self.parts, self.rows, self.weights, self.counted) = (0, 0, 0.0, false);
    }

    pub fn add(&mut self, push: &Push, values: &[u32]) {
        if self.parts == 0 {
            self.sum.clear();
            self.sum.extend_from_slice(values);
        } else {
            if self.parts == 1 {
                self.times(self.weights);
            }
            step(Step::Next, weight(push), values, &mut self.sum);
        }
        (self.parts, self.rows, self.weights) = (self.parts + 1, self.rows + push.rows, self.weights + weight(push));
        self.counted |= push.counted.is_some();
    }

    /// The mean.
    pub fn end(&mut self) -> &mut Vec<u32> {
        if self.parts > 1 {
            self.times(inverse(self.rows, self.weights, self.counted));
        }
        &mut self.sum
    }

    fn times(&mut self, factor: f32) {
        self.sum.iter_mut().for_each(|s| *s = (f32::from_bits(*s) * factor).to_bits());
    }
}

/// The loss of all: the mean of the parts', as they count.
pub(super) fn loss<'a>(parts: impl Iterator<Item = &'a Push>) -> f32 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for p in parts {
        let w = f64::from(weight(p));
        if w > 0.0 {
            (sum, weights) = (sum + w * f64::from(p.loss), weights + w);
        }
    }
    if weights == 0.0 { 0.0 } else { (sum / weights) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(rows: u64, counted: Option<f32>) -> Push {
        Push { clock: 0, update: 0, rows, counted, loss: rows as f32, finite: true, scale: None }
    }

    fn words(values: &[f32]) -> Vec<u32> {
        values.iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn parts_count_by_their_rows_or_weights() {
        let (a, b) = (words(&[1.0, -2.0]), words(&[4.0, 1.0]));
        let mut out = vec![0; 2];
        mean(&[(&push(3, None), &a), (&push(1, None), &b)], &mut out);
        assert_eq!(out, words(&[1.75, -1.25]));
        mean(&[(&push(3, Some(1.0)), &a), (&push(1, Some(3.0)), &b)], &mut out);
        assert_eq!(out, words(&[3.25, 0.25]));
        let mut sum = Sum::default();
        sum.add(&push(7, None), &a);
        assert_eq!(*sum.end(), a);
        assert_eq!(loss([push(3, None), push(1, None)].iter()), 2.5);
    }

    /// In pieces, and on many threads, to the same bits as in one loop.
    #[test]
    fn a_long_sum_is_that_of_one_loop() {
        let of = |seed: u32| (0..100_003u32).map(|i| ((i.wrapping_mul(seed) % 1000) as f32 / 7.0).to_bits()).collect::<Vec<_>>();
        let (a, b, c) = (of(2_654_435_761), of(40_503), of(97));
        let mut out = vec![0; a.len()];
        mean(&[(&push(5, None), &a), (&push(4, None), &b), (&push(3, None), &c)], &mut out);
        let mut sum = Sum::default();
        for (rows, part) in [(5, &a), (4, &b), (3, &c)] {
            sum.add(&push(rows, None), part);
        }
        assert_eq!(*sum.end(), out);
        let f = f32::from_bits;
        let want: Vec<u32> = (0..a.len()).map(|i| ((f(a[i]) * 5.0 + f(b[i]) * 4.0 + f(c[i]) * 3.0) * (1.0 / 12.0)).to_bits()).collect();
        assert_eq!(out, want);
    }
}
