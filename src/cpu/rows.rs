use super::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts};
use crate::expr::{CHUNK, Evaluator};
use crate::graph::Labels;
use crate::kernels::{Accuracy, ArgMax, CrossEntropy, CumSum, Softmax};
use std::ops::Range;

/// Nanoseconds of a value in a row: mostly its exponential.
const VALUE: f64 = 8.0;

pub(super) fn softmax_spans(k: &Softmax) -> Vec<Range<usize>> {
    k.offsets.map(|o| o..o + k.rows * k.width).into()
}

/// The twin of `shaders/softmax.wgsl`.
pub(super) fn softmax(k: &Softmax, threads: usize, reads: &[&[u32]], writes: Writes<'_>) {
    let x = &f32s(reads[0])[k.offsets[0]..];
    let mut workers = vec![(); parts(VALUE * (k.rows * k.width) as f64, threads)];
    let widths = [k.width; WRITES];
    fork(&mut workers, 0..k.rows, 16, widths, writes, &|_: &mut (), rows: Range<usize>, w: Writes<'_>| {
        let out = f32s_mut(w[0]).chunks_exact_mut(k.width.max(1));
        for (row, out) in rows.zip(out) {
            let x = &x[row * k.width..][..k.width];
            let Row { top, sum, .. } = exponentials(x, Some(&mut *out));
            if k.log {
                let log_sum = sum.ln();
                out.iter_mut().zip(x).for_each(|(o, &v)| *o = (v - top) - log_sum);
            } else {
                out.iter_mut().for_each(|o| *o /= sum);
            }
        }
    });
}

/// What the exponentials of a row come to, its largest value taken off first.
struct Row {
    top: f32,
    best: usize,
    sum: f32,
}

/// The first of equals is the largest, and a NaN never is, as in the shaders.
fn exponentials(x: &[f32], keep: Option<&mut [f32]>) -> Row {
    let best = first_largest(x);
    let top = x.get(best).copied().unwrap_or(0.0);
    let sum: f64 = match keep {
        Some(keep) => keep
            .iter_mut()
            .zip(x)
            .map(|(k, &v)| {
                *k = (v - top).exp();
                f64::from(*k)
            })
            .sum(),
        None => x.iter().map(|&v| f64::from((v - top).exp())).sum(),
    };
    Row { top, best, sum: sum as f32 }
}

fn first_largest(x: &[f32]) -> usize {
    (1..x.len()).fold(0, |best, c| if x[c] > x[best] { c } else { best })
}

/// The labels of a batch, as words.
struct Targets<'a> {
    kind: Labels,
    words: &'a [u32],
    classes: usize,
    /// The part of each target that all classes share.
    smoothing: f32,
}

impl Targets<'_> {
    fn words(kind: Labels, rows: usize, classes: usize) -> usize {
        if kind == Labels::Classes { rows } else { rows * classes }
    }

    fn row(&self, row: usize) -> &[f32] {
        &f32s(self.words)[row * self.classes..][..self.classes]
    }

    fn class(&self, row: usize) -> usize {
        match self.kind {
            Labels::Classes => self.words[row] as usize,
            Labels::Probabilities => first_largest(self.row(row)),
        }
    }

    fn is_class(&self, row: usize) -> bool {
        self.kind == Labels::Probabilities || (self.words[row] as usize) < self.classes
    }

    fn p(&self, row: usize, c: usize) -> f32 {
        let p = match self.kind {
            Labels::Classes => f32::from(u8::from(self.words[row] as usize == c)),
            Labels::Probabilities => self.row(row)[c],
        };
        p * (1.0 - self.smoothing) + self.smoothing / self.classes as f32
    }

    fn total(&self, row: usize) -> f32 {
        let total = match self.kind {
            Labels::Classes => 1.0,
            Labels::Probabilities => self.row(row).iter().map(|&p| f64::from(p)).sum::<f64>() as f32,
        };
        total * (1.0 - self.smoothing) + self.smoothing
    }
}

pub(super) fn cross_entropy_spans(k: &CrossEntropy) -> Vec<Range<usize>> {
    let each = if k.single { 1 } else { k.rows * k.pieces };
    let lengths = [k.rows * k.classes, Targets::words(k.labels, k.rows, k.classes), each, each, k.rows * k.classes];
    let mut all: Vec<Range<usize>> = k.offsets.iter().zip(lengths).map(|(&o, n)| o..o + n).collect();
    all.truncate(4 + usize::from(k.gradient));
    let long = k.pieces > 1;
    if long {
        all.remove(3); // no hits
    }
    all.extend(k.epilogue.iter().filter(|_| k.gradient).map(|e| e.1..e.1 + 1));
    all.extend(std::iter::repeat_n(0..k.rows, if long { 2 + usize::from(k.needs_totals()) } else { 0 }));
    all
}

