//! Products with patches of images, which are read where they lie: no columns are made. Every sum is in the order of its terms, so that neither
//! threads nor the width of vectors change a bit.

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
    let Some(walks) = p.walks.as_ref().filter(|_| forward || turned) else { return false };
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
            let own = Parts::of_images(0..k.m, &p, walks, positions::ROWS);
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

    /// Of positions: whole rows of an image where those are short, and no part reaches into a second image where an image has as many.
    fn of_images(all: Range<usize>, p: &Patches, [_, across]: &[Walk; 2], most: usize) -> Parts {
        let wide = across.positions.max(1);
        let some = if wide > most { most } else { most / wide * wide };
        let apart = p.positions >= some && all.start.is_multiple_of(p.positions);
        Parts { within: if apart { p.positions } else { all.len().max(1) }, all, some }
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
