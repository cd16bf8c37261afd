//! Patches times a matrix: a convolution's results, and its gradient for the images. A tile is a few positions by some vectors of columns; a term is one
//! number of each position, read where it lies, times a row of the packed matrix.
#![allow(clippy::needless_range_loop)] // see `tiles`

use super::places::Places;
use crate::cpu::gemm::block::{Block, work};
use crate::cpu::lib::fork::{parts, share};
use crate::cpu::lib::shared::Shared;
use crate::kernels::{Gemm, Patches};
use pulp::Simd;
use std::cell::RefCell;
use std::ops::Range;

/// Positions to a multiple of which a block's are filled up: all tiles divide it.
const SIDE: usize = 12;
/// Positions of a block: its results stay in the cache while all columns are made, and a panel of the packed matrix while all its positions are.
pub(super) const ROWS: usize = 96;

/// Vectors of columns in the widest tile, with as many registers as the machine has.
const fn widest(lanes: usize) -> usize {
    if lanes == 16 { 4 } else { 2 }
}

/// Columns of a panel of the packed matrix, of which so many are left: as wide as they need, so that few columns are not filled up with zeros.
const fn wide(left: usize, lanes: usize) -> usize {
    let vectors = left.div_ceil(lanes);
    lanes * if vectors <= 2 && vectors < widest(lanes) { vectors } else { widest(lanes) }
}

/// Columns of all panels together.
fn width(columns: usize, lanes: usize) -> usize {
    let whole = columns / (widest(lanes) * lanes) * widest(lanes) * lanes;
    whole + if whole < columns { wide(columns - whole, lanes) } else { 0 }
}

/// How wide the machine's vectors are.
struct Width;

impl pulp::WithSimd for Width {
    type Output = usize;
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

fn lanes() -> usize {
    pulp::Arch::new().dispatch(Width)
}

thread_local! {
    /// The packed matrix of the launch under way. Memory that were new for each launch would cost as much as the packing.
    static PACKED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static PLACES: RefCell<Places> = RefCell::new(Places::default());
}

/// Packs the right factor of all matrices of the batch: panels of as many columns as a tile has, term by term, zeros beyond the last column.
pub(super) fn with_packed(k: &Gemm, b: &[f32], threads: usize, work_on: impl FnOnce(&[f32])) {
    let lanes = lanes();
    let (whole, all) = (widest(lanes) * lanes, width(k.n, lanes));
    let panels = k.n.div_ceil(whole);
    // taken out, so that nobody who comes back here finds it lent
    let mut packed = PACKED.take();
    let size = k.matrices() * k.k * all;
    packed.resize(packed.len().max(size), 0.0);
    let out = Shared::new(&mut packed[..size]);
    let mut idle = vec![(); parts(0.02 * work(k), threads)];
    share(&mut idle, k.matrices() * panels, &|_: &mut (), i| {
        let first = i % panels * whole;
        let (wide, start) = (wide(k.n - first, lanes), (i / panels * all + first) * k.k);
        // SAFETY: panel i is this call's alone
        let to = unsafe { out.part(start..start + wide * k.k) };
        let b = &b[k.b.offset + k.along_batch(k.b.batch, i / panels)..];
        let columns = wide.min(k.n - first);
        let (term, column) = if k.spec.tb { (1, k.b.pitch) } else { (k.b.pitch, 1) };
        for (t, row) in to.chunks_exact_mut(wide).enumerate() {
            for (j, to) in row.iter_mut().enumerate() {
                *to = if j < columns { b[t * term + (first + j) * column] } else { 0.0 };
            }
        }
    });
    work_on(&packed[..size]);
    PACKED.set(packed);
}

/// One block of positions and all columns.
pub(super) fn block(k: &Gemm, p: Patches, x: &[f32], packed: &[f32], tables: &[u32], block: &Block, c: &Shared<'_>) {
    PLACES.with_borrow_mut(|places| {
        let own = p.first + block.batch * p.apart;
        let images = &x[k.a.offset + k.along_batch(k.a.batch, block.batch)..];
        places.find(&p, images, tables, own + block.rows.start..own + block.rows.end, SIDE);
        let p = places.put_together(p);
        let size = packed.len() / k.matrices();
        let packed = &packed[block.batch * size..][..size];
        pulp::Arch::new().dispatch(Tiles { k, p, at: &places.at, count: places.count, packed, tables, block, c });
    });
}

struct Tiles<'a> {
    k: &'a Gemm,
    p: Patches,
    /// The first tap of so many positions, then their second.
    at: &'a [*const f32],
    count: usize,
    packed: &'a [f32],
    tables: &'a [u32],
    block: &'a Block,
    c: &'a Shared<'a>,
}

