//! The products that a device's cooperative matrices must get right before a program uses them.

use super::coop::{self, Coop};
use super::device::Gpu;
use super::launch::launch;
use super::pipeline::Rewrite;
use super::sync::lock;
use crate::error::{Error, Result};
use crate::expr::Expr;
use crate::kernels::{Archetype, CoopCaps, CoopTile, Gemm, GemmCoop, GemmSpec, Halves, Kernel, Plane, Tile};
use crate::rng::Philox;
use crate::tensor::{f16_words, f16s};
use half::f16;

impl Gpu {
    /// What is known of this device's cooperative matrices. Where it has any the first call runs the self-test, which compiles and runs some
    /// products and compares them with sums in f64.
    pub fn coop(&self) -> Coop {
        let mut verdict = lock(&self.coop.verdict);
        if let Some(known) = &*verdict {
            return known.clone();
        }
        let found = match &self.coop.opened {
            Err(why) => Coop::None { why: why.clone() },
            Ok(caps) => match self.self_test(caps) {
                Ok(()) => Coop::Verified(*caps),
                Err(why) => {
                    crate::terminal::warn!(
                        device = self.summary.name,
                        why,
                        "cooperative matrices refused by the self-test: products do without"
                    );
                    Coop::Refused { why }
                }
            },
        };
        *verdict = Some(found.clone());
        found
    }

    /// Rewrites the texts that the self-test runs, from now on, and forgets what it found: how tests plant a wrong kernel.
    #[doc(hidden)]
    pub fn plant_coop(&self, rewrite: Option<impl Fn(&Kernel, String) -> String + Send + 'static>) {
        *lock(&self.coop.planted) = rewrite.map(|r| Box::new(r) as Rewrite);
        *lock(&self.coop.verdict) = None;
    }

    fn self_test(&self, caps: &CoopCaps) -> std::result::Result<(), String> {
        let planted = lock(&self.coop.planted);
        let found = run(self, caps, planted.as_ref());
        if let Err(why) = &found
            && self.is_lost()
        {
            coop::failed(&self.summary, why);
        }
        found
    }
}

/// One product with its data. No matrix is symmetric and no two rows or columns are alike, so that a kernel that reads or writes a matrix the
/// wrong way round is noticed.
struct Case {
    kernel: GemmCoop,
    a: Vec<f16>,
    b: Vec<f16>,
    bias: Vec<f32>,
}

/// Runs every case. The error says why the matrices cannot be used.
fn run(gpu: &Gpu, caps: &CoopCaps, planted: Option<&Rewrite>) -> std::result::Result<(), String> {
    for case in cases(caps) {
        let found = case.run(gpu, planted).map_err(|e| match e {
            Error::DeviceFault { what, problem, .. } => format!("{what}: {problem}"),
            e => e.to_string(),
        })?;
        case.compare(&found)?;
    }
    Ok(())
}

/// The largest tile in every layout and the others in two. Among them are: reads by vectors and by single elements, tiles that stick out at every
/// edge, a batch of two matrices that share an operand, and row sums.
fn cases(caps: &CoopCaps) -> Vec<Case> {
    let all = [(false, false), (false, true), (true, false), (true, true)];
    let tiles = CoopTile::all(caps);
    let of = |(i, tile): (usize, &CoopTile)| {
        let layouts = if i == 0 { &all[..] } else { &all[1..3] };
        layouts.iter().filter_map(|&layout| Case::new(*tile, layout)).collect::<Vec<_>>()
    };
    tiles.iter().enumerate().flat_map(of).collect()
}

