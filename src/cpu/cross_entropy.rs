//! The twin of `shaders/cross_entropy.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::exponentials::{Row, VALUE, exponentials};
use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts};
use super::lib::labels::Targets;
use crate::error::Result;
use crate::expr::{CHUNK, Evaluator};
use crate::kernels::CrossEntropy;
use std::ops::Range;

impl Twin for CrossEntropy {
    fn run(&self, Call { threads, workers, reads, mut writes, .. }: Call<'_>) -> Result<()> {
        let both = writes.each_mut().map(|w| &mut **w);
        if self.pieces > 1 {
            pieces(self, threads, reads, both)
        } else {
            losses(self, threads, reads, both)
        }
        let (Some((_, at)), Some(factor)) = (self.epilogue.as_ref().filter(|_| self.gradient), reads.get(2)) else { return Ok(()) };
        let factor = f32s(factor)[*at];
        let slopes = std::mem::take(&mut writes[if self.pieces > 1 { 1 } else { 2 }]);
        let mut writes = Writes::default();
        writes[0] = slopes;
        fork(workers, 0..self.rows * self.classes, CHUNK, [1; WRITES], writes, &|e: &mut Evaluator, _: Range<usize>, w: Writes<'_>| {
            for row in f32s_mut(w[0]).chunks_mut(CHUNK) {
                e.chunk(|i, to| if i == 0 { to[..row.len()].copy_from_slice(row) } else { to.fill(factor) });
                row.copy_from_slice(&e.output(0)[..row.len()]);
            }
        });
        Ok(())
    }
}

/// Of long rows: each piece's part of the loss, and its gradient.
fn pieces(k: &CrossEntropy, threads: usize, reads: &[&[u32]], writes: Writes<'_>) {
    let n = k.classes;
    let x = &f32s(reads[0])[k.offsets[0]..];
    let y = Targets { kind: k.labels, words: &reads[1][k.offsets[1]..], classes: n, smoothing: k.smoothing };
    let told = &reads[2 + usize::from(k.gradient && k.epilogue.is_some())..];
    let mut workers = vec![(); parts(VALUE * (k.rows * n) as f64, threads)];
    let mut widths = [k.pieces; WRITES];
    widths[1] = n;
    fork(&mut workers, 0..k.rows, 1, widths, writes, &|_: &mut (), rows: Range<usize>, w: Writes<'_>| {
        let [losses, slopes, ..] = w;
        let (losses, slopes) = (f32s_mut(losses), f32s_mut(slopes));
        for (at, row) in rows.enumerate() {
            let (top, sum) = (f32s(told[0])[row], f32s(told[1])[row]);
            let total = if k.needs_totals() { f32s(told[2])[row] * (1.0 - k.smoothing) + k.smoothing } else { 1.0 };
            let log_sum = sum.ln();
            for (piece, loss) in losses[at * k.pieces..][..k.pieces].iter_mut().enumerate() {
                let mut own = 0.0f64;
                for c in piece * CrossEntropy::PIECE..n.min((piece + 1) * CrossEntropy::PIECE) {
                    let (p, d) = (y.p(row, c), x[row * n + c] - top);
                    if p != 0.0 {
                        own += f64::from(p * (log_sum - d));
                    }
                    if k.gradient {
                        slopes[at * n + c] = (d.exp() / sum * total - p) / k.rows as f32;
                    }
                }
                *loss = if piece == 0 && !y.is_class(row) { f32::NAN } else { own as f32 };
            }
        }
    });
}

fn losses(k: &CrossEntropy, threads: usize, reads: &[&[u32]], mut writes: Writes<'_>) {
    let n = k.classes;
    let x = &f32s(reads[0])[k.offsets[0]..];
    let y = Targets { kind: k.labels, words: &reads[1][k.offsets[1]..], classes: n, smoothing: k.smoothing };
    let one = |row: usize, slope: Option<&mut [f32]>| one_row(&x[row * n..][..n], &y, row, k.rows as f32, slope);
    if k.single {
        let (mut loss, mut hits) = (0.0f64, 0.0f64);
        let [l, h, slopes, ..] = &mut writes;
        let mut slopes = f32s_mut(slopes).chunks_exact_mut(n.max(1));
        for row in 0..k.rows {
            let (a, b) = one(row, slopes.next());
            (loss, hits) = (loss + f64::from(a), hits + f64::from(b));
        }
        // the cast first: a sum beyond f32 is infinite, as it is on a GPU
        f32s_mut(l)[0] = loss as f32 / k.rows as f32;
        f32s_mut(h)[0] = hits as f32 / k.rows as f32;
        return;
    }
    let mut workers = vec![(); parts(VALUE * (k.rows * n) as f64, threads)];
    let mut widths = [1; WRITES];
    widths[2] = n;
    fork(&mut workers, 0..k.rows, 16, widths, writes, &|_: &mut (), rows: Range<usize>, w: Writes<'_>| {
        let [l, h, slopes, ..] = w;
        let mut slopes = f32s_mut(slopes).chunks_exact_mut(n.max(1));
        for ((row, l), h) in rows.zip(f32s_mut(l)).zip(f32s_mut(h)) {
            (*l, *h) = one(row, slopes.next());
        }
    });
}

/// The loss of a row and whether its largest logit is the label's; fills in the gradient.
fn one_row(x: &[f32], y: &Targets<'_>, row: usize, rows: f32, mut slope: Option<&mut [f32]>) -> (f32, f32) {
    let Row { top, best, sum } = exponentials(x, slope.as_deref_mut());
    let log_sum = sum.ln();
    let mut loss = 0.0f64;
    for (c, &v) in x.iter().enumerate() {
        let p = y.p(row, c);
        // a class of probability 0 adds nothing, even where its logit is -inf
        if p != 0.0 {
            loss += f64::from(p * (log_sum - (v - top)));
        }
    }
    if let Some(slope) = slope {
        let total = y.total(row);
        slope.iter_mut().enumerate().for_each(|(c, s)| *s = (*s / sum * total - y.p(row, c)) / rows);
    }
    // a label without a class: the loss halts the training
    let loss = if y.class(row) < x.len() { loss as f32 } else { f32::NAN };
    (loss, f32::from(u8::from(best == y.class(row))))
}
