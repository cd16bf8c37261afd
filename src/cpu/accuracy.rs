//! The twin of `shaders/accuracy.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::exponentials::first_largest;
use super::lib::fork::{f32s, f32s_mut};
use super::lib::labels::Targets;
use crate::error::Result;
use crate::kernels::Accuracy;

impl Twin for Accuracy {
    fn run(&self, Call { reads, writes, .. }: Call<'_>) -> Result<()> {
        let n = self.classes;
        let x = &f32s(reads[0])[self.offsets[0]..];
        let y = Targets { kind: self.labels, words: &reads[1][self.offsets[1]..], classes: n, smoothing: 0.0 };
        for (row, hit) in f32s_mut(writes[0]).iter_mut().enumerate() {
            let best = if self.known { x[row].to_bits() as usize } else { first_largest(&x[row * n..][..n]) };
            *hit = f32::from(u8::from(best == y.class(row)));
        }
        Ok(())
    }
}
