//! A turned matrix times patches: a convolution's gradient for its weights. Its terms are positions. Where there are channels enough a tile is a few
//! rows by vectors of channels, of one tap or of several; else a few numbers of a patch by vectors of rows.
#![allow(clippy::needless_range_loop)] // see below

use super::Parts;
use super::band::{Band, GROUP, positions};
use crate::cpu::gemm::block::Block;
use crate::cpu::lib::shared::Shared;
use crate::kernels::{Gemm, Patches, Walk};
use pulp::Simd;
use std::cell::RefCell;
use std::ops::Range;

/// Numbers of patches and rows whose products are added at a time: what they read stays in the cache for all tiles.
const TOGETHER: usize = 1 << 13;
/// Positions at least, and at most.
const POSITIONS: [usize; 2] = [64, 256];
/// Matrices of a batch from which on each of them is one block.
const MATRICES: usize = 8;
/// Channels up to which vectors go along the rows. By shape alone: the width of vectors changes no bit.
const NARROW: usize = 8;
/// Rows of a block where there are fewer.
const ROWS: usize = 48;

/// Rows of a block.
pub(super) fn cut(k: &Gemm) -> usize {
    if k.matrices() >= MATRICES { k.m.max(1) } else { ROWS }
}

thread_local! {
    static BAND: RefCell<Band> = RefCell::new(Band::default());
}

/// One block of rows.
pub(super) fn block(k: &Gemm, (p, walks): (Patches, &[Walk; 2]), [a, x]: [&[f32]; 2], block: &Block, (c, before): (&Shared<'_>, usize)) {
    BAND.with_borrow_mut(|band| {
        let own = p.first + block.batch * p.apart;
        let images = &x[k.b.offset + k.along_batch(k.b.batch, block.batch)..];
        let a = &a[k.a.offset + k.along_batch(k.a.batch, block.batch) + block.rows.start..];
        let start = (block.batch * k.m + block.rows.start) * k.n - before;
        // SAFETY: these elements are this block's, and the block is this thread's
        let c = unsafe { c.part(start..start + block.rows.len() * k.n) };
        c.fill(0.0);
        let narrow = p.channels < NARROW;
        let some = (TOGETHER / (p.channels + block.rows.len())).clamp(POSITIONS[0], POSITIONS[1]);
        let parts = Parts::of_images(own..own + k.k, &p, walks, positions(&p, walks, some).max(1));
        for part in (0..parts.len()).map(|i| parts.part(i)) {
            let (first, count) = (part.start - own, part.len());
            band.fill(&p, walks, images, part);
            let a = &a[first * k.a.pitch..];
            // the last position has its rows, too
            assert!((count - 1) * k.a.pitch + block.rows.len() <= a.len());
            pulp::Arch::new().dispatch(Tiles { p, band, a, pitch: k.a.pitch, rows: block.rows.len(), c: &mut *c, narrow });
        }
    });
}

struct Tiles<'a> {
    p: Patches,
    band: &'a Band,
    /// The rows of these positions, `pitch` apart.
    a: &'a [f32],
    pitch: usize,
    rows: usize,
    /// `[rows, taps, channels]`
    c: &'a mut [f32],
    narrow: bool,
}

impl Tiles<'_> {
    /// Where spot 0 has a number of its patch.
    #[inline(always)]
    fn place(&self, number: usize) -> usize {
        let (tap, channel) = (number / self.p.channels, number % self.p.channels);
        self.band.taps[tap] + channel / GROUP * self.band.plane + channel % GROUP
    }
}

impl pulp::WithSimd for Tiles<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.narrow { by_rows(simd, self) } else { by_channels(simd, self) }
    }
}

// Loops and no closures in all of this, and the innermost by index: what the compiler leaves uninlined keeps narrow vectors. Tiles have as many sums as there are
// registers for, and as hide how long a product takes.

/// Vectors of channels: of all taps one behind the other, as the result has them, or the last ones of each tap.
#[inline(always)]
fn by_channels<S: Simd>(simd: S, mut t: Tiles<'_>) {
    let (lanes, channels) = (S::F32_LANES, t.p.channels);
    if channels.is_multiple_of(lanes) {
        let all = 0..t.p.row();
        return side_by_side(simd, &mut t, all);
    }
    for tap in 0..t.p.taps {
        let whole = tap * channels..tap * channels + channels / lanes * lanes;
        let end = (tap + 1) * channels;
        side_by_side(simd, &mut t, whole.clone());
        down::<S, 8, 1>(simd, &mut t, whole.end..end);
    }
}

/// These numbers of a patch, which are whole vectors.
#[inline(always)]
fn side_by_side<S: Simd>(simd: S, t: &mut Tiles<'_>, numbers: Range<usize>) {
    let (lanes, many, mut first) = (S::F32_LANES, S::F32_LANES == 16, numbers.start);
    while first < numbers.end {
        let vectors = match (numbers.end - first) / lanes {
            few @ (1 | 2) => few,
            _ if !many => 2,
            _ if t.p.channels.is_multiple_of(4 * lanes) => 4,
            _ => 3,
        };
        let own = first..first + vectors * lanes;
        match (vectors, many) {
            (4, _) => down::<S, 6, 4>(simd, t, own),
            (3, _) => down::<S, 8, 3>(simd, t, own),
            (2, true) => down::<S, 12, 2>(simd, t, own),
            (2, false) => down::<S, 6, 2>(simd, t, own),
            (_, true) => down::<S, 16, 1>(simd, t, own),
            _ => down::<S, 8, 1>(simd, t, own),
        }
        first += vectors * lanes;
    }
}

