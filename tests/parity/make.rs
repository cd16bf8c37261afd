//! A case: a small graph with its data, as a row of a table makes it.

use gradus::expr::Expr;
use gradus::graph::{Builder, Distribution, Draws, Field, Graph, Op, Precision, RowList, Var, gradients, op, scaled_gradients};
use gradus::kernels::Target;
use gradus::plan::{Arena, Caps, Part, Program, Purpose, Request, Rule, Step, plan, update_program};
use gradus::reference::{Data, draw, evaluate_all};
use gradus::rng::Philox;
use gradus::tensor::{DType, Shape};
use std::cell::RefCell;
use std::rc::Rc;

use crate::augmented;
use crate::tolerance::{self, Known};

/// Which rows of the data the step sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Order {
    pub batch: usize,
    pub rows: usize,
    pub cursor: usize,
    pub shuffle: bool,
    pub seed: u64,
    pub epoch: u32,
    pub list: List,
}

/// By what list the rows are found, if by one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum List {
    No,
    /// Backwards, some of them twice and some never.
    Named,
    /// Drawn from so many classes of unequal sizes.
    Drawn(usize),
}

impl Order {
    /// The whole data set, as it lies.
    pub fn all(batch: usize) -> Self {
        Order { batch, rows: batch, cursor: 0, shuffle: false, seed: 0, epoch: 0, list: List::No }
    }

    /// A batch from the middle of a shuffled epoch.
    pub fn shuffled(batch: usize, rows: usize) -> Self {
        Order { batch, rows, cursor: (rows - batch) / 2, shuffle: true, seed: 0xfeed_beef_1234, epoch: 3, list: List::No }
    }

    /// As this, by a list.
    pub fn by(self, list: List) -> Self {
        Order { list, ..self }
    }

    pub fn source(&self, i: usize) -> usize {
        let at = self.cursor + i;
        let place = if self.shuffle { permuted(at as u32, self.rows as u32, self.seed, self.epoch) as usize } else { at };
        match self.list {
            List::No => place,
            List::Named => self.named(place),
            List::Drawn(n) => {
                let words = gradus::rng::block([at as u32, self.epoch, 0x6261_6c61, 0x6e63_6564], [DRAWS as u32, (DRAWS >> 32) as u32]);
                let part = |word: u32, of: usize| (u128::from(word) * of as u128 / (1 << 32)) as usize;
                let class = &self.classes(n)[part(words[0], n)];
                class[part(words[1], class.len())] as usize
            }
        }
    }

    /// The row at this place of a list.
    fn named(&self, place: usize) -> usize {
        (self.rows - 1 - place) / 2 * 2 % self.rows
    }

    /// Row `r` is of the class of how many of the classes' numbers divide it: the first have most.
    fn classes(&self, n: usize) -> Vec<Vec<u32>> {
        let class = |r: usize| (1..n).rev().find(|c| r.is_multiple_of(c + 1)).unwrap_or(0);
        (0..n).map(|c| (0..self.rows).filter(|&r| class(r) == c).map(|r| r as u32).collect()).collect()
    }

    /// The words of the list, as the device holds them.
    pub fn list(&self) -> Option<Vec<u32>> {
        let list = match self.list {
            List::No => return None,
            List::Named => RowList::listed((0..self.rows).map(|i| self.named(i) as u32)),
            List::Drawn(n) => RowList::drawn(DRAWS, &self.classes(n)),
        };
        Some(list.words().to_vec())
    }
}

/// The seed of a drawn order.
const DRAWS: u64 = 0x9_8765_4321_0fed;

