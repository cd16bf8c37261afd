use super::{Custom, Draws, Field, OpFault, StateField, Type, custom, movement, take};
use crate::expr::{Binary, Expr, Node};
use crate::tensor::{DType, Shape};

/// How a reduction combines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    /// The sum.
    Sum,
    /// The arithmetic mean.
    Mean,
    /// The arithmetic mean, summed as differences from the first element, `x0 + mean(x - x0)`: exact where all are equal, and near to it
    /// where they are far from 0 and close together. For statistics; a first element far from all others costs it digits.
    MeanFromFirst,
    /// The largest; NaN if one is.
    Max,
}

/// What the labels of a classification are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Labels {
    /// One u32 a row.
    Classes,
    /// A row of probabilities, as one-hot gives them.
    Probabilities,
}

/// The operations. **To add one**: `docs/extending.md` goes through the ten places (the rule here, `grad.rs`, a method in `var/`,
/// `kernels/` and `shaders/`, `plan/`, `cpu/`, `reference/`; in `tests/parity/` its tolerance, rows and planted errors).
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// A field of the batch: `[batch, ..row]`, gathered from the data set that lies on the device.
    Batch {
        /// Rows.
        batch: usize,
        /// What is stored, and what is made of it.
        field: Field,
    },
    /// A trainable parameter.
    Parameter {
        /// Its full name.
        name: String,
        /// Its shape.
        shape: Shape,
    },
    /// State that is not trained, as it was when the step began: f32.
    Buffer {
        /// Its full name.
        name: String,
        /// Its shape.
        shape: Shape,
    },
    /// One f32 everywhere.
    Constant {
        /// The number.
        value: f64,
        /// Its shape.
        shape: Shape,
    },
    /// A number of the device's state `[]`, f32, as it was when the step began. No gradient flows to it.
    State(StateField),
    /// Random numbers, other ones in every step. No gradient flows to them.
    Random(Draws),
    /// A formula over broadcast inputs (NumPy's rule).
    Map(Expr),
    /// The input repeated to a larger shape (NumPy's rule).
    Broadcast(Shape),
    /// Combines over axes; they stay as 1 where `keep` is set.
    Reduce {
        /// How.
        kind: ReduceKind,
        /// Over which axes.
        axes: Vec<usize>,
        /// Whether they stay as 1.
        keep: bool,
    },
    /// `[.., m, k] x [.., k, n]`; a flag says that an operand lies transposed. An operand whose leading axes are all 1 serves for all.
    MatMul {
        /// The left operand lies transposed.
        ta: bool,
        /// The right operand lies transposed.
        tb: bool,
    },
    /// The same elements under another shape.
    Reshape(Shape),
    /// The same value, through which no gradient flows. Simplification takes it away.
    Detach,
    /// Integers (u32) as f32, to the nearest: exact up to 2^24.
    ToF32,
    /// The axes in another order: axis `i` of the result is axis `axes[i]`.
    Permute(Vec<usize>),
    /// A box of the input.
    Slice {
        /// Its first index along each axis.
        start: Vec<usize>,
        /// Its shape.
        shape: Shape,
    },
    /// The input within a larger box.
    Pad {
        /// The input's first index along each axis.
        before: Vec<usize>,
        /// The box.
        shape: Shape,
        /// What stands around the input.
        value: f64,
    },
    /// The inputs one after another along an axis.
    Concat {
        /// Which.
        axis: usize,
    },
    /// The index of the largest element along an axis, u32: the first of equals, the first NaN if there is one.
    ArgMax {
        /// Which.
        axis: usize,
    },
    /// Running sums along the last axis, from its beginning or from its end.
    CumSum {
        /// From its end.
        reverse: bool,
    },
    /// Softmax over the last axis, or its logarithm.
    Softmax {
        /// Whether the logarithm is given, made without the softmax' underflow.
        log: bool,
    },
    /// Softmax cross-entropy of `[rows, classes]` logits and labels: the mean loss `[]`, its gradient for the logits
    /// `[rows, classes]`, and the fraction of rows whose largest logit is the label's `[]`.
    CrossEntropy {
        /// What the labels are.
        labels: Labels,
        /// The part `s` of each target that all classes share: `(1 - s) * target + s / classes`.
        smoothing: f64,
    },
    /// The fraction of rows whose largest value is the label's `[]`.
    Accuracy(Labels),
    /// A table `[n, ..row]` and indices (u32): the rows that they name, `[..indices, ..row]`. An index of `n` or above gives NaN.
    Take {
        /// A row that gets no gradient.
        padding: Option<usize>,
    },
    /// Values `[..indices, ..row]` and indices (u32): for each of `rows` rows the sum of its values, in index order. What has an index
    /// of `rows` or above is left out: [`Op::Take`] has made NaN of it.
    ScatterAdd {
        /// Rows of the result.
        rows: usize,
        /// A row whose sum is left out: it is 0.
        padding: Option<usize>,
    },
    /// An operation of the user's own.
    Custom(Custom),
}

