//! A sum whose numbers come in several parts, to the bits of [`total`](super::fork::total) over all of them.

use super::fork::{LANES, SUMMED, joined};

/// The sum so far. Each part but the last has a multiple of [`LANES`] numbers.
pub(crate) struct Total {
    lanes: [f32; LANES],
    sums: [f64; LANES],
    /// How many numbers it has.
    count: usize,
}

impl Total {
    /// Words that it is handed on as.
    pub const WORDS: usize = 3 * LANES;

    /// The sum of no numbers.
    pub fn new() -> Self {
        Total { lanes: [0.0; LANES], sums: [0.0; LANES], count: 0 }
    }

    /// One of `count` numbers that was handed on.
    pub fn from_words(words: &[u32], count: usize) -> Self {
        let lanes = std::array::from_fn(|i| f32::from_bits(words[i]));
        let half = |i: usize| u64::from(words[LANES + i]);
        let sums = std::array::from_fn(|i| f64::from_bits(half(2 * i) | half(2 * i + 1) << 32));
        Total { lanes, sums, count }
    }

    /// What is handed on.
    pub fn words(&self) -> impl Iterator<Item = u32> {
        let bits = |s: &f64| [s.to_bits() as u32, (s.to_bits() >> 32) as u32];
        self.lanes.iter().map(|l| l.to_bits()).chain(self.sums.iter().flat_map(bits))
    }

    /// With `f` of these numbers.
    #[inline(always)]
    pub fn add(&mut self, mut x: &[f32], f: impl Fn(f32) -> f32) {
        while !x.is_empty() {
            let (block, rest) = x.split_at(x.len().min(SUMMED - self.count % SUMMED));
            for part in block.chunks(LANES) {
                self.lanes.iter_mut().zip(part).for_each(|(l, &v)| *l += f(v));
            }
            self.count += block.len();
            if self.count.is_multiple_of(SUMMED) {
                self.close();
            }
            x = rest;
        }
    }

    fn close(&mut self) {
        self.sums.iter_mut().zip(self.lanes).for_each(|(s, l)| *s += f64::from(l));
        self.lanes = [0.0; LANES];
    }

    /// The sum of all.
    pub fn finish(mut self) -> f64 {
        if !self.count.is_multiple_of(SUMMED) {
            self.close();
        }
        joined(self.sums)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fork::total;
    use super::*;

    /// Cut at any multiple of the lanes, handed on as words or not: the bits of the whole.
    #[test]
    fn parts_come_to_the_bits_of_the_whole() {
        let x: Vec<f32> = (0..1500).map(|i| ((i * 7919) % 1013) as f32 * 1.37e-3 - 0.4).collect();
        let square = |v: f32| v * v;
        let want = total(&x, square).to_bits();
        for cut in (0..x.len()).step_by(LANES) {
            let mut t = Total::new();
            t.add(&x[..cut], square);
            let words: Vec<u32> = t.words().collect();
            assert_eq!(words.len(), Total::WORDS);
            let mut t = Total::from_words(&words, cut);
            t.add(&x[cut..], square);
            assert_eq!(t.finish().to_bits(), want, "cut at {cut}");
        }
    }
}
