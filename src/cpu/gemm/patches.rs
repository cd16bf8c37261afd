//! A factor of patches, gathered into the matrix that it stands for.

use crate::cpu::lib::fork::f32s;
use crate::kernels::{Gemm, Matrix, Operand, Patches};

/// The product with a matrix in the place of its patches, and the elements of that.
pub(super) fn gathered(k: &Gemm, p: Patches, reads: &[&[u32]]) -> (Gemm, usize, Vec<u32>) {
    let mut own = Gemm { patches: None, ..k.clone() };
    let (factor, x, rows) = match k.spec.a {
        Operand::Patches => (0, &mut own.a, if k.spec.ta { k.k } else { k.m }),
        _ => (1, &mut own.b, if k.spec.tb { k.n } else { k.k }),
    };
    let images = &f32s(reads[factor])[x.offset..];
    *x = Matrix::new(0, p.row());
    (own.spec.a, own.spec.b) = (Operand::Matrix, Operand::Matrix);
    (own, factor, matrix(p, rows, images, reads[k.reads() - 1]))
}

/// `rows` positions, image by image, each with all taps; 0 outside.
fn matrix(p: Patches, rows: usize, images: &[f32], tables: &[u32]) -> Vec<u32> {
    let mut out = vec![0; rows * p.row()];
    for (i, row) in out.chunks_exact_mut(p.row().max(1)).enumerate() {
        let at = p.starts + 2 * (i % p.positions);
        let (first, inside) = (tables[at], tables[at + 1]);
        for (tap, to) in row.chunks_exact_mut(p.channels).enumerate().filter(|(tap, _)| inside >> tap & 1 == 1) {
            let start = i / p.positions * p.image + first.wrapping_add(tables[p.steps + tap]) as usize;
            to.iter_mut().zip(&images[start..]).for_each(|(to, v)| *to = v.to_bits());
        }
    }
    out
}
