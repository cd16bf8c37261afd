//! The view that a model has of one field: scaled, flattened, one-hot.

use crate::data::Source;
use crate::error::Faults;
use crate::graph::augment::ImageSize;
use crate::graph::{Channels, Field};
use crate::tensor::{DType, Shape};
use std::sync::Arc;

/// How one field of a data set is shown to the model. All of it is done in the gather on the device; see [`Dataset::on`](super::Dataset::on).
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Look {
    pub(super) name: Arc<str>,
    stored: DType,
    /// As the source gives it, and as the model sees it.
    stored_row: Shape,
    row: Shape,
    scale: f32,
    shift: f32,
    /// A scale and a shift for each channel, before those above.
    channels: Option<Arc<[(f64, f64)]>>,
    /// Rows and columns of the part in the middle.
    crop: Option<[usize; 2]>,
    /// Rows are windows `[times, variables]` of a series.
    windows: bool,
    integers: bool,
    one_hot: Option<usize>,
}

impl Look {
    pub(super) fn new(name: &str, source: &dyn Source) -> Self {
        // class labels stay integers
        let integers = name == "y" && source.dtype() != DType::F32;
        let row = source.row();
        Look {
            name: name.into(),
            stored: source.dtype(),
            stored_row: row.clone(),
            row,
            scale: 1.0,
            shift: 0.0,
            channels: None,
            crop: None,
            windows: source.overlapping().is_some(),
            integers,
            one_hot: None,
        }
    }

    /// Each row as one axis.
    pub fn flatten(mut self) -> Self {
        self.row = [self.row.size()].into();
        self
    }

    /// Multiplies every value. Without effect on integers.
    pub fn scale(mut self, factor: f32) -> Self {
        self.scale *= factor;
        self.shift *= factor;
        self
    }

    /// Adds to every value, after any scaling so far. Without effect on integers.
    pub fn shift(mut self, offset: f32) -> Self {
        self.shift += offset;
        self
    }

    /// Values stored as u8 or u32 stay integers (u32), as an embedding takes them, and do not become f32. Without effect on f32.
    pub fn integers(mut self) -> Self {
        self.integers = self.stored != DType::F32;
        self
    }

    /// Classes (one integer a row) become rows of `classes` values, one of them 1. Without effect on f32.
    pub fn one_hot(mut self, classes: usize) -> Self {
        self.one_hot = Some(classes).filter(|_| self.stored != DType::F32);
        self
    }

    /// The middle of each image, of so many rows and columns (torchvision's `CenterCrop`): of rows `[height, width]` or `[channels, height, width]`.
    pub fn center_crop(self, size: usize) -> Self {
        self.cropped([size, size])
    }

    pub(super) fn cropped(mut self, size: [usize; 2]) -> Self {
        self.crop = Some(size);
        let [rows, columns] = size;
        let planes = self.stored_row.dims().iter().rev().skip(2).product::<usize>();
        self.row = match (self.row.rank(), self.row.dims()) {
            (0 | 1, _) => [planes * rows * columns].into(),
            (rank, dims) => [&dims[..rank - 2], &size].concat().into(),
        };
        self
    }

    /// Channel by channel, after any scaling so far: `(value - mean) / deviation`.
    pub(super) fn standardized(mut self, of_channels: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let (scale, shift) = (f64::from(self.scale), f64::from(self.shift));
        let before = self.channels.take();
        let one = |(i, (mean, deviation)): (usize, (f64, f64))| {
            let (s, t) = before.as_ref().and_then(|b| b.get(i).or(b.first())).copied().unwrap_or((1.0, 0.0));
            (s * scale / deviation, (t * scale + shift - mean) / deviation)
        };
        let all: Vec<(f64, f64)> = of_channels.into_iter().enumerate().map(one).collect();
        (self.scale, self.shift) = (1.0, 0.0);
        match all[..] {
            [(scale, shift)] => (self.scale, self.shift) = (scale as f32, shift as f32),
            _ => self.channels = Some(all.into()),
        }
        self
    }

    /// The scaling of another field of the same rows.
    pub(super) fn scaled_as(mut self, other: &Look) -> Self {
        (self.scale, self.shift, self.channels) = (other.scale, other.shift, other.channels.clone());
        // rows that were cut from a series are scaled by its variables
        self.windows |= other.windows;
        self
    }

