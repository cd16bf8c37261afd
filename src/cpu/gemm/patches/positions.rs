//! Patches times a matrix: a convolution's results, and its gradient for the images. A tile is a few positions by some vectors of columns; a term is one
//! number of each position, read from a band of the images, times a row of the packed matrix.
#![allow(clippy::needless_range_loop)] // see `tiles`

use super::band::{Band, GROUP, Line, numbers, numbers_mut};
use crate::cpu::gemm::block::{Block, work};
use crate::cpu::lib::fork::{parts, share};
use crate::cpu::lib::shared::Shared;
use crate::kernels::{Gemm, Patches, Walk};
use pulp::Simd;
use std::cell::RefCell;
use std::ops::Range;

/// Positions of a block at most: its results stay in the cache while all columns are made, and a panel of the packed matrix while all its positions are.
pub(super) const ROWS: usize = 128;

/// Vectors of columns in the widest tile.
const WIDEST: usize = 2;

/// Columns of a panel of the packed matrix, of which so many are left: as wide as they need, so that few columns are not filled up with zeros.
fn wide(left: usize, lanes: usize) -> usize {
    left.div_ceil(lanes).min(WIDEST) * lanes
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
    static PACKED: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    static BAND: RefCell<Band> = RefCell::new(Band::default());
}

/// Packs the right factor of all matrices of the batch: panels of as many columns as a tile has, term by term, zeros beyond the last column.
pub(super) fn with_packed(k: &Gemm, b: &[f32], threads: usize, work_on: impl FnOnce(&[f32])) {
    let lanes = lanes();
    let (whole, all) = (WIDEST * lanes, k.n.next_multiple_of(lanes));
    let panels = k.n.div_ceil(whole);
    // taken out, so that nobody who comes back here finds it lent
    let mut packed = PACKED.take();
    let size = k.matrices() * k.k * all;
    packed.resize(packed.len().max(size.div_ceil(GROUP)), Line::default());
    let out = Shared::new(&mut numbers_mut(&mut packed)[..size]);
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
    work_on(&numbers(&packed)[..size]);
    PACKED.set(packed);
}

/// One block of positions and all columns.
pub(super) fn block(
    k: &Gemm,
    (p, walks): (Patches, &[Walk; 2]),
    x: &[f32],
    packed: &[f32],
    tables: &[u32],
    block: &Block,
    (c, before): (&Shared<'_>, usize),
) {
    BAND.with_borrow_mut(|band| {
        let own = p.first + block.batch * p.apart;
        let images = &x[k.a.offset + k.along_batch(k.a.batch, block.batch)..];
        band.fill(&p, walks, images, own + block.rows.start..own + block.rows.end);
        let size = packed.len() / k.matrices();
        let packed = &packed[block.batch * size..][..size];
        let across = walks[1];
        let together = across.taps == 3 && across.stride == 1 && across.step.abs() == 1;
        pulp::Arch::new().dispatch(Tiles { k, channels: p.channels, together, band, packed, tables, block, c, before });
    });
}

struct Tiles<'a> {
    k: &'a Gemm,
    channels: usize,
    /// Whether three taps at a time are neighbours.
    together: bool,
    band: &'a Band,
    packed: &'a [f32],
    tables: &'a [u32],
    block: &'a Block,
    c: &'a Shared<'a>,
    /// Elements of the result before those.
    before: usize,
}

impl pulp::WithSimd for Tiles<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.together { self.panels::<S, 3>(simd) } else { self.panels::<S, 1>(simd) }
    }
}

impl Tiles<'_> {
    #[inline(always)]
    fn panels<S: Simd, const TAPS: usize>(&self, simd: S) {
        let (k, lanes) = (self.k, S::F32_LANES);
        let (mut first, mut packed) = (0, self.packed);
        while first < k.n && k.k > 0 {
            let wide = wide(k.n - first, lanes);
            let (panel, rest) = packed.split_at(k.k * wide);
            let columns = first..k.n.min(first + wide);
            // as many sums as there are registers for, and as hide how long a product takes
            match (wide / lanes, lanes == 16) {
                (1, true) => tiles::<S, 1, 16, TAPS>(simd, self, panel, columns),
                (1, false) => tiles::<S, 1, 8, TAPS>(simd, self, panel, columns),
                _ => tiles::<S, WIDEST, 8, TAPS>(simd, self, panel, columns),
            }
            (first, packed) = (first + wide, rest);
        }
    }
}

// loops and no closures in all of this, and the innermost by index: what the compiler leaves uninlined keeps narrow vectors

