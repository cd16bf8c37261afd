//! What training changes at random in a set.

use super::{Dataset, Rows};
use crate::data::Look;
use crate::data::augment::Augment;
use crate::error::{Faults, Result};
use crate::graph::augment::{ImageSize, Touches};
use crate::graph::{Augmented, Field};
use crate::tensor::DType;
use std::sync::{Arc, OnceLock};

/// What training changes at random in a set and in all parts of it.
#[derive(Debug)]
pub(super) struct Augmenting {
    augment: Augment,
    /// The rows of the set when it was told, and the mean of their features as stored.
    rows: Rows,
    mean: OnceLock<f32>,
}

impl Augmenting {
    /// The same of other rows of other sources.
    pub fn of_rows(&self, rows: std::ops::Range<usize>) -> Arc<Self> {
        Arc::new(Augmenting { augment: self.augment.clone(), rows: Rows::Range(rows), mean: OnceLock::new() })
    }
}

impl PartialEq for Augmenting {
    fn eq(&self, other: &Self) -> bool {
        self.augment == other.augment
    }
}

impl Dataset {
    /// Changes the rows at random while a model **trains** on them, in the place of what was told before: see [`Augment`] for what there is. `evaluate`, `predict` and validation sets see every row as
    /// it is, be it a part of this set. Batches by hand are changed, since they are trained on.
    ///
    /// Images are rows `[height, width]` or `[channels, height, width]` of the source, flattened later or not. What does not fit (a flip of rows that are no images,
    /// mixup with labels that are neither one-hot nor f32, a range that is none) is an `Err` of `fit`.
    ///
    /// ```
    /// use gradus::data::{self, Augment};
    /// use gradus::prelude::*;
    /// let (train, _) = data::synthetic_digits(0, 200, 50)?;
    /// let train = train.flatten().scale(1.0 / 255.0).augment(Augment::new().shift(2).rotate(10.0));
    /// let net = Sequential::new().add(Linear::new(10));
    /// let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([784]).device(Device::cpu());
    /// let mut model = net.compile(settings)?;
    /// model.fit(&train, Fit::new().epochs(1).verbose(0))?;
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[must_use]
    pub fn augment(mut self, augment: Augment) -> Self {
        self = self.shown_as_by(&augment);
        let of = Augmenting { augment, rows: self.rows.clone(), mean: OnceLock::new() };
        (self.augment, self.drawn) = (Some(Arc::new(of)), Arc::default());
        self
    }

    /// The images in the size that training with this shows: the middle of them.
    pub(crate) fn shown_as_by(mut self, augment: &Augment) -> Self {
        if let Some(size) = augment.crop() {
            let turned = |(i, l): &(usize, &mut Look)| *i == 0 || augment.fields_beside().iter().any(|n| **n == *l.name);
            self.looks.iter_mut().enumerate().filter(turned).for_each(|(_, l)| *l = l.clone().cropped(size));
            self.drawn = Arc::default();
        }
        self
    }

    /// Channels, rows and columns of the features' images, as they are shown.
    #[cfg(feature = "plot")]
    pub(crate) fn image_shown(&self) -> Option<[usize; 3]> {
        self.looks[0].image().map(|i| [i.stored[0], i.shown[0], i.shown[1]])
    }

    /// What training changes at random, if anything.
    pub fn augmentation(&self) -> Option<&Augment> {
        self.augment.as_ref().map(|a| &a.augment)
    }

    /// The fields with what is drawn for each row.
    pub(super) fn augmented(&self, mut fields: Vec<Field>) -> Vec<Field> {
        let Some(augment) = self.augmentation().filter(|a| !a.transforms().is_empty()) else { return fields };
        let resolved = || {
            // one that cannot be told is an error of `check`
            let mean = self.stored_mean().unwrap_or(0.0);
            Arc::new(augment.resolve(self.looks[0].image(), mean))
        };
        let by = self.drawn.get_or_init(resolved);
        for (i, (field, look)) in fields.iter_mut().zip(&self.looks).enumerate() {
            let touches = match (i, &*look.name) {
                (0, _) => Touches::All,
                (_, name) if augment.fields_beside().iter().any(|n| n == name) => Touches::Places,
                (_, "y") if augment.mixes() => Touches::Mixing,
                _ => continue,
            };
            field.image = field
                .image
                .or_else(|| look.image().filter(|_| touches != Touches::Mixing && augment.transforms().iter().any(|t| t.needs_image())));
            field.augmented = Some(Augmented { by: by.clone(), touches });
        }
        fields
    }

