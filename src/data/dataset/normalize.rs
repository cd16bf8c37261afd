//! Mean 0 and deviation 1, channel by channel.

use super::Dataset;
use crate::error::{Error, Result};
use crate::tensor::DType;

/// The moments of a channel, as stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moments {
    pub mean: f64,
    pub deviation: f64,
}

impl Dataset {
    /// Gives every channel of the features the mean 0 and the deviation 1 **of this set's rows** (scikit-learn's `StandardScaler`, the biased deviation, in f64): take
    /// the training part alone, and show the others in the same way by [`Dataset::normalize_as`]. It is done in the gather, after any `scale` and `shift` so far.
    ///
    /// Channels are the first axis of rows of three and more axes (`[channels, height, width]`), every column of rows of one axis (a table), the variables of a
    /// series, and one channel of all else. A channel of one value alone keeps its deviation: it becomes 0.
    ///
    /// Fails where a value is not finite (fill what is missing first), where the features are integers or one-hot, and where rows cannot be read.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let x = HostTensor::f32([4, 2], vec![1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 1000.0])?;
    /// let (train, test) = Dataset::unlabelled(x)?.split_at(3)?;
    /// let train = train.normalize()?;
    /// let test = test.normalize_as(&train)?;
    /// // (4 - 2) / 0.8165 and (1000 - 20) / 8.165
    /// assert_eq!(test.scaling("x", 0).map(|(scale, shift)| (4.0 * scale + shift) as f32), Some(2.4494898));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias("standardize", "StandardScaler", "zscore"))]
    pub fn normalize(self) -> Result<Self> {
        self.normalize_field("x")
    }

    /// As [`Dataset::normalize`], of any field: of labels that are real numbers, say. [`Dataset::denormalize`] leads what is predicted back.
    pub fn normalize_field(mut self, field: &str) -> Result<Self> {
        let i = self.place_of(field)?;
        self.check_real(i)?;
        let moments = self.moments_of(i)?;
        let look = self.looks[i].clone();
        let shown = moments.iter().enumerate().map(|(c, m)| {
            let (scale, shift) = look.of_channel(c);
            let deviation = m.deviation * scale.abs();
            (m.mean * scale + shift, if deviation > 0.0 { deviation } else { 1.0 })
        });
        let shown: Vec<(f64, f64)> = shown.collect();
        self.looks[i] = look.standardized(shown);
        Ok(self)
    }

    /// By these means and deviations of the channels, as the model sees them so far (torchvision's `Normalize`): of ImageNet, say.
    ///
    /// Fails unless there is one of each for every channel, finite, and deviations above 0.
    pub fn normalize_with(mut self, means: &[f64], deviations: &[f64]) -> Result<Self> {
        self.check_real(0)?;
        let (channels, _) = self.looks[0].channels_stored();
        let fits = means.len() == channels && deviations.len() == channels;
        if !fits || !means.iter().all(|m| m.is_finite()) || !deviations.iter().all(|d| d.is_finite() && *d > 0.0) {
            return Err(Error::Unsupported {
                what: format!("normalising by the means {means:?} and the deviations {deviations:?}"),
                at: format!("the features of the data set `{}`, which have {channels} channels", self.name),
                help: "give a finite mean and a deviation above 0 for each channel".into(),
            });
        }
        self.looks[0] = self.looks[0].clone().standardized(means.iter().copied().zip(deviations.iter().copied()));
        Ok(self)
    }

    /// Shows the fields in the scale in which another set shows its own: a validation or test set as the training set, which was normalised by its own rows.
    ///
    /// Fields of the other set that are not here are passed over. Fails unless those that are have the same dtype and the same stored shape.
    pub fn normalize_as(mut self, other: &Dataset) -> Result<Self> {
        for (look, source) in other.looks.iter().zip(other.sources.iter()) {
            // a set for `predict` has no labels
            let Some(i) = self.position(&look.name) else { continue };
            let here = &self.sources[i];
            if (here.dtype(), here.row()) != (source.dtype(), source.row()) {
                let (a, b) = ((here.dtype(), here.row()), (source.dtype(), source.row()));
                return Err(Error::ShapeMismatch {
                    op: "Dataset::normalize_as".into(),
                    problem: format!("the field `{}` is {} {} a row here and {} {} there", look.name, a.0, a.1, b.0, b.1),
                    at: format!("the data set `{}`", self.name),
                    help: "both sets must hold the same kind of rows".into(),
                });
            }
            self.looks[i] = self.looks[i].clone().scaled_as(look);
        }
        Ok(self)
    }

    /// The scale and the shift by which a field's channel is shown: the model sees `value * scale + shift`. None where there is no such field or channel.
    pub fn scaling(&self, field: &str, channel: usize) -> Option<(f64, f64)> {
        let look = &self.looks[self.position(field)?];
        (channel < look.channels_stored().0).then(|| look.of_channel(channel))
    }

