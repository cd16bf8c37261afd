//! Every archetype of kernel at sizes that 32 bits do not hold: planned, never run.

use crate::common::twice::Twice;
use gradus::graph::{Builder, Convolution, Distribution, Draws, Field, Interpolation, Precision, Var, gradients};
use gradus::kernels::{CoopCaps, Target};
use gradus::optim::{Adam, Lamb, Optimizer, Sgd};
use gradus::plan::{Arena, Caps, Part, Program, Purpose, Request, Rule, Step, plan};
use gradus::tensor::{DType, Shape};
use std::cell::RefCell;

/// What a case's graph is made with.
struct Make {
    builder: Builder,
    batch: usize,
    leaves: RefCell<Vec<(String, Shape, Var)>>,
    buffers: RefCell<Vec<(String, Shape)>>,
    updates: RefCell<Vec<(String, Var)>>,
}

impl Make {
    fn p(&self, shape: impl Into<Shape>) -> Var {
        let (shape, name) = (shape.into(), format!("p{}", self.leaves.borrow().len()));
        let var = self.builder.parameter(&name, shape.clone());
        self.leaves.borrow_mut().push((name, shape, var.clone()));
        var
    }

    fn field(&self, name: &str, stored: DType, row: impl Into<Shape>, keep_integer: bool, one_hot: Option<usize>) -> Var {
        let field = Field { keep_integer, one_hot, ..Field::new(name, stored, row) };
        self.builder.batch(self.batch, field)
    }

    /// Class labels.
    fn classes(&self) -> Var {
        self.field("y", DType::U32, [], true, None)
    }
}

/// An operation on about so many elements: what it gives, or a loss.
pub struct Case {
    pub name: &'static str,
    body: fn(&Make, usize) -> Var,
    /// Rows of a batch of so many elements.
    batch: fn(usize) -> usize,
    /// The loss is trained under these rules, else the value is an output.
    rules: Vec<Rule>,
    precision: Precision,
}

/// A step of `case` at this size, for each rule and part.
impl Case {
    pub fn programs(&self, n: usize, target: Target) -> gradus::Result<Vec<Program>> {
        self.programs_for(n, target, Caps::default())
    }

    /// For a device that can do this.
    pub fn programs_for(&self, n: usize, target: Target, caps: Caps) -> gradus::Result<Vec<Program>> {
        let m = Make {
            builder: Builder::new(),
            batch: (self.batch)(n),
            leaves: RefCell::default(),
            buffers: RefCell::default(),
            updates: RefCell::default(),
        };
        let out = (self.body)(&m, n);
        let (leaves, buffers, updates, batch) = (m.leaves.take(), m.buffers.take(), m.updates.take(), m.batch);
        let values = |list: Vec<(String, Var)>| list.into_iter().filter_map(|(n, v)| Some((n, v.value()?))).collect::<Vec<_>>();
        let wrt: Vec<_> = leaves.iter().filter_map(|(.., v)| v.value()).collect();
        let arena = Arena::new(leaves.iter().map(|(n, s, _)| (n.clone(), s.clone()))).with_buffers(buffers);
        let arena = if self.precision.is_mixed() { arena.with_half_copies() } else { arena };
        let (value, updates) = (out.value(), values(updates));
        let train = !self.rules.is_empty();
        let mut graph = m.builder.finish()?;
        let mut found = Vec::new();
        if let (true, Some(loss)) = (train, value) {
            let all = gradients(&mut graph, loss, &wrt)?;
            found = leaves.iter().zip(all).filter_map(|((n, ..), g)| Some((n.clone(), g?))).collect();
        }
        let outputs = value.filter(|_| !train).map(|v| ("out".to_string(), v)).into_iter().collect();
        let precision = self.precision.clone();
        let loss = value.filter(|_| train);
        let step = Step { graph, loss, gradients: found, metrics: vec![], outputs, updates, weight: None, precision };
        let coop = self.precision.is_mixed().then_some(CoopCaps { side: 16, lanes: 32, workgroup_bytes: 48 << 10, threads: 1024 });
        let caps = Caps { coop, ..caps };
        let purpose = if train { Purpose::Train } else { Purpose::Predict };
        let none = [Rule::new(gradus::expr::Expr::of(2, |x| vec![x[0].clone()]), 0)];
        let rules = if train { &self.rules[..] } else { &none[..] };
        let mut all = Vec::new();
        for rule in rules {
            let parts: &[Part] = if train { &[Part::Whole, Part::Inner, Part::Last] } else { &[Part::Whole] };
            for &part in parts {
                all.push(plan(&Request { step: &step, purpose, part, batch, arena: &arena, rule, target, caps })?);
            }
        }
        Ok(all)
    }
}

