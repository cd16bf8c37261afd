use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts};
use crate::expr::CHUNK;
use crate::kernels::Accumulate;
use crate::kernels::words::{STATE_HALT, STATE_MICRO, STATE_SUMMED, STATE_WORDS};
use std::ops::Range;

/// The words of each binding that it touches.
pub(super) fn spans(k: &Accumulate) -> Vec<Range<usize>> {
    let mut all = vec![0..STATE_WORDS, 0..k.size, 0..k.size];
    all.extend(k.weight.map(|at| at..at + 1));
    all
}

/// The twin of `shaders/accumulate.wgsl`.
pub(super) fn run(k: &Accumulate, threads: usize, reads: &[&[u32]], writes: Writes<'_>) {
    let [state, other, weight @ ..] = reads else { return };
    if state[STATE_HALT] != 0 {
        return;
    }
    let (other, first) = (f32s(other), state[STATE_MICRO] == 0);
    // rows are counted, weights are added up
    let (rows, sum) = match (k.weight, weight) {
        (Some(at), [w]) => (f32s(w)[at], f32::from_bits(state[STATE_SUMMED]) + f32s(w)[at]),
        _ => (k.rows as f32, state[STATE_SUMMED] as f32 + k.rows as f32),
    };
    let scale = if sum == 0.0 { 0.0 } else { 1.0 / sum };
    let mut widths = [0; WRITES];
    widths[0] = 1;
    let mut workers = vec![(); parts(0.2 * k.size as f64, threads)];
    fork(&mut workers, 0..k.size, CHUNK, widths, writes, &|_: &mut (), units: Range<usize>, w: Writes<'_>| {
        let all = f32s_mut(w[0]).iter_mut().zip(&other[units]);
        match (k.last, first) {
            (true, _) => all.for_each(|(g, sum)| *g = (sum + *g * rows) * scale),
            (false, true) => all.for_each(|(sum, g)| *sum = g * rows),
            (false, false) => all.for_each(|(sum, g)| *sum += g * rows),
        }
    });
}
