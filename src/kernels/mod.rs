//! One file per kernel archetype: from an operation and its sizes to WGSL text, bindings and workgroups. Pure: knows no wgpu.
//!
//! A kernel has a *spec* (what stands in the header of its source: tile, layout, formula; equal specs share a pipeline) and *sizes*
//! (extents, offsets, strides: one row of the `dims` buffer, so that training, ragged and evaluation launches share pipelines).
//! Its twin in `cpu/` reads the same values.

mod accumulate;
mod commit;
mod custom;
mod direction;
mod gate;
mod gather;
mod gemm;
mod gemm_coop;
mod gemm_direct;
mod gemm_tile;
mod halves;
mod log;
mod map;
mod optimizer;
mod rates;
mod reduce;
mod rows;
mod scaling;
mod source;
mod squares;
mod take;
mod tick;
pub mod words;

pub use crate::optim::Scaling;
pub use accumulate::Accumulate;
pub use commit::{Commit, Part};
pub use custom::Custom;
pub use direction::{Direction, Ratios};
pub use gate::Gate;
pub use gather::{Gather, GatherField};
pub use gemm::{Gemm, GemmSpec, Matrix, Plane};
pub use gemm_coop::GemmCoop;
pub use gemm_tile::{CoopCaps, CoopTile, Tile};
pub use halves::Halves;
pub use log::{LOG_HEAD, LogShape, MAX_COLUMNS};
pub use map::{Draw, Map, MapSpec, Read, Strided, Window};
pub use optimizer::Optimizer;
pub use rates::RateTable;
pub use reduce::{Reduce, ReduceSpec, Term};
pub use rows::{Accuracy, ArgMax, CrossEntropy, CumSum, Softmax};
pub(crate) use scaling::{inverse, scale_of_line};
pub use squares::Squares;
pub(crate) use take::{FIRST, LAST};
pub use take::{ScatterAdd, ScatterLinks, Take};
pub use tick::Tick;

use serde::{Deserialize, Serialize};

/// Words of one row of the `dims` buffer.
pub const DIMS: usize = 64;
/// Most workgroups along one axis.
pub const MAX_GROUPS: usize = 65_535;
/// Most turns that all loops of a shader take together in one lane on every software Vulkan: lavapipe up to Mesa 25 leaves every loop after so
/// many (`LP_MAX_TGSI_LOOP_ITERATIONS`), without a word.
pub const MOST_TURNS: usize = 65_535;

/// The kind of machine that kernels are shaped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Target {
    /// Many cores, workgroup memory.
    Gpu,
    /// A GPU in software (lavapipe, SwiftShader, WARP), or the CPU device: no barriers, few large pieces of work.
    Software,
    /// As `Software`, with subgroups of eight lanes: lavapipe on AVX2. It loads a vector lane by lane, even where all load the same.
    Lanes8,
}

impl Target {
    /// Lanes that work together on one sum.
    pub(crate) fn group(self) -> usize {
        match self {
            Target::Gpu => 256,
            Target::Software | Target::Lanes8 => 1,
        }
    }
}

/// How a kernel uses a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// A uniform: the state.
    Uniform,
    /// Storage, only read.
    Read,
    /// Storage, written (and perhaps read).
    Write,
}

/// A kernel with its sizes. The order of its buffers is stated at each archetype.
#[derive(Debug, Clone)]
pub enum Kernel {
    /// A formula at every element.
    Map(Map),
    /// Sums over an axis.
    Reduce(Reduce),
    /// Matrix products.
    Gemm(Gemm),
    /// Matrix products on cooperative matrices.
    GemmCoop(GemmCoop),
    /// Softmax over rows.
    Softmax(Softmax),
    /// Softmax cross-entropy with its gradient.
    CrossEntropy(CrossEntropy),
    /// Hits of the largest score.
    Accuracy(Accuracy),
    /// Running sums over rows.
    CumSum(CumSum),
    /// Where the largest stands.
    ArgMax(ArgMax),
    /// Rows of the data set to a batch.
    Gather(Gather),
    /// Rows of a table by number.
    Take(Take),
    /// Chains of equal indices.
    ScatterLinks(ScatterLinks),
    /// Sums by index, over those chains.
    ScatterAdd(ScatterAdd),
    /// An operation of the user's own.
    Custom(Custom),
    /// New values of state that is not trained.
    Commit(Commit),
    /// Sums of the gradients of several batches.
    Accumulate(Accumulate),
    /// Sums of squares of all gradients.
    Squares(Squares),
    /// Where an update goes that needs norms of each tensor.
    Direction(Direction),
    /// The ratios of those norms.
    Ratios(Ratios),
    /// The update of all parameters.
    Optimizer(Optimizer),
    /// The end of a step.
    Tick(Tick),
}

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
        each!(self, k => k.dims())
    }

    /// Workgroups along each axis.
    pub fn grid(&self) -> [u32; 3] {
        each!(self, k => k.grid())
    }

    /// Whether shaders, which count in 32 bits, can tell its sizes, offsets, strides and threads, and a grid holds its workgroups.
    pub fn counts(&self) -> bool {
        BEYOND.set(false);
        let (_, grid) = (self.dims(), self.grid());
        !BEYOND.take() && grid.iter().all(|&g| g as usize <= MAX_GROUPS)
    }
}

/// For each of a kernel's results the first one that lies in the same buffer. They share its binding: WebGPU forbids a buffer that one
/// dispatch binds twice to write.
pub fn shared<T: PartialEq>(buffers: &[T]) -> Vec<usize> {
    buffers.iter().enumerate().map(|(i, b)| buffers.iter().position(|x| x == b).unwrap_or(i)).collect()
}

/// Results that have a binding of their own.
fn owners(via: &[usize]) -> usize {
    via.iter().enumerate().filter(|&(i, &v)| i == v).count()
}

/// `groups` workgroups along two axes, none above the limit. Their threads, of which none has more than 256, are counted through.
fn fold(groups: usize) -> [u32; 3] {
    let y = groups.div_ceil(MAX_GROUPS).max(1);
    word(groups.saturating_mul(256));
    [word(groups.div_ceil(y)), word(y), 1]
}

fn to_words(values: impl IntoIterator<Item = usize>) -> Vec<u32> {
    values.into_iter().map(word).collect()
}

thread_local! {
    /// Whether a size was met that 32 bits do not hold, since somebody asked.
    static BEYOND: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// A size as shaders count. One that they cannot is noted for [`Kernel::counts`].
fn word(v: usize) -> u32 {
    u32::try_from(v).unwrap_or_else(|_| {
        BEYOND.set(true);
        u32::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No axis above the limit, no workgroup missing, less than a row of them idle.
    #[test]
    fn grids_fold() {
        let limit = MAX_GROUPS;
        for groups in [1, 64, limit - 1, limit, limit + 1, 2 * limit, 2 * limit + 1, 1_000_003, limit * limit - 1, limit * limit] {
            let [x, y, z] = fold(groups).map(|g| g as usize);
            assert!(x <= limit && y <= limit && z == 1, "{groups}: {x} {y} {z}");
            assert!(x * y >= groups && x * y - groups < y, "{groups}: {x} {y}");
        }
        assert_eq!(fold(limit), [limit as u32, 1, 1]);
        assert_eq!(fold(limit + 1), [32_768, 2, 1]);
    }

    #[test]
    fn results_of_one_buffer_share_a_binding() {
        assert_eq!(shared(&['a', 'b', 'a', 'c', 'b']), [0, 1, 0, 3, 1]);
        assert_eq!(owners(&shared(&['a', 'b', 'a', 'c', 'b'])), 3);
    }
}
