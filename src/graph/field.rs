//! A field of the data set as a batch has it.

use crate::tensor::{DType, Shape};

/// How one field of a data set becomes a tensor of a batch: what lies on the device, and what the gather makes of it.
///
/// A row of `width` elements is stored as words of 4 bytes (`u8` rows are padded to a whole word). The gather gives
/// `value * scale + shift` as f32, or the label itself as u32 where `keep_integer` is set, or a one-hot row.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// `x`, `y`, or a name of the user's.
    pub name: String,
    /// What is stored.
    pub stored: DType,
    /// The shape of one row, as the model sees it (before one-hot).
    pub row: Shape,
    /// Multiplies each value.
    pub scale: f32,
    /// Added after scaling.
    pub shift: f32,
    /// Integers stay integers (class labels).
    pub keep_integer: bool,
    /// Labels become rows of this many probabilities.
    pub one_hot: Option<usize>,
}

impl Field {
    /// Elements of a stored row.
    pub fn width(&self) -> usize {
        self.row.size()
    }

    /// Words of 4 bytes of a stored row.
    pub fn words(&self) -> usize {
        if self.stored == DType::U8 { self.width().div_ceil(4) } else { self.width() }
    }

    /// The shape of one row in the batch.
    pub fn out_row(&self) -> Shape {
        match self.one_hot {
            Some(classes) => [classes].into(),
            None => self.row.clone(),
        }
    }

    /// The dtype in the batch.
    pub fn out_dtype(&self) -> DType {
        if self.keep_integer && self.one_hot.is_none() { DType::U32 } else { DType::F32 }
    }
}
