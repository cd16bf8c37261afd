//! The sizes of a tensor's axes, and the types of its elements.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The sizes of a tensor's axes, outermost first; `[]` is a scalar.
///
/// ```
/// use gradus::tensor::Shape;
/// let s: Shape = [32, 784].into();
/// assert_eq!(s.size(), 25_088);
/// assert_eq!(s.to_string(), "[32, 784]");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The axes' sizes.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// How many axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// How many elements: the product of the axes, 1 for a scalar.
    pub fn size(&self) -> usize {
        self.0.iter().fold(1, |n, &d| n.saturating_mul(d))
    }

    /// The last axis' size, 1 for a scalar.
    pub fn last(&self) -> usize {
        self.0.last().copied().unwrap_or(1)
    }

    /// This shape with another axis in front: `[batch, ..]`.
    pub fn batched(&self, batch: usize) -> Shape {
        let mut d = vec![batch];
        d.extend_from_slice(&self.0);
        Shape(d)
    }

    /// Row-major strides in elements.
    pub fn strides(&self) -> Vec<usize> {
        let mut out = vec![1usize; self.rank()];
        for i in (1..self.rank()).rev() {
            out[i - 1] = out[i].saturating_mul(self.0[i]);
        }
        out
    }

    /// The shape that both broadcast to by NumPy's rule, if there is one.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank().max(other.rank());
        let axis = |s: &Shape, i: usize| (i + s.rank()).checked_sub(rank).map_or(1, |j| s.0[j]);
        (0..rank)
            .map(|i| match (axis(self, i), axis(other, i)) {
                (a, b) if a == b => Some(a),
                (1, b) => Some(b),
                (a, 1) => Some(a),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .map(Shape)
    }

    /// Strides that read this shape as if it were `to`: 0 along repeated axes.
    pub(crate) fn broadcast_strides(&self, to: &Shape) -> Vec<usize> {
        let own = self.strides();
        let skip = to.rank() - self.rank();
        (0..to.rank()).map(|i| if i < skip || self.0[i - skip] == 1 { 0 } else { own[i - skip] }).collect()
    }
}

impl std::ops::Index<usize> for Shape {
    type Output = usize;
    fn index(&self, i: usize) -> &usize {
        &self.0[i]
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(d: [usize; N]) -> Self {
        Shape(d.to_vec())
    }
}
impl From<Vec<usize>> for Shape {
    fn from(d: Vec<usize>) -> Self {
        Shape(d)
    }
}
impl From<&[usize]> for Shape {
    fn from(d: &[usize]) -> Self {
        Shape(d.to_vec())
    }
}
impl From<usize> for Shape {
    fn from(d: usize) -> Self {
        Shape(vec![d])
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 32-bit unsigned integer: class labels, indices.
    U32,
    /// 32-bit signed integer.
    I32,
    /// Bytes. On the device they are packed four to a word and only read.
    U8,
}

impl DType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            DType::F32 | DType::U32 | DType::I32 => 4,
            DType::F16 => 2,
            DType::U8 => 1,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::U32 => "u32",
            DType::I32 => "i32",
            DType::U8 => "u8",
        })
    }
}
