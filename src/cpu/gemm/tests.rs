use super::*;
use crate::cpu::tests::harness::draw;
use crate::expr::Expr;
use crate::kernels::{GemmSpec, Plane, Tile};

/// Every layout: the crate on 1, 2, 3 and 5 threads to the bit, the plain loops within rounding.
#[test]
fn products_ignore_threads() {
    for [m, n, k] in [
        [32, 64, 784],
        [64, 784, 32],
        [128, 512, 784],
        [512, 784, 128],
        [33, 70, 801],
        [30, 71, 801],
        [5, 18, 65],
        [10, 300, 700],
        [300, 301, 1500],
        [1, 2000, 900],
        [2000, 1, 900],
        [700, 300, 40],
        [600, 10, 1100],
        [260, 150, 1536],
    ] {
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            let tile = Tile::Direct { rows: 8, vectors: 1, shared: false };
            let spec = GemmSpec { row_sum: true, via: vec![0, 1], ..GemmSpec::new([ta, tb], tile) };
            let gemm = Gemm::new(spec, [m, n, k]);
            let (a, b) = (gemm.a, gemm.b);
            let (x, y) = (draw("x", m * k), draw("y", k * n));
            let results = [1, 2, 3, 5].map(|threads| {
                let (mut c, mut sums) = (vec![f32::NAN; m * n], vec![f32::NAN; m]);
                let mut writes = Writes::default();
                writes[0] = bytemuck::cast_slice_mut(&mut c);
                writes[1] = bytemuck::cast_slice_mut(&mut sums);
                let reads = [bytemuck::cast_slice(&x), bytemuck::cast_slice(&y)];
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| run(&gemm, threads, &mut [], &reads, writes, 0));
                c.extend(sums);
                c
            });
            assert!(results.iter().all(|r| r.iter().zip(&results[0]).all(|(p, q)| p.to_bits() == q.to_bits())), "{m}x{n}x{k} {ta} {tb}");
            let (a, b) = (factor(&x, m, k, a.pitch, ta), factor(&y, k, n, b.pitch, tb));
            let mut plain = vec![f32::NAN; m * n];
            plainly([n, k], a, b, &mut plain, false);
            // the same with an epilogue, whose operand lies along the rows and whose second output is the product
            let f = Expr::of(2, |x| vec![(&x[0] + &x[1]).relu(), x[0].clone()]);
            let spec = GemmSpec { epilogue: f.clone(), row_sum: false, ..gemm.spec.clone() };
            let bias = Plane::along_columns(1);
            let gemm = Gemm { spec, extras: vec![bias], outputs: vec![0.into(); 2], ..gemm };
            let extra = draw("bias", n + 1);
            for threads in [1, 2, 5] {
                let (mut c, mut d) = (vec![f32::NAN; m * n], vec![f32::NAN; m * n]);
                let mut writes = Writes::default();
                writes[0] = bytemuck::cast_slice_mut(&mut c);
                writes[1] = bytemuck::cast_slice_mut(&mut d);
                let reads = [bytemuck::cast_slice(&x), bytemuck::cast_slice(&y), bytemuck::cast_slice(&extra)];
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut workers = vec![Evaluator::new(&f); threads];
                pool.install(|| run(&gemm, threads, &mut workers, &reads, writes, 0));
                for (i, (c, d)) in c.iter().zip(&d).enumerate() {
                    let (product, bias) = (results[0][i], extra[1 + i % n]);
                    assert!(d.to_bits() == product.to_bits(), "{m}x{n}x{k} {ta} {tb} at {i}");
                    let want = if product + bias < 0.0 { 0.0 } else { product + bias };
                    assert!(c.to_bits() == want.to_bits(), "{m}x{n}x{k} {ta} {tb} at {i}");
                }
            }
            assert!(results[0].iter().zip(&plain).all(|(p, q)| (p - q).abs() < 1e-4), "{m}x{n}x{k} {ta} {tb}");
            for (i, s) in results[0][m * n..].iter().enumerate() {
                let want: f64 = (0..k).map(|p| f64::from(x[i * a.1 as usize + p * a.2 as usize])).sum();
                assert!((f64::from(*s) - want).abs() < 1e-5, "{m}x{k} {ta}");
            }
        }
    }
}