    /// What stood in a field where the model sees these values: the way back from predictions to the units of the data. Channels follow each other as in the
    /// field's rows, of which there may be any number.
    ///
    /// Fails where there is no such field.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let set = Dataset::new(HostTensor::f32([2, 1], vec![0.0, 1.0])?, HostTensor::f32([2], vec![100.0, 300.0])?)?.normalize_field("y")?;
    /// let mut said = [-1.0, 0.0];
    /// set.denormalize("y", &mut said)?;
    /// assert_eq!(said, [100.0, 200.0]);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn denormalize(&self, field: &str, values: &mut [f32]) -> Result<()> {
        let look = &self.looks[self.place_of(field)?];
        let (channels, each) = look.channels_shown();
        for (i, v) in values.iter_mut().enumerate() {
            let (scale, shift) = look.of_channel(i / each.max(1) % channels.max(1));
            *v = ((f64::from(*v) - shift) / scale) as f32;
        }
        Ok(())
    }

    /// Fails where a field stays integers, or becomes one-hot.
    fn check_real(&self, field: usize) -> Result<()> {
        let look = &self.looks[field];
        if !look.is_integer() && look.classes().is_none() {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: "normalising integers".into(),
            at: format!("the field `{}` of the data set `{}`", look.name, self.name),
            help: "only values that become f32 have a mean".into(),
        })
    }

    fn place_of(&self, field: &str) -> Result<usize> {
        self.position(field).ok_or_else(|| Error::NotFound {
            what: "field".into(),
            name: field.into(),
            at: format!("the data set `{}`", self.name),
            known: self.looks.iter().map(|l| l.name.to_string()).collect(),
        })
    }

    /// The moments of each channel of a field as stored, over this set's rows.
    pub(super) fn moments_of(&self, field: usize) -> Result<Vec<Moments>> {
        let look = &self.looks[field];
        let (channels, each) = look.channels_stored();
        let (words, stored) = (self.row_words(field), self.sources[field].dtype());
        let mut sums = vec![Sums::default(); channels];
        let mut bad = None;
        let width = self.sources[field].row().size();
        if let Some((values, _)) = self.overlapping(field).filter(|(_, step)| each == 1 && *step <= width) {
            // each time of a series once, however many windows it stands in
            for (time, row) in values.chunks_exact(channels.max(1)).enumerate() {
                for (c, (sums, v)) in sums.iter_mut().zip(row).enumerate() {
                    if !sums.add(std::iter::once(f64::from(*v))) && bad.is_none() {
                        bad = Some((time, c));
                    }
                }
            }
            return self.moments_found(field, &sums, bad);
        }
        self.each_chunk(field, |first, chunk| {
            for (row, of_row) in chunk.chunks_exact(words.max(1)).enumerate() {
                for (c, sums) in sums.iter_mut().enumerate() {
                    let all = (c * each..width).step_by((channels * each).max(1)).flat_map(|first| first..first + each);
                    let values = all.map(|e| stored_value(stored, of_row, e));
                    if !sums.add(values) && bad.is_none() {
                        bad = Some((first + row, c));
                    }
                }
            }
            Ok(())
        })?;
        self.moments_found(field, &sums, bad)
    }

    fn moments_found(&self, field: usize, sums: &[Sums], bad: Option<(usize, usize)>) -> Result<Vec<Moments>> {
        if let Some((row, channel)) = bad {
            let look = &self.looks[field];
            return Err(Error::Unsupported {
                what: "a mean of values that are not all finite".into(),
                at: format!("channel {channel} of row {row} of the field `{}` of the data set `{}`", look.name, self.name),
                help: "fill in what is missing, or leave such rows out".into(),
            });
        }
        Ok(sums.iter().map(Sums::moments).collect())
    }
}

fn stored_value(stored: DType, row: &[u32], e: usize) -> f64 {
    match stored {
        DType::U8 => f64::from(row[e / 4] >> (8 * (e % 4)) & 255),
        DType::F32 => f64::from(f32::from_bits(row[e])),
        _ => f64::from(row[e]),
    }
}

/// Sums about the first value: a large mean takes nothing from a small deviation.
#[derive(Clone, Default)]
struct Sums {
    count: f64,
    about: f64,
    sum: f64,
    squares: f64,
}

impl Sums {
    /// Whether all of them are finite.
    fn add(&mut self, values: impl Iterator<Item = f64>) -> bool {
        let mut finite = true;
        for v in values {
            if self.count == 0.0 {
                self.about = v;
            }
            finite &= v.is_finite();
            let d = v - self.about;
            (self.count, self.sum, self.squares) = (self.count + 1.0, self.sum + d, self.squares + d * d);
        }
        finite
    }

    fn moments(&self) -> Moments {
        let mean = self.sum / self.count.max(1.0);
        let variance = (self.squares / self.count.max(1.0) - mean * mean).max(0.0);
        Moments { mean: self.about + mean, deviation: variance.sqrt() }
    }
}
