//! The elements of a value, as the reference holds them.

use crate::expr::Real;

/// The elements of one value, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Data<T> {
    /// Elements of a float dtype, in the precision of the evaluation.
    Real(Vec<T>),
    /// Elements of an integer dtype: class labels.
    Integer(Vec<u32>),
}

impl<T: Real> Data<T> {
    /// The elements, if they are floats.
    pub fn as_real(&self) -> Option<&[T]> {
        if let Data::Real(v) = self { Some(v) } else { None }
    }

    /// The elements, if they are integers.
    pub fn as_integer(&self) -> Option<&[u32]> {
        if let Data::Integer(v) = self { Some(v) } else { None }
    }

    /// Every element as f64, whatever the dtype.
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Data::Real(v) => v.iter().map(|x| x.to_f64()).collect(),
            Data::Integer(v) => v.iter().map(|&x| x.into()).collect(),
        }
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            Data::Real(v) => v.len(),
            Data::Integer(v) => v.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
