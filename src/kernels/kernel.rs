//! The list of kernels.

use super::lib::binding::{Access, Binding};
use super::lib::halves::Halves;
use super::lib::limits::MAX_GROUPS;
use super::lib::word::count_in_32_bits;
use super::{
    Accumulate, Accuracy, ArgMax, Commit, CrossEntropy, CumSum, Custom, Direction, Gather, Gemm, GemmCoop, Map, Optimizer, Ratios, Reduce,
    ScatterAdd, ScatterLinks, Softmax, Squares, Take, Tick,
};
use crate::expr::Expr;

/// Hands the one list of kernels to a macro: what there is of each kernel is made from here.
macro_rules! with_kernels {
    ($then:ident) => {
        $then! {
            /// A formula at every element.
            Map,
            /// Sums over an axis.
            Reduce,
            /// Matrix products.
            Gemm,
            /// Matrix products on cooperative matrices.
            GemmCoop,
            /// Softmax over rows.
            Softmax,
            /// Softmax cross-entropy with its gradient.
            CrossEntropy,
            /// Hits of the largest score.
            Accuracy,
            /// Running sums over rows.
            CumSum,
            /// Where the largest stands.
            ArgMax,
            /// Rows of the data set to a batch.
            Gather,
            /// Rows of a table by number.
            Take,
            /// Chains of equal indices.
            ScatterLinks,
            /// Sums by index, over those chains.
            ScatterAdd,
            /// An operation of the user's own.
            Custom,
            /// New values of state that is not trained.
            Commit,
            /// Sums of the gradients of several batches.
            Accumulate,
            /// Sums of squares of all gradients.
            Squares,
            /// Where an update goes that needs norms of each tensor.
            Direction,
            /// The ratios of those norms.
            Ratios,
            /// The update of all parameters.
            Optimizer,
            /// The end of a step.
            Tick,
        }
    };
}
pub(crate) use with_kernels;