    /// The mean of all features as stored, where contrast asks for it: of the rows that the set had when it was told what to change. Read once, whatever parts are
    /// made of it.
    pub(super) fn stored_mean(&self) -> Result<f32> {
        let Some(of) = self.augment.as_ref().filter(|a| a.augment.has("contrast")) else { return Ok(0.0) };
        if let Some(mean) = of.mean.get() {
            return Ok(*mean);
        }
        let all = Dataset { rows: of.rows.clone(), ..self.clone() };
        let channels = all.moments_of(0)?;
        let mean = channels.iter().map(|c| c.mean).sum::<f64>() / channels.len().max(1) as f64;
        Ok(*of.mean.get_or_init(|| mean as f32))
    }

    /// Notes what of the augmentation does not fit the set.
    pub(super) fn check_augment(&self, f: &mut Faults) {
        let Some(augment) = self.augmentation() else { return };
        let key = "data.augment";
        augment.check(f);
        let x = &self.looks[0];
        let image = x.image();
        if let Some(t) = augment.transforms().iter().find(|t| t.needs_image()) {
            let problem = format!("{} of rows of the shape {}", t.name(), self.sources[0].row());
            f.check(image.is_some(), key, problem, "rows must be images, [height, width] or [channels, height, width], before `flatten`");
        }
        f.check(!x.is_integer() && x.classes().is_none(), key, "the features are integers", "leave `integers` away: pixels become f32");
        let colours = augment.has("saturation") && image.is_some_and(|i| i.stored[0] != 3);
        f.check(!colours, key, "saturation of images that have not three channels", "leave it away");
        if let Some(ImageSize { stored: [_, high, wide], shown: [rows, columns] }) = image {
            let large = high.max(wide).max(rows).max(columns) >= 1 << 15;
            f.check(!large, key, format!("images of {high} x {wide}"), "images have at most 32,767 rows and columns");
            let padding = augment.transforms().iter().find_map(|t| match t {
                super::super::augment::Transform::RandomCrop { padding, .. } => Some(*padding),
                _ => None,
            });
            if let Some(padding) = padding {
                let fits = padding < 1 << 15 && rows <= high + 2 * padding && columns <= wide + 2 * padding;
                let problem = format!("{rows} x {columns} of {high} x {wide} with {padding} around them");
                f.check(fits, &format!("{key}.random_crop"), problem, "crop at most the padded image");
            }
        }
        for name in augment.fields_beside() {
            let look = self.looks.iter().skip(1).find(|l| *l.name == **name);
            f.check(
                look.is_some(),
                &format!("{key}.also"),
                format!("there is no field `{name}` beside the features"),
                "name a field of the set",
            );
            let size = |i: Option<ImageSize>| i.map(|i| (i.stored[1], i.stored[2], i.shown));
            if let Some(look) = look {
                let same = size(look.image()) == size(image) && look.classes().is_none();
                f.check(
                    same,
                    &format!("{key}.also"),
                    format!("`{name}` is no image of the features' size"),
                    "fields that turn together have one size",
                );
                let blended = look.is_integer() && augment.has("mixup");
                f.check(!blended, key, format!("mixup of the integers of `{name}`"), "take cutmix, or let the field become f32");
            }
        }
        if augment.mixes() {
            let beside = augment.fields_beside().iter().any(|n| n == "y");
            let labels = self.looks.iter().zip(self.sources.iter()).find(|(l, _)| &*l.name == "y" && !beside);
            let soft = labels.is_none_or(|(l, s)| l.classes().is_some() || s.dtype() == DType::F32);
            f.check(soft, key, "rows are mixed and the labels are classes", "make them rows of probabilities: `.one_hot(classes)`");
        }
    }
}
