//! What a launch draws; the twin of `shaders/lib/random.wgsl`.

use crate::graph::Distribution;
use crate::kernels::Draw;
use crate::kernels::words::{STATE_BATCH, STATE_SEED_HI, STATE_SEED_LO};
use crate::rng;

/// The numbers of elements `first..`.
pub(crate) fn drawn(row: &mut [f32], d: &Draw, state: &[u32], first: usize) {
    let seed = u64::from(state[STATE_SEED_HI]) << 32 | u64::from(state[STATE_SEED_LO]);
    let mut done = 0;
    while done < row.len() {
        let (block, lane) = ((first + done) / 4, (first + done) % 4);
        let words = rng::words(seed, d.stream, state[STATE_BATCH], block as u32);
        let four = match d.distribution {
            Distribution::Uniform => words.map(rng::unit),
            Distribution::Normal => rng::normals(words),
            Distribution::Bernoulli { below } => words.map(|w| if w >> 8 < below { 1.0 } else { 0.0 }),
        };
        let n = (4 - lane).min(row.len() - done);
        row[done..done + n].copy_from_slice(&four[lane..lane + n]);
        done += n;
    }
}
