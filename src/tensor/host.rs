//! A tensor in the host's memory.

use super::{DType, Shape};
use crate::error::{Error, Result};
use std::fmt;

#[derive(Clone, PartialEq)]
enum Values {
    F32(Vec<f32>),
    U32(Vec<u32>),
    U8(Vec<u8>),
}

/// A tensor in the host's memory, row-major.
///
/// ```
/// use gradus::tensor::HostTensor;
/// let t = HostTensor::f32([2, 3], vec![1., 2., 3., 4., 5., 6.])?;
/// assert_eq!(t.shape().dims(), [2, 3]);
/// assert_eq!(t.as_f32().unwrap()[4], 5.0);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct HostTensor {
    shape: Shape,
    values: Values,
}

impl HostTensor {
    /// A tensor of f32. Fails if the values do not fill the shape.
    #[track_caller]
    pub fn f32(shape: impl Into<Shape>, values: Vec<f32>) -> Result<Self> {
        Self::checked(shape.into(), values.len(), Values::F32(values))
    }

    /// A tensor of u32: class labels, indices. Fails if the values do not fill the shape.
    #[track_caller]
    pub fn u32(shape: impl Into<Shape>, values: Vec<u32>) -> Result<Self> {
        Self::checked(shape.into(), values.len(), Values::U32(values))
    }

    /// A tensor of bytes: images, small labels. Fails if the values do not fill the shape.
    #[track_caller]
    pub fn u8(shape: impl Into<Shape>, values: Vec<u8>) -> Result<Self> {
        Self::checked(shape.into(), values.len(), Values::U8(values))
    }

    #[track_caller]
    fn checked(shape: Shape, len: usize, values: Values) -> Result<Self> {
        if shape.size() != len {
            return Err(Error::ShapeMismatch {
                op: "HostTensor".into(),
                problem: format!("{len} values for the shape {shape}, which has {}", shape.size()),
                at: crate::error::place(std::panic::Location::caller()),
                help: "give as many values as the product of the axes".into(),
            });
        }
        Ok(HostTensor { shape, values })
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The dtype.
    pub fn dtype(&self) -> DType {
        match self.values {
            Values::F32(_) => DType::F32,
            Values::U32(_) => DType::U32,
            Values::U8(_) => DType::U8,
        }
    }

    /// The values, if they are f32.
    pub fn as_f32(&self) -> Option<&[f32]> {
        if let Values::F32(v) = &self.values { Some(v) } else { None }
    }

    /// The values, if they are u32.
    pub fn as_u32(&self) -> Option<&[u32]> {
        if let Values::U32(v) = &self.values { Some(v) } else { None }
    }

    /// The values, if they are bytes.
    pub fn as_u8(&self) -> Option<&[u8]> {
        if let Values::U8(v) = &self.values { Some(v) } else { None }
    }

    /// Every value as f64, whatever the dtype.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.values {
            Values::F32(v) => v.iter().map(|&x| x.into()).collect(),
            Values::U32(v) => v.iter().map(|&x| x.into()).collect(),
            Values::U8(v) => v.iter().map(|&x| x.into()).collect(),
        }
    }
}

impl fmt::Debug for HostTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostTensor({} {}", self.dtype(), self.shape)?;
        let head: Vec<_> = self.to_f64().into_iter().take(6).collect();
        write!(f, " {head:?}{})", if self.shape.size() > 6 { ".." } else { "" })
    }
}
