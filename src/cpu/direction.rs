//! The twin of `shaders/direction.wgsl`.

use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork};
use super::lib::rates::{View, stopped};
use super::squares::squares;
use crate::expr::Evaluator;
use crate::kernels::Direction;
use crate::kernels::words::{BLOCK, STATE_WORDS};
use std::ops::Range;

/// The words of each binding that it touches.
pub(super) fn spans(k: &Direction) -> Vec<Range<usize>> {
    let mut all = vec![0..STATE_WORDS, 0..k.rates.words()];
    all.resize(4 + k.moments, 0..k.size);
    all.push(0..k.words());
    all.push(k.gate.span());
    all
}

/// The twin of `shaders/direction.wgsl`.
pub(super) fn run(k: &Direction, workers: &mut [Evaluator], reads: &[&[u32]], writes: Writes<'_>) {
    let &[state, rates, parameters, gradients, gate] = reads else { return };
    let (p, g) = (f32s(parameters), f32s(gradients));
    let (stop, clip) = stopped(&k.gate, state, gate);
    let view = View::new(k.rates, rates, state, clip, &[]);
    let blocks = k.size / BLOCK;
    let each = blocks.div_ceil(k.groups().max(1));
    let used = blocks.div_ceil(each.max(1));
    let mut widths = [each * BLOCK; WRITES];
    let to = k.moments;
    widths[to] = each * Direction::STRIDE;
    fork(workers, 0..used, 1, widths, writes, &|e: &mut Evaluator, units: Range<usize>, mut w: Writes<'_>| {
        let mut last = None;
        let begin = units.start * each;
        for unit in units {
            for block in unit * each..blocks.min((unit + 1) * each) {
                let (all, at) = (block * BLOCK..(block + 1) * BLOCK, (block - begin) * BLOCK..(block - begin + 1) * BLOCK);
                view.turn_to(e, all.start, &mut last);
                e.chunk(|i, row| match i {
                    0 => row[..BLOCK].copy_from_slice(&p[all.clone()]),
                    1 => row[..BLOCK].copy_from_slice(&g[all.clone()]),
                    _ => row[..BLOCK].copy_from_slice(&f32s(w[i - 2])[at.clone()]),
                });
                let u = &e.output(0)[..BLOCK];
                let out = &mut f32s_mut(w[to])[(block - begin) * Direction::STRIDE..][..Direction::STRIDE];
                out[..BLOCK].copy_from_slice(u);
                out[BLOCK..].copy_from_slice(&[squares(&p[all]), squares(u), 0.0, 0.0]);
                for (m, moment) in
                    w.iter_mut().enumerate().take(if stop || k.still.iter().any(|s| s.contains(&block)) { 0 } else { k.moments })
                {
                    e.store(1 + m, &mut f32s_mut(moment)[at.clone()]);
                }
            }
        }
    });
}
