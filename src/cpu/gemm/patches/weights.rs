//! A turned matrix times patches: a convolution's gradient for its weights. Its terms are positions. Where there are channels enough a tile is a few
//! rows by vectors of a tap's channels; else a few numbers of a patch by vectors of rows.

use super::places::Places;
use crate::cpu::gemm::block::Block;
use crate::cpu::gemm::multiply::Shared;
use crate::kernels::{Gemm, Patches};
use pulp::Simd;
use std::cell::RefCell;

/// Positions whose products are added at a time: what they read stays in the cache for all tiles.
const POSITIONS: usize = 64;
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
    static PLACES: RefCell<Places> = RefCell::new(Places::default());
}

/// One block of rows.
pub(super) fn block(k: &Gemm, p: Patches, [a, x]: [&[f32]; 2], tables: &[u32], block: &Block, c: &Shared<'_>) {
    PLACES.with_borrow_mut(|places| {
        let own = p.first + block.batch * p.apart;
        let images = &x[k.b.offset + k.along_batch(k.b.batch, block.batch)..];
        let a = &a[k.a.offset + k.along_batch(k.a.batch, block.batch) + block.rows.start..];
        let start = (block.batch * k.m + block.rows.start) * k.n;
        // SAFETY: these elements are this block's, and the block is this thread's
        let c = unsafe { c.part(start..start + block.rows.len() * k.n) };
        c.fill(0.0);
        for first in (0..k.k).step_by(POSITIONS) {
            let count = POSITIONS.min(k.k - first);
            places.find(&p, images, tables, own + first..own + first + count, 1);
            let narrow = p.channels < NARROW;
            let p = places.put_together(p);
            let a = &a[first * k.a.pitch..];
            // the last position has its rows, too
            assert!((count - 1) * k.a.pitch + block.rows.len() <= a.len());
            pulp::Arch::new().dispatch(Tiles { p, at: &places.at, a, pitch: k.a.pitch, rows: block.rows.len(), count, c: &mut *c, narrow });
        }
    });
}

struct Tiles<'a> {
    p: Patches,
    at: &'a [*const f32],
    /// The rows of these positions, `pitch` apart.
    a: &'a [f32],
    pitch: usize,
    rows: usize,
    count: usize,
    /// `[rows, taps, channels]`
    c: &'a mut [f32],
    narrow: bool,
}

impl pulp::WithSimd for Tiles<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.narrow { by_rows(simd, self) } else { by_channels(simd, self) }
    }
}

// loops and no closures in all of this: what the compiler leaves uninlined keeps narrow vectors. Tiles have as many sums as there are registers for, and as
// hide how long a product takes.

/// Vectors of channels.
#[inline(always)]
fn by_channels<S: Simd>(simd: S, mut t: Tiles<'_>) {
    let (lanes, channels, many) = (S::F32_LANES, t.p.channels, S::F32_LANES == 16);
    for tap in 0..t.p.taps {
        let mut channel = 0;
        while channel < channels {
            let left = channels - channel;
            let vectors = if left >= 4 * lanes && many {
                4
            } else if left >= 2 * lanes {
                2
            } else {
                1
            };
            let some = left.min(vectors * lanes);
            match (vectors, many) {
                (4, _) => down::<S, 6, 4>(simd, &mut t, tap, channel, some),
                (2, true) => down::<S, 8, 2>(simd, &mut t, tap, channel, some),
                (2, false) => down::<S, 6, 2>(simd, &mut t, tap, channel, some),
                (_, true) => down::<S, 16, 1>(simd, &mut t, tap, channel, some),
                _ => down::<S, 8, 1>(simd, &mut t, tap, channel, some),
            }
            channel += some;
        }
    }
}

/// All rows by these channels of a tap.
#[inline(always)]
fn down<S: Simd, const ROWS: usize, const VECTORS: usize>(simd: S, t: &mut Tiles<'_>, tap: usize, channel: usize, some: usize) {
    let mut row = 0;
    while row + ROWS <= t.rows {
        rows_by_channels::<S, ROWS, VECTORS>(simd, t, tap, channel, some, row);
        row += ROWS;
    }
    while row + 4 <= t.rows {
        rows_by_channels::<S, 4, VECTORS>(simd, t, tap, channel, some, row);
        row += 4;
    }
    while row < t.rows {
        rows_by_channels::<S, 1, VECTORS>(simd, t, tap, channel, some, row);
        row += 1;
    }
}

#[inline(always)]
fn rows_by_channels<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    t: &mut Tiles<'_>,
    tap: usize,
    channel: usize,
    some: usize,
    row: usize,
) {
    let (taps, channels, lanes) = (t.p.taps, t.p.channels, S::F32_LANES);
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    let start = |i: usize| ((row + i) * taps + tap) * channels + channel;
    for (i, sums) in sums.iter_mut().enumerate() {
        let from = &t.c[start(i)..start(i) + some];
        for (v, sum) in sums.iter_mut().enumerate() {
            *sum = simd.partial_load_f32s(&from[v * lanes..]);
        }
    }
    let whole = some == VECTORS * lanes;
    let mut x = [simd.splat_f32s(0.0); VECTORS];
    for position in 0..t.count {
        // SAFETY: this many positions have all their taps there, each of which points to its channels, and `channel + some` is at most as many
        let from = unsafe { std::slice::from_raw_parts(t.at.get_unchecked(position * taps + tap).add(channel), some) };
        if whole {
            for (x, v) in x.iter_mut().zip(S::as_simd_f32s(from).0) {
                *x = *v;
            }
        } else {
            x[0] = simd.partial_load_f32s(from);
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `block` has looked whether the last of these lies there
            let a = simd.splat_f32s(unsafe { *t.a.get_unchecked(position * t.pitch + row + i) });
            for (sum, &x) in sums.iter_mut().zip(&x) {
                *sum = simd.mul_add_e_f32s(a, x, *sum);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        let to = &mut t.c[start(i)..start(i) + some];
        for (v, &sum) in sums.iter().enumerate() {
            simd.partial_store_f32s(&mut to[v * lanes..], sum);
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
    let (taps, channels, lanes, wide) = (t.p.taps, t.p.channels, S::F32_LANES, t.p.row());
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; VECTORS]; SIDE];
    // the last numbers are repeated where the tile has more
    let (mut tap, mut channel) = ([0; SIDE], [0; SIDE]);
    for i in 0..SIDE {
        let own = number + i.min(numbers - 1);
        (tap[i], channel[i]) = (own / channels, own % channels);
    }
    let whole = some == VECTORS * lanes;
    for position in 0..t.count {
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
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: this many positions have all their taps there, each of which points to its channels
            let x = simd.splat_f32s(unsafe { *t.at.get_unchecked(position * taps + tap[i]).add(channel[i]) });
            for (sum, &a) in sums.iter_mut().zip(&a) {
                *sum = simd.mul_add_e_f32s(a, x, *sum);
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