/// One of each, and of each layout along which sizes can grow.
pub fn all() -> Vec<Case> {
    let one = |_: usize| 1;
    let value = |name, body| Case { name, body, batch: one, rules: vec![], precision: Precision::F32 };
    let of = |o: Optimizer| o.rule();
    let plain = || vec![of(Sgd::new(0.1).into())];
    let trained = |name, body| Case { rules: plain(), ..value(name, body) };
    let rows = |name, body, batch| Case { rules: plain(), batch, ..value(name, body) };
    let many = |n: usize| n / 256;
    vec![
        value("map", |m, n| m.p([n]).exp()),
        value("map, broadcast", |m, n| m.p([n / 8, 8]) * m.p([8]) + m.p([n / 8, 1])),
        value("map, strided", |m, n| m.p([n / 64, 64]).permute(&[1, 0]).exp()),
        value("map, windows", |m, n| m.p([n / 64, 64]).pad(&[(1, 2), (3, 0)], 0.5).concat(&[&m.p([n / 64 + 3, 5])], 1)),
        value("map, draws", |m, n| {
            m.p([n]) * m.builder.random(Draws { distribution: Distribution::Uniform, shape: [n].into(), stream: "s".into() })
        }),
        value("map of a slice", |m, n| m.p([n / 64, 64]).slice(0, n / 64 - 3..n / 64).exp()),
        value("reduce, rows", |m, n| m.p([n / 256, 256]).exp().sum_axes(&[1])),
        value("reduce, short rows", |m, n| m.p([n / 2, 2]).exp().mean_axes(&[1])),
        value("reduce, long rows", |m, n| m.p([256, n / 256]).exp().sum_axes(&[1])),
        value("reduce, columns", |m, n| m.p([n / 256, 256]).exp().sum_axes(&[0])),
        value("reduce, all", |m, n| m.p([n]).exp().sum()),
        value("reduce, largest", |m, n| m.p([n / 256, 256]).max_axes(&[1])),
        value("gemm, tall", |m, n| m.p([n / 64, 64]).matmul(&m.p([64, 64]))),
        value("gemm, a wide result", |m, n| m.p([n / 64, 1]).matmul(&m.p([1, 64])).exp()),
        value("gemm, wide", |m, n| m.p([64, 64]).matmul(&m.p([64, n / 64]))),
        value("gemm, long", |m, n| m.p([64, n / 64]).matmul_with(&m.p([64, n / 64]), false, true)),
        value("gemm, of transposed", |m, n| m.p([n / 64, 64]).matmul_with(&m.p([n / 64, 64]), true, false)),
        value("gemm, both transposed", |m, n| m.p([64, n / 64]).matmul_with(&m.p([64, 64]), true, true)),
        value("gemm, many", |m, n| m.p([n / 4096, 64, 64]).matmul(&m.p([n / 4096, 64, 64]))),
        Case { precision: Precision::mixed(), ..value("gemm in f16", |m, n| m.p([n / 64, 64]).matmul(&m.p([64, 64]))) },
        value("softmax", |m, n| m.p([n / 256, 256]).softmax()),
        value("log_softmax of long rows", |m, n| m.p([256, n / 256]).log_softmax()),
        value("cumsum", |m, n| m.p([n / 256, 256]).cumsum(1)),
        value("cumsum of long rows", |m, n| m.p([256, n / 256]).cumsum(1)),
        value("window", |m, n| m.p([n / 256, 4, 8, 8]).max_pool2d(2)),
        value("window, sums", |m, n| m.p([n / 1024, 1, 16, 16]).interpolate([32, 32], Interpolation::Bilinear, false)),
        value("window, depthwise", |m, n| m.p([n / 256, 4, 8, 8]).conv2d(&m.p([4, 1, 3, 3]), Convolution::new().groups(4))),
        value("argmax", |m, n| m.p([n / 256, 256]).argmax(1)),
        value("argmax of columns", |m, n| m.p([n / 256, 256]).argmax(0)),
        rows("cross_entropy", |m, n| m.p([m.batch, n / m.batch]).cross_entropy(&m.classes()), many),
        rows("cross_entropy of long rows", |m, n| m.p([m.batch, n / m.batch]).cross_entropy(&m.classes()), |_| 16),
        rows(
            "cross_entropy, probabilities",
            |m, n| m.p([m.batch, n / m.batch]).cross_entropy(&m.field("y", DType::U8, [], false, Some(n / m.batch))),
            many,
        ),
        Case { batch: many, ..value("accuracy", |m, n| m.p([m.batch, n / m.batch]).accuracy(&m.classes())) },
        Case { batch: many, ..value("gather", |m, _| m.field("x", DType::F32, [256], false, None).exp()) },
        Case { batch: |_| 4, ..value("gather of long rows", |m, n| m.field("x", DType::U8, [n / 4], false, None).exp()) },
        Case { batch: many, ..value("gather, one-hot", |m, _| m.field("x", DType::U8, [], false, Some(256)).exp()) },
        Case { batch: |_| 64, ..value("take from a large table", |m, n| m.p([n / 64, 64]).take(&m.classes())) },
        Case { batch: |n| n / 64, ..value("take of many", |m, _| m.p([64, 64]).take(&m.classes())) },
        rows("scatter to a large table", |m, n| m.p([n / 64, 64]).take(&m.classes()).exp().sum(), |_| 64),
        rows("scatter of many", |m, _| m.p([64, 64]).take_padded(&m.classes(), 3).exp().sum(), |n| n / 64),
        // as many indices as elements: the links have fewer bits
        rows("scatter of as many indices", |m, _| m.p([64, 1]).take(&m.classes()).exp().sum(), |n| n),
        value("custom", |m, n| m.p([n]).custom(Twice, &[])),
        trained("commit", |m, n| {
            let b = m.builder.buffer("b", [n].into());
            m.buffers.borrow_mut().push(("b".into(), [n].into()));
            m.updates.borrow_mut().push(("b".into(), &b * 0.5));
            (&b * m.p([n])).sum()
        }),
        Case {
            rules: vec![
                of(Adam::default().into()),
                of(Adam::default().into()).clip_norm(1.0),
                of(Lamb::default().into()),
                of(Lamb::default().into()).clip_norm(1.0),
                of(Adam::default().into()).average(0.9),
            ],
            ..trained("updates", |m, n| (m.p([n / 2]) * 3.0).exp().sum() + m.p([n / 2]).exp().sum())
        },
        Case {
            rules: vec![of(Adam::default().into())],
            precision: Precision::mixed(),
            ..trained("updates with f16 copies", |m, n| m.p([n]).exp().sum())
        },
    ]
}

/// The kinds of kernels that these programs launch.
pub fn kinds(programs: &[Program]) -> impl Iterator<Item = &'static str> {
    programs.iter().flat_map(|p| &p.launches).map(|l| l.kernel.kind())
}
