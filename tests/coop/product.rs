//! Products on cooperative matrices with their data, their truth in f64 and their tolerances: what this suite runs and `parity/shaders.rs` translates.
#![allow(dead_code)]

use gradus::expr::Expr;
use gradus::graph::Distribution;
use gradus::kernels::words::StateWords;
use gradus::kernels::{CoopTile, Draw, Gemm, GemmCoop, GemmSpec, Halves, Kernel, Matrix, Plane, Tile};
use gradus::plan::{Blocking, BufferId, DataId, Launch, Phase, Program, Purpose, Session, StateSet};
use gradus::prelude::*;
use gradus::rng::{Philox, words};
use gradus::tensor::{DType, HostTensor};
use half::f16;
use std::sync::{Arc, OnceLock};

/// What becomes of the product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finish {
    /// Stored as it is, in f32.
    Plain,
    /// `relu(x + bias)` in f32, the bias in f32: a layer's forward.
    Bias,
    /// The same, stored in f16.
    Half,
    /// `x * y` in f16 with y in f16 and of the product's shape, and x in f32; where there is one product also the sums of A's rows, in the
    /// buffer of x: what a backward has.
    Both,
    /// `relu(x + bias)` in f16, of which a draw keeps every second, doubled: a layer's forward with dropout.
    Drop,
}

pub const FINISHES: [Finish; 5] = [Finish::Plain, Finish::Bias, Finish::Half, Finish::Both, Finish::Drop];

/// What is drawn, by which seed and at which batch.
const DRAW: Draw = Draw { distribution: Distribution::Bernoulli { below: 1 << 23 }, stream: 0x0fed_cba9_8765_4321 };
const SEED: u64 = 0x0123_4567_89ab_cdef;
const BATCH: u32 = 3;
const STATE: BufferId = BufferId::State(StateSet::Eval);

/// Whether element `e` of a result is kept.
fn is_kept(e: usize) -> bool {
    words(SEED, DRAW.stream, BATCH, (e / 4) as u32)[e % 4] >> 31 == 0
}

#[derive(Debug, Clone, Copy)]
pub struct Product {
    pub size: [usize; 3],
    pub batch: usize,
    /// B serves every matrix of the batch.
    pub shared: bool,
    pub ta: bool,
    pub tb: bool,
    pub finish: Finish,
    pub tile: CoopTile,
    /// The first element of every operand and result.
    pub offset: usize,
    /// Elements between the stored rows of A and B, beyond their own.
    pub gap: usize,
    /// Their rows begin at multiples of four, as kernels that read by vectors need it.
    pub whole: bool,
}

/// A result: every element, the ones around it too.
pub type Found = Vec<Vec<f64>>;

impl Product {
    pub fn new(size: [usize; 3], (ta, tb): (bool, bool), finish: Finish, tile: CoopTile) -> Self {
        Product { size, batch: 1, shared: false, ta, tb, finish, tile, offset: 0, gap: 0, whole: false }
    }

    pub fn name(&self) -> String {
        let t = |t| if t { 't' } else { 'n' };
        let [m, n, k] = self.size;
        let batch = if self.batch > 1 { format!("{} of ", self.batch) } else { String::new() };
        format!("{batch}{}{} {m} x {n} x {k}, {:?}, {}, offset {}", t(self.ta), t(self.tb), self.finish, self.tile, self.offset)
    }

    fn sums(&self) -> bool {
        self.finish == Finish::Both && self.batch == 1
    }

    fn matrices(&self) -> [Matrix; 2] {
        let [m, n, k] = self.size;
        let of = |rows: usize, columns: usize, shared: bool| {
            let pitch = (columns + self.gap).next_multiple_of(if self.whole { 4 } else { 1 });
            Matrix { offset: self.offset, pitch, batch: [0, if shared { 0 } else { rows * pitch }] }
        };
        let (a, b) = (if self.ta { [k, m] } else { [m, k] }, if self.tb { [n, k] } else { [k, n] });
        [of(a[0], a[1], false), of(b[0], b[1], self.shared)]
    }

