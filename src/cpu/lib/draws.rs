//! What a launch draws; the twin of `shaders/lib/random.wgsl`.

use crate::expr::CHUNK;
use crate::expr::vector::one;
use crate::graph::Distribution;
use crate::kernels::Draw;
use crate::kernels::words::{STATE_BATCH, STATE_SEED_HI, STATE_SEED_LO};
use crate::rng;

/// Nanoseconds for a number.
pub(crate) const DRAW: f64 = 0.7;

/// Elements `first..` of what is drawn.
pub(crate) fn drawn(row: &mut [f32], d: &Draw, state: &[u32], first: usize) {
    row.chunks_mut(CHUNK).zip((first..).step_by(CHUNK)).for_each(|(row, first)| some(row, d, state, first));
}

/// At most [`CHUNK`] elements.
fn some(row: &mut [f32], d: &Draw, state: &[u32], first: usize) {
    let seed = u64::from(state[STATE_SEED_HI]) << 32 | u64::from(state[STATE_SEED_LO]);
    // the first may stand within its block
    let (block, lane) = (first / 4, first % 4);
    let (mut words, mut values) = ([[0; 4]; CHUNK / 4 + 1], [0.0; CHUNK + 4]);
    let words = &mut words[..(lane + row.len()).div_ceil(4)];
    rng::blocks(seed, d.stream, state[STATE_BATCH], block as u32, words);
    pulp::Arch::new().dispatch(Values { words: words.as_flattened(), distribution: d.distribution, out: &mut values });
    row.copy_from_slice(&values[lane..][..row.len()]);
}

struct Values<'a> {
    words: &'a [u32],
    distribution: Distribution,
    out: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Values<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let each = self.out.iter_mut().zip(self.words);
        match self.distribution {
            Distribution::Uniform => each.for_each(|(o, &w)| *o = unit(w)),
            Distribution::Bernoulli { below } => each.for_each(|(o, &w)| *o = if w >> 8 < below { 1.0 } else { 0.0 }),
            Distribution::Normal => {
                // side by side first: what is written in turns stays in narrow vectors
                let mut both = [[0.0; CHUNK / 2 + 2]; 2];
                let [cos, sin] = &mut both;
                for ((c, s), w) in cos.iter_mut().zip(&mut *sin).zip(self.words.chunks_exact(2)) {
                    [*c, *s] = pair(w[0], w[1]);
                }
                for ((o, &c), &s) in self.out.chunks_exact_mut(2).zip(&*cos).zip(&*sin) {
                    (o[0], o[1]) = (c, s);
                }
            }
        }
    }
}

/// The uniform number of a word: its top 24 bits.
#[inline(always)]
fn unit(word: u32) -> f32 {
    (word >> 8) as f32 / (1u32 << 24) as f32
}

/// The two normal numbers of two words, by Box and Muller's rule.
#[inline(always)]
fn pair(a: u32, b: u32) -> [f32; 2] {
    let r = (-2.0 * one::log(1.0 - unit(a))).sqrt();
    let (sin, cos) = one::turn(unit(b));
    [r * cos, r * sin]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(distribution: Distribution, n: usize) -> Vec<f32> {
        let mut state = [0; 32];
        (state[STATE_SEED_LO], state[STATE_BATCH]) = (11, 3);
        let mut out = vec![0.0; n];
        for (i, row) in out.chunks_mut(CHUNK).enumerate() {
            drawn(row, &Draw { distribution, stream: 7 }, &state, i * CHUNK);
        }
        out
    }

    /// Wherever a row begins and ends, an element is the same.
    #[test]
    fn rows_may_be_cut_anywhere() {
        for d in [Distribution::Uniform, Distribution::Normal, Distribution::Bernoulli { below: 1 << 22 }] {
            let whole = numbers(d, 600);
            let mut state = [0; 32];
            (state[STATE_SEED_LO], state[STATE_BATCH]) = (11, 3);
            for (first, len) in [(0, 1), (1, 1), (2, 3), (3, 256), (5, 255), (255, 256), (257, 7), (300, 256)] {
                let mut row = vec![0.0; len];
                drawn(&mut row, &Draw { distribution: d, stream: 7 }, &state, first);
                assert_eq!(row, whole[first..][..len], "{} at {first}", d.name());
            }
        }
    }

    /// In f64 by `libm`, from the same words.
    #[test]
    fn normals_are_those_of_their_words() {
        let mut blocks = vec![[0; 4]; 20_000];
        rng::blocks(5, 6, 7, 0, &mut blocks);
        // the ends of the range, and quarters of a turn
        blocks.extend([
            [0, 0, u32::MAX, u32::MAX],
            [u32::MAX, 0x4000_0000, 256, 0x8000_0000],
            [1 << 31, 0xc000_0000, 1 << 30, 0x2000_0000],
        ]);
        for w in blocks {
            let u = w.map(|w| f64::from(w >> 8) / f64::from(1u32 << 24));
            let ([a, b], [c, d]) = (pair(w[0], w[1]), pair(w[2], w[3]));
            for (i, got) in [a, b, c, d].into_iter().enumerate() {
                let (r, angle) = (libm::sqrt(-2.0 * libm::log(1.0 - u[i / 2 * 2])), std::f64::consts::TAU * u[i / 2 * 2 + 1]);
                let want = r * if i % 2 == 0 { libm::cos(angle) } else { libm::sin(angle) };
                assert!((f64::from(got) - want).abs() <= 1e-15 + 3e-7 * want.abs(), "{w:?}[{i}]: {got:e} for {want:e}");
            }
        }
    }

    /// Moments and Kolmogorov and Smirnov's distance, which 200,000 draws exceed by chance once in a million times.
    #[test]
    fn normals_are_normal() {
        let mut v = numbers(Distribution::Normal, 200_000);
        let n = v.len() as f64;
        let moment = |k: i32| v.iter().map(|&x| f64::from(x).powi(k)).sum::<f64>() / n;
        for (k, want, most) in [(1, 0.0, 0.011), (2, 1.0, 0.016), (3, 0.0, 0.043), (4, 3.0, 0.11)] {
            assert!((moment(k) - want).abs() < most, "moment {k}: {}", moment(k));
        }
        v.sort_by(f32::total_cmp);
        let below = |x: f32| 0.5 * libm::erfc(-f64::from(x) / std::f64::consts::SQRT_2);
        let distance = v.iter().enumerate().map(|(i, &x)| (below(x) - (i as f64 + 0.5) / n).abs()).fold(0.0, f64::max);
        assert!(distance < 2.7 / n.sqrt(), "{distance}");
    }
}
