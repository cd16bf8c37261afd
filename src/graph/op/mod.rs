//! The operations: a table of all there are, and what each must state about itself (`OpRule`).
//!
//! The rule of an operation stands in the file of its family: `leaf`, `map`, `movement`, `product`, `reduce`, `rows`, `classify`, `index`,
//! `custom`. The families build nodes of each other's operations, so the operations themselves are declared here, below all rules.
//!
//! **To add an operation**: a row of the table, and its rule in a family's file. The compiler then asks for its kernel
//! (`plan/lower/`) and for its reference (`reference/ops.rs`); `docs/extending.md` goes through the whole way.

mod adjoint;
mod classify;
mod convolution;
pub(crate) mod custom;
mod custom_kernel;
mod fault;
mod index;
mod kind;
mod leaf;
mod map;
mod movement;
mod multiple;
mod product;
mod reduce;
mod rows;
mod window;

pub(crate) use classify::{IGNORES_CLASSES, REAL_CLASSES};
pub use custom::{Custom, CustomOp};
pub use custom_kernel::CustomKernel;
pub(crate) use custom_kernel::USER_DIMS;
pub(crate) use fault::OpFault;
pub use kind::{ConvPart, Kind, Labels, PoolPart, ReduceKind};
pub(crate) use kind::{Limit, View};
pub use leaf::Leaf;

use super::{Draws, Field, Graph, NodeId, Sampling, StateField, Type, Value, Window};
use crate::error::Result;
use crate::expr::{Expr, Tape};
use crate::tensor::Shape;
use fault::Inferred;
use std::fmt;
use std::hash::Hasher;