    /// How many channels a row has, and how many elements of one stand beside each other in a stored row: the first axis of rows of three and more axes (as of
    /// images), every column of rows of one, and one channel of all else.
    pub(super) fn channels_stored(&self) -> (usize, usize) {
        match self.stored_row.dims() {
            [] => (1, 1),
            [.., variables] if self.windows => (*variables, 1),
            [columns] => (*columns, 1),
            [rows, columns] => (1, rows * columns),
            [channels, rest @ ..] => (*channels, rest.iter().product()),
        }
    }

    /// The same of a row as the model sees it.
    pub(super) fn channels_shown(&self) -> (usize, usize) {
        let (n, each) = self.channels_stored();
        (n, self.image().filter(|_| n > 1).map_or(each, |i| i.shown[0] * i.shown[1]))
    }

    /// The scale and the shift of a channel.
    pub(super) fn of_channel(&self, channel: usize) -> (f64, f64) {
        let (s, t) = self.channels.as_ref().and_then(|c| c.get(channel)).copied().unwrap_or((1.0, 0.0));
        let (scale, shift) = (f64::from(self.scale), f64::from(self.shift));
        (s * scale, t * scale + shift)
    }

    /// The images' size, where rows can be images: `[height, width]` or `[channels, height, width]`.
    pub(super) fn image(&self) -> Option<ImageSize> {
        let stored = match *self.stored_row.dims() {
            [height, width] if !self.windows => [1, height, width],
            [channels, height, width] => [channels, height, width],
            _ => return None,
        };
        Some(ImageSize { stored, shown: self.crop.unwrap_or([stored[1], stored[2]]) })
    }

    /// Whether the values stay integers.
    pub(super) fn is_integer(&self) -> bool {
        self.integers && self.one_hot.is_none()
    }

    /// The number of classes, if values were made one-hot.
    pub(super) fn classes(&self) -> Option<usize> {
        self.one_hot
    }

    pub(super) fn row(&self) -> &Shape {
        &self.row
    }

    /// What it makes of what is stored, for messages.
    pub(super) fn told(&self) -> String {
        let Look { stored, row, scale, shift, one_hot, integers, .. } = self;
        let shown = match one_hot {
            Some(classes) => format!("one-hot rows of {classes}"),
            None if *integers => "integers".into(),
            None if self.channels.is_some() => "normalised by channels".into(),
            None => format!("times {scale} plus {shift}"),
        };
        format!("{stored} {row}, {shown}")
    }

    pub(super) fn check(&self, f: &mut Faults) {
        let key = |what: &str| format!("data.{}.{what}", self.name);
        f.check(self.one_hot != Some(0), &key("one_hot"), 0, "give at least 1 class");
        let one = self.one_hot.is_none() || self.row.size() == 1;
        f.check(one, &key("one_hot"), format!("a row has the shape {}", self.row), "one-hot rows come from one integer a row");
        if let Some(crop @ [rows, columns]) = self.crop {
            let problem = format!("{rows} x {columns} of rows {}", self.stored_row);
            let help = "rows must be images, [height, width] or [channels, height, width], and a crop has at least one pixel";
            f.check(self.image().is_some() && !crop.contains(&0), &key("center_crop"), problem, help);
        }
        f.check(self.scale.is_finite(), &key("scale"), self.scale, "give a finite number");
        f.check(self.shift.is_finite(), &key("shift"), self.shift, "give a finite number");
    }

    pub(super) fn field(&self) -> Field {
        let whole = |i: &ImageSize| i.shown == [i.stored[1], i.stored[2]];
        Field {
            scale: self.scale,
            shift: self.shift,
            keep_integer: self.integers,
            one_hot: self.one_hot,
            channels: self.channels.as_ref().map(|c| {
                let of = |f: fn((f64, f64)) -> f64| (0..c.len()).map(|i| f(self.of_channel(i)) as f32).collect();
                Arc::new(Channels { each: self.channels_shown().1, scale: of(|c| c.0), shift: of(|c| c.1) })
            }),
            image: self.image().filter(|i| !whole(i)),
            ..Field::new(&*self.name, self.stored, self.row.clone())
        }
    }
}
