//! What rides on a product, over results in which it stands.

use super::block::Block;
use crate::cpu::lib::draws::drawn;
use crate::cpu::lib::fork::{WRITES, Writes, f32s, f32s_mut};
use crate::cpu::lib::halves::Elements;
use crate::cpu::lib::shared::Shared;
use crate::expr::Evaluator;
use crate::kernels::Gemm;
use std::ops::Range;

/// A product's epilogue and what it reads.
pub(in crate::cpu) struct Ending<'a> {
    pub k: &'a Gemm,
    /// The extras and, if anything is drawn, the state.
    pub reads: &'a [&'a [u32]],
    /// The number of the first element of the result, where draws count from.
    pub first: usize,
}

impl Ending<'_> {
    /// The formula over a block whose product stands in the first output.
    pub(super) fn finish(&self, e: &mut Evaluator, block: &Block, outs: &[Shared<'_>; WRITES]) {
        let k = self.k;
        let first = (block.batch * k.m + block.rows.start) * k.n + block.columns.start;
        // runs of neighbours: all rows are one where they are whole
        let (runs, len) = match (block.rows.len(), block.columns.len()) {
            (rows, columns) if columns == k.n => (1, rows * columns),
            (rows, columns) => (rows, columns),
        };
        let most = e.piece();
        let together = (most / len).clamp(1, runs);
        let piece = len.min(most);
        for run in (0..runs).step_by(together) {
            for at in (0..len).step_by(piece) {
                let (count, piece) = (together.min(runs - run), piece.min(len - at));
                let start = |j: usize| first + (run + j) * k.n + at;
                if count == 1 {
                    let all = start(0)..start(0) + piece;
                    let load = |i: usize, row: &mut [f32]| match i {
                        // SAFETY: these elements are this block's, and the block is this thread's
                        0 => Some(unsafe { &*outs[0].part(all.clone()) }),
                        _ => self.operand(i - 1, start(0), row),
                    };
                    e.run(piece, load, &mut []);
                    for (o, out) in outs.iter().enumerate().take(k.outputs.len()) {
                        // SAFETY: as above, and what was lent has been read
                        e.store(o, unsafe { out.part(all.clone()) });
                    }
                    continue;
                }
                let load = |i: usize, row: &mut [f32]| {
                    for (j, part) in row.chunks_exact_mut(piece).enumerate() {
                        let found = match i {
                            // SAFETY: these elements are this block's, and the block is this thread's
                            0 => Some(unsafe { &*outs[0].part(start(j)..start(j) + piece) }),
                            _ => self.operand(i - 1, start(j), part),
                        };
                        found.into_iter().for_each(|found| part.copy_from_slice(found));
                    }
                    None
                };
                e.run(count * piece, load, &mut []);
                for (o, out) in outs.iter().enumerate().take(k.outputs.len()) {
                    for (j, part) in e.output(o)[..count * piece].chunks_exact(piece).enumerate() {
                        // SAFETY: as above
                        unsafe { out.part(start(j)..start(j) + piece) }.copy_from_slice(part);
                    }
                }
            }
        }
    }

    /// The formula over a block of whole rows, whose product stands beside.
    pub(super) fn put(&self, e: &mut Evaluator, block: &Block, product: &[f32], outs: &[Shared<'_>; WRITES]) {
        let k = self.k;
        let first = (block.batch * k.m + block.rows.start) * k.n;
        let piece = e.piece();
        for (i, own) in product.chunks(piece).enumerate() {
            let start = first + i * piece;
            let load = |input: usize, row: &mut [f32]| match input {
                0 => Some(own),
                _ => self.operand(input - 1, start, row),
            };
            let mut of = outs.iter().take(k.outputs.len());
            // SAFETY: these elements are this block's, and the block is this thread's
            let mut results = std::array::from_fn::<&mut [f32], WRITES, _>(|_| {
                of.next().map_or(&mut [], |out| unsafe { out.part(start..start + own.len()) })
            });
            e.run(own.len(), load, &mut results);
        }
    }

    /// The formula over the product that stands in the first output.
    pub(in crate::cpu) fn run(&self, e: &mut Evaluator, units: Range<usize>, mut w: Writes<'_>) {
        let most = e.piece();
        for first in units.clone().step_by(most) {
            let len = most.min(units.end - first);
            let here = first - units.start..first - units.start + len;
            let load = |i: usize, row: &mut [f32]| match i {
                0 => Some(&f32s(w[0])[here.clone()]),
                _ => self.operand(i - 1, first, row),
            };
            e.run(len, load, &mut []);
            for (o, out) in w.iter_mut().enumerate().take(self.k.outputs.len()) {
                e.store(o, &mut f32s_mut(out)[here.clone()]);
            }
        }
    }

    /// An operand of the formula, behind the product, at elements `first..` of the output: an extra where it lies or in `out`, or what is drawn.
    fn operand(&self, i: usize, first: usize, out: &mut [f32]) -> Option<&[f32]> {
        let Some(draw) = i.checked_sub(self.k.extras.len()) else { return self.plane(i, first, out) };
        drawn(out, &self.k.draws[draw], self.reads[self.k.extras.len()], self.first + first);
        None
    }

    /// An extra, row by row.
    fn plane(&self, extra: usize, first: usize, out: &mut [f32]) -> Option<&[f32]> {
        let k = self.k;
        let (p, from) = (&k.extras[extra], Elements::new(self.reads[extra], k.spec.halves.input(2 + extra)));
        let size = k.m * k.n;
        let flat = |[outer, inner]: [usize; 2]| (k.batch[1] == 1 || inner == size) && (k.batch[0] == 1 || outer == k.batch[1] * size);
        if p.column == 1 && p.row == k.n && flat(p.batch) {
            from.ahead(p.offset + first + out.len(), out.len());
            return from.lend(out, p.offset + first);
        }
        let mut done = 0;
        while done < out.len() {
            let (row, column) = ((first + done) / k.n, (first + done) % k.n);
            let run = (k.n - column).min(out.len() - done);
            let at = p.offset + k.along_batch(p.batch, row / k.m) + row % k.m * p.row + column * p.column;
            if p.column == 1 && run == out.len() {
                return from.lend(out, at);
            }
            from.run(&mut out[done..done + run], at, p.column);
            done += run;
        }
        None
    }
}