/// The epoch's order, written anew from its description: six rounds of a Feistel network over the next even power of two, walked until it
/// lands below `n`; up to twelve rows change places one by one. Neither machine's code is called, but for Philox, which has known answers.
pub fn permuted(i: u32, n: u32, seed: u64, epoch: u32) -> u32 {
    if n <= 12 {
        let mut rows: Vec<u32> = (0..n).collect();
        for k in (1..n).rev() {
            let words = gradus::rng::block([k / 4, epoch, 0x6f72_6465, 0x7273_0000], [seed as u32, (seed >> 32) as u32]);
            let part = u128::from(words[k as usize % 4]) * u128::from(k + 1) / (1 << 32);
            rows.swap(k as usize, part as usize);
        }
        return rows[i as usize];
    }
    let scramble = |x: u32| {
        let x = u64::from(x ^ (x >> 16)) * 0x7feb_352d % (1 << 32);
        let x = (x ^ (x >> 15)) * 0x846c_a68b % (1 << 32);
        (x ^ (x >> 16)) as u32
    };
    let first = scramble((seed % (1 << 32)) as u32 ^ scramble(epoch.wrapping_add(0x9e37_79b9)));
    let second = scramble((seed >> 32) as u32 ^ first ^ 0x85eb_ca6b) | 1;
    let half = (1..16).find(|h| 1u64 << (2 * h) >= u64::from(n)).unwrap_or(16);
    let side = 1u32 << half;
    let mut x = i;
    loop {
        let (mut left, mut right) = (x / side, x % side);
        for round in 0..6u32 {
            let key = scramble(first.wrapping_add(round.wrapping_mul(second)));
            (left, right) = (right, left ^ (scramble(right ^ key) % side));
        }
        x = left * side + right;
        if x < n {
            return x;
        }
    }
}

pub type Body = dyn Fn(&Make) -> Option<Var>;

/// A row of a table.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub purpose: Purpose,
    pub order: Order,
    /// The loss scale, if gradients are to have one.
    pub scale: Option<f32>,
    pub body: Rc<Body>,
    pub precision: Precision,
}

impl Case {
    /// A training step whose loss the body gives.
    pub fn new(name: impl Into<String>, body: impl Fn(&Make) -> Var + 'static) -> Self {
        Self::of(name, Purpose::Train, move |m| Some(body(m)))
    }

    /// No loss: outputs alone.
    pub fn predict(name: impl Into<String>, body: impl Fn(&Make) + 'static) -> Self {
        let body = move |m: &Make| {
            body(m);
            None
        };
        Self::of(name, Purpose::Predict, body)
    }

    pub fn over(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    fn of(name: impl Into<String>, purpose: Purpose, body: impl Fn(&Make) -> Option<Var> + 'static) -> Self {
        Case { name: name.into(), purpose, order: Order::all(1), scale: None, body: Rc::new(body), precision: Precision::F32 }
    }

    /// With gradients of the loss times this.
    pub fn scaled(mut self, scale: f32) -> Self {
        self.scale = Some(scale);
        self
    }

    /// In mixed precision.
    pub fn mixed(self) -> Self {
        self.precision(Precision::mixed())
    }

    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Loss and metrics, without gradients.
    pub fn evaluated(mut self) -> Self {
        self.purpose = Purpose::Evaluate;
        self.name += ", evaluated";
        self
    }
}

/// A field as it is stored.
pub struct Stored {
    pub field: Field,
    /// `[rows, width]`; what floats hold is exact in f32.
    values: Vec<f64>,
}

impl Stored {
    /// What is stored of row `i`.
    pub fn row(&self, i: usize) -> &[f64] {
        let width = self.field.stored_width();
        &self.values[i * self.field.step.unwrap_or(width)..][..width]
    }

    /// Puts a number in the place of a row's last.
    pub fn spoil(&mut self, i: usize, value: f64) {
        let width = self.field.stored_width();
        self.values[(i + 1) * width - 1] = value;
    }

    /// As the device holds it: rows of u8 padded to whole words.
    pub fn words(&self) -> Vec<u32> {
        let word = |v: &f64| if self.field.stored == DType::F32 { (*v as f32).to_bits() } else { *v as u32 };
        if self.field.stored != DType::U8 {
            return self.values.iter().map(word).collect();
        }
        let four = |bytes: &[f64]| bytes.iter().enumerate().fold(0u32, |w, (i, b)| w | (*b as u32) << (8 * i));
        self.values.chunks(self.field.stored_width()).flat_map(|row| row.chunks(4).map(four)).collect()
    }

    /// Whether training changes it, or it is shown in part or by channels.
    fn is_changed(&self) -> bool {
        self.field.augmented.is_some() || self.field.image.is_some() || self.field.channels.is_some()
    }

