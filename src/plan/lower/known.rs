//! What a program has tables of already: walks of windows over images, and lists of places.

use crate::graph::Window;
use crate::kernels::{self, List, Patches};

/// The places that each place of a result sees along an axis, each with a word.
pub(super) type Places = Vec<Vec<(usize, u32)>>;

/// Lists that a program has.
pub(super) type KnownList = (Places, List);

/// How the positions and taps of a window walk along one axis of images.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Walk {
    /// Elements of the image along the axis.
    pub extent: usize,
    /// Positions, and the step between them.
    pub positions: usize,
    pub stride: usize,
    /// Where each tap lies from there.
    pub taps: Vec<isize>,
}

impl Walk {
    /// Over the images of a convolution.
    pub fn over_images(w: &Window, axis: usize) -> Self {
        let taps = (0..w.kernel[axis]).map(|k| (k * w.dilation[axis]) as isize - w.before[axis] as isize);
        Walk { extent: w.image[axis], positions: w.positions[axis], stride: w.stride[axis], taps: taps.collect() }
    }

    /// Over the results of a convolution, from every `stride`-th place of the image, `rest` the first: the positions whose windows hold a place. With the
    /// weights' taps that they come through.
    pub fn over_results(w: &Window, axis: usize, rest: usize) -> (Self, Vec<usize>) {
        let (stride, dilation, before) = (w.stride[axis] as isize, w.dilation[axis] as isize, w.before[axis] as isize);
        let from = |k: usize| rest as isize + before - k as isize * dilation;
        let own: Vec<usize> = (0..w.kernel[axis]).filter(|&k| from(k) % stride == 0).collect();
        let taps = own.iter().map(|&k| from(k) / stride).collect();
        let positions = (w.image[axis] - rest).div_ceil(w.stride[axis]);
        (Walk { extent: w.positions[axis], positions, stride: 1, taps }, own)
    }

    /// The same without a list: taps lie evenly apart. One that never lies inside stands for none.
    pub fn even(&self) -> kernels::Walk {
        let Walk { extent, positions, stride, .. } = *self;
        let (first, step) = match self.taps[..] {
            [] => (extent as isize, 0),
            [one] => (one, 0),
            [first, second, ..] => (first, second - first),
        };
        kernels::Walk { extent, positions, stride, taps: self.taps.len().max(1), first, step }
    }

    pub fn place(&self, position: usize, tap: usize) -> isize {
        (position * self.stride) as isize + self.taps[tap]
    }

    pub fn is_inside(&self, position: usize, tap: usize) -> bool {
        (0..self.extent as isize).contains(&self.place(position, tap))
    }
}

/// Patches that a program has tables of.
#[derive(Debug)]
pub(super) struct Known {
    pub walks: [Walk; 2],
    pub channels: [usize; 2],
    pub patches: Patches,
}
