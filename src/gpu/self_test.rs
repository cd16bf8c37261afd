//! The products that a device's cooperative matrices must get right before a program uses them.

use super::coop::{self, Coop, Listed};
use super::device::Gpu;
use super::launch::launch;
use super::pipeline::Rewrite;
use super::sync::lock;
#[cfg(not(target_arch = "wasm32"))]
use super::verdict::KeptVerdict;
use crate::error::{Error, Result};
use crate::expr::Expr;
use crate::kernels::{Archetype, CoopCaps, CoopTile, Gemm, GemmCoop, GemmSpec, Halves, Kernel, Operand, Patches, Plane, Tile};
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
            Ok(listed) => match self.self_test(listed) {
                Ok(caps) => Coop::Verified(caps),
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

    fn self_test(&self, listed: &Listed) -> std::result::Result<CoopCaps, String> {
        let planted = lock(&self.coop.planted);
        let candidates = listed.candidates();
        // a planted text is always run, and its verdict is nobody else's
        #[cfg(not(target_arch = "wasm32"))]
        let kept = if planted.is_none() { KeptVerdict::of(&self.summary, &texts(&candidates)) } else { None };
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(caps) = kept.as_ref().and_then(|k| k.load(&candidates)) {
            return Ok(caps);
        }
        let found = run(self, candidates, planted.as_ref());
        #[cfg(not(target_arch = "wasm32"))]
        if let (Some(kept), Ok(caps)) = (&kept, &found) {
            kept.store(caps);
        }
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
    /// Of a product with an ending: `relu(x + bias)` in f32, and x in f16. Else it is stored as it is.
    bias: Option<Vec<f32>>,
    /// Of a product with patches: what their tables say. A patch is one place with all terms, or all columns, of a row.
    tables: Option<Vec<u32>>,
}

/// Places of an image of such patches.
const POSITIONS: usize = 5;
/// The place that lies outside of it: its row is zero.
const OUTSIDE: usize = 3;

/// Why the matrices cannot be used.
enum Fault {
    Wrong(String),
    /// The pipelines have subgroups of another size than the tile is for.
    Lanes(u32, String),
}

/// Runs every case with the tiles of the first candidate. Where its pipelines turn out to have other lanes the candidate with these is next.
fn run(gpu: &Gpu, mut candidates: Vec<CoopCaps>, planted: Option<&Rewrite>) -> std::result::Result<CoopCaps, String> {
    let mut next = candidates.first().copied().ok_or("there is no tile for them")?;
    loop {
        candidates.retain(|c| *c != next);
        next = match attempt(gpu, &next, planted) {
            Ok(()) => return Ok(next),
            Err(Fault::Wrong(why)) => return Err(why),
            Err(Fault::Lanes(told, why)) => *candidates.iter().find(|c| c.lanes == told as usize).ok_or(why)?,
        };
    }
}

fn attempt(gpu: &Gpu, caps: &CoopCaps, planted: Option<&Rewrite>) -> std::result::Result<(), Fault> {
    let wrong = |e: Error| match e {
        Error::DeviceFault { what, problem, .. } => Fault::Wrong(format!("{what}: {problem}")),
        e => Fault::Wrong(e.to_string()),
    };
    let cases: Vec<(Kernel, Case)> = cases(caps).into_iter().map(|c| (Kernel::GemmCoop(c.kernel.clone()), c)).collect();
    // all pipelines first, since several threads make them; a planted error ends the test at the first product that it spoils
    if planted.is_none() {
        gpu.pipelines(cases.iter().map(|(k, _)| (k, k.source())).collect(), false).map_err(wrong)?;
    }
    for (kernel, case) in &cases {
        let found = case.run(gpu, kernel, planted).map_err(wrong)?;
        let told = found.last().and_then(|w| w.first()).copied().unwrap_or_default();
        if told as usize != caps.lanes {
            let tile = case.kernel.tile;
            return Err(Fault::Lanes(
                told,
                format!("{} runs with subgroups of {told} lanes, and its tile {tile} is for {}", kernel.name(), caps.lanes),
            ));
        }
        case.compare(&found).map_err(Fault::Wrong)?;
    }
    Ok(())
}

/// Every text that the test may run.
#[cfg(not(target_arch = "wasm32"))]
fn texts(candidates: &[CoopCaps]) -> Vec<String> {
    candidates.iter().flat_map(cases).map(|c| c.kernel.source()).collect()
}

/// Every tile in the two layouts that training uses most, by vectors and with sums of rows, and the largest in the two others: one as it is stored
/// without an ending, one by single elements, a batch of two matrices that share an operand. The tiles stick out at every edge, and there are terms for a turn of
/// the loop. Of the largest also what convolutions are: patches as A, and as B.
fn cases(caps: &CoopCaps) -> Vec<Case> {
    let all = [(false, true), (true, false), (false, false), (true, true)];
    let tiles = CoopTile::all(caps);
    let of = |(i, tile): (usize, &CoopTile)| {
        let layouts = if i == 0 { &all[..] } else { &all[..2] };
        let looked_up = if i == 0 { &all[..2] } else { &[] };
        let each = layouts.iter().map(|l| (l, false)).chain(looked_up.iter().map(|l| (l, true)));
        each.filter_map(|(&layout, looked_up)| Case::new(*tile, layout, looked_up)).collect::<Vec<_>>()
    };
    tiles.iter().enumerate().flat_map(of).collect()
}

impl Case {
    fn new(tile: CoopTile, (ta, tb): (bool, bool), looked_up: bool) -> Option<Case> {
        let (plain, elements) = (!ta && !tb, ta && tb);
        let odd = usize::from(elements);
        let [m, n, k] = [tile.height() + 4 + odd, tile.width() + 8 - odd, 3 * tile.depth + 4 - odd];
        // sums of rows belong to a single product
        let (batch, row_sum) = (1 + odd, !plain && !elements);
        let epilogue = if plain { Expr::identity() } else { Expr::of(2, |x| vec![(&x[0] + &x[1]).relu(), x[0].clone()]) };
        let bias = (!plain).then(|| Plane::along_columns(0));
        let outputs = vec![0.into(); if plain { 1 } else { 2 }];
        let via = (0..outputs.len() + usize::from(row_sum)).collect();
        let halves =
            if plain { Halves::new(vec![true, true], vec![false]) } else { Halves::new(vec![true, true, false], vec![false, true]) };
        let spec = GemmSpec { epilogue, row_sum, via, halves, ..GemmSpec::new([ta, tb], Tile::Split) };
        let extras = bias.into_iter().collect();
        let mut gemm = Gemm { batch: [1, batch], extras, outputs, ..Gemm::new(spec, [m, n, k]) };
        gemm.a.batch = [0, m * k];
        let (wide, rows) = if ta { (n, k) } else { (k, m) };
        if looked_up {
            let image = POSITIONS * wide;
            let starts = 2 * wide;
            gemm.patches =
                Some(Patches { image, channels: wide, positions: POSITIONS, taps: 1, terms: 0, starts, first: 0, apart: 0, walks: None });
            *if ta { &mut gemm.spec.b } else { &mut gemm.spec.a } = Operand::Patches;
        }
        let place = |p: usize| [(p * wide) as u32, u32::from(p != OUTSIDE)];
        let tables = looked_up.then(|| (0..wide as u32).map(|t| [t, 0]).chain((0..POSITIONS).map(place)).flatten().collect());
        let mut rng = Philox::new(0, &format!("{tile} {ta} {tb}"));
        let mut draw = |n: usize| (0..n).map(|_| f16::from_f64(2.0 * rng.uniform() - 1.0)).collect::<Vec<_>>();
        let (mut a, mut b) = (draw(batch * m * k), draw(k * n));
        if looked_up {
            // whole images
            let images = if ta { &mut b } else { &mut a };
            images.resize(rows.next_multiple_of(POSITIONS) * wide, f16::ONE);
        }
        let bias = bias.map(|_| draw(n).into_iter().map(f16::to_f32).collect());
        GemmCoop::with_tile(&gemm, tile).map(|kernel| Case { kernel: GemmCoop { tells_lanes: true, ..kernel }, a, b, bias, tables })
    }

    /// The words of each output, of the row sums where the product has them, and the lanes of a subgroup.
    fn run(&self, gpu: &Gpu, kernel: &Kernel, planted: Option<&Rewrite>) -> Result<Vec<Vec<u32>>> {
        let Gemm { m, n, batch: [_, batch], .. } = self.kernel.gemm;
        let size = batch * m * n;
        let mut results = vec![size];
        results.extend(self.bias.is_some().then_some(size.div_ceil(2)));
        results.extend(self.kernel.gemm.spec.row_sum.then_some(m));
        results.push(1);
        let bias = self.bias.iter().map(|b| b.iter().map(|x| x.to_bits()).collect());
        let operands: Vec<Vec<u32>> = [f16_words(&self.a), f16_words(&self.b)].into_iter().chain(bias).chain(self.tables.clone()).collect();
        launch(gpu, kernel, &operands, &results, planted)
    }

    /// Compares the results with sums in f64. Tensor cores truncate the terms of a sum: a tolerance of 1e-5 sqrt(k) is ten times what rounding costs,
    /// and far less than the error of sums in f16, of a wrong element or of a missing term.
    fn compare(&self, found: &[Vec<u32>]) -> std::result::Result<(), String> {
        let Gemm { ref spec, m, n, k, batch: [_, batch], .. } = self.kernel.gemm;
        let outside = |of: Operand, stored: usize| of == Operand::Patches && stored % POSITIONS == OUTSIDE;
        let at = |z: usize, row: usize, p: usize| match outside(spec.a, row) {
            true => 0.0,
            false => self.a[z * m * k + if spec.ta { p * m + row } else { row * k + p }].to_f64(),
        };
        let wrong = |what: &str, place: String, got: f64, want: f64| {
            Err(format!("{} of {m} x {n} x {k}, {}: {what} {place} is {got} for {want}", self.kernel.name(), self.kernel.tile))
        };
        let near =
            |got: f64, want: f64, rounding: f64| (got - want).abs() <= 1e-5 * ((k as f64).sqrt() + want.abs()) + rounding * want.abs();
        for (z, row) in (0..batch).flat_map(|z| (0..m).map(move |row| (z, row))) {
            for col in 0..n {
                let b = |p: usize| match outside(spec.b, p) {
                    true => 0.0,
                    false => self.b[if spec.tb { col * k + p } else { p * n + col }].to_f64(),
                };
                let product: f64 = (0..k).map(|p| at(z, row, p) * b(p)).sum();
                let i = (z * m + row) * n + col;
                let wide = f64::from(f32::from_bits(found[0][i]));
                let finished = self.bias.as_ref().map_or(product, |bias| (product + f64::from(bias[col])).max(0.0));
                if !near(wide, finished, 0.0) {
                    return wrong("C", format!("[{z}, {row}, {col}]"), wide, finished);
                }
                let narrow = if self.bias.is_some() { f16s(&found[1])[i].to_f64() } else { product };
                if !near(narrow, product, 1.0 / 2048.0) {
                    return wrong("C in f16", format!("[{z}, {row}, {col}]"), narrow, product);
                }
            }
            if let Some(sums) = found.get(2).filter(|_| spec.row_sum) {
                let (got, want) = (f64::from(f32::from_bits(sums[row])), (0..k).map(|p| at(z, row, p)).sum());
                if !near(got, want, 0.0) {
                    return wrong("row sum", format!("[{row}]"), got, want);
                }
            }
        }
        Ok(())
    }
}
