//! How a map reads its operands: along strides, through movements, repeated to the map's shape.

use crate::graph::{Graph, Op};
use crate::kernels::{Strided, Window};
use crate::plan::fuse::Operand;
use crate::tensor::{DType, Shape};

/// The operand, which begins at `offset` of its buffer, as it is read over `shape`.
pub(super) fn strided(g: &Graph, o: Operand, offset: usize, shape: &Shape) -> Strided {
    let own = g.shape(o.value);
    let Some((node, operand)) = o.through else {
        let strides = match own.size() {
            // of whatever rank: a reshape may stand between
            1 => vec![0; shape.rank()],
            n if n == shape.size() => shape.strides(),
            _ => own.broadcast_strides(shape),
        };
        return Strided::new(offset, strides);
    };
    let steps = own.strides();
    let seen = &g.nodes[node].outputs[0];
    let inside = |before: Vec<usize>, fill| Some(Window { before, size: own.dims().to_vec(), fill });
    let read = match &g.nodes[node].op {
        Op::Permute(axes) => Strided::new(offset, axes.iter().map(|&a| steps[a]).collect()),
        Op::Slice { start, .. } => Strided::new(offset + start.iter().zip(&steps).map(|(i, s)| i * s).sum::<usize>(), steps),
        Op::Pad { before, value, .. } => {
            let fill = if matches!(seen.dtype, DType::F32 | DType::F16) { (*value as f32).to_bits() } else { *value as u32 };
            Strided { offset, strides: steps, window: inside(before.clone(), fill) }
        }
        Op::Concat { axis } => {
            let mut before = vec![0; own.rank()];
            before[*axis] = g.nodes[node].inputs[..operand].iter().map(|v| g.shape(*v)[*axis]).sum();
            Strided { offset, strides: steps, window: inside(before, (-0.0f32).to_bits()) }
        }
        _ => Strided::new(offset, steps),
    };
    repeated(read, &seen.shape, shape)
}

/// What is read over `from`, read over a shape that `from` broadcasts to.
fn repeated(read: Strided, from: &Shape, to: &Shape) -> Strided {
    let skip = to.rank() - from.rank();
    let kept = |i: usize| (i >= skip && from[i - skip] == to[i]).then(|| i - skip);
    let each = |of: &dyn Fn(usize, usize) -> usize, other: &dyn Fn(usize) -> usize| -> Vec<usize> {
        (0..to.rank()).map(|i| kept(i).map_or_else(|| other(i), |k| of(i, k))).collect()
    };
    let window =
        read.window.map(|w| Window { before: each(&|_, k| w.before[k], &|_| 0), size: each(&|_, k| w.size[k], &|i| to[i]), fill: w.fill });
    Strided { offset: read.offset, strides: each(&|_, k| read.strides[k], &|_| 0), window }
}