/// From one row an operation: its struct (but for `use`, where it is declared elsewhere), its variant of [`Op`], its dispatch.
macro_rules! operations {
    ($($(#[$doc:meta])* $form:ident $name:ident $fields:tt)*) => {
        /// The operations. Each holds its settings; its rule states what it does.
        #[derive(Clone, PartialEq)]
        pub enum Op {
            $($(#[$doc])* $name($name),)*
        }

        impl Op {
            /// What the operation states about itself.
            pub(crate) fn rule(&self) -> &dyn OpRule {
                match self {
                    $(Op::$name(op) => op,)*
                }
            }
        }

        impl fmt::Debug for Op {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Op::$name(op) => fmt::Debug::fmt(op, f),)*
                }
            }
        }

        $(impl From<$name> for Op {
            fn from(op: $name) -> Op {
                Op::$name(op)
            }
        })*

        $(operations! { @declare $form [$(#[$doc])*] $name $fields })*
    };
    (@declare use $doc:tt $name:ident $fields:tt) => {};
    (@declare struct [$($doc:tt)*] $name:ident ;) => { $($doc)* #[derive(Debug, Clone, PartialEq)] pub struct $name; };
    (@declare struct [$($doc:tt)*] $name:ident ($($field:tt)*)) => { $($doc)* #[derive(Debug, Clone, PartialEq)] pub struct $name($($field)*); };
    (@declare struct [$($doc:tt)*] $name:ident {$($field:tt)*}) => { $($doc)* #[derive(Debug, Clone, PartialEq)] pub struct $name {$($field)*} };
}

operations! {
    /// A field of the batch: `[batch, ..row]`, gathered from the data set that lies on the device.
    struct Batch {
        /// Rows.
        pub batch: usize,
        /// What is stored, and what is made of it.
        pub field: Field,
    }

    /// A trainable parameter.
    struct Parameter {
        /// Its full name.
        pub name: String,
        /// Its shape.
        pub shape: Shape,
    }

    /// State that is not trained, as it was when the step began: f32.
    struct Buffer {
        /// Its full name.
        pub name: String,
        /// Its shape.
        pub shape: Shape,
    }

    /// A number of the device's state `[]`, f32, as it was when the step began. No gradient flows to it.
    struct State(pub StateField)

    /// Random numbers, drawn anew in every step. No gradient flows to them.
    struct Random(pub Draws)

    /// A tensor that holds one f32 everywhere.
    struct Constant {
        /// The number.
        pub value: f64,
        /// Its shape.
        pub shape: Shape,
    }

    /// A formula over broadcast inputs (NumPy's rule).
    struct Map(pub Expr)

    /// The input repeated to a larger shape (NumPy's rule).
    struct Broadcast(pub Shape)

    /// Integers (u32) as f32, to the nearest: exact up to 2^24.
    struct ToF32;

    /// The same elements under another shape.
    struct Reshape(pub Shape)

    /// The same value, through which no gradient flows. Simplification takes it away.
    struct Detach;

    /// The axes in another order: axis `i` of the result is axis `axes[i]`.
    struct Permute(pub Vec<usize>)

    /// A box of the input.
    struct Slice {
        /// Its first index along each axis.
        pub start: Vec<usize>,
        /// Its shape.
        pub shape: Shape,
    }

    /// The input within a larger box.
    struct Pad {
        /// The input's first index along each axis.
        pub before: Vec<usize>,
        /// The box.
        pub shape: Shape,
        /// What stands around the input.
        pub value: f64,
    }

    /// The inputs one after another along an axis.
    struct Concat {
        /// Which.
        pub axis: usize,
    }

    /// `[.., m, k] x [.., k, n]`; a flag says that an operand lies transposed. An operand whose leading axes are all 1 serves for all.
    struct MatMul {
        /// The left operand lies transposed.
        pub ta: bool,
        /// The right operand lies transposed.
        pub tb: bool,
    }

    /// A convolution of images, channels last, or one of its gradients: as in every deep-learning framework the window is not mirrored. With `[N, H, W, C]` images,
    /// `[O, kh, kw, C / groups]` weights and `[N, OH, OW, O]` results.
    struct Conv {
        /// How the weights' window moves over the images.
        pub window: Window,
        /// Groups of channels that know nothing of each other.
        pub groups: usize,
        /// Which of the three is made of the two others.
        pub part: ConvPart,
    }

    /// The largest value of each window over images `[N, H, W, C]`, or what belongs to that: the first of equals in row order, the last NaN if there is
    /// one (PyTorch's rule).
    struct MaxPool {
        /// How the window moves.
        pub window: Window,
        /// What is made.
        pub part: PoolPart,
    }

    /// Weighted sums along the height and along the width of images `[N, H, W, C]`.
    struct Resample(pub [Sampling; 2])

    /// Combines over axes; they stay as 1 where `keep` is set.
    struct Reduce {
        /// How.
        pub kind: ReduceKind,
        /// Over which axes.
        pub axes: Vec<usize>,
        /// Whether they stay as 1.
        pub keep: bool,
    }

    /// The index of the largest element along an axis, u32: the first of equals, the first NaN if there is one.
    struct ArgMax {
        /// Which.
        pub axis: usize,
    }

    /// Running sums along the last axis, from its beginning or from its end.
    struct CumSum {
        /// From its end.
        pub reverse: bool,
    }

    /// Softmax over the last axis, or its logarithm.
    struct Softmax {
        /// Whether the logarithm is given, made without the softmax' underflow.
        pub log: bool,
    }

    /// Softmax cross-entropy of `[.., classes]` logits and labels: the mean loss `[]`, its gradient for the logits
    /// `[.., classes]`, and the fraction of rows whose largest logit is the label's `[]`. Where a label does not count there is a third
    /// operand, how many rows do `[]`: the means are over those.
    struct CrossEntropy {
        /// What the labels are.
        pub labels: Labels,
        /// The part `s` of each target that all classes share: `(1 - s) * target + s / classes`.
        pub smoothing: f64,
    }

    /// The fraction of rows whose largest value is the label's `[]`. Where a label does not count there is a third operand,
    /// how many rows do `[]`.
    struct Accuracy(pub Labels)

    /// A table `[n, ..row]` and indices (u32): the rows that they name, `[..indices, ..row]`. An index of `n` or above gives NaN.
    struct Take {
        /// A row that gets no gradient.
        pub padding: Option<usize>,
    }

    /// Values `[..indices, ..row]` and indices (u32): for each of `rows` rows the sum of its values, in index order. What has an index
    /// of `rows` or above is left out: [`Take`] has made NaN of it.
    struct ScatterAdd {
        /// Rows of the result.
        pub rows: usize,
        /// A row whose sum is left out: it is 0.
        pub padding: Option<usize>,
    }

    /// An operation of the user's own.
    use Custom;
}

impl Op {
    /// The name that errors and listings use.
    pub fn name(&self) -> &str {
        self.rule().name()
    }

    /// The kind by which the passes treat it.
    pub fn kind(&self) -> Kind {
        self.rule().kind()
    }

    /// Floating-point operations, for listings.
    pub fn flops(&self, inputs: &[&Type], outputs: &[Type]) -> u64 {
        self.rule().flops(inputs, outputs)
    }
}

/// What an operation states about itself. In all of it `x` are the operands and `y` the results.
pub(crate) trait OpRule {
    /// The name that errors and listings use.
    fn name(&self) -> &str;

    /// The kind by which the passes treat it.
    fn kind(&self) -> Kind;

    /// The types of its results, or why the operands do not fit.
    fn infer(&self, x: &[&Type]) -> Inferred;

    /// The gradient of the loss for each operand, as nodes that are added to the graph. An operand may have none; if none has one, the list may
    /// be empty.
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>>;

    /// Floating-point operations, for listings.
    fn flops(&self, _x: &[&Type], _y: &[Type]) -> u64 {
        0
    }

    /// How listings of a graph show it.
    fn label(&self) -> String {
        self.name().to_string()
    }

    /// Hashes the settings that most often tell two such operations apart. The search for equal nodes compares whole operations after that, so
    /// that a setting may be left out here.
    fn hash(&self, _: &mut dyn Hasher) {}

    /// Simpler operations that give the same, if there are any. `x` are the operands in the simplified graph, `shape` is the result's.
    fn simplified(&self, _x: &[Value], _shape: &Shape, _g: &Graph) -> Option<Rewrite> {
        None
    }

    /// Whether its kernel can read this operand where it is stored as f16.
    fn reads_half(&self, _operand: usize) -> bool {
        self.kind() == Kind::Product || self.kind().is_between()
    }

    /// The formula that a map kernel computes for it. `x` are the operands as the kernel reads them: nodes on the tape.
    fn formula(&self, _: &mut Tape, x: &[usize]) -> usize {
        x[0]
    }

    /// How a map kernel reads an operand of a [`Kind::Move`].
    fn view(&self, operand: usize, x: &[&Type]) -> View {
        View::whole(x[operand].shape.rank())
    }

    /// The bound on the integers of its second operand, if it has one that data could break.
    fn limit(&self) -> Option<Limit> {
        None
    }
}

/// A node whose gradient is asked for.
pub(crate) struct Adjoint<'a> {
    /// The node.
    pub id: NodeId,
    /// Its operands.
    pub inputs: &'a [Value],
    /// The gradient of the loss for each of its results, none where the loss does not depend on the result. At least one is there.
    pub grads: &'a [Option<Value>],
    /// Which operands want a gradient.
    pub wants: &'a [bool],
}

/// What stands for a node in a simplified graph: operations one after another, the first of them on the values `on`. Without operations the
/// first of these values stands for the node.
pub(crate) struct Rewrite {
    /// The operands of the first operation.
    pub on: Vec<Value>,
    /// The operations. A reshape or a repeat to the shape that is there already is left out.
    pub ops: Vec<Op>,
}

impl Rewrite {
    /// A value that is there already.
    fn value(v: Value) -> Self {
        Rewrite { on: vec![v], ops: vec![] }
    }

    /// One operation.
    fn op(op: impl Into<Op>, on: Vec<Value>) -> Self {
        Rewrite { on, ops: vec![op.into()] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A checkpoint holds a hash of the model's operations as they print. Checkpoints of older versions must go on to fit.
    #[test]
    fn operations_print_as_ever() {
        let shape: Shape = [2].into();
        let ops: [(Op, &str); 5] = [
            (Detach.into(), "Detach"),
            (MatMul { ta: true, tb: false }.into(), "MatMul { ta: true, tb: false }"),
            (Accuracy(Labels::Classes).into(), "Accuracy(Classes)"),
            (Broadcast(shape.clone()).into(), "Broadcast([2])"),
            (Parameter { name: "w".into(), shape }.into(), "Parameter { name: \"w\", shape: [2] }"),
        ];
        ops.iter().for_each(|(op, want)| assert_eq!(format!("{op:?}"), *want));
    }

    /// An operation that `leaf` knows has the kind of a leaf, so that no pass computes it.
    #[test]
    fn leaves_are_known_by_both() {
        let shape: Shape = [2].into();
        let draws = Draws { distribution: super::super::Distribution::Uniform, shape: shape.clone(), stream: "s".into() };
        let leaves: [Op; 4] = [
            Parameter { name: "w".into(), shape: shape.clone() }.into(),
            Buffer { name: "b".into(), shape: shape.clone() }.into(),
            State(StateField::LossScale).into(),
            Random(draws).into(),
        ];
        assert!(leaves.iter().all(|op| op.leaf().is_some() && matches!(op.kind(), Kind::Leaf | Kind::Random)));
        assert!(Op::from(Constant { value: 1.0, shape }).leaf().is_none());
    }
}
