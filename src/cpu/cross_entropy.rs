//! The twin of `shaders/cross_entropy.wgsl` and `shaders/cross_entropy_wide.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{SUMMED, WRITES, Writes, f32s, f32s_mut, fork, parts, total, total_of, wide};
use super::lib::labels::Targets;
use super::lib::largest::first_largest;
use super::lib::total::Total;
use crate::error::Result;
use crate::expr::vector::one::{exp, log};
use crate::expr::{CHUNK, Evaluator};
use crate::graph::Labels;
use crate::kernels::CrossEntropy;
use std::ops::Range;

/// Nanoseconds of a class: mostly its exponential.
const CLASS: f64 = 1.5;

impl Twin for CrossEntropy {
    fn run(&self, Call { threads, workers, reads, mut writes, .. }: Call<'_>) -> Result<()> {
        let batch = Batch::new(self, reads);
        let mut endings: Vec<Option<&mut Evaluator>> = match batch.factor {
            Some(_) => workers.iter_mut().map(Some).collect(),
            None => (0..parts(self.work(), threads)).map(|_| None).collect(),
        };
        if self.single {
            let [l, h, slopes, ..] = &mut writes;
            let (loss, hits) = batch.means(endings.first_mut().and_then(Option::as_deref_mut), f32s_mut(slopes));
            (f32s_mut(l)[0], f32s_mut(h)[0]) = (loss, hits);
            return Ok(());
        }
        let mut widths = [1; WRITES];
        widths[2] = self.classes;
        let grain = (CHUNK / self.classes.max(1)).max(1);
        fork(&mut endings, 0..self.rows, grain, widths, writes, &|e: &mut Option<&mut Evaluator>, rows: Range<usize>, w: Writes<'_>| {
            let [l, h, slopes, ..] = w;
            let mut told = f32s_mut(l).iter_mut().zip(f32s_mut(h));
            batch.rows(rows, f32s_mut(slopes), e.as_deref_mut(), |(loss, hit)| {
                told.next().into_iter().for_each(|(l, h)| (*l, *h) = (loss, hit));
            });
        });
        Ok(())
    }

    fn work(&self) -> f64 {
        CLASS * (self.rows * self.classes) as f64
    }
}

/// What all rows share.
struct Batch<'a> {
    k: &'a CrossEntropy,
    logits: &'a [f32],
    labels: Targets<'a>,
    /// What the loss is a mean over.
    counted: f32,
    /// The number that the gradient's ending reads, where it has one.
    factor: Option<f32>,
}

impl<'a> Batch<'a> {
    fn new(k: &'a CrossEntropy, reads: &[&'a [u32]]) -> Self {
        let labels = Targets { kind: k.labels, words: &reads[1][k.offsets[1]..], classes: k.classes };
        let ending = k.epilogue.as_ref().filter(|_| k.gradient);
        // a formula that reads no number has none
        let factor = ending.map(|(_, at)| reads.get(2).map_or(0.0, |f| f32s(f)[*at]));
        let told = 2 + usize::from(factor.is_some());
        let counted = k.labels.ignored().map_or(k.rows as f32, |_| f32s(reads[told])[k.counted].max(1.0));
        Batch { k, logits: &f32s(reads[0])[k.offsets[0]..], labels, counted, factor }
    }

    /// Means of loss and hits over a small batch.
    fn means(&self, ending: Option<&mut Evaluator>, slopes: &mut [f32]) -> (f32, f32) {
        let (mut loss, mut hits) = (0.0f64, 0.0f64);
        self.rows(0..self.k.rows, slopes, ending, |(a, b)| (loss, hits) = (loss + f64::from(a), hits + f64::from(b)));
        // the cast first: a sum beyond f32 is infinite, as it is on a GPU
        (loss as f32 / self.counted, hits as f32 / self.counted)
    }

    /// The loss of each row and whether its largest logit is the label's, told one after another; fills in the gradient. All while a row is in the
    /// cache, or as many short ones as make a chunk of what rides on the gradient.
    fn rows(&self, rows: Range<usize>, slopes: &mut [f32], mut ending: Option<&mut Evaluator>, mut tell: impl FnMut((f32, f32))) {
        let n = self.k.classes.max(1);
        let together = (CHUNK / n).max(1);
        let mut slopes = slopes.chunks_mut(together * n);
        for first in rows.clone().step_by(together) {
            let few = slopes.next().unwrap_or_default();
            let mut each = few.chunks_exact_mut(n);
            (first..rows.end.min(first + together)).for_each(|row| tell(self.row(row, each.next())));
            if let (Some(e), Some(factor)) = (ending.as_deref_mut(), self.factor) {
                for part in few.chunks_mut(CHUNK) {
                    e.chunk(|i, to| if i == 0 { to[..part.len()].copy_from_slice(part) } else { to.fill(factor) });
                    part.copy_from_slice(&e.output(0)[..part.len()]);
                }
            }
        }
    }

    fn row(&self, row: usize, slope: Option<&mut [f32]>) -> (f32, f32) {
        if self.labels.counts(row) {
            return wide(OneRow { batch: self, row, slope });
        }
        slope.into_iter().for_each(|s| s.fill(0.0));
        (0.0, 0.0)
    }
}

