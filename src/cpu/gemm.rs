//! The twin of `shaders/gemm_direct.wgsl`, `shaders/gemm_tile.wgsl` and `shaders/gemm_split.wgsl`.

mod block;
mod dots;
pub(super) mod ending;
mod multiply;
mod one_hot;
mod patches;
pub(super) mod pieces;
mod row_sums;
mod turned;

use super::lib::call::{Call, READS, Twin};
use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts, share};
use super::lib::pieces::{Piece, pieces as pieces_of};
use super::lib::shared::Shared;
use crate::error::Result;
use crate::expr::{CHUNK, Evaluator};
use crate::kernels::{Gemm, Operand};
pub(super) use block::plain;
use block::{Block, TERM, work};
use ending::Ending;
use gemm_common::cache::CACHE_INFO;
use multiply::{FEW, NARROW, factor, multiply, plainly};
use row_sums::row_sums;
use std::ops::Range;

impl Twin for Gemm {
    fn run(&self, call: Call<'_>) -> Result<()> {
        if call.beside.pieces.is_empty() {
            run(self, call.threads, call.workers, call.reads, call.writes, 0);
        } else {
            pieces::run(call);
        }
        Ok(())
    }

    fn work(&self) -> f64 {
        work(self)
    }

    /// Piece by piece.
    fn takes_halves(&self) -> bool {
        true
    }

    fn pieces(&self) -> Vec<Piece> {
        pieces_of(self)
    }
}

/// A product whose operands and results are f32. Its results are those of a larger product from element `first` on.
pub(super) fn run(k: &Gemm, threads: usize, workers: &mut [Evaluator], reads: &[&[u32]], mut writes: Writes<'_>, first: usize) {
    if k.outputs.iter().any(|o| o.within.is_some()) {
        return apart(k, writes, |k, writes| run(k, threads, workers, reads, writes, first));
    }
    if let Some(p) = k.patches {
        if patches::run(k, p, threads, workers, reads, &mut writes, first) {
            return;
        }
        let (own, factor, made) = patches::gathered(k, p, reads);
        let mut all = [&[][..]; READS];
        all.iter_mut().zip(reads).for_each(|(to, from)| *to = from);
        all[factor] = &made;
        return run(&own, threads, workers, &all[..own.reads()], writes, first);
    }
    let (a, b) = (f32s(reads[0]), f32s(reads[1]));
    if k.spec.row_sum {
        row_sums(k, threads, a, std::mem::take(&mut writes[k.outputs.len()]));
    }
    let (ending, all) = (Ending { k, reads: &reads[2..], first }, 0..k.matrices() * k.m * k.n);
    if let Some(cut) = Cut::of(k) {
        let mut outs: [Shared<'_>; WRITES] = Default::default();
        outs.iter_mut().zip(&mut writes).for_each(|(o, w)| *o = Shared::new(f32s_mut(w)));
        if plain(k) {
            let mut idle = vec![(); parts(work(k), threads)];
            return share(&mut idle, cut.blocks(k), &|_: &mut (), i| one_block(k, &cut.block(k, i), a, b, &outs[0]));
        }
        return share(workers, cut.blocks(k), &|e: &mut Evaluator, i| {
            let block = cut.block(k, i);
            one_block(k, &block, a, b, &outs[0]);
            ending.finish(e, &block, &outs);
        });
    }
    // the product goes where the first output goes, and the epilogue works in place
    match k.spec.a {
        Operand::Matrix | Operand::Patches => products(k, threads, a, b, f32s_mut(writes[0])),
        Operand::OneHot => one_hot::run(k, threads, reads[0], reads[1], writes[0]),
    }
    if !plain(k) {
        fork(workers, all, CHUNK, [1; WRITES], writes, &|e: &mut Evaluator, units, w| ending.run(e, units, w));
    }
}

/// Where results are rows of larger tensors: they are made beside those, and put there row by row.
pub(super) fn apart(k: &Gemm, mut writes: Writes<'_>, make: impl FnOnce(&Gemm, Writes<'_>)) {
    let size = k.matrices() * k.m * k.n;
    let mut beside: Vec<Vec<u32>> = k.outputs.iter().map(|o| vec![0; if o.within.is_some() { size } else { 0 }]).collect();
    let mut own = Writes::default();
    own.iter_mut().zip(&mut writes).for_each(|(own, to)| *own = &mut to[..]);
    for (own, made) in own.iter_mut().zip(&mut beside).filter(|(_, made)| !made.is_empty()) {
        *own = made;
    }
    let outputs = k.outputs.iter().map(|o| o.offset.into()).collect();
    make(&Gemm { outputs, ..k.clone() }, own);
    for ((to, made), o) in writes.iter_mut().zip(&beside).zip(&k.outputs) {
        let Some((pitch, batch)) = o.within else { continue };
        for (i, row) in made.chunks_exact(k.n.max(1)).enumerate() {
            let at = k.along_batch(batch, i / k.m) + i % k.m * pitch;
            to[at..at + k.n].copy_from_slice(row);
        }
    }
}