    pub fn kernel(&self) -> GemmCoop {
        let [m, n, k] = self.size;
        let [a, b] = self.matrices();
        let (f16, f32, all) = (DType::F16, DType::F32, self.batch * m * n);
        let bias = Plane::along_columns(self.offset);
        let full = Plane { offset: self.offset, row: n, column: 1, batch: [0, m * n] };
        let relu = || Expr::of(2, |x| vec![(&x[0] + &x[1]).relu()]);
        let (epilogue, extras, extra_types, outputs) = match self.finish {
            Finish::Plain => (Expr::identity(), vec![], vec![], vec![f32]),
            Finish::Bias => (relu(), vec![bias], vec![f32], vec![f32]),
            Finish::Half => (relu(), vec![bias], vec![f32], vec![f16]),
            Finish::Both => (Expr::of(2, |x| vec![&x[0] * &x[1], x[0].clone()]), vec![full], vec![f16], vec![f16, f32]),
            Finish::Drop => (Expr::of(3, |x| vec![(&x[0] + &x[1]).relu() * &x[2] * 2.0]), vec![bias], vec![f32], vec![f16]),
        };
        let mut via: Vec<usize> = (0..outputs.len()).collect();
        via.extend(self.sums().then_some(1));
        let half = |t: &DType| *t == f16;
        let read = [true; 2].into_iter().chain(extra_types.iter().map(half)).collect();
        let stored = outputs.iter().map(half).collect();
        let (row_sum, halves) = (self.sums(), Halves::new(read, stored));
        let spec = GemmSpec { epilogue, row_sum, via, halves, ..GemmSpec::new([self.ta, self.tb], Tile::Split) };
        let places = vec![self.offset.into(); outputs.len()];
        let (batch, row_sum) = ([1, self.batch], self.offset + all);
        let mut gemm = Gemm { batch, a, b, extras, outputs: places, row_sum, ..Gemm::new(spec, [m, n, k]) };
        if self.finish == Finish::Drop {
            gemm = gemm.drawing(vec![DRAW]);
        }
        GemmCoop::with_tile(&gemm, self.tile).expect("a product in f16")
    }

    /// A, B and the epilogue's operand, if it has one, each with its type.
    fn data(&self) -> Vec<(Vec<f64>, DType)> {
        let [m, n, k] = self.size;
        let [a, b] = self.matrices();
        let rows = |t: bool, rows: usize, columns: usize| if t { columns } else { rows };
        let mut rng = Philox::new(0, &format!("{:?}", self.size));
        let mut draw = |n: usize| (0..n).map(|_| f16::from_f64(2.0 * rng.uniform() - 1.0).to_f64()).collect::<Vec<_>>();
        let held = |x: &Matrix, rows: usize, count: usize| self.offset + count * rows * x.pitch;
        let mut all = vec![
            (draw(held(&a, rows(self.ta, m, k), self.batch)), DType::F16),
            (draw(held(&b, rows(self.tb, k, n), if self.shared { 1 } else { self.batch })), DType::F16),
        ];
        match self.finish {
            Finish::Plain => {}
            Finish::Bias | Finish::Half | Finish::Drop => all.push((draw(self.offset + n), DType::F32)),
            Finish::Both => all.push((draw(self.offset + self.batch * m * n), DType::F16)),
        }
        all
    }

    /// Elements of each result's buffer, some of them behind the result, and their type.
    fn results(&self) -> Vec<(usize, DType)> {
        let [m, n, _] = self.size;
        let held = self.offset + self.batch * m * n + if self.sums() { m } else { 0 } + 5;
        let gemm = self.kernel().gemm;
        let dtype = |o: usize| if gemm.spec.halves.output(o) { DType::F16 } else { DType::F32 };
        (0..gemm.outputs.len()).map(|o| (held, dtype(o))).collect()
    }

    /// Every result in f64, each with what it may be off by; what lies around the results is 0, to the bit.
    pub fn truth(&self) -> Vec<Vec<(f64, f64)>> {
        let [m, n, k] = self.size;
        let [a, b] = self.matrices();
        let data = self.data();
        let mut out: Vec<Vec<(f64, f64)>> = self.results().iter().map(|(len, _)| vec![(0.0, 0.0); *len]).collect();
        let at = |x: &Matrix, t: bool, z: usize, row: usize, column: usize| {
            let (major, minor) = if t { (column, row) } else { (row, column) };
            x.offset + z * x.batch[1] + major * x.pitch + minor
        };
        // sums of k terms of size 1 in f32, in any order; a result that comes out large was rounded by its size
        let wide = |v: f64| (v, 1e-6 * ((k as f64).sqrt() + 1.0 + v.abs()));
        // a store to f16 rounds by half a unit in the last of 11 bits; below its normal range some GPUs give 0
        let narrow = |v: f64| (v, wide(v).1 + v.abs() / 2048.0 + 6.2e-5);
        for z in 0..self.batch {
            for row in 0..m {
                for col in 0..n {
                    let term = |p: usize| data[0].0[at(&a, self.ta, z, row, p)] * data[1].0[at(&b, self.tb, z, p, col)];
                    let x: f64 = (0..k).map(term).sum();
                    let i = self.offset + (z * m + row) * n + col;
                    let bias = |x: f64| (x + data[2].0[self.offset + col]).max(0.0);
                    match self.finish {
                        Finish::Plain => out[0][i] = wide(x),
                        Finish::Bias => out[0][i] = wide(bias(x)),
                        Finish::Half => out[0][i] = narrow(bias(x)),
                        Finish::Both => (out[0][i], out[1][i]) = (narrow(x * data[2].0[i]), wide(x)),
                        // doubled, and so is what it may be off by
                        Finish::Drop if is_kept(i - self.offset) => out[0][i] = (2.0 * bias(x), 2.0 * narrow(bias(x)).1),
                        Finish::Drop => {}
                    }
                }
                if self.sums() {
                    out[1][self.offset + m * n + row] = wide((0..k).map(|p| data[0].0[at(&a, self.ta, z, row, p)]).sum());
                }
            }
        }
        out
    }

