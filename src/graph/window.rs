//! How a window of a few places moves over images.

use std::fmt;

/// A window over images along height and width: what convolution and pooling have in common. The place `k` of the window at position `p` is the
/// image's `p * stride + k * dilation - before`; what lies outside of the image counts as nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Height and width of the image.
    pub image: [usize; 2],
    /// Places of the window.
    pub kernel: [usize; 2],
    /// From one position to the next.
    pub stride: [usize; 2],
    /// From one place of the window to the next.
    pub dilation: [usize; 2],
    /// How far the first position begins before the image.
    pub before: [usize; 2],
    /// Positions.
    pub positions: [usize; 2],
}

impl Window {
    /// Places of the window.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Elements along an axis between the first and the last place of the window, both counted.
    pub fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis].saturating_sub(1)).saturating_mul(self.dilation[axis]).saturating_add(usize::from(self.kernel[axis] > 0))
    }

    /// Where along an axis of the image a place of the window lies at a position, if it lies inside.
    pub fn place(&self, axis: usize, position: usize, tap: usize) -> Option<usize> {
        let at = (position * self.stride[axis] + tap * self.dilation[axis]).checked_sub(self.before[axis])?;
        (at < self.image[axis]).then_some(at)
    }

    /// Row and column of the image for a place of the window at a position, both counted row by row.
    pub fn inside(&self, position: usize, tap: usize) -> Option<[usize; 2]> {
        let (across, wide) = (self.positions[1], self.kernel[1]);
        Some([self.place(0, position / across, tap / wide)?, self.place(1, position % across, tap % wide)?])
    }

    /// Why no window moves so, if it does not.
    pub(crate) fn fault(&self) -> Option<String> {
        let all = [self.image, self.kernel, self.stride, self.dilation, self.positions];
        if all.iter().flatten().any(|&n| n == 0) {
            return Some(format!("a window {self} has an axis of 0"));
        }
        let most = u32::MAX as usize / 4;
        if all.iter().chain([&self.before]).flatten().any(|&n| n > most) {
            return Some(format!("a window {self} is too large"));
        }
        None
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kernel, image, positions] = [self.kernel, self.image, self.positions].map(|[h, w]| format!("{h}x{w}"));
        write!(f, "{kernel} over {image} at {positions}")?;
        for (name, v, plain) in [("stride", self.stride, 1), ("dilation", self.dilation, 1), ("from", self.before, 0)] {
            if v != [plain; 2] {
                write!(f, " {name} {}{}x{}", if plain == 0 { "-" } else { "" }, v[0], v[1])?;
            }
        }
        Ok(())
    }
}