impl Case {
    fn new(tile: CoopTile, (ta, tb): (bool, bool)) -> Option<Case> {
        // where A and B are stored alike elements are read in fours
        let odd = usize::from(ta != tb);
        let [m, n, k] = [tile.height() + 4 + odd, tile.width() + 8 - odd, 2 * tile.depth + 4 - odd];
        // sums of rows belong to a single product
        let (batch, row_sum) = (2 - odd, odd == 1);
        let epilogue = Expr::of(2, |x| vec![(&x[0] + &x[1]).relu(), x[0].clone()]);
        let via = (0..2 + odd).collect();
        let halves = Halves::new(vec![true, true, false], vec![false, true]);
        let spec = GemmSpec { epilogue, row_sum, via, halves, ..GemmSpec::new([ta, tb], Tile::Split) };
        let extras = vec![Plane::along_columns(0)];
        let mut gemm = Gemm { batch: [1, batch], extras, outputs: vec![0.into(); 2], ..Gemm::new(spec, [m, n, k]) };
        gemm.a.batch = [0, m * k];
        let mut rng = Philox::new(0, &format!("{tile} {ta} {tb}"));
        let mut draw = |n: usize| (0..n).map(|_| f16::from_f64(2.0 * rng.uniform() - 1.0)).collect::<Vec<_>>();
        let (a, b) = (draw(batch * m * k), draw(k * n));
        let bias = draw(n).into_iter().map(f16::to_f32).collect();
        GemmCoop::with_tile(&gemm, tile).map(|kernel| Case { kernel, a, b, bias })
    }

    /// The words of both outputs and, where the product has them, of the row sums.
    fn run(&self, gpu: &Gpu, planted: Option<&Rewrite>) -> Result<Vec<Vec<u32>>> {
        let Gemm { m, n, batch: [_, batch], .. } = self.kernel.gemm;
        let size = batch * m * n;
        let mut results = vec![size, size.div_ceil(2)];
        results.extend(self.kernel.gemm.spec.row_sum.then_some(m));
        let operands = [f16_words(&self.a), f16_words(&self.b), self.bias.iter().map(|x| x.to_bits()).collect()];
        launch(gpu, &Kernel::GemmCoop(self.kernel.clone()), &operands, &results, planted)
    }

    /// Compares the results with sums in f64. Tensor cores truncate the terms of a sum: a tolerance of 1e-5 sqrt(k) is ten times what rounding costs,
    /// and far less than the error of sums in f16, of a wrong element or of a missing term.
    fn compare(&self, found: &[Vec<u32>]) -> std::result::Result<(), String> {
        let Gemm { ref spec, m, n, k, batch: [_, batch], .. } = self.kernel.gemm;
        let at = |z: usize, row: usize, p: usize| self.a[z * m * k + if spec.ta { p * m + row } else { row * k + p }].to_f64();
        let wrong = |what: &str, place: String, got: f64, want: f64| {
            Err(format!("{} of {m} x {n} x {k}, {}: {what} {place} is {got} for {want}", self.kernel.name(), self.kernel.tile))
        };
        let near =
            |got: f64, want: f64, rounding: f64| (got - want).abs() <= 1e-5 * ((k as f64).sqrt() + want.abs()) + rounding * want.abs();
        for (z, row) in (0..batch).flat_map(|z| (0..m).map(move |row| (z, row))) {
            for col in 0..n {
                let b = |p: usize| self.b[if spec.tb { col * k + p } else { p * n + col }].to_f64();
                let product: f64 = (0..k).map(|p| at(z, row, p) * b(p)).sum();
                let i = (z * m + row) * n + col;
                let (wide, narrow) = (f64::from(f32::from_bits(found[0][i])), f16s(&found[1])[i].to_f64());
                let finished = (product + f64::from(self.bias[col])).max(0.0);
                if !near(wide, finished, 0.0) {
                    return wrong("C", format!("[{z}, {row}, {col}]"), wide, finished);
                }
                if !near(narrow, product, 1.0 / 2048.0) {
                    return wrong("C in f16", format!("[{z}, {row}, {col}]"), narrow, product);
                }
            }
            if let Some(sums) = found.get(2) {
                let (got, want) = (f64::from(f32::from_bits(sums[row])), (0..k).map(|p| at(z, row, p)).sum());
                if !near(got, want, 0.0) {
                    return wrong("row sum", format!("[{row}]"), got, want);
                }
            }
        }
        Ok(())
    }
}