pub(super) type Inferred = Result<Vec<Type>, OpFault>;

impl Op {
    /// The name that errors and listings use.
    pub fn name(&self) -> &str {
        match self {
            Op::Batch { .. } => "batch",
            Op::Parameter { .. } => "parameter",
            Op::Buffer { .. } => "buffer",
            Op::Constant { .. } => "constant",
            Op::State(field) => field.name(),
            Op::Random(d) => d.distribution.name(),
            Op::Map(f) => match f.nodes() {
                [.., Node::Binary(b, ..)] if f.flops() == 1 => match b {
                    Binary::Add => "add",
                    Binary::Sub => "sub",
                    Binary::Mul => "mul",
                    Binary::Div => "div",
                    Binary::Max => "maximum",
                    Binary::Min => "minimum",
                    Binary::Pow => "pow",
                    Binary::Less => "less",
                    Binary::LessEqual => "less_equal",
                    Binary::Equal => "equal",
                },
                [.., Node::Unary(u, _)] if f.flops() == 1 => u.name(),
                [.., Node::Select(..)] if f.flops() == 1 => "select",
                _ => "map",
            },
            Op::Broadcast(_) => "broadcast_to",
            Op::Reduce { kind: ReduceKind::Sum, .. } => "sum",
            Op::Reduce { kind: ReduceKind::Mean | ReduceKind::MeanFromFirst, .. } => "mean",
            Op::MatMul { .. } => "matmul",
            Op::Reduce { kind: ReduceKind::Max, .. } => "max",
            Op::Permute(_) => "permute",
            Op::Slice { .. } => "slice",
            Op::Pad { .. } => "pad",
            Op::Concat { .. } => "concat",
            Op::ArgMax { .. } => "argmax",
            Op::Reshape(_) => "reshape",
            Op::Detach => "detach",
            Op::ToF32 => "to_f32",
            Op::CumSum { .. } => "cumsum",
            Op::Softmax { log: false } => "softmax",
            Op::Softmax { log: true } => "log_softmax",
            Op::CrossEntropy { .. } => "cross_entropy",
            Op::Accuracy(_) => "accuracy",
            Op::Take { .. } => "take",
            Op::ScatterAdd { .. } => "scatter_add",
            Op::Custom(c) => c.op().name(),
        }
    }

    /// Whether it only moves elements of its operands to other places. (A reshape moves none.)
    pub fn is_movement(&self) -> bool {
        matches!(self, Op::Permute(_) | Op::Slice { .. } | Op::Pad { .. } | Op::Concat { .. })
    }

