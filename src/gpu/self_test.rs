//! The products that a device's cooperative matrices must get right before a program uses them.

use super::device::{Gpu, lock};
use super::plant::Rewrite;
use super::session::map;
use crate::error::{Error, Result};
use crate::expr::Expr;
use crate::kernels::{CoopCaps, CoopTile, DIMS, Gemm, GemmCoop, GemmSpec, Halves, Kernel, Matrix, Plane, Tile};
use crate::rng::Philox;
use half::f16;
use std::time::{Duration, Instant};
use wgpu::BufferUsages;

/// A look at the device after so long, and the end of patience with it.
const PATIENCE: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// One product with its data. No matrix is symmetric, no two rows or columns are alike: what reads or writes one the wrong way round is seen.
struct Case {
    kernel: GemmCoop,
    a: Vec<f16>,
    b: Vec<f16>,
    bias: Vec<f32>,
}

/// Runs every case; the reason why the matrices cannot be used.
pub(super) fn run(gpu: &Gpu, caps: &CoopCaps, planted: Option<&Rewrite>) -> std::result::Result<(), String> {
    for case in cases(caps) {
        let found = case.run(gpu, planted).map_err(|e| match e {
            Error::DeviceFault { what, problem, .. } => format!("{what}: {problem}"),
            e => e.to_string(),
        })?;
        case.compare(&found)?;
    }
    Ok(())
}

