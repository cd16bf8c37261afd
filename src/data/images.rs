//! Folders of pictures, one for each class.

#[cfg(not(feature = "data-images"))]
mod absent;
#[cfg(feature = "data-images")]
mod decode;
#[cfg(feature = "data-images")]
mod source;
#[cfg(feature = "data-images")]
mod walk;

#[cfg(not(feature = "data-images"))]
use absent::open;
#[cfg(feature = "data-images")]
use source::open;

use super::Dataset;
use crate::error::{Faults, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How a folder of pictures becomes a data set.
///
/// ```
/// use gradus::data::ImageFolder;
/// let how = ImageFolder::new().size(64, 96).grey(true);
/// assert_eq!((how.size, how.crop), (Some((64, 96)), false));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct ImageFolder {
    /// Height and width of all images; that of the first one, and another is an `Err`.
    pub size: Option<(usize, usize)>,
    /// Whether an image of another shape keeps its own, and what stands over at two sides is cut off; it is stretched.
    pub crop: bool,
    /// Whether images have one channel, and not red, green and blue; no.
    pub grey: bool,
    /// Most pixels of a file; 2^24 (4,096 times 4,096). More are an `Err` before anything is decoded.
    pub max_pixels: u64,
}

impl Default for ImageFolder {
    fn default() -> Self {
        ImageFolder { size: None, crop: false, grey: false, max_pixels: 1 << 24 }
    }
}

impl ImageFolder {
    /// Three channels, and all images of one size.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes all images this large: bilinear, of all pixels that fall into one where an image becomes smaller (torchvision's `Resize` with `antialias`).
    #[doc(alias = "Resize")]
    pub fn size(mut self, height: usize, width: usize) -> Self {
        self.size = Some((height, width));
        self
    }

    /// Keeps the shape of what is in an image: it is made to fill the size, and what stands over at two sides is cut off (Keras' `crop_to_aspect_ratio`).
    pub fn crop(mut self, crop: bool) -> Self {
        self.crop = crop;
        self
    }

    /// Images of one channel.
    pub fn grey(mut self, grey: bool) -> Self {
        self.grey = grey;
        self
    }

    /// Most pixels of a file. While images are decoded each thread takes up to 16 bytes for each.
    pub fn max_pixels(mut self, pixels: u64) -> Self {
        self.max_pixels = pixels;
        self
    }

    fn check(&self) -> Result<()> {
        let mut f = Faults::default();
        if let Some((height, width)) = self.size {
            let fits = |n: usize| (1..=1 << 14).contains(&n);
            f.check(fits(height) && fits(width), "images.size", format!("{height} x {width}"), "give 1 to 16384 for each");
        }
        f.check(self.max_pixels > 0, "images.max_pixels", 0, "give at least one pixel");
        f.finish()
    }
}

/// The pictures below a folder: each of its folders is a class, by the order of their names (torchvision's `ImageFolder`). The features are u8
/// `[rows, channels, height, width]`, red, green and blue or grey; the labels u32 `[rows]`, and the set knows the classes by the names of their folders.
///
/// Files `*.png`, `*.jpg` and `*.jpeg` in any case are taken, of folders in a class' folder too, in the order of their names; others, and what begins with a dot, are passed over.
/// The files stay where they are: a thread reads ahead of the training within [`Dataset::memory_budget`], and the images of a block are decoded side by side. A set that
/// fits its budget is decoded once; a larger one in every epoch.
///
/// Colours: grey becomes three equal channels; red, green and blue become grey by 0.2126, 0.7152 and 0.0722; transparency is left out, with the colours as they stand in the file;
/// 16 bits are rounded to 8. How a camera was held (EXIF) and colour profiles are not looked at.
///
/// Fails with `data-not-found` where there is no class or one of no pictures, with `bad-data` if the first picture cannot be used, with `io` if a folder cannot be read. A picture
/// that is damaged, cut short, too large, or of another size where none was chosen, is an `Err` of `fit` that names it. Without the feature `data-images` it fails with `unsupported`.
///
/// ```no_run
/// use gradus::data::{self, ImageFolder};
/// let train = data::image_folder("flowers/train", ImageFolder::new().size(64, 64))?.scale(1.0 / 255.0);
/// println!("{} pictures, class 0 is {}", train.len(), train.class_name(0));
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias = "image_dataset_from_directory")]
pub fn image_folder(path: impl AsRef<Path>, how: ImageFolder) -> Result<Dataset> {
    how.check()?;
    open(path.as_ref(), &how)
}

#[cfg(all(test, feature = "data-images"))]
mod tests;