/// A row, with room for its gradient.
struct OneRow<'a> {
    batch: &'a Batch<'a>,
    row: usize,
    slope: Option<&'a mut [f32]>,
}

impl pulp::NullaryFnOnce for OneRow<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn call(self) -> (f32, f32) {
        let OneRow { batch, row, mut slope } = self;
        let (n, smoothing, y) = (batch.k.classes, batch.k.smoothing, &batch.labels);
        let x = &batch.logits[row * n..][..n];
        let best = first_largest(x);
        let top = x.get(best).copied().unwrap_or(0.0);
        let sum = exponentials(x, top, slope.as_deref_mut());
        let label = y.class(row);
        let (share, own) = (smoothing / n as f32, 1.0 - smoothing);
        let log_sum = log(sum);
        // of a class of target p; one of probability 0 adds nothing, even where its logit is -inf
        let part = |v: f32, p: f32| if p == 0.0 { 0.0 } else { p * (log_sum - (v - top)) };
        let loss = match y.kind {
            // a label without a class: the loss halts the training
            Labels::Classes | Labels::ClassesBut(_) => {
                let all = if smoothing == 0.0 { 0.0 } else { total(x, |v| part(v, share)) };
                all + x.get(label).map_or(f64::NAN, |&v| f64::from(part(v, own)))
            }
            Labels::Probabilities => total_of(x, y.row(row), |v, p| part(v, p * own + share)),
        };
        if let Some(slope) = slope {
            let per_row = 1.0 / batch.counted;
            let scale = |total: f32| (total * own + smoothing) / sum * per_row;
            match y.kind {
                Labels::Classes | Labels::ClassesBut(_) => {
                    let (scale, share) = (scale(1.0), share * per_row);
                    slope.iter_mut().for_each(|s| *s = *s * scale - share);
                    slope.get_mut(label).into_iter().for_each(|s| *s -= own * per_row);
                }
                Labels::Probabilities => {
                    let p = y.row(row);
                    let scale = scale(total(p, |p| p) as f32);
                    slope.iter_mut().zip(p).for_each(|(s, &p)| *s = *s * scale - (p * own + share) * per_row);
                }
            }
        }
        (loss as f32, f32::from(u8::from(best == label)))
    }
}

/// The sum of `exp(x - top)`, each of which is kept where there is room.
#[inline(always)]
fn exponentials(x: &[f32], top: f32, keep: Option<&mut [f32]>) -> f32 {
    let Some(keep) = keep else { return total(x, |v| exp(v - top)) as f32 };
    let mut sum = Total::new();
    for (keep, x) in keep.chunks_mut(SUMMED).zip(x.chunks(SUMMED)) {
        keep.iter_mut().zip(x).for_each(|(k, &v)| *k = exp(v - top));
        sum.add(keep, |v| v);
    }
    sum.finish() as f32
}