    /// The batch that the gather should give.
    fn gathered(&self, order: &Order) -> Data<f64> {
        let f = &self.field;
        let values = (0..order.batch).flat_map(|i| self.row(order.source(i)));
        match (f.one_hot, f.keep_integer) {
            (Some(n), _) => Data::Real(values.flat_map(|v| (0..n).map(|c| f64::from(u8::from(c as f64 == *v)))).collect()),
            (None, true) => Data::Integer(values.map(|v| *v as u32).collect()),
            (None, false) => Data::Real(values.map(|v| v * f64::from(f.scale) + f64::from(f.shift)).collect()),
        }
    }
}

/// A parameter with its values.
pub struct Leaf {
    pub name: String,
    pub shape: Shape,
    pub values: Vec<f32>,
}

#[derive(Default)]
struct Parts {
    leaves: Vec<(Leaf, Var)>,
    fields: Vec<Stored>,
    metrics: Vec<(String, Var)>,
    outputs: Vec<(String, Var)>,
    buffers: Vec<Leaf>,
    updates: Vec<(String, Var)>,
}

/// What a case's body makes its graph with.
pub struct Make {
    pub order: Order,
    pub builder: Builder,
    random: RefCell<Philox>,
    parts: RefCell<Parts>,
}

impl Make {
    /// A parameter, drawn from [-2, 2).
    pub fn p(&self, shape: impl Into<Shape>) -> Var {
        self.drawn(shape, |u| 4.0 * u - 2.0)
    }

    /// A parameter, drawn from [0.5, 2.5).
    pub fn positive(&self, shape: impl Into<Shape>) -> Var {
        self.drawn(shape, |u| 0.5 + 2.0 * u)
    }

    /// A parameter of both signs, no closer to 0 than 0.5.
    pub fn apart(&self, shape: impl Into<Shape>) -> Var {
        self.drawn(shape, |u| if u < 0.5 { -2.0 + 3.0 * u } else { 3.0 * u - 1.0 })
    }

    /// A parameter of values `f(u)` for uniform `u` in [0, 1).
    pub fn drawn(&self, shape: impl Into<Shape>, f: impl Fn(f64) -> f64) -> Var {
        let shape = shape.into();
        let values = (0..shape.size()).map(|_| f(self.random.borrow_mut().uniform()) as f32).collect();
        let name = format!("p{}", self.parts.borrow().leaves.len());
        let var = self.builder.parameter(&name, shape.clone());
        self.parts.borrow_mut().leaves.push((Leaf { name, shape, values }, var.clone()));
        var
    }

    /// State that is not trained, drawn from [-2, 2).
    pub fn buffer(&self, shape: impl Into<Shape>) -> Var {
        let shape = shape.into();
        let values = (0..shape.size()).map(|_| (4.0 * self.random.borrow_mut().uniform() - 2.0) as f32).collect();
        let name = format!("b{}", self.parts.borrow().buffers.len());
        self.parts.borrow_mut().buffers.push(Leaf { name: name.clone(), shape: shape.clone(), values });
        self.builder.buffer(&name, shape)
    }

    /// What the buffer of this number becomes.
    pub fn update(&self, buffer: usize, value: &Var) {
        self.parts.borrow_mut().updates.push((format!("b{buffer}"), value.clone()));
    }

    pub fn constant(&self, value: f64, shape: impl Into<Shape>) -> Var {
        self.builder.constant(value, shape)
    }

    /// Random numbers of this stream.
    pub fn draw(&self, distribution: Distribution, shape: impl Into<Shape>, stream: &str) -> Var {
        self.builder.random(Draws { distribution, shape: shape.into(), stream: stream.into() })
    }

    /// A field of the batch; `f(u)` draws what is stored.
    pub fn field(&self, field: Field, f: impl Fn(f64) -> f64) -> Var {
        let n = (self.order.rows - 1) * field.step.unwrap_or(field.stored_width()) + field.stored_width();
        let values = (0..n).map(|_| f64::from(f(self.random.borrow_mut().uniform()) as f32)).collect();
        self.parts.borrow_mut().fields.push(Stored { field: field.clone(), values });
        self.builder.batch(self.order.batch, field)
    }