/// All positions by the columns of a panel.
#[inline(always)]
fn tiles<S: Simd, const VECTORS: usize, const SIDE: usize, const TAPS: usize>(
    simd: S,
    t: &Tiles<'_>,
    panel: &[f32],
    columns: Range<usize>,
) {
    let Tiles { k, band, tables, block, c, before, .. } = t;
    let rows = block.rows.len();
    for first in (0..rows).step_by(SIDE) {
        let some = SIDE.min(rows - first);
        let spots = &band.spots[first..first + some];
        let mut at = [spots[0]; SIDE];
        // SAFETY: all spots lie in the band, and of each of them all taps with their channels
        let sums = unsafe {
            if some == SIDE && spots[SIDE - 1] - spots[0] == (SIDE - 1) * GROUP {
                tile::<S, VECTORS, SIDE, TAPS, true>(simd, &at, t, panel)
            } else {
                for (i, at) in at.iter_mut().enumerate() {
                    *at = spots[if i < some { i } else { some - 1 }];
                }
                tile::<S, VECTORS, SIDE, TAPS, false>(simd, &at, t, panel)
            }
        };
        for (j, sums) in sums.iter().enumerate().take(some) {
            let start = place(k, tables, block.batch, block.rows.start + first + j) - before;
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

/// The sums of a tile, whose positions have these spots: evenly, where the compiler sees how far they lie apart, or anywhere. Taps that are taken together add
/// up channel by channel, from the lowest on.
///
/// # Safety
/// All taps of each lie in the band.
#[inline(always)]
unsafe fn tile<S: Simd, const VECTORS: usize, const SIDE: usize, const TAPS: usize, const EVENLY: bool>(
    simd: S,
    at: &[usize; SIDE],
    t: &Tiles<'_>,
    panel: &[f32],
) -> [[S::f32s; VECTORS]; SIDE] {
    let wide = VECTORS * S::F32_LANES;
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; VECTORS]; SIDE];
    assert!(t.band.taps.len() * t.channels * wide <= panel.len());
    let mut from = [t.band.start(); SIDE];
    for i in 0..SIDE {
        from[i] = from[i].wrapping_add(at[i]);
    }
    for (row, taps) in t.band.taps.chunks_exact(TAPS).enumerate() {
        // the lowest comes first, whichever way they go
        let upwards = taps[0] <= taps[TAPS - 1];
        let mut terms = [panel.as_ptr(); TAPS];
        for i in 0..TAPS {
            let tap = row * TAPS + if upwards { i } else { TAPS - 1 - i };
            terms[i] = terms[i].wrapping_add(tap * t.channels * wide);
        }
        let (mut left, mut group) = (t.channels, if upwards { taps[0] } else { taps[TAPS - 1] });
        while left > 0 {
            let end = group + if left < GROUP { left } else { GROUP };
            let mut channel = group;
            // SAFETY: the caller answers for the numbers; of terms there are as many as channels of all taps, as was looked
            unsafe {
                while TAPS == 1 && channel + 4 <= end {
                    some::<S, VECTORS, SIDE, TAPS, 4, EVENLY>(simd, &from, channel, &mut terms, &mut sums);
                    channel += 4;
                }
                while channel < end {
                    some::<S, VECTORS, SIDE, TAPS, 1, EVENLY>(simd, &from, channel, &mut terms, &mut sums);
                    channel += 1;
                }
            }
            left = left.saturating_sub(GROUP);
            group += t.band.plane;
        }
    }
    sums
}

/// Adds so many terms of each tap to all sums, each in its order.
///
/// # Safety
/// Each position has as many numbers behind `channel`, and as many rows of vectors lie there.
#[inline(always)]
unsafe fn some<S: Simd, const VECTORS: usize, const SIDE: usize, const TAPS: usize, const TERMS: usize, const EVENLY: bool>(
    simd: S,
    at: &[*const f32; SIDE],
    channel: usize,
    terms: &mut [*const f32; TAPS],
    sums: &mut [[S::f32s; VECTORS]; SIDE],
) {
    let mut w = [[[simd.splat_f32s(0.0); VECTORS]; TERMS]; TAPS];
    for tap in 0..TAPS {
        for i in 0..TERMS {
            for v in 0..VECTORS {
                // SAFETY: as the caller has it
                w[tap][i][v] = unsafe { terms[tap].add((i * VECTORS + v) * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
            }
        }
        terms[tap] = terms[tap].wrapping_add(TERMS * VECTORS * S::F32_LANES);
    }
    if TAPS > 1 && EVENLY {
        // a number is one position's first tap and its neighbours' second and third: loaded once. Eight positions at a time, for the compiler lays out
        // no longer loops
        for eight in 0..SIDE / 8 {
            for place in 0..8 + TAPS - 1 {
                // SAFETY: as the caller has it
                let x = simd.splat_f32s(unsafe { *at[0].add(channel + (8 * eight + place) * GROUP) });
                for tap in 0..TAPS {
                    if place >= tap && place - tap < 8 {
                        for v in 0..VECTORS {
                            let sum = &mut sums[8 * eight + place - tap][v];
                            *sum = simd.mul_add_e_f32s(x, w[tap][0][v], *sum);
                        }
                    }
                }
            }
        }
        return;
    }
    for row in 0..SIDE {
        for i in 0..TERMS {
            for tap in 0..TAPS {
                // SAFETY: as the caller has it
                let x = simd.splat_f32s(unsafe {
                    let own = if EVENLY { at[0].add(row * GROUP) } else { at[row] };
                    *own.add(channel + tap * GROUP + i)
                });
                for v in 0..VECTORS {
                    sums[row][v] = simd.mul_add_e_f32s(x, w[tap][i][v], sums[row][v]);
                }
            }
        }
    }
}
