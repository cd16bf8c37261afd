//! The only generator of random numbers: Philox4x32-10, which computes the n-th number of a (seed, stream) directly. With it the keyed permutation
//! that gives the order of an epoch.

use rand::rand_core::{Infallible, TryRng};

/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): word `e % 4` of block `e / 4` of a stream.
///
/// It is one of `rand`'s generators, so `rand`'s distributions draw from it.
///
/// ```
/// use rand::Rng;
/// let mut a = gradus::rng::Philox::new(7, "0.weight");
/// let mut b = gradus::rng::Philox::new(7, "0.weight");
/// assert_eq!(a.next_u32(), b.next_u32());
/// ```
#[derive(Debug, Clone)]
pub struct Philox {
    key: [u32; 2],
    stream: [u32; 2],
    block: u64,
    words: [u32; 4],
    used: usize,
}

impl Philox {
    /// The stream `stream` of the seed.
    pub fn new(seed: u64, stream: &str) -> Self {
        let s = fnv1a(stream.as_bytes());
        Philox { key: split(seed), stream: split(s), block: 0, words: [0; 4], used: 4 }
    }

    /// A uniform draw from [0, 1) with 24 bits.
    pub fn uniform(&mut self) -> f64 {
        f64::from(self.word() >> 8) / f64::from(1u32 << 24)
    }

    /// A draw from the standard normal distribution (Box-Muller, in f64 with `libm`, equal on every platform).
    pub fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.uniform(), self.uniform());
        libm::sqrt(-2.0 * libm::log(u)) * libm::cos(2.0 * std::f64::consts::PI * v)
    }

    fn word(&mut self) -> u32 {
        if self.used == 4 {
            let [lo, hi] = split(self.block);
            self.words = block([lo, hi, self.stream[0], self.stream[1]], self.key);
            self.block += 1;
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }
}

impl TryRng for Philox {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.word())
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from(self.word()) | u64::from(self.word()) << 32)
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(4) {
            chunk.copy_from_slice(&self.word().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// One block of Philox4x32-10.
#[inline(always)] // its products become vectors in a loop over blocks
pub fn block(mut c: [u32; 4], mut k: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(c[0]) * 0xD251_1F53;
        let b = u64::from(c[2]) * 0xCD9E_8D57;
        c = [(b >> 32) as u32 ^ c[1] ^ k[0], b as u32, (a >> 32) as u32 ^ c[3] ^ k[1], a as u32];
        k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
    }
    c
}

/// The words of elements `4 * of` to `4 * of + 3` of what a stream draws at a batch: the twin of `draw_words` in
/// `shaders/lib/random.wgsl`.
///
/// ```
/// use gradus::rng::{stream, words};
/// let dropout = stream("blocks.0.drop#0");
/// assert_eq!(words(7, dropout, 12, 0), words(7, dropout, 12, 0));
/// assert_ne!(words(7, dropout, 12, 0), words(7, dropout, 13, 0));
/// ```
pub fn words(seed: u64, stream: u64, batch: u32, of: u32) -> [u32; 4] {
    let [lo, hi] = split(stream);
    block([of, batch, lo, hi], split(seed))
}

/// As many blocks as `out` holds, from block `first` on, eight or sixteen at a time: block `of` is what [`words`] gives.
///
/// ```
/// use gradus::rng::{blocks, words};
/// let mut out = [[0; 4]; 100];
/// blocks(7, 1, 12, 20, &mut out);
/// assert_eq!(out[99], words(7, 1, 12, 119));
/// ```
pub fn blocks(seed: u64, stream: u64, batch: u32, first: u32, out: &mut [[u32; 4]]) {
    let [lo, hi] = split(stream);
    pulp::Arch::new().dispatch(Blocks { first, rest: [batch, lo, hi], key: split(seed), out });
}

struct Blocks<'a> {
    first: u32,
    rest: [u32; 3],
    key: [u32; 2],
    out: &'a mut [[u32; 4]],
}

