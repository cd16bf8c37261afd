//! Builds steps, gives them random numbers, runs them here and in the reference.

use crate::cpu::CpuSession;
use crate::error::Result;
use crate::expr::{Expr, Scalar};
use crate::graph::{Builder, Field, Graph, Op, Value, Var, gradients};
use crate::kernels::Target;
use crate::kernels::words::{RATE_ROWS, RATE_WIDTH, STATE_ROWS, STATE_SEED_LO, STATE_SHUFFLE, STATE_WORDS};
use crate::plan::{Arena, Blocking, BufferId, Caps, DataId, Layout, Part, Program, Purpose, Request, Rule, Session, StateSet, Step, plan};
use crate::reference::{Data, evaluate};
use crate::rng::Philox;
use crate::tensor::DType;
use std::cell::RefCell;
use std::sync::Arc;

/// Adam by PyTorch's formula; rates: learning rate, bias correction 1, root of bias correction 2.
pub fn adam() -> Rule {
    let f = Expr::of(4, |x| {
        let (p, g, m, v) = (&x[0], &x[1], &x[2], &x[3]);
        let m = 0.9 * m + 0.1 * g;
        let v = 0.999 * v + 0.001 * (g * g);
        let p = p - Scalar::rate(0) / Scalar::rate(1) * &m / (v.sqrt() / Scalar::rate(2) + 1e-8);
        vec![p, m, v]
    });
    Rule::new(f, 2)
}

/// Adam's rates of update `u`.
pub fn rates(u: usize) -> [f64; 3] {
    let t = u as i32 + 1;
    [1e-3, 1.0 - 0.9f64.powi(t), (1.0 - 0.999f64.powi(t)).sqrt()]
}

pub fn bits(v: &[f32]) -> Vec<u32> {
    v.iter().map(|x| x.to_bits()).collect()
}

pub fn floats(v: &[u32]) -> Vec<f32> {
    v.iter().map(|&x| f32::from_bits(x)).collect()
}

pub fn field(name: &str, stored: DType, row: &[usize]) -> Field {
    let keep_integer = stored == DType::U32;
    Field { keep_integer, ..Field::new(name, stored, row) }
}

/// A step in the making: parameters are drawn as they are made.
pub struct Model {
    pub b: Builder,
    parameters: RefCell<Vec<(String, Var)>>,
}

impl Model {
    pub fn new() -> Self {
        Model { b: Builder::new(), parameters: RefCell::default() }
    }

    #[track_caller]
    pub fn parameter(&self, shape: &[usize]) -> Var {
        let name = format!("p{}", self.parameters.borrow().len());
        let v = self.b.parameter(&name, shape.into());
        self.parameters.borrow_mut().push((name, v.clone()));
        v
    }

    /// Layers `x W^T + b` with ReLU between them; the parameters of every other one lie the other way round.
    pub fn mlp(&self, mut x: Var, widths: &[usize]) -> Var {
        for (i, &n) in widths.iter().enumerate() {
            let weight = || self.parameter(&[n, x.shape().last()]);
            let bias = || self.parameter(&[n]);
            let (w, c) = if i % 2 == 0 {
                (weight(), bias())
            } else {
                let c = bias();
                (weight(), c)
            };
            x = x.matmul_with(&w, false, true) + c;
            x = if i + 1 < widths.len() { x.relu() } else { x };
        }
        x
    }

    /// With a loss: the training step, gradients of all parameters and the metrics. Without: the outputs.
    pub fn finish(self, loss: Option<Var>, others: &[Var], batch: usize, target: Target) -> Result<Planned> {
        let values = |v: &[Var]| v.iter().enumerate().map(|(i, v)| (i.to_string(), v.value().unwrap())).collect::<Vec<_>>();
        let parameters = self.parameters.into_inner();
        let arena = Arena::new(parameters.iter().map(|(n, v)| (n.clone(), v.shape())));
        let wrt: Vec<Value> = parameters.iter().map(|(_, v)| v.value().unwrap()).collect();
        let (others, loss) = (values(others), loss.map(|l| l.value().unwrap()));
        let mut graph = self.b.finish()?;
        let mut step = Step {
            graph: Graph::default(),
            loss,
            gradients: vec![],
            weight: None,
            metrics: vec![],
            outputs: vec![],
            updates: vec![],
            precision: Default::default(),
        };
        let purpose = if let Some(loss) = loss {
            let grads = gradients(&mut graph, loss, &wrt)?.into_iter().map(Option::unwrap);
            step.gradients = parameters.iter().map(|p| p.0.clone()).zip(grads).collect();
            step.metrics = others;
            Purpose::Train
        } else {
            step.outputs = others;
            Purpose::Predict
        };
        step.graph = graph;
        let program =
            plan(&Request { step: &step, purpose, part: Part::Whole, batch, arena: &arena, rule: &adam(), target, caps: Caps::default() })?;
        Ok(Planned { step, program: Arc::new(program) })
    }
}

pub struct Planned {
    pub step: Step,
    pub program: Arc<Program>,
}

/// Draws from [-1, 1), every seventh 0.
pub fn draw(stream: &str, n: usize) -> Vec<f32> {
    let mut r = Philox::new(1, stream);
    (0..n).map(|i| if i % 7 == 6 { 0.0 } else { 2.0 * r.uniform() as f32 - 1.0 }).collect()
}

