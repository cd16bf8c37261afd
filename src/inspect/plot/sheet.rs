//! Samples of a set before and after what training changes, as a picture.

use super::canvas::Canvas;
use crate::data::{Augment, Dataset};
use crate::disk;
use crate::error::{Error, Result};
use crate::tensor::DType;
use std::path::Path;

/// Changed samples beside each row.
const BESIDE: usize = 7;
/// Pixels between samples, and the least side of one.
const GAP: usize = 4;
const SIDE: usize = 64;
/// Pixels of a side that a sheet has at most.
const MOST_SIDE: usize = 20_000;

impl Dataset {
    /// Writes a PNG with the first `rows` images of the set, as many as there are, each with seven samples of what [`Dataset::augment`] makes of it beside it: what one looks at before one
    /// trains. Where nothing was told, all eight are alike; of a strength that grows, the last one counts. Rows are mixed, where they are, with rows of the sheet.
    ///
    /// Bytes are shown as they are stored. Of other numbers, the least of the images becomes black and the largest white, and what augmentation takes beyond is cut. One channel
    /// is grey, of three or more the first three are red, green and blue. An image is drawn 64 pixels high or wide at least, by a whole factor, with 4 pixels of white around.
    ///
    /// Fails with `unsupported` unless features are images, `[height, width]` or `[channels, height, width]` before `flatten`, for 0 rows, and for a picture above 20,000 pixels
    /// high or wide; as `fit` does where the augmentation does not fit the set; and where rows cannot be read or the file cannot be written.
    ///
    /// ```no_run
    /// use gradus::data::{self, Augment};
    /// let (train, _) = data::synthetic_digits(0, 100, 10)?;
    /// train.augment(Augment::new().rotate(20.0).shift(2)).contact_sheet("sheet.png", 8)?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn contact_sheet(&self, path: impl AsRef<Path>, rows: usize) -> Result<()> {
        let path = path.as_ref();
        let unsupported = |what: &str| Error::Unsupported {
            what: what.into(),
            at: format!("Dataset::contact_sheet of the data set `{}`", self.name()),
            help: "give images, [height, width] or [channels, height, width], and 1 or more rows that fit into 20,000 pixels".into(),
        };
        let Some([channels, high, wide]) = self.image_shown() else {
            return Err(unsupported("a sheet of rows that are no images"));
        };
        let rows = rows.min(self.len());
        let scale = SIDE.div_ceil(high.max(wide)).max(1);
        let cell = [high * scale + GAP, wide * scale + GAP];
        if rows == 0 || cell[0] * rows > MOST_SIDE || cell[1] * (BESIDE + 1) > MOST_SIDE {
            return Err(unsupported("a sheet of this size"));
        }
        let some = self.clone().take(rows);
        let mut columns = vec![self.as_stored(&some.changed(&Augment::new(), 0)?)];
        for sample in 0..BESIDE {
            columns.push(self.as_stored(&some.changed_as_told(sample as u64)?));
        }
        let [least, most] = self.range_shown(&columns[0]);
        let byte = |v: f32| ((v - least) / (most - least).max(f32::MIN_POSITIVE) * 255.0).round().clamp(0.0, 255.0) as u8;
        let mut canvas = Canvas::new((cell[1] * columns.len() + GAP) as u32, (cell[0] * rows + GAP) as u32);
        for (column, values) in columns.iter().enumerate() {
            for (row, image) in values.chunks_exact(channels * high * wide).enumerate() {
                let at = [GAP + row * cell[0], GAP + column * cell[1]];
                for (y, x) in (0..high * scale).flat_map(|y| (0..wide * scale).map(move |x| (y, x))) {
                    let of = |c: usize| byte(image[(c * high + y / scale) * wide + x / scale]);
                    let rgb = if channels >= 3 { [of(0), of(1), of(2)] } else { [of(0); 3] };
                    canvas.set(at[1] + x, at[0] + y, rgb);
                }
            }
        }
        let png = canvas.png().map_err(|e| Error::Unsupported {
            what: format!("this picture: {e}"),
            at: path.display().to_string(),
            help: "take fewer rows".into(),
        })?;
        disk::replace(path, &[&png[..]], true).map_err(|e| Error::io("write", path, e))
    }

    /// The features of a changed copy of this set, in the scale in which this set stores them.
    fn as_stored(&self, changed: &Dataset) -> Vec<f32> {
        let mut values = changed.features().and_then(|x| x.as_f32()).unwrap_or_default().to_vec();
        // there is a field of features
        _ = self.denormalize("x", &mut values);
        values
    }

    /// What is shown as black and as white: the same for all samples, or a change of brightness would not be seen.
    fn range_shown(&self, plain: &[f32]) -> [f32; 2] {
        if self.fields().first().is_some_and(|f| f.stored == DType::U8) {
            return [0.0, 255.0];
        }
        plain.iter().filter(|v| v.is_finite()).fold([f32::MAX, f32::MIN], |[a, b], v| [a.min(*v), b.max(*v)])
    }
}

#[cfg(test)]
mod tests;
