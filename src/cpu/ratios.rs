//! The twin of `shaders/ratios.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{f32s, f32s_mut, total};
use crate::error::Result;
use crate::kernels::words::BLOCK;
use crate::kernels::{Direction, Ratios, Shard};

impl Twin for Ratios {
    fn run(&self, Call { reads, writes, .. }: Call<'_>) -> Result<()> {
        let &[rates, direction] = reads else { return Ok(()) };
        let (direction, [out, ..]) = (f32s(direction), writes);
        let starts = &rates[self.rates.starts() + self.tensors.start..][..self.tensors.len() + 1];
        let (first, blocks) = (self.shard.map_or(0, Shard::first_block), self.size / BLOCK);
        let mut norms = Vec::new();
        for (out, ends) in f32s_mut(out).iter_mut().zip(starts.windows(2)) {
            let root = |norms: &mut Vec<f32>, which: usize| {
                norms.clear();
                norms.extend(
                    (ends[0] as usize - first..blocks.min(ends[1] as usize - first))
                        .map(|b| direction[b * Direction::STRIDE + BLOCK + which]),
                );
                (total(norms, |v| v) as f32).sqrt()
            };
            let (p, u) = (root(&mut norms, 0), root(&mut norms, 1));
            *out = if p > 0.0 && u > 0.0 { p / u } else { 1.0 };
        }
        Ok(())
    }
}
