//! What training changes at random in the rows of a set: the settings.

mod beta;
mod parse;
mod resolve;
mod transform;

pub use transform::Transform;

use crate::error::Faults;
use serde::{Deserialize, Serialize};

/// Epochs that have a strength of their own.
const MOST_STRENGTHS: usize = 4096;

/// What training changes at random: crops, flips, rotations, colours, noise, holes, mixing of rows. See
/// [`Dataset::augment`](super::Dataset::augment).
///
/// All of it rides on the launch that gathers the batch, so that it adds no launch and nothing is read back. A row's numbers are drawn once, from the seed of the
/// order by the counter of batches and the row's place in the batch: every field of the row sees the same (a mask turns with its image), two machines draw the same
/// to the bit, and a run that is resumed goes on with the same draws. The order of what is done is fixed, whatever the order of the calls: crop or shift,
/// flips, **one** affine map of rotation, shear, scale and translation (one bilinear sample), brightness, contrast, saturation, the set's own scale and shift or
/// normalisation, erasing, mixing with another row, noise. Places outside of an image are 0 as stored (black).
///
/// Names and ranges are torchvision's; each transformation may stand once, and [`Augment::probability`] says how often the last one is done.
///
/// ```
/// use gradus::data::Augment;
/// let augment = Augment::new().random_crop(32, 4).horizontal_flip(0.5).rotate(10.0).probability(0.3).noise(0.05);
/// assert_eq!(augment.transforms().len(), 4);
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
#[non_exhaustive]
pub struct Augment {
    /// What is done.
    #[serde(default)]
    transforms: Vec<Transform>,
    /// Fields that turn and move as the features do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also: Vec<String>,
    /// How strong it is in each epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    strengths: Vec<f32>,
    /// Tells its draws from those of the same order with another seed; none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

impl Augment {
    /// Nothing yet.
    pub fn new() -> Self {
        Augment::default()
    }

    /// What is done, in the order of the calls.
    pub fn transforms(&self) -> &[Transform] {
        &self.transforms
    }

    /// Adds a transformation.
    pub fn with(mut self, transform: Transform) -> Self {
        self.transforms.push(transform);
        self
    }

    /// `size` rows and columns from any place of the image with `padding` pixels of black around it (torchvision's `RandomCrop`). The model sees images of this
    /// size: show other sets so by [`Dataset::center_crop`](super::Dataset::center_crop) unless it is the images' own.
    #[doc(alias = "RandomCrop")]
    pub fn random_crop(self, size: usize, padding: usize) -> Self {
        self.with(Transform::RandomCrop { size: [size, size], padding, probability: 1.0 })
    }

    /// Whole pixels, at most so many each way.
    pub fn shift(self, pixels: usize) -> Self {
        self.with(Transform::Shift { pixels, probability: 1.0 })
    }

    /// Left becomes right, with this probability (0.5 is torchvision's default).
    #[doc(alias = "RandomHorizontalFlip")]
    pub fn horizontal_flip(self, probability: f32) -> Self {
        self.with(Transform::HorizontalFlip { probability })
    }

    /// Top becomes bottom, with this probability.
    #[doc(alias = "RandomVerticalFlip")]
    pub fn vertical_flip(self, probability: f32) -> Self {
        self.with(Transform::VerticalFlip { probability })
    }

    /// Between -`degrees` and `degrees`, at most 180.
    #[doc(alias("RandomRotation", "RandomAffine"))]
    pub fn rotate(self, degrees: f32) -> Self {
        self.with(Transform::Rotate { degrees, probability: 1.0 })
    }

    /// At most this part of the width and of the height each way, not in whole pixels.
    pub fn translate(self, part: f32) -> Self {
        self.with(Transform::Translate { part, probability: 1.0 })
    }

    /// Larger by a factor between these.
    pub fn scale(self, least: f32, most: f32) -> Self {
        self.with(Transform::Scale { least, most, probability: 1.0 })
    }

    /// Columns slant by at most so many degrees each way, below 90.
    pub fn shear(self, degrees: f32) -> Self {
        self.with(Transform::Shear { degrees, probability: 1.0 })
    }

    /// Times a factor between `1 - by` and `1 + by`, and at least 0. Bytes stay within 0 and 255.
    #[doc(alias = "ColorJitter")]
    pub fn brightness(self, by: f32) -> Self {
        self.with(Transform::Brightness { by, probability: 1.0 })
    }

    /// The distance from the **set's** mean times a factor between `1 - by` and `1 + by`. (torchvision takes the image's own mean.)
    pub fn contrast(self, by: f32) -> Self {
        self.with(Transform::Contrast { by, probability: 1.0 })
    }