    /// The types of its outputs, or why the operands do not fit.
    pub(super) fn infer(&self, inputs: &[&Type]) -> Inferred {
        match self {
            Op::Batch { batch, field } => Ok(vec![Type { shape: field.out_row().batched(*batch), dtype: field.out_dtype() }]),
            Op::Parameter { shape, .. } | Op::Buffer { shape, .. } | Op::Constant { shape, .. } => Ok(vec![Type::f32(shape.clone())]),
            Op::State(_) => Ok(vec![Type::f32([])]),
            Op::Random(d) => Ok(vec![Type::f32(d.shape.clone())]),
            Op::Map(f) => {
                all_f32(inputs)?;
                debug_assert_eq!(f.arity(), inputs.len());
                let mut out = Shape::default();
                for t in inputs {
                    out = out.broadcast(&t.shape).ok_or_else(|| {
                        OpFault::shape(
                            format!("shapes {} do not broadcast", shapes(inputs)),
                            "align them from the last axis: sizes must be equal or 1",
                        )
                    })?;
                }
                Ok(vec![Type::f32(out)])
            }
            Op::Broadcast(to) => {
                all_f32(inputs)?;
                match inputs[0].shape.broadcast(to) {
                    Some(s) if s == *to => Ok(vec![Type::f32(s)]),
                    _ => Err(OpFault::shape(
                        format!("{} cannot be repeated to {to}", inputs[0].shape),
                        "aligned from the last axis, each size must be 1 or the target's",
                    )),
                }
            }
            Op::Reduce { axes, keep, .. } => {
                all_f32(inputs)?;
                let s = &inputs[0].shape;
                if let Some(a) = axes.iter().find(|&&a| a >= s.rank()) {
                    return Err(OpFault::shape(format!("there is no axis {a} in {s}"), "axes count from 0, outermost first"));
                }
                let dims: Vec<usize> = (0..s.rank())
                    .filter_map(|i| {
                        if !axes.contains(&i) {
                            Some(s[i])
                        } else if *keep {
                            Some(1)
                        } else {
                            None
                        }
                    })
                    .collect();
                Ok(vec![Type::f32(dims)])
            }
            Op::MatMul { ta, tb } => matmul(inputs, *ta, *tb),
            Op::Reshape(to) => {
                if inputs[0].shape.size() != to.size() {
                    return Err(OpFault::shape(
                        format!("{} has {} elements and {to} has {}", inputs[0].shape, inputs[0].shape.size(), to.size()),
                        "a reshape keeps the number of elements",
                    ));
                }
                Ok(vec![Type { shape: to.clone(), dtype: inputs[0].dtype }])
            }
            Op::Detach => Ok(vec![inputs[0].clone()]),
            Op::ToF32 if inputs[0].dtype == DType::U32 => Ok(vec![Type::f32(inputs[0].shape.clone())]),
            Op::ToF32 => Err(OpFault::dtype(format!("an operand {} is {}", inputs[0].shape, inputs[0].dtype), "it is no integer")),
            Op::CumSum { .. } | Op::Softmax { .. } => {
                all_f32(inputs)?;
                if inputs[0].shape.rank() == 0 {
                    return Err(OpFault::shape("a scalar has no axis to normalise".into(), "give it at least one axis"));
                }
                Ok(vec![inputs[0].clone()])
            }
            Op::CrossEntropy { labels, .. } => {
                classification(inputs, *labels)?;
                Ok(vec![Type::f32([]), inputs[0].clone(), Type::f32([])])
            }
            Op::Accuracy(labels) => {
                classification(inputs, *labels)?;
                Ok(vec![Type::f32([])])
            }
            Op::Permute(axes) => movement::permute(inputs[0], axes),
            Op::Slice { start, shape } => movement::slice(inputs[0], start, shape),
            Op::Pad { before, shape, .. } => movement::pad(inputs[0], before, shape),
            Op::Concat { axis } => movement::concat(inputs, *axis),
            Op::ArgMax { axis } => movement::argmax(inputs[0], *axis),
            Op::Take { padding } => take::take(inputs, *padding),
            Op::ScatterAdd { rows, .. } => take::scatter_add(inputs, *rows),
            Op::Custom(c) => custom::infer(c.op(), inputs),
        }
    }

    /// Floating-point operations, for listings.
    pub fn flops(&self, inputs: &[&Type], outputs: &[Type]) -> u64 {
        let n = |t: &Type| t.shape.size() as u64;
        match self {
            Op::Map(f) => n(&outputs[0]) * f.flops() as u64,
            Op::Reduce { .. } => n(inputs[0]),
            Op::MatMul { ta, .. } => {
                let s = &inputs[0].shape;
                (2 * n(&outputs[0])).saturating_mul(s[s.rank() - if *ta { 2 } else { 1 }] as u64)
            }
            Op::Softmax { .. } | Op::CrossEntropy { .. } => 5 * n(inputs[0]),
            Op::Accuracy(_) | Op::ScatterAdd { .. } | Op::ArgMax { .. } | Op::CumSum { .. } => n(inputs[0]),
            Op::Custom(c) => c.op().flops(inputs, &outputs.iter().collect::<Vec<_>>()),
            _ => 0,
        }
    }
}

