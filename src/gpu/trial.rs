//! The kernels that an adapter without a conformant driver must compute right before `auto` takes it.

use super::device::Gpu;
use super::launch::launch;
use super::pipeline::Rewrite;
use super::sync::lock;
use crate::error::Error;
use crate::expr::Expr;
use crate::kernels::{Gemm, GemmSpec, Join, Kernel, Map, Plane, Reduce, Strided, Target, Term, Tile};
use crate::rng::Philox;

/// A launch, its operands, and the results that it must have.
struct Trial {
    kernel: Kernel,
    operands: Vec<Vec<f32>>,
    wanted: Vec<f64>,
    /// How far a result may be off, beside 1e-5 of its value.
    slack: f64,
}

impl Gpu {
    /// Compares ordinary kernels with f64 on the host: formulas, sums across a workgroup, products of every kind of tile. The error names the first
    /// kernel that is wrong. The first call compiles and runs some ten kernels; later calls repeat its answer.
    pub fn trial(&self) -> std::result::Result<(), String> {
        let mut tried = lock(&self.tried);
        tried.get_or_insert_with(|| run(self, None)).clone()
    }
}

fn run(gpu: &Gpu, planted: Option<&Rewrite>) -> std::result::Result<(), String> {
    trials(gpu.target()).iter().try_for_each(|t| t.run(gpu, planted))
}

impl Trial {
    fn run(&self, gpu: &Gpu, planted: Option<&Rewrite>) -> std::result::Result<(), String> {
        let operands: Vec<Vec<u32>> = self.operands.iter().map(|x| x.iter().map(|v| v.to_bits()).collect()).collect();
        let found = launch(gpu, &self.kernel, &operands, &[self.wanted.len()], planted).map_err(|e| match e {
            Error::DeviceFault { what, problem, .. } => format!("{what}: {problem}"),
            e => e.to_string(),
        })?;
        let near = |got: f64, want: f64| (got - want).abs() <= self.slack + 1e-5 * want.abs();
        let all = found.iter().flatten().map(|w| f64::from(f32::from_bits(*w))).zip(&self.wanted).enumerate();
        match all.into_iter().find(|(_, (got, want))| !near(*got, **want)) {
            Some((i, (got, want))) => Err(format!("{}: element {i} is {got} for {want}", self.kernel.name())),
            None => Ok(()),
        }
    }
}

/// All trials, with sizes that no tile divides. The tiles are those of a GPU, with workgroup memory and barriers, and those of this target.
fn trials(target: Target) -> Vec<Trial> {
    let mut tiles = Tile::all(Target::Gpu);
    tiles.extend(Tile::all(target).first().filter(|_| target != Target::Gpu));
    let mut out = vec![formula(1000), formula(1003), sum(37, 1000), sum(1, 5000)];
    out.extend(tiles.into_iter().map(|t| product(t, [45, 70, 150])));
    out
}

fn drawn(what: &str, n: usize) -> Vec<f32> {
    let mut rng = Philox::new(0, what);
    (0..n).map(|_| (4.0 * rng.uniform() - 2.0) as f32).collect()
}

/// `tanh(x) * y + exp(x)`, by vectors of four where the size allows it.
fn formula(n: usize) -> Trial {
    let f = Expr::of(2, |x| vec![&x[0].tanh() * &x[1] + x[0].exp()]);
    let (x, y) = (drawn("x", n), drawn("y", n));
    let wanted = x.iter().zip(&y).map(|(&x, &y)| f64::from(x).tanh() * f64::from(y) + f64::from(x).exp()).collect();
    let kernel = Map::new(f, &[n], vec![Strided::new(0, vec![1]), Strided::new(0, vec![1])], vec![0]);
    Trial { kernel: Kernel::Map(kernel), operands: vec![x, y], wanted, slack: 1e-5 }
}

/// Sums of rows, each by a workgroup.
fn sum(rows: usize, length: usize) -> Trial {
    let x = drawn("sum", rows * length);
    let wanted = x.chunks(length).map(|row| row.iter().map(|&v| f64::from(v)).sum()).collect();
    let inputs = vec![Term { offset: 0, outer: length, along: 1, inner: 1 }];
    let kernel = Reduce::new(Target::Gpu, Expr::identity(), vec![Join::Sum], [rows, length, 1], 1, inputs, vec![0]);
    Trial { kernel: Kernel::Reduce(kernel), operands: vec![x], wanted, slack: 1e-5 * (length as f64).sqrt() }
}

/// `relu(A B^T + bias)`.
fn product(tile: Tile, [m, n, k]: [usize; 3]) -> Trial {
    let (a, b, bias) = (drawn("a", m * k), drawn("b", n * k), drawn("bias", n));
    let dot = |row: usize, col: usize| (0..k).map(|p| f64::from(a[row * k + p]) * f64::from(b[col * k + p])).sum::<f64>();
    let wanted = (0..m * n).map(|i| (dot(i / n, i % n) + f64::from(bias[i % n])).max(0.0)).collect();
    let epilogue = Expr::of(2, |x| vec![(&x[0] + &x[1]).relu()]);
    let spec = GemmSpec { epilogue, ..GemmSpec::new([false, true], tile) };
    let gemm = Gemm { extras: vec![Plane::along_columns(0)], ..Gemm::new(spec, [m, n, k]) };
    Trial { kernel: Kernel::Gemm(gemm.by_vectors()), operands: vec![a, b, bias], wanted, slack: 1e-5 * (k as f64).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::adapters;

    /// Right on a driver that is, and every kernel that is told wrongly is found out.
    #[test]
    fn wrong_kernels_are_found() {
        let Some(gpu) = adapters().last().and_then(|a| Gpu::open(a).ok()) else {
            assert!(std::env::var("GRADUS_REQUIRE_GPU").as_deref() != Ok("1"), "no adapter");
            return eprintln!("skipped: no adapter");
        };
        assert_eq!(gpu.trial(), Ok(()));
        let wrong = [
            ("map", "if (e < d.size)", "if (e + 1u < d.size)"),
            ("map", "tanh(", "sin("),
            ("reduce", "half > 0u", "half > 1u"),
            ("reduce", "item / inner % pieces", "item / inner"),
            ("gemm_nt", "at_a[v] = a_on(", "let lost = a_on("),
            ("gemm_nt", "sum += parts[", "sum = parts["),
        ];
        for (name, from, to) in wrong {
            let edit: Rewrite = Box::new(move |k: &Kernel, text: String| if k.name() == name { text.replace(from, to) } else { text });
            let found = run(&gpu, Some(&edit));
            assert!(found.as_ref().is_err_and(|e| e.starts_with(name)), "{name}, {from}: {found:?}");
        }
        // and what does not compile
        let broken: Rewrite = Box::new(|_, text| text.replace("fn main", "fn man"));
        assert!(run(&gpu, Some(&broken)).is_err_and(|e| e.contains("the kernel map")));
    }
}