    fn program(&self) -> gradus::Result<Program> {
        let kernel = self.kernel();
        let mut p = empty()?.clone();
        let results = self.results();
        let operands = 2 + kernel.gemm.extras.len();
        let state = (!kernel.gemm.draws.is_empty()).then_some(STATE);
        let buffers = (0..operands).map(BufferId::Data).chain(state).chain((0..results.len()).map(BufferId::Slot)).collect();
        p.launches = vec![Launch { kernel: Kernel::GemmCoop(kernel), buffers, label: self.name(), flops: 0, bytes: 0 }];
        p.phases = vec![(Phase::Compute, 0..1)];
        p.slots = results.iter().map(|(n, t)| (n * t.size()).next_multiple_of(4)).collect();
        p.purpose = Purpose::Predict;
        Ok(p)
    }

    /// Runs it. `fresh` must be a session whose slots no other product has used: what lies around the results is looked at.
    pub fn run(&self, fresh: &mut dyn Session) -> gradus::Result<Found> {
        let data: Vec<DataId> = self.data().iter().map(|(x, t)| fresh.add_data(&stored(x, *t))).collect::<gradus::Result<_>>()?;
        fresh.write(STATE, 0, &StateWords { batch: BATCH, ..StateWords::default() }.seed(SEED).words())?;
        let handle = fresh.prepare(&Arc::new(self.program()?), &data)?;
        fresh.profile(handle, None)?;
        let mut found = Vec::new();
        for (slot, (n, t)) in self.results().into_iter().enumerate() {
            found.push(floats(&fresh.read(BufferId::Slot(slot), 0, (n * t.size()).div_ceil(4))?, t, n));
        }
        data.into_iter().for_each(|d| fresh.drop_data(d));
        Ok(found)
    }

    /// The first element that is off by more than it may.
    pub fn compare(&self, found: &Found) -> Result<(), String> {
        for (o, (found, truth)) in found.iter().zip(self.truth()).enumerate() {
            for (i, (&got, (want, tolerance))) in found.iter().zip(truth).enumerate() {
                let off = (got - want).abs();
                if off.is_nan() || off > tolerance {
                    return Err(format!("{}: result {o} [{i}] is {got} for {want}, and may be off by {tolerance:.1e}", self.name()));
                }
            }
        }
        Ok(())
    }

    /// The same between two machines: each may be off by its tolerance.
    pub fn agree(&self, x: &Found, y: &Found) -> Result<(), String> {
        for (o, truth) in self.truth().iter().enumerate() {
            for (i, (_, tolerance)) in truth.iter().enumerate() {
                let off = (x[o][i] - y[o][i]).abs();
                if off.is_nan() || off > 2.0 * tolerance {
                    return Err(format!("{}: result {o} [{i}] is {} here and {} on the CPU", self.name(), x[o][i], y[o][i]));
                }
            }
        }
        Ok(())
    }
}

/// A program without launches: that of a small model.
fn empty() -> gradus::Result<&'static Program> {
    static EMPTY: OnceLock<Program> = OnceLock::new();
    if let Some(p) = EMPTY.get() {
        return Ok(p);
    }
    let data = Dataset::new(HostTensor::f32([1, 4], vec![0.0; 4])?, HostTensor::f32([1, 1], vec![0.0])?)?;
    let net = Sequential::new().add(Linear::new(1));
    let model = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([4]).device(Device::cpu()))?;
    let mut p = (*model.prepare(&data, 1)?).clone();
    p.outputs.clear();
    p.units.clear();
    p.fields.clear();
    Ok(EMPTY.get_or_init(|| p))
}

fn stored(x: &[f64], t: DType) -> Vec<u32> {
    match t {
        DType::F16 => {
            let half = |v: Option<&f64>| v.map_or(0, |v| u32::from(f16::from_f64(*v).to_bits()));
            // a kernel that reads four at a time binds whole vectors
            let mut words: Vec<u32> = x.chunks(2).map(|c| half(c.first()) | half(c.get(1)) << 16).collect();
            words.resize(words.len().next_multiple_of(2), 0);
            words
        }
        _ => x.iter().map(|v| (*v as f32).to_bits()).collect(),
    }
}

fn floats(words: &[u32], t: DType, n: usize) -> Vec<f64> {
    match t {
        DType::F16 => (0..n).map(|i| f16::from_bits((words[i / 2] >> (16 * (i % 2))) as u16).to_f64()).collect(),
        _ => words.iter().map(|w| f64::from(f32::from_bits(*w))).collect(),
    }
}

pub const LAYOUTS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];