fn all_f32(inputs: &[&Type]) -> Result<(), OpFault> {
    match inputs.iter().find(|t| t.dtype != DType::F32) {
        None => Ok(()),
        Some(t) => Err(OpFault::dtype(
            format!("an operand {} is {}", t.shape, t.dtype),
            "integers are compared, and not computed with: `to_f32` makes numbers of them, `one_hot` rows of 0 and 1; real labels are f32",
        )),
    }
}

fn shapes(inputs: &[&Type]) -> String {
    inputs.iter().map(|t| t.shape.to_string()).collect::<Vec<_>>().join(" and ")
}

fn matmul(inputs: &[&Type], ta: bool, tb: bool) -> Inferred {
    all_f32(inputs)?;
    let (a, b) = (&inputs[0].shape, &inputs[1].shape);
    let flag = |t: bool| if t { " (transposed)" } else { "" };
    let fail = |why: &str| {
        OpFault::shape(
            format!("{a}{} times {b}{}: {why}", flag(ta), flag(tb)),
            "[.., m, k] times [.., k, n] gives [.., m, n]; the axes in front must be equal",
        )
    };
    if a.rank() < 2 || a.rank() != b.rank() {
        return Err(fail("both need the same rank, at least 2"));
    }
    let (r, lead) = (a.rank(), a.rank() - 2);
    let pick = |s: &Shape, t: bool| if t { (s[r - 1], s[r - 2]) } else { (s[r - 2], s[r - 1]) };
    let ((m, ka), (kb, n)) = (pick(a, ta), pick(b, tb));
    if ka != kb {
        return Err(fail(&format!("the inner sizes {ka} and {kb} differ")));
    }
    // one matrix serves for all
    let (fa, fb) = (&a.dims()[..lead], &b.dims()[..lead]);
    let one = |f: &[usize]| f.iter().all(|&d| d == 1);
    if fa != fb && !one(fa) && !one(fb) {
        return Err(fail("the axes in front differ"));
    }
    let mut out = if one(fa) { fb.to_vec() } else { fa.to_vec() };
    out.extend([m, n]);
    Ok(vec![Type::f32(out)])
}

/// What to do about numbers where classes are meant.
pub(crate) const REAL_CLASSES: &str = "classes are integers, `HostTensor::u32` or `u8`; f32 labels are probabilities, `[rows, classes]`";

fn classification(inputs: &[&Type], labels: Labels) -> Result<(), OpFault> {
    all_f32(&inputs[..1])?;
    let (x, y) = (inputs[0], inputs[1]);
    if x.shape.rank() != 2 {
        return Err(OpFault::shape(format!("the scores have shape {}", x.shape), "give [rows, classes]: one score for each class"));
    }
    match labels {
        Labels::Classes if y.dtype != DType::U32 => {
            Err(OpFault::dtype(format!("class labels of dtype {}", y.dtype), "give integer labels, or rows of probabilities"))
        }
        Labels::Classes if y.shape.dims() != [x.shape[0]] => {
            Err(OpFault::shape(format!("scores {} and class labels {}", x.shape, y.shape), "give one label for each row of scores"))
        }
        Labels::Probabilities if y.dtype != DType::F32 => {
            Err(OpFault::dtype(format!("label rows of dtype {}", y.dtype), "give f32 probabilities"))
        }
        Labels::Probabilities if y.shape != x.shape && y.shape.size() == x.shape[0] => {
            Err(OpFault::shape(format!("scores {} and labels {} that are f32", x.shape, y.shape), REAL_CLASSES))
        }
        Labels::Probabilities if y.shape != x.shape => Err(OpFault::shape(
            format!("scores {} and label rows {}", x.shape, y.shape),
            "the last layer must have as many outputs as the labels have classes",
        )),
        _ => Ok(()),
    }
}
