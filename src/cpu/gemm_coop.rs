//! The twin of `shaders/gemm_coop.wgsl`.

use super::gemm;
use super::gemm::pieces::{dense, scatter};
use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes};
use super::lib::halves::{f16s, f16s_mut};
use crate::error::Result;
use crate::kernels::{Archetype, Binding, GemmCoop};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::mem::take;

impl Twin for GemmCoop {
    /// The ordinary product over the widened elements, whose terms are exact in f32, and results rounded as they are stored. No program of the
    /// CPU's own has one: tests and a GPU's self-test compare with it, and it takes memory for that.
    fn run(&self, Call { threads, workers, reads, mut writes, .. }: Call<'_>) -> Result<()> {
        let halves: Vec<bool> = self.bindings().iter().map(Binding::is_half).collect();
        let widened: Vec<Option<Vec<f32>>> = reads.iter().zip(halves).map(|(r, half)| half.then(|| f16s(r).to_f32_vec())).collect();
        let reads: Vec<&[u32]> =
            reads.iter().zip(&widened).map(|(own, wide)| wide.as_ref().map_or(*own, |w| bytemuck::cast_slice(w))).collect();
        let narrow = |o: usize| self.gemm.spec.halves.output(o);
        let size = self.gemm.matrices() * self.gemm.m * self.gemm.n;
        let mut made: Vec<Vec<u32>> = (0..WRITES).map(|o| vec![0; if narrow(o) { size } else { 0 }]).collect();
        let mut own = Writes::default();
        for (o, (to, made)) in own.iter_mut().zip(&mut made).enumerate() {
            *to = if narrow(o) { made } else { take(&mut writes[o]) };
        }
        // rows of f16 that lie apart are made one behind the other, too
        let scattered = self.gemm.outputs.iter().find_map(|o| o.scattered).filter(|_| narrow(0));
        let widened = if scattered.is_some() { dense(&self.widened()) } else { self.widened() };
        gemm::run(&widened, threads, workers, &reads, own, 0);
        for (o, out) in writes.iter_mut().enumerate().filter(|(o, _)| narrow(*o)) {
            let first = self.gemm.outputs[o].offset % 2;
            if let Some(s) = &scattered {
                scatter(&made[o], self.gemm.n, s, reads[self.gemm.reads() - 1], &mut f16s_mut(out)[first..]);
                continue;
            }
            made[o].iter().enumerate().for_each(|(i, &v)| f16s_mut(out)[first + i] = f16::from_f32(f32::from_bits(v)));
        }
        Ok(())
    }

    fn takes_halves(&self) -> bool {
        true
    }
}