/// Adds further terms to a product that is stored as it is, and to its row sums.
fn add(k: &Gemm, threads: usize, reads: &[&[u32]], mut writes: Writes<'_>) {
    let (a, b) = (f32s(reads[0]), f32s(reads[1]));
    if k.spec.row_sum {
        let out = std::mem::take(&mut writes[k.outputs.len()]);
        let before = f32s(out).to_vec();
        row_sums(k, threads, a, out);
        f32s_mut(out).iter_mut().zip(before).for_each(|(s, b)| *s += b);
    }
    let within = parts(work(k), threads);
    product(k, within, &a[k.a.offset..], &b[k.b.offset..], f32s_mut(writes[0]), true);
}

/// How C is cut into blocks that know nothing of each other. By its shape alone, so that any number of threads gives the same bits. The
/// crate's own threads share one packed copy of a factor, which only one of them makes: here each packs what its block needs,
/// and the epilogue finds the block in the cache.
struct Cut {
    rows: usize,
    columns: usize,
    /// Blocks along each axis.
    down: usize,
    across: usize,
}

impl Cut {
    fn of(k: &Gemm) -> Option<Cut> {
        // where the crate's own threads did better: a large A that lies transposed would be packed again for every block of columns, and a B
        // that does not needs no packing
        let packs = if k.spec.ta { k.m * k.k > PACKED } else { !k.spec.tb && k.k > SHALLOW };
        let terms = k.m * k.n * k.k;
        if k.spec.a != Operand::Matrix || packs || k.matrices() * terms == 0 || CACHE_INFO[1].cache_bytes == 0 {
            return None;
        }
        let (rows, columns) = match k.n {
            n if k.spec.ta => {
                let blocks = terms.div_ceil(TERMS);
                let rows = k.m.div_ceil(blocks).next_multiple_of(8);
                // few rows, as of a last layer's gradient: blocks of columns too
                let rows = if k.m <= 16 { 16 } else { rows };
                (rows, n.div_ceil(blocks.div_ceil(k.m.div_ceil(rows))).next_multiple_of(16))
            }
            n if !k.spec.tb => ((BLOCK / n).clamp(8, 512), n),
            _ if dots::serve(k) => (k.m, (DOTTED / (k.m * k.k)).next_multiple_of(dots::SIDE).clamp(16, 128)),
            // as many elements as the crate takes for dot products, which pack nothing
            n @ ..=NARROW => (DOTS / n / 4 * 4, n),
            n @ ..=192 => (256, n),
            _ => (512, 128),
        };
        Some(Cut { rows, columns, down: k.m.div_ceil(rows), across: k.n.div_ceil(columns) })
    }

    /// How many there are, in all products of the batch.
    fn blocks(&self, k: &Gemm) -> usize {
        k.matrices() * self.down * self.across
    }

    /// One of them.
    fn block(&self, k: &Gemm, i: usize) -> Block {
        let (batch, i) = (i / (self.down * self.across), i % (self.down * self.across));
        let (row, column) = (i / self.across * self.rows, i % self.across * self.columns);
        Block { batch, rows: row..k.m.min(row + self.rows), columns: column..k.n.min(column + self.columns) }
    }
}

