//! Products with a B that lies transposed, by rows that are a multiple of 2 KiB apart. Neighbours along such a B's columns fall into the same few
//! places of the first-level cache, and the crate, which packs them value by value, loses each line before it has used it. So B is turned
//! here first, some rows of some terms at a time.

use super::multiply::{Factor, multiply};
use crate::cpu::lib::fork::wide;
use crate::cpu::lib::shared::Shared;
use crate::kernels::Gemm;
use std::cell::RefCell;

/// Elements between the rows of such a B.
const ALIKE: usize = 512;
/// Rows of C from which on B is worth turning: at 512 that takes a twentieth of the product's time, and the crate's way a fifth more.
const ENOUGH: usize = 256;
/// Terms that are turned at a time: with the columns of a block a quarter of a megabyte.
const TERMS: usize = 512;

/// Whether the product is computed so.
pub(super) fn serve(k: &Gemm) -> bool {
    k.spec.tb && !k.spec.ta && k.b.pitch.is_multiple_of(ALIKE) && k.m >= ENOUGH
}

thread_local! {
    /// What is turned. Memory that were new for each block would cost as much as the turning.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// `C = A B` for a B that lies by its columns; `c` with its first element and the step along its rows.
pub(super) fn product([m, n, k]: [usize; 3], a: Factor<'_>, b: Factor<'_>, (c, first, pitch): (&Shared<'_>, usize, usize)) {
    SCRATCH.with_borrow_mut(|scratch| {
        for term in (0..k).step_by(TERMS) {
            let terms = TERMS.min(k - term);
            scratch.resize(scratch.len().max(n * terms), 0.0);
            let turned = &mut scratch[..n * terms];
            wide(Turn { from: &b.0[term..], pitch: b.2 as usize, rows: n, terms, to: turned });
            let part = (&a.0[term..], 1, a.1);
            multiply([n, m, terms], (turned, 1, n as isize), part, (c, first, 1, pitch), 1, term > 0);
        }
    });
}

/// `to[t * rows + r] = from[r * pitch + t]`
struct Turn<'a> {
    from: &'a [f32],
    pitch: usize,
    rows: usize,
    terms: usize,
    to: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Turn<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        const DOWN: usize = 8;
        const ALONG: usize = 16;
        let Turn { from, pitch, rows, terms, to } = self;
        for r in (0..rows).step_by(DOWN) {
            for t in (0..terms).step_by(ALONG) {
                if r + DOWN > rows || t + ALONG > terms {
                    for r in r..rows.min(r + DOWN) {
                        (t..terms.min(t + ALONG)).for_each(|t| to[t * rows + r] = from[r * pitch + t]);
                    }
                    continue;
                }
                // a line of each row, all of it used at once
                let mut block = [[0.0f32; ALONG]; DOWN];
                for (i, line) in block.iter_mut().enumerate() {
                    line.copy_from_slice(&from[(r + i) * pitch + t..][..ALONG]);
                }
                for j in 0..ALONG {
                    let out = &mut to[(t + j) * rows + r..][..DOWN];
                    for (o, line) in out.iter_mut().zip(&block) {
                        *o = line[j];
                    }
                }
            }
        }
    }
}
