//! Products with patches of images, which are read where they lie: no columns are made. Every sum is in the order of its terms, so that neither
//! threads nor the width of vectors change a bit.

mod gathered;
mod places;
mod positions;
mod weights;

use super::block::{Block, plain, work};
use super::ending::Ending;
use super::row_sums::row_sums;
use crate::cpu::lib::fork::{WRITES, Writes, f32s, f32s_mut, parts, share};
use crate::cpu::lib::shared::Shared;
use crate::expr::Evaluator;
use crate::kernels::{Gemm, Operand, Patches};

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
    if !forward && !turned {
        return false;
    }
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
            let product = |block: &Block| positions::block(k, p, factors[0], packed, tables, block, &outs[0]);
            blocks(k, positions::ROWS, threads, workers, &outs, &ending, &product);
        });
    } else {
        let product = |block: &Block| weights::block(k, p, factors, tables, block, &outs[0]);
        blocks(k, weights::cut(k), threads, workers, &outs, &ending, &product);
    }
    true
}

/// Every block of so many rows, with what rides on it.
fn blocks(
    k: &Gemm,
    rows: usize,
    threads: usize,
    workers: &mut [Evaluator],
    outs: &[Shared<'_>; WRITES],
    ending: &Ending<'_>,
    product: &(impl Fn(&Block) + Sync),
) {
    let down = k.m.div_ceil(rows);
    let block = |i: usize| Block { batch: i / down, rows: i % down * rows..k.m.min((i % down + 1) * rows), columns: 0..k.n };
    let units = k.matrices() * down;
    if plain(k) {
        return share(&mut vec![(); parts(work(k), threads)], units, &|_: &mut (), i| product(&block(i)));
    }
    share(workers, units, &|e: &mut Evaluator, i| {
        let block = block(i);
        product(&block);
        ending.finish(e, &block, outs);
    });
}