macro_rules! kernels {
    ($($(#[$about:meta])* $kernel:ident,)*) => {
        /// A kernel with its sizes. The order of its buffers is stated at each archetype.
        #[derive(Debug, Clone)]
        pub enum Kernel {
            $($(#[$about])* $kernel($kernel),)*
        }
    };
}
with_kernels!(kernels);

macro_rules! each {
    ($self:ident, $k:ident => $e:expr) => {
        match $self {
            Kernel::Map($k) => $e,
            Kernel::Reduce($k) => $e,
            Kernel::Gemm($k) => $e,
            Kernel::GemmCoop($k) => $e,
            Kernel::Softmax($k) => $e,
            Kernel::CrossEntropy($k) => $e,
            Kernel::Accuracy($k) => $e,
            Kernel::CumSum($k) => $e,
            Kernel::ArgMax($k) => $e,
            Kernel::Gather($k) => $e,
            Kernel::Take($k) => $e,
            Kernel::ScatterLinks($k) => $e,
            Kernel::ScatterAdd($k) => $e,
            Kernel::Custom($k) => $e,
            Kernel::Commit($k) => $e,
            Kernel::Accumulate($k) => $e,
            Kernel::Squares($k) => $e,
            Kernel::Direction($k) => $e,
            Kernel::Ratios($k) => $e,
            Kernel::Optimizer($k) => $e,
            Kernel::Tick($k) => $e,
        }
    };
}

impl Kernel {
    /// The archetype's name, with the layout where it has several.
    pub fn name(&self) -> String {
        match self {
            Kernel::Map(_) => "map".into(),
            Kernel::Reduce(_) => "reduce".into(),
            Kernel::Gemm(g) => g.name(),
            Kernel::GemmCoop(g) => g.name(),
            Kernel::Softmax(k) => if k.log { "log_softmax" } else { "softmax" }.into(),
            Kernel::CrossEntropy(_) => "cross_entropy".into(),
            Kernel::Accuracy(_) => "accuracy".into(),
            Kernel::CumSum(_) => "cumsum".into(),
            Kernel::ArgMax(_) => "argmax".into(),
            Kernel::Gather(_) => "gather".into(),
            Kernel::Take(_) => "take".into(),
            Kernel::ScatterLinks(_) => "scatter_links".into(),
            Kernel::ScatterAdd(_) => "scatter_add".into(),
            Kernel::Custom(c) => c.op.op().name().into(),
            Kernel::Commit(_) => "commit".into(),
            Kernel::Accumulate(_) => "accumulate".into(),
            Kernel::Squares(_) => "squares".into(),
            Kernel::Direction(_) => "direction".into(),
            Kernel::Ratios(_) => "ratios".into(),
            Kernel::Optimizer(_) => "optimizer".into(),
            Kernel::Tick(_) => "tick".into(),
        }
    }

    /// The whole WGSL text; two kernels with equal text share a pipeline.
    pub fn source(&self) -> String {
        each!(self, k => k.source())
    }

    /// Its operands and results, in the order of their bindings behind the `dims` row.
    pub fn bindings(&self) -> Vec<Binding> {
        each!(self, k => k.bindings())
    }

    /// The formula that it evaluates, and for how many values.
    pub fn formula(&self) -> Option<(&Expr, usize)> {
        match self {
            Kernel::Map(k) => Some((&k.spec.f, k.size())),
            Kernel::Reduce(k) => Some((&k.spec.f, k.rows * k.length)),
            Kernel::Gemm(k) => k.formula(),
            Kernel::CrossEntropy(k) => k.epilogue.as_ref().map(|e| (&e.0, k.rows * k.classes)),
            Kernel::GemmCoop(k) => k.gemm.formula(),
            Kernel::Direction(k) => Some((&k.rule, k.size)),
            Kernel::Optimizer(k) => Some((&k.rule, k.size)),
            _ => None,
        }
    }

    /// How each buffer is used, in binding order after the `dims` row.
    pub fn accesses(&self) -> Vec<Access> {
        each!(self, k => k.accesses())
    }

    /// Whether each of what it touches is f16, in the order of operands (the state among them), then results, each counted even where several
    /// share a binding. Shorter than that where the rest is not.
    pub fn halves(&self) -> Vec<bool> {
        let of = |h: &Halves, skip: usize, operands: usize| {
            let inputs = (0..operands).map(|i| h.input(i));
            std::iter::repeat_n(false, skip).chain(inputs).chain(h.outputs.iter().copied()).collect()
        };
        match self {
            Kernel::Map(k) => of(&k.spec.halves, usize::from(!k.draws.is_empty()), k.inputs.len()),
            Kernel::Reduce(k) => of(&k.spec.halves, 0, k.inputs.len()),
            Kernel::Gemm(k) => of(&k.spec.halves, 0, 2 + k.extras.len()),
            Kernel::Softmax(k) => vec![k.half],
            Kernel::CrossEntropy(k) if k.pieces > 1 => vec![k.half, false, false, k.half_gradient],
            Kernel::CrossEntropy(k) => vec![k.half, false, false, false, k.half_gradient],
            Kernel::Accuracy(k) => vec![k.half],
            Kernel::ArgMax(k) => vec![k.half],
            Kernel::Gather(k) => std::iter::once(false).chain(k.fields.iter().flat_map(|f| [false, f.half])).collect(),
            _ => vec![],
        }
    }

    /// Turns that the loops of its longest lane take together, at most, on a driver that unrolls none. A custom op's are its author's.
    pub fn turns(&self) -> usize {
        match self {
            Kernel::Map(_) | Kernel::Take(_) | Kernel::Accumulate(_) | Kernel::Custom(_) => 0,
            Kernel::Reduce(k) => k.turns(),
            Kernel::Gemm(k) => k.turns(),
            Kernel::GemmCoop(k) => k.gemm.turns(),
            Kernel::Softmax(k) => k.turns(),
            Kernel::CrossEntropy(k) => k.turns(),
            Kernel::Accuracy(k) => k.turns(),
            Kernel::CumSum(k) => k.turns(),
            Kernel::ArgMax(k) => k.turns(),
            Kernel::Gather(k) => k.turns(),
            Kernel::ScatterLinks(k) => k.turns(),
            Kernel::ScatterAdd(k) => k.turns(),
            Kernel::Commit(k) => k.parts.len(),
            Kernel::Squares(k) => k.turns(),
            Kernel::Direction(k) => k.turns(),
            Kernel::Ratios(k) => k.turns(),
            Kernel::Optimizer(k) => k.turns(),
            Kernel::Tick(k) => k.turns(),
        }
    }

    /// Its row of the `dims` buffer.
    pub fn dims(&self) -> Vec<u32> {
        each!(self, k => k.dims().row())
    }

    /// Workgroups along each axis.
    pub fn grid(&self) -> [u32; 3] {
        each!(self, k => k.grid())
    }

    /// Whether shaders, which count in 32 bits, can tell its sizes, offsets, strides and threads, and a grid holds its workgroups.
    pub fn counts(&self) -> bool {
        let grid = count_in_32_bits(|| (self.dims(), self.grid()).1);
        grid.is_some_and(|grid| grid.iter().all(|&g| g as usize <= MAX_GROUPS))
    }
}