/// All rows by these numbers of a patch.
#[inline(always)]
fn down<S: Simd, const ROWS: usize, const VECTORS: usize>(simd: S, t: &mut Tiles<'_>, numbers: Range<usize>) {
    let mut row = 0;
    while row + ROWS <= t.rows {
        rows_by_channels::<S, ROWS, VECTORS>(simd, t, &numbers, row);
        row += ROWS;
    }
    while row + 4 <= t.rows {
        rows_by_channels::<S, 4, VECTORS>(simd, t, &numbers, row);
        row += 4;
    }
    while row < t.rows {
        rows_by_channels::<S, 1, VECTORS>(simd, t, &numbers, row);
        row += 1;
    }
}

#[inline(always)]
fn rows_by_channels<S: Simd, const ROWS: usize, const VECTORS: usize>(simd: S, t: &mut Tiles<'_>, numbers: &Range<usize>, row: usize) {
    let (wide, lanes, some) = (t.p.row(), S::F32_LANES, numbers.len());
    let whole = some == VECTORS * lanes;
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (i, sums) in sums.iter_mut().enumerate() {
        let from = &t.c[(row + i) * wide + numbers.start..][..some];
        if whole {
            sums.copy_from_slice(S::as_simd_f32s(from).0);
        } else {
            sums[0] = simd.partial_load_f32s(from);
        }
    }
    // where spot 0 has these numbers
    let mut from = [std::ptr::null::<f32>(); VECTORS];
    for (v, from) in from.iter_mut().enumerate() {
        *from = t.band.start().wrapping_add(t.place(numbers.start + v * lanes));
    }
    let (mut a, mut x) = (t.a[row..].as_ptr(), [simd.splat_f32s(0.0); VECTORS]);
    for &spot in t.band.spots.iter() {
        for v in 0..VECTORS {
            // SAFETY: every spot has all its taps in the band, and of each whole groups of channels
            x[v] = unsafe { from[v].add(spot).cast::<S::f32s>().read_unaligned() };
        }
        for i in 0..ROWS {
            // SAFETY: `block` has looked whether the last of these lies there
            let a = simd.splat_f32s(unsafe { *a.add(i) });
            for v in 0..VECTORS {
                sums[i][v] = simd.mul_add_e_f32s(a, x[v], sums[i][v]);
            }
        }
        a = a.wrapping_add(t.pitch);
    }
    for (i, sums) in sums.iter().enumerate() {
        let to = &mut t.c[(row + i) * wide + numbers.start..][..some];
        if whole {
            S::as_mut_simd_f32s(to).0.copy_from_slice(sums);
        } else {
            simd.partial_store_f32s(to, sums[0]);
        }
    }
}

/// Vectors of rows.
#[inline(always)]
fn by_rows<S: Simd>(simd: S, mut t: Tiles<'_>) {
    let (lanes, many) = (S::F32_LANES, S::F32_LANES == 16);
    let mut row = 0;
    while row < t.rows {
        let vectors = match (t.rows - row).div_ceil(lanes) {
            few @ (1 | 2) => few,
            _ if many => 4,
            _ => 2,
        };
        match (vectors, many) {
            (1, _) => along::<S, 1, 9>(simd, &mut t, row),
            (2, true) => along::<S, 2, 9>(simd, &mut t, row),
            (2, false) => along::<S, 2, 6>(simd, &mut t, row),
            _ => along::<S, 4, 6>(simd, &mut t, row),
        }
        row += vectors * lanes;
    }
}

/// All numbers of a patch by so many vectors of rows.
#[inline(always)]
fn along<S: Simd, const VECTORS: usize, const SIDE: usize>(simd: S, t: &mut Tiles<'_>, row: usize) {
    let (some, numbers) = ((VECTORS * S::F32_LANES).min(t.rows - row), t.p.row());
    for number in (0..numbers).step_by(SIDE) {
        numbers_by_rows::<S, VECTORS, SIDE>(simd, t, number, SIDE.min(numbers - number), row, some);
    }
}

/// These numbers of a patch by these rows.
#[inline(always)]
fn numbers_by_rows<S: Simd, const VECTORS: usize, const SIDE: usize>(
    simd: S,
    t: &mut Tiles<'_>,
    number: usize,
    numbers: usize,
    row: usize,
    some: usize,
) {
    let (lanes, wide) = (S::F32_LANES, t.p.row());
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; VECTORS]; SIDE];
    // where spot 0 has these numbers, of which the last are repeated where the tile has more
    let mut at = [0; SIDE];
    for i in 0..SIDE {
        at[i] = t.place(number + i.min(numbers - 1));
    }
    let whole = some == VECTORS * lanes;
    for (position, &spot) in t.band.spots.iter().enumerate() {
        let from = &t.a[position * t.pitch + row..][..some];
        let mut a = [zero; VECTORS];
        if whole {
            for (a, v) in a.iter_mut().zip(S::as_simd_f32s(from).0) {
                *a = *v;
            }
        } else {
            for (a, part) in a.iter_mut().zip(from.chunks(lanes)) {
                *a = simd.partial_load_f32s(part);
            }
        }
        for i in 0..SIDE {
            // SAFETY: every spot has all its taps in the band
            let x = simd.splat_f32s(unsafe { *t.band.start().add(spot + at[i]) });
            for v in 0..VECTORS {
                sums[i][v] = simd.mul_add_e_f32s(a[v], x, sums[i][v]);
            }
        }
    }
    let mut column = [0.0; 64];
    for (i, sums) in sums.iter().enumerate().take(numbers) {
        let made = &mut column[..VECTORS * lanes];
        for (to, &sum) in made.chunks_exact_mut(lanes).zip(sums) {
            simd.partial_store_f32s(to, sum);
        }
        for (j, &v) in made.iter().enumerate().take(some) {
            t.c[(row + j) * wide + number + i] += v;
        }
    }
}
