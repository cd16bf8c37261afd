//! A field of the data set, and the tensor that a batch makes of it.

use super::augment::{Augmentation, ImageSize, Touches};
use crate::tensor::{DType, Shape};
use std::sync::Arc;

/// How one field of a data set becomes a tensor of a batch: the form in which the device stores it, and what the gather makes of that.
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
    /// A scale and a shift for each channel, in place of `scale` and `shift`.
    pub channels: Option<Arc<Channels>>,
    /// Elements from a stored row to the next where rows overlap, as windows of a series do (f32 alone); else one row stands behind the other.
    pub step: Option<usize>,
    /// Of an image that is shown in part, or changed by `augmented`.
    pub image: Option<ImageSize>,
    /// What training changes at random.
    pub augmented: Option<Augmented>,
}

/// The channels of a row: element `e` is of channel `e / each % scale.len()`.
#[derive(Debug, Clone, PartialEq)]
pub struct Channels {
    /// Elements of a channel that stand beside each other.
    pub each: usize,
    /// Multiplies the values of each channel.
    pub scale: Vec<f32>,
    /// Added after scaling.
    pub shift: Vec<f32>,
}

impl Channels {
    /// The scale and shift of an element of the row.
    #[inline]
    pub fn of(&self, e: usize) -> (f32, f32) {
        let c = e / self.each % self.scale.len();
        (self.scale[c], self.shift[c])
    }
}

/// What of the draws for a row touches a field.
#[derive(Debug, Clone, PartialEq)]
pub struct Augmented {
    /// What is drawn, the same for all fields.
    pub by: Arc<Augmentation>,
    /// What of it is done here.
    pub touches: Touches,
}

impl Field {
    /// A field that is shown as it is stored.
    pub fn new(name: impl Into<String>, stored: DType, row: impl Into<Shape>) -> Self {
        Field {
            name: name.into(),
            stored,
            row: row.into(),
            scale: 1.0,
            shift: 0.0,
            keep_integer: false,
            one_hot: None,
            channels: None,
            step: None,
            image: None,
            augmented: None,
        }
    }

    /// Elements of a row, as the model sees it.
    pub fn width(&self) -> usize {
        self.row.size()
    }

    /// Elements of a stored row.
    pub fn stored_width(&self) -> usize {
        self.image.map_or_else(|| self.width(), |i| i.stored_values())
    }

    /// Words of 4 bytes of a stored row.
    pub fn words(&self) -> usize {
        let width = self.stored_width();
        if self.stored == DType::U8 { width.div_ceil(4) } else { width }
    }

    /// Words from a stored row to the next.
    pub fn pitch(&self) -> usize {
        self.step.unwrap_or_else(|| self.words())
    }

    /// How many rows lie in so many words.
    pub fn rows_in(&self, words: usize) -> usize {
        let (own, pitch) = (self.words(), self.pitch());
        match pitch {
            0 => usize::MAX,
            _ => words.checked_sub(own).map_or(0, |behind| behind / pitch + 1),
        }
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

    /// The field as a reader of rows one behind the other finds it.
    #[must_use]
    pub fn packed(self) -> Self {
        Field { step: None, ..self }
    }

    /// The field without what training changes at random. A crop is in the middle then.
    #[must_use]
    pub fn unchanged(self) -> Self {
        Field { augmented: None, ..self }
    }

    /// The bits of what is drawn for a row, and of the channels' scales and shifts: fields with the same are changed alike.
    pub fn words_of_changes(&self) -> Vec<u32> {
        let drawn = self.augmented.as_ref().map(|a| a.by.words()).unwrap_or_default();
        let channels =
            self.channels.iter().flat_map(|c| std::iter::once(c.each as u32).chain(c.scale.iter().chain(&c.shift).map(|v| v.to_bits())));
        drawn.into_iter().chain(channels).collect()
    }

    /// What of the draws touches it.
    pub fn touches(&self) -> Option<Touches> {
        self.augmented.as_ref().map(|a| a.touches)
    }
}