impl pulp::NullaryFnOnce for Blocks<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let [batch, lo, hi] = self.rest;
        for (of, words) in (0..).zip(self.out) {
            *words = block([self.first.wrapping_add(of), batch, lo, hi], self.key);
        }
    }
}

/// The number of the stream of this name.
pub fn stream(name: &str) -> u64 {
    // another stream than the one that draws a parameter of this name
    fnv1a(format!("draw:{name}").as_bytes())
}

pub(crate) fn split(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

fn mix(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Sets of so many rows and fewer are shuffled by Fisher and Yates: the rounds of [`Permutation`]'s network make some orders of few rows twice
/// as likely as others.
const FEW: u32 = 12;

/// A part of the key, so that orders and a step's draws have different numbers.
const ORDERS: [u32; 2] = [0x6f72_6465, 0x7273_0000];

/// The order of one epoch: a keyed permutation of `0..n`. Up to 12 rows are shuffled by Fisher and Yates with words of Philox: all `n!` orders are
/// equally likely (to `n / 2^32`). More go through a Feistel network on the next even power of two, walked until it lands inside.
///
/// The twin of `permute` in `shaders/lib/order.wgsl`: both machines compute row `i`'s source without a table.
///
/// ```
/// let order = gradus::rng::Permutation::new(10, 42, 0);
/// let mut seen: Vec<u32> = (0..10).map(|i| order.at(i)).collect();
/// seen.sort();
/// assert_eq!(seen, (0..10).collect::<Vec<_>>());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Permutation {
    n: u32,
    half_bits: u32,
    keys: [u32; 2],
    /// For few rows: the row at or below row `k` that it changes places with.
    swaps: [u8; FEW as usize],
}

impl Permutation {
    /// The permutation of `0..n` of this seed and epoch.
    pub fn new(n: u32, seed: u64, epoch: u32) -> Self {
        let [lo, hi] = split(seed);
        let k0 = mix(lo ^ mix(epoch.wrapping_add(0x9E37_79B9)));
        let k1 = mix(hi ^ k0 ^ 0x85eb_ca6b);
        let bits = 32 - n.saturating_sub(1).leading_zeros();
        let mut swaps = [0; FEW as usize];
        if n <= FEW {
            let words = (0..FEW / 4).flat_map(|of| block([of, epoch, ORDERS[0], ORDERS[1]], split(seed)));
            for ((swap, word), k) in swaps.iter_mut().zip(words).zip(1u64..) {
                // the high word: from 0 to k - 1
                *swap = ((u64::from(word) * k) >> 32) as u8;
            }
        }
        Permutation { n, half_bits: bits.div_ceil(2).max(1), keys: [k0, k1], swaps }
    }

    /// Where position `i` of the order points to; `i` must be below `n`.
    pub fn at(&self, i: u32) -> u32 {
        if self.n <= FEW {
            return self.of_few(i);
        }
        let mask = (1u32 << self.half_bits) - 1;
        let mut x = i;
        loop {
            let (mut l, mut r) = (x >> self.half_bits, x & mask);
            for round in 0..6u32 {
                let key = mix(self.keys[0].wrapping_add(round.wrapping_mul(self.keys[1] | 1)));
                (l, r) = (r, l ^ (mix(r ^ key) & mask));
            }
            x = (l << self.half_bits) | r;
            if x < self.n {
                return x;
            }
        }
    }

    /// Fisher and Yates' shuffle swaps row `k` with one at or below it, for `k` from `n - 1` down to 1. This follows the row at `i` back through the
    /// swaps.
    fn of_few(&self, i: u32) -> u32 {
        let mut x = i;
        for (k, &swap) in (0..self.n).zip(&self.swaps).skip(1) {
            let j = u32::from(swap);
            x = match x {
                _ if x == k => j,
                _ if x == j => k,
                _ => x,
            };
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random123's known answers for Philox4x32-10.
    #[test]
    fn known_answers() {
        assert_eq!(block([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(block([u32::MAX; 4], [u32::MAX; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
    }

    /// As one by one, of any number of blocks, and past the last number.
    #[test]
    fn blocks_are_the_same_together() {
        for n in [0, 1, 3, 15, 16, 17, 64, 65] {
            for first in [0, 5, u32::MAX - 8] {
                let mut out = vec![[0; 4]; n];
                blocks(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, 3, first, &mut out);
                let one = |of: u32| words(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, 3, first.wrapping_add(of));
                assert_eq!(out, (0..n as u32).map(one).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn every_row_once() {
        for n in [1, 2, 3, 5, 11, 12, 13, 255, 256, 257, 1000, 60_000] {
            let mut seen = vec![false; n as usize];
            let order = Permutation::new(n, 3, 1);
            for i in 0..n {
                assert!(!std::mem::replace(&mut seen[order.at(i) as usize], true));
            }
        }
    }

    /// Each order of few rows as often as any other, and each row at each place beside each other one. The statistic of `d + 1` equally
    /// likely cases is above `d + 2 sqrt(16 d) + 2 * 16` with a chance of less than `exp(-16)`, 1e-7 (Laurent and Massart 2000).
    #[test]
    fn orders_of_few_rows_are_equally_likely() {
        let check = |what: String, counts: &[u32]| {
            let (k, all) = (counts.len() as f64, counts.iter().map(|&c| f64::from(c)).sum::<f64>());
            let fair = all / k;
            assert!(fair > 20.0, "{what}: {fair}");
            let chi: f64 = counts.iter().map(|&c| (f64::from(c) - fair).powi(2) / fair).sum();
            let bound = (k - 1.0) + 8.0 * (k - 1.0).sqrt() + 32.0;
            assert!(chi < bound, "{what}: {chi} of {bound}");
        };
        let epochs = 60_000;
        for n in 2..=12u32 {
            let size = n as usize;
            let mut orders = vec![0; (2..=size.min(6)).product()];
            let mut pairs = vec![vec![0; size * (size - 1)]; size];
            for epoch in 0..epochs {
                let p = Permutation::new(n, 7, epoch);
                let order: Vec<usize> = (0..n).map(|i| p.at(i) as usize).collect();
                // its number in factorial base
                let number = (0..size).fold(0, |f, i| f * (size - i) + order[i + 1..].iter().filter(|&&o| o < order[i]).count());
                if n <= 6 {
                    orders[number] += 1;
                }
                for i in 0..size {
                    let (a, b) = (order[i], order[(i + 1) % size]);
                    pairs[i][a * (size - 1) + b - usize::from(b > a)] += 1;
                }
            }
            if n <= 6 {
                check(format!("orders of {n}"), &orders);
            }
            pairs.iter().enumerate().for_each(|(i, counts)| check(format!("{n} rows, the pair at {i}"), counts));
        }
    }

    /// Larger sets keep the orders that they had when models were first saved.
    #[test]
    fn orders_of_more_rows_stay() {
        let order = |n: u32| (0..n).map(|i| Permutation::new(n, 42, 3).at(i)).collect::<Vec<_>>();
        assert_eq!(order(13), [10, 9, 11, 6, 2, 7, 0, 8, 3, 12, 4, 5, 1]);
    }

    /// The mean distance moved is near n / 3 and two epochs differ.
    #[test]
    fn it_shuffles() {
        let n = 10_000u32;
        let (a, b) = (Permutation::new(n, 0, 0), Permutation::new(n, 0, 1));
        let moved: f64 = (0..n).map(|i| f64::from(i.abs_diff(a.at(i)))).sum::<f64>() / f64::from(n);
        assert!((moved / f64::from(n) - 1.0 / 3.0).abs() < 0.02, "{moved}");
        assert!((0..n).filter(|&i| a.at(i) == b.at(i)).count() < 20);
    }

    #[test]
    fn normal_has_unit_variance() {
        let mut r = Philox::new(1, "normal");
        let v: Vec<f64> = (0..20_000).map(|_| r.normal()).collect();
        let mean = v.iter().sum::<f64>() / 20_000.0;
        let var = v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (var - 1.0).abs() < 0.04, "{mean} {var}");
    }
}
