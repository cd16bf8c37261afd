//! The twin of `shaders/optimizer.wgsl`.

use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork};
use super::lib::halves::f16s_mut;
use super::lib::rates::{View, stopped};
use crate::expr::{CHUNK, Evaluator, Row, whole};
use crate::kernels::words::{BLOCK, STATE_WORDS};
use crate::kernels::{Direction, Optimizer};
use half::slice::HalfFloatSliceExt;
use std::ops::Range;

/// The words of each binding that it touches.
pub(super) fn spans(k: &Optimizer) -> Vec<Range<usize>> {
    let mut all = vec![0..STATE_WORDS, 0..k.rates.words(), 0..k.size, 0..k.gradient_words()];
    all.resize(4 + k.moments, 0..k.size);
    all.push(k.gate.span());
    all.extend(k.applies.then_some(0..k.rates.tensors));
    all.extend(k.working.then_some(0..k.size / 2));
    all
}

/// The twin of `shaders/optimizer.wgsl`.
pub(super) fn run(k: &Optimizer, workers: &mut [Evaluator], reads: &[&[u32]], writes: Writes<'_>) {
    let [state, rates, gradients, gate, ratios @ ..] = reads else { return };
    let g = f32s(gradients);
    let (stop, clip) = stopped(&k.gate, state, gate);
    let view = View::new(k.rates, rates, state, clip, ratios.first().map_or(&[], |r| f32s(r)));
    if stop {
        return;
    }
    let each = k.size.div_ceil(k.pieces().max(1)).next_multiple_of(CHUNK);
    let used = k.size.div_ceil(each);
    let mut widths = [each; WRITES];
    if k.working {
        widths[1 + k.moments] = each / 2;
    }
    fork(workers, 0..used, 1, widths, writes, &|e: &mut Evaluator, units: Range<usize>, mut w: Writes<'_>| {
        for (i, unit) in units.enumerate() {
            update(k, e, &view, g, unit * each..k.size.min((unit + 1) * each), i * each, &mut w);
        }
    });
}

/// The rule over these elements; the part's own words start at `own`.
fn update(k: &Optimizer, e: &mut Evaluator, view: &View<'_>, g: &[f32], all: Range<usize>, own: usize, w: &mut Writes<'_>) {
    let (mut first, mut last) = (all.start, None);
    while first < all.end {
        if let Some(still) = k.still.iter().find(|s| s.contains(&(first / BLOCK))) {
            first = all.end.min(still.end * BLOCK);
            continue;
        }
        let next = k.still.iter().map(|s| s.start * BLOCK).find(|s| *s > first).unwrap_or(all.end);
        let chunk = view.chunk(first, CHUNK.min(all.end.min(next) - first));
        let n = chunk.len();
        let at = own + first - all.start..own + first - all.start + n;
        view.turn_to(e, first, &mut last);
        e.chunk_of(|i, row| match i {
            0 => lend(row, &f32s(w[0])[at.clone()]),
            // a block of directions is followed by its norms
            1 if k.applies => {
                let from = g[first / BLOCK * Direction::STRIDE..].chunks(Direction::STRIDE);
                row[..n].chunks_mut(BLOCK).zip(from).for_each(|(r, u)| r.copy_from_slice(&u[..r.len()]));
                None
            }
            1 => lend(row, &g[chunk.clone()]),
            _ => lend(row, &f32s(w[i - 1])[at.clone()]),
        });
        for (o, out) in w.iter_mut().enumerate().take(1 + k.moments) {
            e.store(o, &mut f32s_mut(out)[at.clone()]);
        }
        if k.working {
            let to = &mut w[1 + k.moments];
            f16s_mut(to)[at.clone()].convert_from_f32_slice(&e.output(0)[..n]);
        }
        first = chunk.end;
    }
}

/// A whole row where it lies; a part of one is copied.
pub(super) fn lend<'a>(row: &mut Row, from: &'a [f32]) -> Option<&'a Row> {
    whole(from).or_else(|| {
        row[..from.len()].copy_from_slice(from);
        None
    })
}
