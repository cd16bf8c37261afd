//! Orthogonal matrices.

use crate::rng::Philox;
use rayon::prelude::*;

/// Vectors that are made orthogonal to those before them together, while these pass through the cache once.
const BLOCK: usize = 64;
const CHUNK: usize = 8;

/// `[rows, cols]` with orthonormal rows, or columns where there are more rows; uniform over all such (Haar's measure), times the gain.
///
/// Normal vectors, made orthonormal in order in f64 (modified Gram-Schmidt): the Q of a QR decomposition with a positive diagonal of R, as
/// PyTorch's `orthogonal_` makes it of LAPACK's by signs. What Gram-Schmidt loses on a badly conditioned matrix stays far below an f32's
/// last bit. Every vector meets the others in their order, so neither blocks nor threads change a bit.
pub(super) fn orthogonal(r: &mut Philox, rows: usize, cols: usize, gain: f64) -> Vec<f32> {
    let (count, length) = (rows.min(cols), rows.max(cols));
    let mut q: Vec<f64> = (0..count * length).map(|_| r.normal()).collect();
    for begin in (0..count).step_by(BLOCK) {
        let (done, rest) = q.split_at_mut(begin * length);
        let block = &mut rest[..BLOCK.min(count - begin) * length];
        block.par_chunks_mut(CHUNK * length).for_each(|few| {
            for unit in done.chunks_exact(length) {
                few.chunks_exact_mut(length).for_each(|v| take_away(v, unit));
            }
        });
        for i in 0..block.len() / length {
            let (before, v) = block.split_at_mut(i * length);
            let v = &mut v[..length];
            before.chunks_exact(length).for_each(|unit| take_away(v, unit));
            normalise(v, begin + i);
        }
    }
    let at = |row: usize, col: usize| if rows <= cols { q[row * length + col] } else { q[col * length + row] };
    (0..rows * cols).map(|i| (gain * at(i / cols, i % cols)) as f32).collect()
}

/// Leaves of `v` what is orthogonal to `unit`.
fn take_away(v: &mut [f64], unit: &[f64]) {
    let part = dot(v, unit);
    v.iter_mut().zip(unit).for_each(|(v, u)| *v -= part * u);
}

fn normalise(v: &mut [f64], index: usize) {
    let norm = libm::sqrt(dot(v, v));
    if norm > 0.0 {
        v.iter_mut().for_each(|x| *x /= norm);
    } else if let Some(x) = v.get_mut(index) {
        // a vector of one element that was drawn as 0: one in 2^24
        *x = 1.0;
    }
}

/// In eight sums, in one fixed order, which the compiler can hold in vector registers.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    let mut sums = [0.0; 8];
    for (x, y) in a8.zip(b8) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `W W^T` (or `W^T W`) is the identity times the square of the gain, across the edges of blocks and chunks.
    #[test]
    fn vectors_are_orthonormal() {
        for (rows, cols) in [(1, 1), (3, 7), (7, 3), (64, 64), (65, 130), (150, 149), (1, 9)] {
            let w = orthogonal(&mut Philox::new(1, "w"), rows, cols, 1.5);
            let (count, length) = (rows.min(cols), rows.max(cols));
            let at = |i: usize, k: usize| f64::from(if rows <= cols { w[i * cols + k] } else { w[k * cols + i] });
            for i in 0..count {
                for j in 0..=i {
                    let product: f64 = (0..length).map(|k| at(i, k) * at(j, k)).sum();
                    let want = if i == j { 2.25 } else { 0.0 };
                    assert!((product - want).abs() < 2e-6, "{rows}x{cols}: {i} {j} {product}");
                }
            }
        }
    }

    /// Haar's measure: the mean of an element is 0 and its variance `1 / length`, the diagonal's too (an R without its signs put right
    /// would show there).
    #[test]
    fn all_directions_are_alike() {
        let n = 4000;
        let (mut sum, mut squares) = ([0.0; 4], [0.0; 4]);
        for i in 0..n {
            let w = orthogonal(&mut Philox::new(i, "w"), 2, 2, 1.0);
            for k in 0..4 {
                sum[k] += f64::from(w[k]) / n as f64;
                squares[k] += f64::from(w[k] * w[k]) / n as f64;
            }
        }
        for k in 0..4 {
            assert!(sum[k].abs() < 0.05 && (squares[k] - 0.5).abs() < 0.03, "{sum:?} {squares:?}");
        }
    }

    /// The number of threads changes no bit, and the size that a wide layer has takes no minute.
    #[test]
    fn threads_change_nothing() {
        let make = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| orthogonal(&mut Philox::new(4, "w"), 200, 220, 1.0))
        };
        assert_eq!(make(1), make(3));
        let began = std::time::Instant::now();
        let w = orthogonal(&mut Philox::new(4, "w"), 1024, 1024, 1.0);
        let took = began.elapsed();
        println!("1024 x 1024 in {took:?}, {}", w[0]);
        assert!(took.as_secs() < 60, "{took:?}"); // under half a second on two slow cores
    }
}