/// The twin of `shaders/cross_entropy.wgsl`.
pub(super) fn cross_entropy(k: &CrossEntropy, threads: usize, workers: &mut [Evaluator], reads: &[&[u32]], mut writes: Writes<'_>) {
    let both = writes.each_mut().map(|w| &mut **w);
    if k.pieces > 1 {
        pieces(k, threads, reads, both)
    } else {
        losses(k, threads, reads, both)
    }
    let (Some((_, at)), Some(factor)) = (k.epilogue.as_ref().filter(|_| k.gradient), reads.get(2)) else { return };
    let factor = f32s(factor)[*at];
    let slopes = std::mem::take(&mut writes[if k.pieces > 1 { 1 } else { 2 }]);
    let mut writes = Writes::default();
    writes[0] = slopes;
    fork(workers, 0..k.rows * k.classes, CHUNK, [1; WRITES], writes, &|e: &mut Evaluator, _: Range<usize>, w: Writes<'_>| {
        for row in f32s_mut(w[0]).chunks_mut(CHUNK) {
            e.chunk(|i, to| if i == 0 { to[..row.len()].copy_from_slice(row) } else { to.fill(factor) });
            row.copy_from_slice(&e.output(0)[..row.len()]);
        }
    });
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

pub(super) fn accuracy_spans(k: &Accuracy) -> Vec<Range<usize>> {
    let lengths = [k.scores(), Targets::words(k.labels, k.rows, k.classes), k.rows];
    k.offsets.iter().zip(lengths).map(|(&o, n)| o..o + n).collect()
}

/// The twin of `shaders/accuracy.wgsl`.
pub(super) fn accuracy(k: &Accuracy, reads: &[&[u32]], writes: Writes<'_>) {
    let n = k.classes;
    let x = &f32s(reads[0])[k.offsets[0]..];
    let y = Targets { kind: k.labels, words: &reads[1][k.offsets[1]..], classes: n, smoothing: 0.0 };
    for (row, hit) in f32s_mut(writes[0]).iter_mut().enumerate() {
        let best = if k.known { x[row].to_bits() as usize } else { first_largest(&x[row * n..][..n]) };
        *hit = f32::from(u8::from(best == y.class(row)));
    }
}

pub(super) fn argmax_spans(k: &ArgMax) -> Vec<Range<usize>> {
    let all = k.outer * k.length * k.inner;
    let candidates = (k.candidates > 0).then_some(0..k.outer * k.candidates * k.inner);
    let (from, to) = (k.offsets[0]..k.offsets[0] + all, k.offsets[1]..k.offsets[1] + k.items());
    std::iter::once(from).chain(candidates).chain([to]).collect()
}

/// The twin of `shaders/argmax.wgsl`.
pub(super) fn argmax(k: &ArgMax, threads: usize, reads: &[&[u32]], writes: Writes<'_>) {
    let x = &f32s(reads[0])[k.offsets[0]..];
    let all = if k.candidates > 0 { k.candidates } else { k.length };
    let mut workers = vec![(); parts((k.items() * k.piece()) as f64, threads)];
    fork(&mut workers, 0..k.items(), 16, [1; WRITES], writes, &|_: &mut (), items: Range<usize>, w: Writes<'_>| {
        for (item, out) in items.zip(w[0].iter_mut()) {
            let (i, o, start) = (item % k.inner, item / k.inner / k.pieces, item / k.inner % k.pieces * k.piece());
            let place = |c: usize| if k.candidates > 0 { reads[1][(o * all + c) * k.inner + i] as usize } else { c };
            let at = |c: usize| x[(o * k.length + c) * k.inner + i];
            let above = |v: f32, top: f32| v > top || (k.nan && v.is_nan() && !top.is_nan());
            let rest = (start + 1..all.min(start + k.piece())).map(place);
            *out = rest.fold(place(start.min(all - 1)), |best, c| if above(at(c), at(best)) { c } else { best }) as u32;
        }
    });
}

pub(super) fn cumsum_spans(k: &CumSum) -> Vec<Range<usize>> {
    let [from, to] = k.offsets.map(|o| o..o + k.rows * k.width);
    std::iter::once(from).chain(k.started.then_some(0..k.rows * k.pieces)).chain([to]).collect()
}

/// The twin of `shaders/cumsum.wgsl`. The sum of a piece runs in f64.
pub(super) fn cumsum(k: &CumSum, threads: usize, reads: &[&[u32]], writes: Writes<'_>) {
    let x = &f32s(reads[0])[k.offsets[0]..];
    let mut workers = vec![(); parts((k.rows * k.width) as f64, threads)];
    fork(&mut workers, 0..k.rows, 16, [k.width; WRITES], writes, &|_: &mut (), rows: Range<usize>, w: Writes<'_>| {
        for (row, out) in rows.zip(f32s_mut(w[0]).chunks_exact_mut(k.width.max(1))) {
            for piece in 0..k.pieces {
                let before = if k.reverse { (piece + 1 < k.pieces).then_some(piece + 1) } else { piece.checked_sub(1) };
                let start = |p: usize| f64::from(f32s(reads[1])[row * k.pieces + p]);
                let mut sum = before.filter(|_| k.started).map_or(0.0, start);
                let (begin, end) = (k.width.min(piece * k.piece()), k.width.min((piece + 1) * k.piece()));
                for i in begin..end {
                    let c = if k.reverse { begin + (end - 1 - i) } else { i };
                    sum += f64::from(x[row * k.width + c]);
                    out[c] = sum as f32;
                }
            }
        }
    });
}