    /// The distance from the pixel's grey (0.2989 R + 0.587 G + 0.114 B) times a factor between `1 - by` and `1 + by`: of images of three channels.
    pub fn saturation(self, by: f32) -> Self {
        self.with(Transform::Saturation { by, probability: 1.0 })
    }

    /// Normal noise of this deviation upon every value, as the model sees them (Keras' `GaussianNoise`).
    #[doc(alias = "GaussianNoise")]
    pub fn noise(self, deviation: f32) -> Self {
        self.with(Transform::Noise { deviation, probability: 1.0 })
    }

    /// A hole of 0 (as the model sees it), with this probability: of 2 to 33 % of the image, its height 0.3 to 3.3 times its width (torchvision's
    /// `RandomErasing`; Zhong et al., "Random erasing data augmentation", AAAI 2020). Its size is one of 1024.
    #[doc(alias("RandomErasing", "cutout"))]
    pub fn erase(self, probability: f32) -> Self {
        self.with(Transform::Erase { area: [0.02, 0.33], ratio: [0.3, 3.3], probability })
    }

    /// Two rows of the batch become one, `s x1 + (1 - s) x2`, and their labels in the same way; `s` is drawn from Beta(alpha, alpha), one of 1024 quantiles; 1.0 is
    /// uniform (Zhang et al., "mixup", ICLR 2018). The partner is any other row of the batch, augmented by its own draws. Labels must be one-hot or f32.
    pub fn mixup(self, alpha: f32) -> Self {
        self.with(Transform::Mixup { alpha, probability: 1.0 })
    }

    /// A box of another row of the batch, of `1 - s` of the image's area, and as much of its label; `s` from Beta(alpha, alpha) (Yun et al., "CutMix", ICCV
    /// 2019). A row that mixup has mixed is left. Labels must be one-hot or f32.
    pub fn cutmix(self, alpha: f32) -> Self {
        self.with(Transform::Cutmix { alpha, probability: 1.0 })
    }

    /// How often the last transformation is done: in this part of the rows; in all of them, or as it was told.
    pub fn probability(mut self, probability: f32) -> Self {
        if let Some(last) = self.transforms.last_mut() {
            *last.probability_mut() = probability;
        }
        self
    }

    /// Another field that turns and moves as the features do, an image of the same height and width: a mask. Beside the image it is 0. Its colours stay, and integers come from the nearest
    /// place.
    pub fn also(mut self, field: &str) -> Self {
        self.also.push(field.into());
        self
    }

    /// How strong all of it is in each epoch, from 0 to 1; the last number holds for all epochs after it. Ranges become smaller with it (of rotation, shift, noise and
    /// their like), probabilities of flips, holes and mixing do; crops stay. Epochs are those of `fit` and of a `Trainer`: batches by hand
    /// see the first number.
    ///
    /// ```
    /// use gradus::data::Augment;
    /// // from nothing to all in ten epochs
    /// let augment = Augment::new().rotate(15.0).strength((0..=10).map(|epoch| epoch as f32 / 10.0));
    /// # let _ = augment;
    /// ```
    pub fn strength(mut self, of_epochs: impl IntoIterator<Item = f32>) -> Self {
        self.strengths = of_epochs.into_iter().collect();
        self
    }

    /// Notes what is wrong with its numbers.
    pub(crate) fn check(&self, f: &mut Faults) {
        let mut seen: Vec<&str> = Vec::new();
        for t in &self.transforms {
            t.check(f);
            f.check(!seen.contains(&t.name()), &format!("data.augment.{}", t.name()), "it stands twice", "give each transformation once");
            seen.push(t.name());
        }
        let both = seen.contains(&"random_crop") && seen.contains(&"shift");
        f.check(!both, "data.augment", "a crop and a shift", "give one of them: a crop with padding shifts");
        let strengths = &self.strengths;
        let sound = strengths.iter().all(|s| (0.0..=1.0).contains(s)) && strengths.len() <= MOST_STRENGTHS;
        f.check(sound, "data.augment.strength", format!("{strengths:?}"), "give numbers from 0 to 1, for at most 4096 epochs");
    }

    /// Whether one of them is this.
    pub(super) fn has(&self, name: &str) -> bool {
        self.transforms.iter().any(|t| t.name() == name)
    }

    /// Other draws with the same order of rows: by default both come from the seed of the order.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The fields that turn and move as the features do.
    pub(super) fn fields_beside(&self) -> &[String] {
        &self.also
    }

    /// The size of the images that the model sees, where that is told.
    pub(super) fn crop(&self) -> Option<[usize; 2]> {
        self.transforms.iter().find_map(|t| if let Transform::RandomCrop { size, .. } = t { Some(*size) } else { None })
    }

    /// Whether rows are mixed.
    pub(super) fn mixes(&self) -> bool {
        self.transforms.iter().any(|t| matches!(t, Transform::Mixup { .. } | Transform::Cutmix { .. }))
    }
}
