//! Products with patches of images: no columns are made, but what a block of positions sees is copied to where kernels step evenly. Sums are in an order that
//! the shapes tell (of three taps side by side channel by channel), so that neither threads nor the width of vectors change a bit.

mod band;
mod gathered;
mod positions;
mod weights;

use super::block::{Block, plain, work};
use super::ending::Ending;
use super::row_sums::row_sums;
use crate::cpu::lib::fork::{WRITES, Writes, f32s, f32s_mut, parts, share};
use crate::cpu::lib::shared::Shared;
use crate::expr::Evaluator;
use crate::kernels::{Gemm, Operand, Patches, Walk};
use band::{GROUP, Line, numbers_mut};
use std::cell::RefCell;
use std::ops::Range;

pub(super) use gathered::gathered;

/// Runs the product, if it is one of those that convolutions are.
pub(super) fn run(
    k: &Gemm,
    p: Patches,
    threads: usize,
    workers: &mut [Evaluator],
    reads: &[&[u32]],
    writes: &mut Writes<'_>,
    first: usize,
) -> bool {
    let (forward, turned) = (k.spec.a == Operand::Patches && !k.spec.ta, k.spec.b == Operand::Patches && k.spec.ta && !k.spec.tb);
    // what the walks tell must be what the product has
    let patches = |[down, across]: &[Walk; 2]| {
        p.taps == down.taps * across.taps && p.positions == down.positions * across.positions && p.row() == if turned { k.n } else { k.k }
    };
    let Some(walks) = p.walks.as_ref().filter(|walks| (forward || turned) && patches(walks)) else { return false };
    let fine = match band::positions(&p, walks, positions::ROWS) {
        // a matrix knows nothing of rows that lie apart
        0 if k.outputs[0].scattered.is_none() => return false,
        fine => fine.max(1),
    };
    if turned && k.spec.row_sum {
        row_sums(k, threads, f32s(reads[0]), std::mem::take(&mut writes[k.outputs.len()]));
    }
    let looked_up = 2 + k.extras.len() + usize::from(!k.draws.is_empty());
    let (factors, tables) = ([f32s(reads[0]), f32s(reads[1])], reads[looked_up]);
    let mut outs: [Shared<'_>; WRITES] = Default::default();
    outs.iter_mut().zip(writes.iter_mut()).for_each(|(o, w)| *o = Shared::new(f32s_mut(w)));
    let ending = Ending { k, reads: &reads[2..looked_up], first };
    if forward {
        positions::with_packed(k, factors[1], threads, |packed| {
            let product = |block: &Block, to: (&Shared<'_>, usize)| positions::block(k, (p, walks), factors[0], packed, tables, block, to);
            let own = Parts::of_images(0..k.m, &p, walks, fine);
            blocks(k, &own, threads, workers, &outs, &ending, &product);
        });
    } else {
        let product = |block: &Block, to: (&Shared<'_>, usize)| weights::block(k, (p, walks), factors, block, to);
        blocks(k, &Parts::new(0..k.m, weights::cut(k)), threads, workers, &outs, &ending, &product);
    }
    true
}

/// Rows in parts of so many.
struct Parts {
    all: Range<usize>,
    some: usize,
    /// Rows that no part reaches out of, counted from the first.
    within: usize,
}

impl Parts {
    /// Of rows that lie apart anywhere.
    fn new(all: Range<usize>, some: usize) -> Parts {
        Parts { within: all.len().max(1), all, some: some.max(1) }
    }

    /// Of positions: whole rows of an image where those are short, parts of one where they are long, and no part reaches into a second image where an image has as many.
    fn of_images(all: Range<usize>, p: &Patches, [_, across]: &[Walk; 2], most: usize) -> Parts {
        let wide = across.positions.max(1);
        let some = if wide > most { most } else { most / wide * wide };
        let whole = if wide > most { wide } else { p.positions };
        let apart = p.positions >= some && all.start.is_multiple_of(whole);
        Parts { within: if apart { whole } else { all.len().max(1) }, all, some }
    }

    fn len(&self) -> usize {
        self.all.len() / self.within * self.within.div_ceil(self.some) + (self.all.len() % self.within).div_ceil(self.some)
    }

    fn part(&self, i: usize) -> Range<usize> {
        let each = self.within.div_ceil(self.some);
        let start = self.all.start + i / each * self.within;
        let first = start + i % each * self.some;
        first..self.all.end.min(start + self.within).min(first + self.some)
    }
}

thread_local! {
    /// A block's product, where something rides on it: that reads it here and writes once.
    static PRODUCT: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Every block of these rows, with what rides on it. `product` is told where to put a block, and how many elements of the result lie before that.
fn blocks(
    k: &Gemm,
    rows: &Parts,
    threads: usize,
    workers: &mut [Evaluator],
    outs: &[Shared<'_>; WRITES],
    ending: &Ending<'_>,
    product: &(impl Fn(&Block, (&Shared<'_>, usize)) + Sync),
) {
    let block = |i: usize| Block { batch: i / rows.len(), rows: rows.part(i % rows.len()), columns: 0..k.n };
    let units = k.matrices() * rows.len();
    if plain(k) {
        return share(&mut vec![(); parts(work(k), threads)], units, &|_: &mut (), i| product(&block(i), (&outs[0], 0)));
    }
    share(workers, units, &|e: &mut Evaluator, i| {
        let block = block(i);
        PRODUCT.with_borrow_mut(|beside| {
            let size = block.rows.len() * k.n;
            beside.resize(beside.len().max(size.div_ceil(GROUP)), Line::default());
            let beside = &mut numbers_mut(beside)[..size];
            product(&block, (&Shared::new(beside), (block.batch * k.m + block.rows.start) * k.n));
            ending.put(e, &block, beside, outs);
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts follow one another from the first row to the last, and none reaches into a second image that has as many positions.
    #[test]
    fn parts_are_all_rows() {
        let walk = |positions| Walk { extent: 9, positions, stride: 1, taps: 1, first: 0, step: 0 };
        for (down, across, first, count, most) in [
            (32, 32, 0, 4096, 128),
            (28, 28, 784, 1568, 128),
            (4, 4, 0, 160, 128),
            (3, 200, 0, 1800, 128),
            (8, 8, 100, 300, 64),
            (5, 7, 35, 71, 20),
            (1, 1, 3, 1, 9),
            (6, 6, 0, 0, 12),
        ] {
            let walks = [walk(down), walk(across)];
            let p = Patches {
                image: 81,
                channels: 1,
                positions: down * across,
                taps: 1,
                terms: 0,
                starts: 0,
                first: 0,
                apart: 0,
                walks: Some(walks),
            };
            let parts = Parts::of_images(first..first + count, &p, &walks, most);
            let mut next = first;
            for part in (0..parts.len()).map(|i| parts.part(i)) {
                assert!(part.start == next && !part.is_empty() && part.len() <= most, "{part:?}");
                let aligned = p.positions >= most && first % p.positions == 0;
                assert!(across <= most || part.start / across == (part.end - 1) / across, "{part:?} of rows of {across}");
                assert!(!aligned || part.start / p.positions == (part.end - 1) / p.positions, "{part:?} of images of {}", p.positions);
                next = part.end;
            }
            assert_eq!(next, first + count);
        }
    }
}