/// The largest tile in every layout, the others in two; whole vectors and single elements, tiles that stick out at every edge, two matrices of
/// which one is shared, row sums.
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
        let matrix = |pitch, batch| Matrix { offset: 0, pitch, batch };
        let (a, b) = (matrix(if ta { m } else { k }, m * k), matrix(if tb { k } else { n }, 0));
        // sums of rows belong to a single product
        let (batch, row_sum) = (2 - odd, odd == 1);
        let epilogue = Expr::of(2, |x| vec![(&x[0] + &x[1]).relu(), x[0].clone()]);
        let via = (0..2 + odd).collect();
        let halves = Halves::new(vec![true, true, false], vec![false, true]);
        let spec = GemmSpec { ta, tb, va: false, vb: false, vc: false, tile: Tile::Split, epilogue, row_sum, via, halves };
        let extras = vec![Plane { offset: 0, row: 0, column: 1, batch: 0 }];
        let gemm = Gemm { spec, m, n, k, batch, a, b, extras, outputs: vec![0, 0], row_sum: 0 };
        let mut rng = Philox::new(0, &format!("{tile} {ta} {tb}"));
        let mut draw = |n: usize| (0..n).map(|_| f16::from_f64(2.0 * rng.uniform() - 1.0)).collect::<Vec<_>>();
        let (a, b) = (draw(batch * m * k), draw(k * n));
        let bias = draw(n).into_iter().map(f16::to_f32).collect();
        GemmCoop::with_tile(&gemm, tile).map(|kernel| Case { kernel, a, b, bias })
    }

    /// Both outputs and, where it has them, the sums of rows, as words.
    fn run(&self, gpu: &Gpu, planted: Option<&Rewrite>) -> Result<Vec<Vec<u32>>> {
        let Gemm { m, n, batch, .. } = self.kernel.gemm;
        let size = batch * m * n;
        let mut results = vec![size, size.div_ceil(2)];
        results.extend(self.kernel.gemm.spec.row_sum.then_some(m));
        let operands = [halves(&self.a), halves(&self.b), self.bias.iter().map(|x| x.to_bits()).collect()];
        launch(gpu, &Kernel::GemmCoop(self.kernel.clone()), &operands, &results, planted)
    }

    /// Against sums in f64. Tensor cores cut off what they add beyond some bits: 1e-5 for each root of k is ten times what rounded sums take, and
    /// far below what sums in f16, a wrong element or a missing term are off by.
    fn compare(&self, found: &[Vec<u32>]) -> std::result::Result<(), String> {
        let Gemm { ref spec, m, n, k, batch, .. } = self.kernel.gemm;
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
                let (wide, narrow) = (f64::from(f32::from_bits(found[0][i])), half_of(&found[1], i));
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

/// What a kernel makes of these operands: so many words in each result. Operands come before results in its bindings.
pub(super) fn launch(
    gpu: &Gpu,
    kernel: &Kernel,
    operands: &[Vec<u32>],
    results: &[usize],
    planted: Option<&Rewrite>,
) -> Result<Vec<Vec<u32>>> {
    let text = kernel.source();
    let pipeline = match planted {
        None => gpu.pipeline_from(kernel, text, false)?,
        Some(rewrite) => gpu.pipeline_from(kernel, rewrite(kernel, text), true)?,
    };
    let filled = |words: &[u32], usage| {
        let buffer = new(gpu, words.len(), usage | BufferUsages::COPY_DST);
        gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
        buffer
    };
    let mut dims = kernel.dims();
    dims.resize(DIMS, 0);
    let mut buffers = vec![filled(&dims, BufferUsages::UNIFORM)];
    buffers.extend(operands.iter().map(|words| filled(words, BufferUsages::STORAGE)));
    // NaN in both types: what is not written is seen
    let made: Vec<_> = results.iter().map(|&n| filled(&vec![u32::MAX; n], BufferUsages::STORAGE | BufferUsages::COPY_SRC)).collect();
    buffers.extend(made.iter().cloned());
    let numbered = buffers.iter().enumerate();
    let entries: Vec<_> = numbered.map(|(i, b)| wgpu::BindGroupEntry { binding: i as u32, resource: b.as_entire_binding() }).collect();
    let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &pipeline.layout, entries: &entries });
    let staging = new(gpu, results.iter().sum(), BufferUsages::MAP_READ | BufferUsages::COPY_DST);
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, &group, &[]);
        let [x, y, z] = kernel.grid();
        pass.dispatch_workgroups(x, y, z);
    }
    let mut at = 0;
    for (from, words) in made.iter().zip(results) {
        encoder.copy_buffer_to_buffer(from, 0, &staging, at, 4 * *words as u64);
        at += 4 * *words as u64;
    }
    let index = gpu.queue.submit([encoder.finish()]);
    gpu.check("the self-test")?;
    let mapped = map(&staging);
    let began = Instant::now();
    while lock(&mapped).is_none() {
        gpu.poll(wgpu::PollType::Wait { submission_index: Some(index.clone()), timeout: Some(PATIENCE) })?;
        if began.elapsed() > LONGEST {
            return Err(fault(gpu, format!("no answer within {} s", LONGEST.as_secs())));
        }
    }
    let view = staging.slice(..).get_mapped_range().map_err(|e| fault(gpu, e.to_string()))?;
    let bytes: &[u8] = &view;
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
    let mut rest = words.as_slice();
    Ok(results.iter().map(|&n| rest.split_off(..n).unwrap_or_default().to_vec()).collect())
}

fn new(gpu: &Gpu, words: usize, usage: BufferUsages) -> wgpu::Buffer {
    let descriptor = wgpu::BufferDescriptor { label: Some("self-test"), size: 4 * words as u64, usage, mapped_at_creation: false };
    gpu.device.create_buffer(&descriptor)
}

fn fault(gpu: &Gpu, problem: String) -> Error {
    Error::DeviceFault { what: "the self-test".into(), problem, device: gpu.summary.name.clone() }
}

/// Two halves a word, the first in the lower bits.
fn halves(x: &[f16]) -> Vec<u32> {
    x.chunks(2).map(|c| u32::from(c[0].to_bits()) | u32::from(c.get(1).map_or(0, |h| h.to_bits())) << 16).collect()
}

fn half_of(words: &[u32], i: usize) -> f64 {
    f16::from_bits((words[i / 2] >> (16 * (i % 2))) as u16).to_f64()
}
