//! How a map reads its operands: along strides, through movements, repeated to the map's shape.

use crate::graph::{Graph, Type, View};
use crate::kernels::{PadBox, Strided};
use crate::plan::axes::steps_over;
use crate::plan::fuse::Operand;
use crate::tensor::{DType, Shape};

/// The operand, which begins at `offset` of its buffer, as it is read over `shape`.
pub(super) fn strided(g: &Graph, o: Operand, offset: usize, shape: &Shape) -> Strided {
    let own = g.shape(o.value);
    let Some((node, operand)) = o.through else {
        return Strided::new(offset, steps_over(own, shape));
    };
    let moved = &g.nodes[node];
    let types: Vec<&Type> = moved.inputs.iter().map(|v| g.ty(*v)).collect();
    let View { order, start, within } = moved.op.rule().view(operand, &types);
    let (steps, seen) = (own.strides(), &moved.outputs[0]);
    let real = matches!(seen.dtype, DType::F32 | DType::F16);
    let bits = |fill: f64| if real { (fill as f32).to_bits() } else { fill as u32 };
    let read = Strided {
        offset: offset + start.iter().zip(&steps).map(|(i, s)| i * s).sum::<usize>(),
        strides: order.iter().map(|&axis| steps[axis]).collect(),
        pad: within.map(|(before, fill)| PadBox { before, size: own.dims().to_vec(), fill: bits(fill) }),
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
    let pad =
        read.pad.map(|w| PadBox { before: each(&|_, k| w.before[k], &|_| 0), size: each(&|_, k| w.size[k], &|i| to[i]), fill: w.fill });
    Strided { offset: read.offset, strides: each(&|_, k| read.strides[k], &|_| 0), pad }
}
