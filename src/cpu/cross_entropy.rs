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

    fn logits(&self, row: usize) -> &'a [f32] {
        &self.logits[row * self.k.classes..][..self.k.classes]
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
        let mut told = [(0.0, 0.0); CHUNK];
        for first in rows.clone().step_by(together) {
            let few = slopes.next().unwrap_or_default();
            let told = &mut told[..together.min(rows.end - first)];
            wide(Group { batch: self, first, slopes: few, told });
            told.iter().for_each(|t| tell(*t));
            if let (Some(e), Some(factor)) = (ending.as_deref_mut(), self.factor) {
                for part in few.chunks_mut(CHUNK) {
                    e.chunk(|i, to| if i == 0 { to[..part.len()].copy_from_slice(part) } else { to.fill(factor) });
                    part.copy_from_slice(&e.output(0)[..part.len()]);
                }
            }
        }
    }
}

/// Rows side by side, with room for their gradients where those are wanted, and for what is told of each.
struct Group<'a> {
    batch: &'a Batch<'a>,
    first: usize,
    slopes: &'a mut [f32],
    told: &'a mut [(f32, f32)],
}

impl pulp::NullaryFnOnce for Group<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Group { batch, first, slopes, told } = self;
        let n = batch.k.classes;
        if (1..=SHORT).contains(&n) {
            return short(batch, first, slopes, told);
        }
        let mut slopes = slopes.chunks_exact_mut(n.max(1));
        for (row, told) in (first..).zip(told) {
            let mut slope = slopes.next();
            if !batch.labels.counts(row) {
                slope.into_iter().for_each(|s| s.fill(0.0));
                *told = (0.0, 0.0);
                continue;
            }
            let x = batch.logits(row);
            let best = first_largest(x);
            let top = x.get(best).copied().unwrap_or(0.0);
            let sum = exponentials(x, top, slope.as_deref_mut());
            *told = OneRow { batch, row, best, top, sum, log_sum: log(sum) }.end(slope);
        }
    }
}

/// Classes up to which a row is so short that its exponentials would hardly fill a vector.
const SHORT: usize = 64;

/// Short rows: the exponentials of all of them at once, then their logarithms.
#[inline(always)]
fn short(batch: &Batch<'_>, first: usize, slopes: &mut [f32], told: &mut [(f32, f32)]) {
    let n = batch.k.classes;
    let (mut beside, keeps) = ([0.0; CHUNK], !slopes.is_empty());
    let exps = if keeps { slopes } else { &mut beside[..told.len() * n] };
    let mut largest = [(0, 0.0); CHUNK];
    for ((row, e), largest) in (first..).zip(exps.chunks_exact_mut(n)).zip(&mut largest) {
        let x = batch.logits(row);
        let best = first_largest(x);
        let top = x[best];
        for (e, &v) in e.iter_mut().zip(x) {
            *e = v - top;
        }
        *largest = (best, top);
    }
    for e in exps.iter_mut() {
        *e = exp(*e);
    }
    let mut sums = [1.0; CHUNK];
    for (e, sum) in exps.chunks_exact(n).zip(&mut sums) {
        *sum = total(e, |v| v) as f32;
    }
    let mut logs = sums;
    for l in &mut logs[..told.len()] {
        *l = log(*l);
    }
    let mut slopes = exps.chunks_exact_mut(n);
    for (i, told) in told.iter_mut().enumerate() {
        let (best, top) = largest[i];
        let row = OneRow { batch, row: first + i, best, top, sum: sums[i], log_sum: logs[i] };
        *told = row.end(slopes.next().filter(|_| keeps));
    }
}

/// A row, and what its exponentials came to.
struct OneRow<'a> {
    batch: &'a Batch<'a>,
    row: usize,
    /// Where its largest logit is, and that logit.
    best: usize,
    top: f32,
    /// The sum of `exp(x - top)`, and its logarithm.
    sum: f32,
    log_sum: f32,
}

impl OneRow<'_> {
    /// Its loss and whether it is a hit; makes the gradient of the exponentials in their place.
    #[inline(always)]
    fn end(self, slope: Option<&mut [f32]>) -> (f32, f32) {
        let OneRow { batch, row, best, top, sum, log_sum } = self;
        let (n, smoothing, y, x) = (batch.k.classes, batch.k.smoothing, &batch.labels, batch.logits(row));
        if !y.counts(row) {
            slope.into_iter().for_each(|s| s.fill(0.0));
            return (0.0, 0.0);
        }
        let label = y.class(row);
        let (share, own) = (smoothing / n as f32, 1.0 - smoothing);
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
