//! What a program has tables of already: walks of windows over images, and lists of places.

use crate::graph::Window;
use crate::kernels::{List, Patches, Walk};

/// The places that each place of a result sees along an axis, each with a word.
pub(super) type Places = Vec<Vec<(usize, u32)>>;

/// Lists that a program has.
pub(super) type KnownList = (Places, List);

/// A walk over the images of a convolution.
pub(super) fn over_images(w: &Window, axis: usize) -> Walk {
    Walk {
        extent: w.image[axis],
        positions: w.positions[axis],
        stride: w.stride[axis],
        taps: w.kernel[axis],
        first: -(w.before[axis] as isize),
        step: w.dilation[axis] as isize,
    }
}

/// A walk over the results of a convolution, from every `stride`-th place of the image, `rest` the first: the positions whose windows hold a place. With the
/// weights' taps that they come through, which lie evenly apart.
pub(super) fn over_results(w: &Window, axis: usize, rest: usize) -> (Walk, Vec<usize>) {
    let (stride, dilation, before) = (w.stride[axis] as isize, w.dilation[axis] as isize, w.before[axis] as isize);
    let from = |k: usize| rest as isize + before - k as isize * dilation;
    let own: Vec<usize> = (0..w.kernel[axis]).filter(|&k| from(k) % stride == 0).collect();
    let tap = |i: usize| own.get(i).map(|&k| from(k) / stride);
    let first = tap(0).unwrap_or(0);
    let positions = (w.image[axis] - rest).div_ceil(w.stride[axis]);
    let walk =
        Walk { extent: w.positions[axis], positions, stride: 1, taps: own.len(), first, step: tap(1).map_or(0, |second| second - first) };
    (walk, own)
}

/// Patches that a program has tables of.
#[derive(Debug)]
pub(super) struct Known {
    pub walks: [Walk; 2],
    pub channels: [usize; 2],
    pub patches: Patches,
}
