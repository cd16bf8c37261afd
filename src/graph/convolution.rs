//! How a convolution's or a pool's window moves, as users say it.

use super::Window;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A size along height and width: of one number for both, `3.into()`, or of two, `[3, 5].into()`. In files a number or `[height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Sizes", into = "Sizes")]
pub struct Pair(pub [usize; 2]);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Sizes {
    One(usize),
    Both([usize; 2]),
}

impl From<Sizes> for Pair {
    fn from(s: Sizes) -> Self {
        match s {
            Sizes::One(n) => n.into(),
            Sizes::Both(both) => Pair(both),
        }
    }
}

impl From<Pair> for Sizes {
    fn from(Pair(both): Pair) -> Self {
        if both[0] == both[1] { Sizes::One(both[0]) } else { Sizes::Both(both) }
    }
}

impl From<usize> for Pair {
    fn from(n: usize) -> Self {
        Pair([n; 2])
    }
}

impl From<[usize; 2]> for Pair {
    fn from(both: [usize; 2]) -> Self {
        Pair(both)
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.0[0], self.0[1])
    }
}

/// What stands around an image: zeros for a convolution, nothing for a pool. In files a number, `[height, width]`, `[[top, bottom], [left, right]]` or `"same"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Paddings", into = "Paddings")]
pub enum Padding {
    /// As many on both sides of an axis: PyTorch's number or pair; 0 is Keras' `"valid"`.
    By(Pair),
    /// `[[top, bottom], [left, right]]`.
    Sides([[usize; 2]; 2]),
    /// So many that there are as many positions as the image has places, over the stride, rounded up; an odd one stands behind. PyTorch's and Keras' `"same"`.
    Same,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Paddings {
    Word(Word),
    By(Pair),
    Sides([[usize; 2]; 2]),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Same,
    Valid,
}

impl From<Paddings> for Padding {
    fn from(p: Paddings) -> Self {
        match p {
            Paddings::Word(Word::Same) => Padding::Same,
            Paddings::Word(Word::Valid) => Padding::default(),
            Paddings::By(p) => Padding::By(p),
            Paddings::Sides(s) => Padding::Sides(s),
        }
    }
}

impl From<Padding> for Paddings {
    fn from(p: Padding) -> Self {
        match p {
            Padding::Same => Paddings::Word(Word::Same),
            Padding::By(p) => Paddings::By(p),
            Padding::Sides(s) => Paddings::Sides(s),
        }
    }
}

impl Default for Padding {
    fn default() -> Self {
        Padding::By(0.into())
    }
}

impl From<usize> for Padding {
    fn from(n: usize) -> Self {
        Padding::By(n.into())
    }
}

impl From<[usize; 2]> for Padding {
    fn from(both: [usize; 2]) -> Self {
        Padding::By(both.into())
    }
}

impl From<[[usize; 2]; 2]> for Padding {
    fn from(sides: [[usize; 2]; 2]) -> Self {
        Padding::Sides(sides)
    }
}

impl Padding {
    /// Before and behind an axis of so many places, for a window that reaches over so many.
    pub(super) fn sides(&self, axis: usize, places: usize, reach: usize, stride: usize) -> [usize; 2] {
        match self {
            Padding::By(Pair(both)) => [both[axis]; 2],
            Padding::Sides(sides) => sides[axis],
            Padding::Same => {
                let last = (places.div_ceil(stride.max(1)).saturating_sub(1)).saturating_mul(stride);
                let all = last.saturating_add(reach).saturating_sub(places);
                [all / 2, all - all / 2]
            }
        }
    }
}

/// How a window moves over images: what [`Var::conv2d`](super::Var::conv2d) and its relatives are told beside the weights. PyTorch's defaults: stride 1, no padding, dilation 1, one group.
///
/// ```
/// use gradus::graph::{Convolution, Padding};
/// let half = Convolution::new().stride(2).padding(1);
/// let same = Convolution::new().padding(Padding::Same).dilation([1, 2]);
/// # assert_ne!(half, same);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[must_use]
pub struct Convolution {
    /// From one position to the next.
    pub stride: Pair,
    /// What stands around the images.
    pub padding: Padding,
    /// From one place of the window to the next.
    pub dilation: Pair,
    /// Groups of channels that know nothing of each other.
    pub groups: usize,
}

impl Default for Convolution {
    fn default() -> Self {
        Self::new()
    }
}

impl Convolution {
    /// PyTorch's defaults.
    pub fn new() -> Self {
        Convolution { stride: 1.into(), padding: Padding::default(), dilation: 1.into(), groups: 1 }
    }

    /// From one position to the next.
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.stride = stride.into();
        self
    }