impl pulp::WithSimd for Tiles<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (k, lanes) = (self.k, S::F32_LANES);
        let (mut first, mut packed) = (0, self.packed);
        while first < k.n && k.k > 0 {
            let wide = wide(k.n - first, lanes);
            let (panel, rest) = packed.split_at(k.k * wide);
            let columns = first..k.n.min(first + wide);
            // as many sums as there are registers for, and as hide how long a product takes
            match (wide / lanes, lanes == 16) {
                (1, _) => tiles::<S, 1, 12>(simd, &self, panel, columns),
                (2, true) => tiles::<S, 2, 12>(simd, &self, panel, columns),
                (2, false) => tiles::<S, 2, 6>(simd, &self, panel, columns),
                _ => tiles::<S, 4, 6>(simd, &self, panel, columns),
            }
            (first, packed) = (first + wide, rest);
        }
    }
}

// loops and no closures in all of this, and the innermost by index: what the compiler leaves uninlined keeps narrow vectors

/// All positions by the columns of a panel.
#[inline(always)]
fn tiles<S: Simd, const VECTORS: usize, const SIDE: usize>(simd: S, t: &Tiles<'_>, panel: &[f32], columns: Range<usize>) {
    let Tiles { k, p, at, count, tables, block, c, .. } = t;
    let rows = block.rows.len();
    for first in (0..rows).step_by(SIDE) {
        // SAFETY: each of these points to the channels of a tap, all of which lie in the images or among the zeros
        let sums = unsafe { tile::<S, VECTORS, SIDE>(simd, &at[first..], *count, [p.taps, p.channels], panel) };
        for (j, sums) in sums.iter().enumerate().take(rows - first) {
            let start = place(k, tables, block.batch, block.rows.start + first + j);
            // SAFETY: these elements are this block's, and the block is this thread's
            let out = unsafe { c.part(start + columns.start..start + columns.end) };
            let (whole, rest) = S::as_mut_simd_f32s(out);
            for (to, &sum) in whole.iter_mut().zip(sums) {
                *to = sum;
            }
            if !rest.is_empty() {
                simd.partial_store_f32s(rest, sums[whole.len()]);
            }
        }
    }
}

/// The first element of a row of the result.
#[inline(always)]
fn place(k: &Gemm, tables: &[u32], batch: usize, row: usize) -> usize {
    match k.outputs[0].scattered {
        None => (batch * k.m + row) * k.n,
        Some(s) => row / s.positions * s.image + tables[s.starts + row % s.positions] as usize,
    }
}

/// The sums of a tile: `at` has the first tap of its positions and of others, and the next so far behind.
///
/// # Safety
/// Each of `at` points to so many channels.
#[inline(always)]
unsafe fn tile<S: Simd, const VECTORS: usize, const SIDE: usize>(
    simd: S,
    at: &[*const f32],
    next: usize,
    [taps, channels]: [usize; 2],
    panel: &[f32],
) -> [[S::f32s; VECTORS]; SIDE] {
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; VECTORS]; SIDE];
    let mut terms = S::as_simd_f32s(panel).0;
    for tap in 0..taps {
        let mut rows = [std::ptr::null::<f32>(); SIDE];
        rows.copy_from_slice(&at[tap * next..][..SIDE]);
        let mut channel = 0;
        // SAFETY: a tap has so many channels, each of which is looked at once
        unsafe {
            // some at a time where there are few vectors: of so many rows a pointer finds no register, and is loaded once for all of them
            while VECTORS == 1 && channel + 4 <= channels {
                some::<S, VECTORS, SIDE, 4>(simd, &rows, channel, &mut terms, &mut sums);
                channel += 4;
            }
            while VECTORS == 2 && channel + 2 <= channels {
                some::<S, VECTORS, SIDE, 2>(simd, &rows, channel, &mut terms, &mut sums);
                channel += 2;
            }
            while channel < channels {
                some::<S, VECTORS, SIDE, 1>(simd, &rows, channel, &mut terms, &mut sums);
                channel += 1;
            }
        }
    }
    sums
}

/// Adds so many terms to all sums, each in its order.
///
/// # Safety
/// Each row has as many numbers behind `channel`.
#[inline(always)]
unsafe fn some<S: Simd, const VECTORS: usize, const SIDE: usize, const TERMS: usize>(
    simd: S,
    rows: &[*const f32; SIDE],
    channel: usize,
    terms: &mut &[S::f32s],
    sums: &mut [[S::f32s; VECTORS]; SIDE],
) {
    let (own, rest) = terms.split_at(TERMS * VECTORS);
    *terms = rest;
    let mut w = [[simd.splat_f32s(0.0); VECTORS]; TERMS];
    for i in 0..TERMS {
        for v in 0..VECTORS {
            w[i][v] = own[i * VECTORS + v];
        }
    }
    for row in 0..SIDE {
        for i in 0..TERMS {
            // SAFETY: as the caller has it
            let x = simd.splat_f32s(unsafe { *rows[row].add(channel + i) });
            for v in 0..VECTORS {
                sums[row][v] = simd.mul_add_e_f32s(x, w[i][v], sums[row][v]);
            }
        }
    }
}
