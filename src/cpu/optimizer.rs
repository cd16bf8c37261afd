//! The twin of `shaders/optimizer.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork};
use super::lib::halves::f16s_mut;
use super::lib::rates::{View, stopped};
use crate::error::Result;
use crate::expr::{CHUNK, Evaluator};
use crate::kernels::words::BLOCK;
use crate::kernels::{Direction, Optimizer};
use half::slice::HalfFloatSliceExt;
use std::ops::Range;

impl Twin for Optimizer {
    fn run(&self, Call { workers, reads, writes, .. }: Call<'_>) -> Result<()> {
        let [state, rates, gradients, guard, ratios @ ..] = reads else { return Ok(()) };
        let g = f32s(gradients);
        let (stop, clip) = stopped(&self.guard, state, guard);
        let view = View::new(self.rates, rates, state, clip, ratios.first().map_or(&[], |r| f32s(r))).of(self.shard);
        if stop {
            return Ok(());
        }
        let each = self.size.div_ceil(self.pieces().max(1)).next_multiple_of(CHUNK);
        let used = self.size.div_ceil(each);
        let mut widths = [each; WRITES];
        if self.half_copies {
            widths[1 + self.moments] = each / 2;
        }
        fork(workers, 0..used, 1, widths, writes, &|e: &mut Evaluator, units: Range<usize>, mut w: Writes<'_>| {
            for (i, unit) in units.enumerate() {
                update(self, e, &view, g, unit * each..self.size.min((unit + 1) * each), i * each, &mut w);
            }
        });
        Ok(())
    }

    fn takes_halves(&self) -> bool {
        true
    }
}

/// The rule over these elements; the part's own words start at `own`.
fn update(k: &Optimizer, e: &mut Evaluator, view: &View<'_>, g: &[f32], all: Range<usize>, own: usize, w: &mut Writes<'_>) {
    let (mut first, mut last, piece) = (all.start, None, e.piece());
    while first < all.end {
        if let Some(still) = k.still.iter().find(|s| s.contains(&(first / BLOCK))) {
            first = all.end.min(still.end * BLOCK);
            continue;
        }
        let next = k.still.iter().map(|s| s.start * BLOCK).find(|s| *s > first).unwrap_or(all.end);
        let chunk = view.chunk(first, piece.min(all.end.min(next) - first));
        let n = chunk.len();
        let at = own + first - all.start..own + first - all.start + n;
        view.turn_to(e, first, &mut last);
        let load = |i: usize, row: &mut [f32]| match i {
            0 => Some(&f32s(w[0])[at.clone()]),
            // a block of directions is followed by its norms
            1 if k.applies => {
                let from = g[first / BLOCK * Direction::STRIDE..].chunks(Direction::STRIDE);
                row.chunks_mut(BLOCK).zip(from).for_each(|(r, u)| r.copy_from_slice(&u[..r.len()]));
                None
            }
            1 => Some(&g[chunk.clone()]),
            _ => Some(&f32s(w[i - 1])[at.clone()]),
        };
        e.run(n, load, &mut []);
        for (o, out) in w.iter_mut().enumerate().take(1 + k.moments) {
            e.store(o, &mut f32s_mut(out)[at.clone()]);
        }
        if k.half_copies {
            let to = &mut w[1 + k.moments];
            f16s_mut(to)[at.clone()].convert_from_f32_slice(&e.output(0)[..n]);
        }
        first = chunk.end;
    }
}
