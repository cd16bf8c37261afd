//! A factor of patches, gathered into the matrix that it stands for: where no product of a convolution reads it.

use crate::cpu::lib::fork::f32s;
use crate::kernels::{Gemm, Matrix, Operand, Patches};

/// The product with a matrix in the place of its patches, and the elements of that.
pub(in crate::cpu::gemm) fn gathered(k: &Gemm, p: Patches, reads: &[&[u32]]) -> (Gemm, usize, Vec<u32>) {
    let mut own = Gemm { patches: None, ..k.clone() };
    let (factor, x, rows) = match k.spec.a {
        Operand::Patches => (0, &mut own.a, if k.spec.ta { k.k } else { k.m }),
        _ => (1, &mut own.b, if k.spec.tb { k.n } else { k.k }),
    };
    let images = &f32s(reads[factor])[x.offset..];
    let steps = x.batch;
    *x = Matrix { offset: 0, pitch: p.row(), batch: [k.batch[1] * rows * p.row(), rows * p.row()] };
    (own.spec.a, own.spec.b) = (Operand::Matrix, Operand::Matrix);
    let mut made = vec![0; k.matrices() * rows * p.row()];
    for (i, out) in made.chunks_exact_mut((rows * p.row()).max(1)).enumerate() {
        let first = p.first + i * p.apart;
        fill(p, first, &images[k.along_batch(steps, i)..], reads[k.reads() - 1], out);
    }
    (own, factor, made)
}

/// Positions from `first` on, image by image, each with all taps; 0 outside.
fn fill(p: Patches, first: usize, images: &[f32], tables: &[u32], out: &mut [u32]) {
    for (i, row) in out.chunks_exact_mut(p.row().max(1)).enumerate() {
        let (image, position) = ((first + i) / p.positions, (first + i) % p.positions);
        let own = &tables[p.starts + position * p.words()..][..p.words()];
        let inside = |tap: usize| own[1 + tap / 32] >> (tap % 32) & 1 == 1;
        for (tap, to) in row.chunks_exact_mut(p.channels).enumerate().filter(|(tap, _)| inside(*tap)) {
            let start = image * p.image + own[0].wrapping_add(tables[p.terms + 2 * tap * p.channels]) as usize;
            to.iter_mut().zip(&images[start..]).for_each(|(to, v)| *to = v.to_bits());
        }
    }
}