impl Planned {
    /// A session with drawn parameters (over the root of a row's width), Adam's rates and an order over `rows` rows.
    pub fn session(&self, threads: usize, rows: usize) -> Result<CpuSession> {
        let arena = &self.program.arena;
        let mut s = CpuSession::new(Layout::of(arena, 2), threads)?;
        for e in &arena.entries {
            let scale = if e.shape.rank() > 1 { (e.shape.last() as f32).sqrt().recip() } else { 1.0 };
            let v: Vec<f32> = draw(&e.name, e.shape.size()).iter().map(|v| v * scale).collect();
            s.write(BufferId::Parameters, e.offset, &bits(&v))?;
        }
        let table: Vec<f32> =
            (0..RATE_ROWS).flat_map(|u| [rates(u).map(|r| r as f32).to_vec(), vec![0.0; RATE_WIDTH - 3]].concat()).collect();
        s.write(BufferId::Rates, 0, &bits(&table))?;
        let mut state = [0; STATE_WORDS];
        (state[STATE_ROWS], state[STATE_SHUFFLE], state[STATE_SEED_LO]) = (rows as u32, 1, 42);
        for set in [StateSet::Train, StateSet::Eval] {
            s.write(BufferId::State(set), 0, &state)?;
        }
        Ok(s)
    }

    /// The parameters as the reference takes them.
    pub fn parameters(&self, s: &mut CpuSession) -> Result<impl Fn(&str) -> Option<Data<f64>> + use<>> {
        let arena = self.program.arena.clone();
        let all = floats(&s.read(BufferId::Parameters, 0, arena.size)?);
        Ok(move |name: &str| {
            let e = arena.find(name)?;
            Some(Data::Real(all[e.offset..][..e.shape.size()].iter().map(|&v| v.into()).collect()))
        })
    }

    /// The outputs here and in f64; `feed` gives the fields of the batch.
    pub fn outputs(&self, data: &[Vec<u32>], feed: &dyn Fn(&Field) -> Data<f64>) -> Result<Vec<(Vec<f32>, Vec<f64>)>> {
        let mut s = self.session(2, self.program.batch)?;
        let data: Vec<DataId> = data.iter().map(|d| s.add_data(d)).collect::<Result<_>>()?;
        let h = s.prepare(&self.program, &data)?;
        // what a slot holds before a step must not matter
        for (i, bytes) in self.program.slots.iter().enumerate() {
            s.table.range(BufferId::Slot(i), 0, bytes / 4)?.fill(f32::NAN.to_bits());
        }
        s.queue(h, 1, 0)?;
        assert_eq!(s.next_log(StateSet::Eval)?.unwrap().len(), 1);
        let parameters = self.parameters(&mut s)?;
        let wanted: Vec<Value> = self.step.outputs.iter().map(|o| o.1).collect();
        let truth = evaluate::<f64>(&self.step.graph, &|op| leaf(op, &parameters, feed), &wanted)?;
        let mut pairs = Vec::new();
        for (o, truth) in self.program.outputs.iter().zip(truth) {
            let words = s.read(o.buffer, o.offset, o.shape.size())?;
            let got = if o.dtype == DType::U32 { words.iter().map(|&w| w as f32).collect() } else { floats(&words) };
            pairs.push((got, truth.to_f64()));
        }
        Ok(pairs)
    }
}

/// What the reference is fed.
pub fn leaf(op: &Op, parameters: &dyn Fn(&str) -> Option<Data<f64>>, feed: &dyn Fn(&Field) -> Data<f64>) -> Option<Data<f64>> {
    match op {
        Op::Parameter(p) => parameters(&p.name),
        Op::Batch(b) => Some(feed(&b.field)),
        _ => None,
    }
}

pub fn no_fields(_: &Field) -> Data<f64> {
    Data::Real(vec![])
}

/// Within `tolerance` of the truth, relative to the largest value (at least 1).
#[track_caller]
pub fn close(name: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{name}");
    let scale = want.iter().fold(1.0f64, |s, w| s.max(w.abs()));
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        // not `>`, which lets NaN pass
        let ok = (f64::from(g) - w).abs() <= tolerance * scale;
        assert!(ok, "{name}: element {i} of {} is {g} for {w}, the scale being {scale}", got.len());
    }
}

/// The outputs of a step over parameters alone, on both profiles; `k` is the length of its longest sum.
#[track_caller]
pub fn check(name: &str, k: usize, build: impl Fn(&Model) -> Vec<Var>) {
    check_within(name, 1e-6 * (k as f64).sqrt().max(10.0), build);
}

#[track_caller]
pub fn check_within(name: &str, tolerance: f64, build: impl Fn(&Model) -> Vec<Var>) {
    for target in [Target::Software, Target::Gpu] {
        let m = Model::new();
        let outputs = build(&m);
        let planned = m.finish(None, &outputs, 1, target).unwrap();
        for (i, (got, want)) in planned.outputs(&[], &no_fields).unwrap().iter().enumerate() {
            close(&format!("{name}.{i} {target:?}"), got, want, tolerance);
        }
    }
}