/// Elements of an A that may be packed for every block.
const PACKED: usize = 8_192;
/// Terms of a product with such an A that are worth a block.
const TERMS: usize = 1 << 19;
/// Terms up to which a product is little work beside its epilogue.
const SHALLOW: usize = 64;
/// Elements of such a product's block: a quarter of a megabyte.
const BLOCK: usize = 65_536;
/// Terms of our own dot products that are worth a block: some 10 microseconds.
const DOTTED: usize = 800_000;
/// Elements of C up to which the crate computes dot products.
const DOTS: usize = 256;

/// The product of A's rows and B's columns.
fn one_block(k: &Gemm, block: &Block, a: &[f32], b: &[f32], c: &Shared<'_>) {
    let (m, n, depth) = (block.rows.len(), block.columns.len(), k.k);
    let (a, b) = (&a[k.a.offset + k.along_batch(k.a.batch, block.batch)..], &b[k.b.offset + k.along_batch(k.b.batch, block.batch)..]);
    let a = factor(&a[block.rows.start * if k.spec.ta { 1 } else { k.a.pitch }..], m, depth, k.a.pitch, k.spec.ta);
    let b = factor(&b[block.columns.start * if k.spec.tb { k.b.pitch } else { 1 }..], depth, n, k.b.pitch, k.spec.tb);
    let first = (block.batch * k.m + block.rows.start) * k.n + block.columns.start;
    if dots::serve(k) && n >= dots::SIDE {
        return pulp::Arch::new().dispatch(dots::Dots { a, b, size: [m, n, depth], c, first, pitch: k.n });
    }
    if turned::serve(k) && n > NARROW {
        return turned::product([m, n, depth], a, b, (c, first, k.n));
    }
    let c = (c, first, k.n, 1);
    if k.spec.tb && !k.spec.ta && (m <= FEW && m < n || n <= NARROW) {
        multiply([m, n, depth], a, b, c, 1, false);
    } else {
        let turned = |(x, row, column)| (x, column, row);
        multiply([n, m, depth], turned(b), turned(a), (c.0, first, 1, k.n), 1, false);
    }
}

fn products(k: &Gemm, threads: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
    let each = TERM * (k.m * k.n * k.k) as f64;
    let within = parts(each, threads);
    let mut workers = vec![(); if within > 1 { 1 } else { parts(each * k.matrices() as f64, threads) }];
    let mut writes = Writes::default();
    let size = k.m * k.n;
    writes[0] = bytemuck::cast_slice_mut(c);
    fork(&mut workers, 0..k.matrices(), 1, [size; WRITES], writes, &|_: &mut (), batch: Range<usize>, w: Writes<'_>| {
        for (i, c) in batch.zip(f32s_mut(w[0]).chunks_exact_mut(size.max(1))) {
            let (a, b) = (&a[k.a.offset + k.along_batch(k.a.batch, i)..], &b[k.b.offset + k.along_batch(k.b.batch, i)..]);
            product(k, within, a, b, c, false);
        }
    });
}

/// `C = A B`, row-major.
///
/// The crate's kernels like columns, so they are given `C^T = B^T A^T`. Their threads share out whole tiles and never a sum: any number
/// gives the same bits (a test holds them to it).
fn product(k: &Gemm, threads: usize, a: &[f32], b: &[f32], c: &mut [f32], add: bool) {
    let (m, n, depth) = (k.m, k.n, k.k);
    if m * n == 0 {
        return;
    }
    if depth == 0 {
        return c.fill(0.0);
    }
    let a = factor(a, m, depth, k.a.pitch, k.spec.ta);
    let b = factor(b, depth, n, k.b.pitch, k.spec.tb);
    // where the processor hides the size of this cache (some virtual machines) the crate would never return
    if CACHE_INFO[1].cache_bytes == 0 {
        plainly([n, depth], a, b, c, add);
    } else {
        let turned = |(x, row, column)| (x, column, row);
        multiply([n, m, depth], turned(b), turned(a), (&Shared::new(c), 0, 1, n), threads, add);
    }
}

#[cfg(test)]
mod tests;
