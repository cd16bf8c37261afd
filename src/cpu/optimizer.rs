use super::fork::{WRITES, Writes, f32s, f32s_mut, fork, total, wide};
use crate::expr::{CHUNK, Evaluator};
use crate::kernels::Optimizer;
use crate::kernels::words::{RATE_ROWS, RATE_WIDTH, STATE_HALT, STATE_UPDATE, STATE_WORDS};
use std::ops::Range;

/// The words of each binding that it touches.
pub(super) fn spans(k: &Optimizer) -> Vec<Range<usize>> {
    let mut all = vec![0..STATE_WORDS, 0..RATE_ROWS * RATE_WIDTH];
    all.resize(4 + k.moments, 0..k.size);
    all.extend([k.loss..k.loss + 1, 0..k.partials()]);
    all
}

/// The twin of `shaders/optimizer.wgsl`. Each partial sum covers the same neighbouring chunks on any number of threads.
pub(super) fn run(k: &Optimizer, workers: &mut [Evaluator], reads: &[&[u32]], writes: Writes<'_>) {
    let &[state, rates, gradients, loss] = reads else { return };
    let g = f32s(gradients);
    let halted = state[STATE_HALT] != 0 || !f32s(loss)[k.loss].is_finite();
    let first = (state[STATE_UPDATE] as usize % RATE_ROWS) * RATE_WIDTH;
    let rates = &f32s(rates)[first..first + RATE_WIDTH];
    workers.iter_mut().for_each(|e| e.set_rates(rates));
    let each = k.size.div_ceil(k.partials().max(1)).next_multiple_of(CHUNK);
    let used = k.size.div_ceil(each);
    let mut widths = [each; WRITES];
    let last = 1 + k.moments;
    widths[last] = 1;
    f32s_mut(writes[last])[used..].fill(0.0);
    fork(workers, 0..used, 1, widths, writes, &|e: &mut Evaluator, units: Range<usize>, mut w: Writes<'_>| {
        for (i, unit) in units.enumerate() {
            let end = k.size.min((unit + 1) * each);
            f32s_mut(w[last])[i] = wide(Squares(&g[unit * each..end])) as f32;
            if !halted {
                update(k, e, &g[unit * each..end], i * each, &mut w);
            }
        }
    });
}

struct Squares<'a>(&'a [f32]);

impl pulp::NullaryFnOnce for Squares<'_> {
    type Output = f64;
    #[inline(always)]
    fn call(self) -> f64 {
        total(self.0, |v| v * v)
    }
}

/// The rule where `g` is the gradient; the part's own words start at `first`.
fn update(k: &Optimizer, e: &mut Evaluator, g: &[f32], first: usize, w: &mut Writes<'_>) {
    for (i, g) in g.chunks(CHUNK).enumerate() {
        let at = first + i * CHUNK..first + i * CHUNK + g.len();
        e.chunk(|i, row| match i {
            0 => row[..g.len()].copy_from_slice(&f32s(w[0])[at.clone()]),
            1 => row[..g.len()].copy_from_slice(g),
            _ => row[..g.len()].copy_from_slice(&f32s(w[i - 1])[at.clone()]),
        });
        for (o, out) in w.iter_mut().enumerate().take(1 + k.moments) {
            f32s_mut(out)[at.clone()].copy_from_slice(&e.output(o)[..g.len()]);
        }
    }
}