    /// What stands around the images.
    pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.padding = padding.into();
        self
    }

    /// From one place of the window to the next.
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
        self.dilation = dilation.into();
        self
    }

    /// Groups of channels that know nothing of each other.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// The window over images of this size; why there is none, where it does not fit.
    pub fn window(&self, image: [usize; 2], kernel: [usize; 2]) -> Result<Window, String> {
        let (stride, dilation) = (self.stride.0, self.dilation.0);
        let mut w = Window { image, kernel, stride, dilation, before: [0; 2], positions: [1; 2] };
        if let Some(fault) = w.fault() {
            return Err(fault);
        }
        for axis in 0..2 {
            let reach = w.reach(axis);
            let [before, behind] = self.padding.sides(axis, image[axis], reach, stride[axis]);
            let padded = image[axis].saturating_add(before).saturating_add(behind);
            let Some(room) = padded.checked_sub(reach) else {
                return Err(format!("a window that reaches over {reach} does not fit into {padded} ({} and padding)", image[axis]));
            };
            (w.before[axis], w.positions[axis]) = (before, room / stride[axis] + 1);
        }
        w.fault().map_or(Ok(w), Err)
    }

    /// The window of a transposed convolution, over its results: as [`Convolution::window`], whose positions are the images given here. `more` are places
    /// behind that no position reaches, which the stride leaves open.
    pub fn transposed_window(&self, image: [usize; 2], kernel: [usize; 2], more: [usize; 2]) -> Result<Window, String> {
        let (stride, dilation) = (self.stride.0, self.dilation.0);
        let mut w = Window { image: [1; 2], kernel, stride, dilation, before: [0; 2], positions: image };
        if let Some(fault) = w.fault() {
            return Err(fault);
        }
        for axis in 0..2 {
            let [before, behind] = match self.padding {
                Padding::Same => return Err("a transposed convolution has no \"same\" padding; give numbers".into()),
                p => p.sides(axis, 0, 0, 1),
            };
            if more[axis] >= stride[axis].max(dilation[axis]) {
                return Err(format!("an output padding of {} is not below the stride or the dilation", more[axis]));
            }
            let whole = (image[axis] - 1).saturating_mul(stride[axis]).saturating_add(w.reach(axis)).saturating_add(more[axis]);
            w.image[axis] = whole.saturating_sub(before.saturating_add(behind));
            w.before[axis] = before;
        }
        w.fault().map_or(Ok(w), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Positions as PyTorch's formula has them, and as "same" promises.
    #[test]
    fn positions() {
        let positions =
            |c: Convolution, image: usize, kernel: usize| c.window([image; 2], [kernel; 2]).map(|w| (w.positions[0], w.before[0]));
        let c = Convolution::new();
        assert_eq!(positions(c, 28, 3), Ok((26, 0)));
        assert_eq!(positions(c.padding(1).stride(2), 32, 3), Ok((16, 1)));
        assert_eq!(positions(c.padding(3).stride(2), 224, 7), Ok((112, 3)));
        assert_eq!(positions(c.dilation(2), 7, 3), Ok((3, 0)));
        assert_eq!(positions(c.padding(Padding::Same), 7, 4), Ok((7, 1)));
        assert_eq!(positions(c.padding(Padding::Same).stride(2), 7, 3), Ok((4, 1)));
        assert_eq!(positions(c.padding([[1, 2], [0, 0]]), 5, 3), Ok((6, 1)));
        for bad in [positions(c, 2, 3), positions(c.stride(0), 5, 3), positions(c, 5, 0), positions(c.dilation(usize::MAX), 5, 3)] {
            assert!(bad.is_err());
        }
        let back = |c: Convolution, image: usize, kernel: usize, more: usize| {
            c.transposed_window([image; 2], [kernel; 2], [more; 2]).map(|w| w.image[0])
        };
        assert_eq!(back(c.stride(2).padding(1), 4, 3, 1), Ok(8));
        assert_eq!(back(c.stride(2), 4, 2, 0), Ok(8));
        assert!(back(c, 4, 3, 1).is_err() && back(c.padding(9), 2, 3, 0).is_err());
    }

    #[test]
    fn as_files_have_it() {
        let read = |text: &str| serde_json::from_str::<Padding>(text).unwrap();
        assert_eq!([read("2"), read("[1,2]"), read("\"same\""), read("\"valid\"")], [2.into(), [1, 2].into(), Padding::Same, 0.into()]);
        for p in [Padding::Same, 3.into(), [1, 2].into(), [[1, 2], [3, 4]].into()] {
            assert_eq!(read(&serde_json::to_string(&p).unwrap()), p);
        }
    }
}