    /// f32 rows, `[batch, ..row]`, drawn from [-2, 2).
    pub fn batch(&self, row: impl Into<Shape>) -> Var {
        let name = format!("x{}", self.parts.borrow().fields.len());
        self.field(field(&name, DType::F32, row), |u| 4.0 * u - 2.0)
    }

    /// Class labels, `[batch]`, stored as bytes where they fit.
    pub fn classes(&self, n: usize) -> Var {
        let stored = if n > 256 { DType::U32 } else { DType::U8 };
        self.field(Field { keep_integer: true, ..field("y", stored, []) }, |u| (u * n as f64).floor())
    }

    /// One-hot rows, `[batch, n]`.
    pub fn one_hot(&self, n: usize) -> Var {
        self.field(Field { one_hot: Some(n), ..field("y", DType::U32, []) }, |u| (u * n as f64).floor())
    }

    /// The sum of `y` times a parameter of its shape: the gradient that comes back is no constant, and the parameter's own gradient is `y`.
    pub fn weigh(&self, y: &Var) -> Var {
        (y * self.p(y.shape())).sum()
    }

    pub fn metric(&self, name: &str, v: &Var) {
        self.parts.borrow_mut().metrics.push((name.into(), v.clone()));
    }

    pub fn output(&self, name: &str, v: &Var) {
        self.parts.borrow_mut().outputs.push((name.into(), v.clone()));
    }
}

/// A plain field: what is stored is what the batch holds.
pub fn field(name: &str, stored: DType, row: impl Into<Shape>) -> Field {
    Field::new(name, stored, row)
}

/// A case with its graph, and the truth about it.
pub struct Built {
    pub step: Step,
    /// Nodes of the graph before the derivative's.
    pub forward: usize,
    pub purpose: Purpose,
    pub order: Order,
    pub scale: Option<f32>,
    pub arena: Arena,
    pub leaves: Vec<Leaf>,
    pub fields: Vec<Stored>,
    pub buffers: Vec<Leaf>,
}

/// Named results with their tolerances: the loss, the gradient's norm, metrics, gradients, outputs.
pub type Truth = Vec<(String, Known)>;

impl Case {
    pub fn build(&self) -> Result<Built, String> {
        let random = RefCell::new(Philox::new(1, &self.name));
        let m = Make { order: self.order, builder: Builder::new(), random, parts: RefCell::default() };
        let loss = (self.body)(&m);
        let Parts { leaves, fields, metrics, outputs, buffers, updates } = m.parts.into_inner();
        let values = |list: Vec<(String, Var)>| list.into_iter().filter_map(|(n, v)| Some((n, v.value()?))).collect();
        let (metrics, outputs, updates) = (values(metrics), values(outputs), values(updates));
        let wrt: Vec<_> = leaves.iter().filter_map(|(_, v)| v.value()).collect();
        let leaves: Vec<Leaf> = leaves.into_iter().map(|(l, _)| l).collect();
        let loss = loss.and_then(|l| l.value());
        let mut graph = m.builder.finish().map_err(|e| e.to_string())?;
        let forward = graph.nodes.len();
        let mut found = Vec::new();
        if let (Purpose::Train, Some(loss)) = (self.purpose, loss) {
            let made = if self.scale.is_some() { scaled_gradients } else { gradients };
            let all = made(&mut graph, loss, &wrt).map_err(|e| e.to_string())?;
            found = leaves.iter().zip(all).filter_map(|(l, g)| Some((l.name.clone(), g?))).collect();
        }
        let named = |l: &Leaf| (l.name.clone(), l.shape.clone());
        let arena = Arena::new(leaves.iter().map(named)).with_buffers(buffers.iter().map(named));
        let precision = self.precision.clone();
        let arena = if precision.is_mixed() { arena.with_half_copies() } else { arena };
        let step = Step { graph, loss, gradients: found, weight: None, metrics, outputs, updates, precision };
        Ok(Built { step, forward, purpose: self.purpose, order: self.order, scale: self.scale, arena, leaves, fields, buffers })
    }
}

/// A rule that leaves parameters as they are.
pub fn no_rule() -> Rule {
    Rule::new(Expr::of(2, |x| vec![x[0].clone()]), 0)
}

impl Built {
    pub fn program(&self, target: Target, rule: &Rule) -> Result<Program, String> {
        self.part(target, rule, Part::Whole)
    }

