use super::gemm;
use super::lib::fork::{WRITES, Writes};
use super::lib::halves::{f16s, f16s_mut, words_of};
use crate::expr::Evaluator;
use crate::kernels::GemmCoop;
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::mem::take;
use std::ops::Range;

/// The words of each binding that it touches.
pub(super) fn spans(k: &GemmCoop) -> Vec<Range<usize>> {
    let words = |(r, half): (Range<usize>, bool)| if half { words_of(&r) } else { r };
    gemm::spans(&k.gemm).into_iter().zip(halves(k)).map(words).collect()
}

/// Whether the elements of each span are f16.
fn halves(k: &GemmCoop) -> impl Iterator<Item = bool> + '_ {
    let (own, results) = (&k.gemm.spec.halves, k.gemm.outputs.len() + 1);
    (0..2 + k.gemm.extras.len()).map(|i| own.input(i)).chain((0..results).map(|o| own.output(o)))
}

/// The twin of `shaders/gemm_coop.wgsl`: the ordinary product over the widened elements, whose terms are exact in f32, and results rounded
/// as they are stored. No program of the CPU's own has one: it is what tests and a GPU's self-test compare with, and takes memory for that.
pub(super) fn run(k: &GemmCoop, threads: usize, workers: &mut [Evaluator], reads: &[&[u32]], mut writes: Writes<'_>) {
    let wide = k.widened();
    let widened: Vec<Option<Vec<f32>>> = reads.iter().zip(halves(k)).map(|(r, half)| half.then(|| widen(r))).collect();
    let reads: Vec<&[u32]> =
        reads.iter().zip(&widened).map(|(own, wide)| wide.as_ref().map_or(*own, |w| bytemuck::cast_slice(w))).collect();
    let narrow = |o: usize| k.gemm.spec.halves.output(o);
    let size = k.gemm.batch * k.gemm.m * k.gemm.n;
    let mut made: Vec<Vec<u32>> = (0..WRITES).map(|o| vec![0; if narrow(o) { size } else { 0 }]).collect();
    let mut own = Writes::default();
    for (o, (to, made)) in own.iter_mut().zip(&mut made).enumerate() {
        *to = if narrow(o) { made } else { take(&mut writes[o]) };
    }
    gemm::run(&wide, threads, workers, &reads, own);
    for (o, out) in writes.iter_mut().enumerate().filter(|(o, _)| narrow(*o)) {
        let first = k.gemm.outputs[o] % 2;
        made[o].iter().enumerate().for_each(|(i, &v)| f16s_mut(out)[first + i] = f16::from_f32(f32::from_bits(v)));
    }
}

fn widen(words: &[u32]) -> Vec<f32> {
    f16s(words).to_f32_vec()
}
