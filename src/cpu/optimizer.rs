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
            update(self, e, &view, g, units.start * each..self.size.min(units.end * each), &mut w);
        });
        Ok(())
    }

    fn takes_halves(&self) -> bool {
        true
    }
}

/// The rule over these elements, which are the part's own.
fn update(k: &Optimizer, e: &mut Evaluator, view: &View<'_>, g: &[f32], all: Range<usize>, w: &mut Writes<'_>) {
    let (mut first, mut last) = (all.start, None);
    // directions lie apart, and are brought together in a row
    let piece = if k.applies { e.piece() } else { e.stretch() };
    while first < all.end {
        if let Some(still) = k.still.iter().find(|s| s.contains(&(first / BLOCK))) {
            first = all.end.min(still.end * BLOCK);
            continue;
        }
        let next = k.still.iter().map(|s| s.start * BLOCK).find(|s| *s > first).unwrap_or(all.end);
        let chunk = view.chunk(first, piece.min(all.end.min(next) - first));
        let at = first - all.start..chunk.end - all.start;
        view.turn_to(e, first, &mut last);
        let (own, copies) = w.split_at_mut(1 + k.moments);
        let mut states: [&mut [f32]; WRITES] = Default::default();
        states.iter_mut().zip(own).for_each(|(s, w)| *s = &mut f32s_mut(w)[at.clone()]);
        let states = &mut states[..1 + k.moments];
        e.update(states, |row| {
            if !k.applies {
                return Some(&g[chunk.clone()]);
            }
            // a block of directions is followed by its norms
            let from = g[first / BLOCK * Direction::STRIDE..].chunks(Direction::STRIDE);
            row.chunks_mut(BLOCK).zip(from).for_each(|(r, u)| r.copy_from_slice(&u[..r.len()]));
            None
        });
        if k.half_copies {
            f16s_mut(copies[0])[at].convert_from_f32_slice(states[0]);
        }
        first = chunk.end;
    }
}