    /// The training program for this part of an update.
    pub fn part(&self, target: Target, rule: &Rule, part: Part) -> Result<Program, String> {
        let (purpose, batch) = (self.purpose, self.order.batch);
        let plain = plan(&Request { step: &self.step, purpose, part, batch, arena: &self.arena, rule, target, caps: Caps::default() });
        let made = if self.order.list == List::No { plain } else { plain.and_then(|p| p.listed(&Caps::default())) };
        made.map_err(|e| e.to_string())
    }

    /// The update alone.
    pub fn update(&self, target: Target, rule: &Rule) -> Result<Program, String> {
        let has_gradient = |name: &str| self.step.gradients.iter().any(|(n, _)| n == name);
        update_program(&self.arena, rule, has_gradient, target, Caps::default()).map_err(|e| e.to_string())
    }

    fn feed(&self, op: &Op, batch: u32) -> Option<Data<f64>> {
        match op {
            Op::Batch(b) => self.fields.iter().find(|f| f.field.name == b.field.name).map(|f| match f.is_changed() {
                true => augmented::gathered(f, &self.fields, &self.order, batch),
                false => f.gathered(&self.order),
            }),
            Op::Parameter(op::Parameter { name, .. }) | Op::Buffer(op::Buffer { name, .. }) => {
                let leaf = self.leaves.iter().chain(&self.buffers).find(|l| l.name == *name)?;
                Some(Data::Real(leaf.values.iter().map(|&v| v.into()).collect()))
            }
            Op::State(_) => self.scale.map(|s| Data::Real(vec![s.into()])),
            Op::Random(r) => Some(draw(&r.0, self.order.seed, batch)),
            _ => None,
        }
    }

    pub fn graph(&self) -> &Graph {
        &self.step.graph
    }

    /// The reference's results in f64 on the graph as it was written, not as it was simplified; in mixed precision on the one that says what is
    /// stored as f16.
    pub fn truth(&self) -> Result<Truth, String> {
        self.truth_at(0)
    }

    /// As [`Built::truth`], when this many batches have begun before.
    pub fn truth_at(&self, batch: u32) -> Result<Truth, String> {
        let typed = if self.step.precision.is_mixed() { Some(self.step.simplified().map_err(|e| e.to_string())?) } else { None };
        let s = typed.as_ref().unwrap_or(&self.step);
        let g = &s.graph;
        let all = evaluate_all::<f64>(g, &|op| self.feed(op, batch), &s.roots()).map_err(|e| e.to_string())?;
        let known = tolerance::known(g, &all);
        let get = |v: gradus::graph::Value| known[v.node][v.output].clone();
        let mut out: Truth = Vec::new();
        if let Some(loss) = s.loss {
            out.push(("loss".into(), get(loss)));
        }
        let gradients: Truth = s.gradients.iter().map(|(n, v)| (format!("gradient of {n}"), get(*v))).collect();
        if s.loss.is_some() && self.purpose == Purpose::Train {
            out.push(("gradient norm".into(), norm(&gradients, s.precision.is_mixed())));
        }
        out.extend(s.metrics.iter().map(|(n, v)| (format!("metric {n}"), get(*v))));
        out.extend(gradients);
        out.extend(s.outputs.iter().map(|(n, v)| (format!("output {n}"), get(*v))));
        Ok(out)
    }
}

/// The L2 norm of all, which moves by its parts' tolerances along them.
fn norm(gradients: &Truth, mixed: bool) -> Known {
    let all = || gradients.iter().flat_map(|(_, k)| k.value.iter().zip(&k.tol));
    let n = all().map(|(v, _)| v * v).sum::<f64>().sqrt();
    let sum = all().map(|(v, t)| v.abs() * t).sum::<f64>();
    let squares = all().map(|(v, t)| (v * t).powi(2)).sum::<f64>().sqrt();
    let moved = if mixed { sum.min(4.0 * squares) } else { sum } / n.max(f64::MIN_POSITIVE);
    Known { value: vec![n], tol: vec![tolerance::elementwise(n) + moved] }
}
