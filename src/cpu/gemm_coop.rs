use super::fork::{WRITES, Writes};
use super::gemm;
use crate::expr::Evaluator;
use crate::kernels::GemmCoop;
use crate::tensor::DType;
use half::f16;
use std::mem::take;
use std::ops::Range;

/// The words of each binding that it touches.
pub(super) fn spans(k: &GemmCoop) -> Vec<Range<usize>> {
    let words = |(r, t): (Range<usize>, DType)| if t == DType::F16 { r.start / 2..r.end.div_ceil(2) } else { r };
    gemm::spans(&k.widened()).into_iter().zip(types(k)).map(words).collect()
}

/// The type of each span's elements.
fn types(k: &GemmCoop) -> impl Iterator<Item = DType> + '_ {
    [DType::F16; 2].into_iter().chain(k.spec.extras.iter().copied()).chain(k.spec.outputs.iter().copied()).chain([DType::F32])
}

/// The twin of `shaders/gemm_coop.wgsl`: the ordinary product over the widened elements, whose terms are exact in f32, and results rounded
/// as they are stored. No program of the CPU's own has one: it is what tests and a GPU's self-test compare with, and takes memory for that.
pub(super) fn run(k: &GemmCoop, threads: usize, workers: &mut [Evaluator], reads: &[&[u32]], mut writes: Writes<'_>) {
    let wide = k.widened();
    let widened: Vec<Option<Vec<f32>>> = reads.iter().zip(types(k)).map(|(r, t)| (t == DType::F16).then(|| widen(r))).collect();
    let reads: Vec<&[u32]> =
        reads.iter().zip(&widened).map(|(own, wide)| wide.as_ref().map_or(*own, |w| bytemuck::cast_slice(w))).collect();
    let narrow = |o: usize| k.spec.outputs.get(o) == Some(&DType::F16);
    let size = k.batch * k.m * k.n;
    let mut made: Vec<Vec<u32>> = (0..WRITES).map(|o| vec![0; if narrow(o) { size } else { 0 }]).collect();
    let mut own = Writes::default();
    for (o, (to, made)) in own.iter_mut().zip(&mut made).enumerate() {
        *to = if narrow(o) { made } else { take(&mut writes[o]) };
    }
    gemm::run(&wide, threads, workers, &reads, own);
    for (o, out) in writes.iter_mut().enumerate().filter(|(o, _)| narrow(*o)) {
        let first = k.outputs[o] % 2;
        made[o].iter().enumerate().for_each(|(i, &v)| set_half(out, first + i, f16::from_f32(f32::from_bits(v))));
    }
}

/// Half `i` of the words, the first in the lower bits.
fn set_half(words: &mut [u32], i: usize, v: f16) {
    let (word, shift) = (&mut words[i / 2], 16 * (i % 2));
    *word = *word & !(0xffff << shift) | u32::from(v.to_bits()) << shift;
}

/// Two halves a word, the first in the lower bits.
fn widen(words: &[u32]) -> Vec<f32> {
    words.iter().flat_map(|w| [*w as u16, (*w >> 16) as u16]).map(|h| f16::from_bits(h).to_f32()).collect()
}
