//! One thing that training changes.

use crate::error::Faults;
use serde::{Deserialize, Serialize};

/// A transformation of an [`Augment`](super::Augment), whose methods say what each does. In files it is a map that names it:
/// `{ kind = "rotate", degrees = 10.0 }`. The probability may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
#[allow(missing_docs)] // each is a method's argument
pub enum Transform {
    RandomCrop {
        /// Rows and columns.
        size: [usize; 2],
        #[serde(default)]
        padding: usize,
        #[serde(default = "always")]
        probability: f32,
    },
    Shift {
        pixels: usize,
        #[serde(default = "always")]
        probability: f32,
    },
    HorizontalFlip {
        #[serde(default = "half")]
        probability: f32,
    },
    VerticalFlip {
        #[serde(default = "half")]
        probability: f32,
    },
    Rotate {
        degrees: f32,
        #[serde(default = "always")]
        probability: f32,
    },
    Translate {
        part: f32,
        #[serde(default = "always")]
        probability: f32,
    },
    Scale {
        least: f32,
        most: f32,
        #[serde(default = "always")]
        probability: f32,
    },
    Shear {
        degrees: f32,
        #[serde(default = "always")]
        probability: f32,
    },
    Brightness {
        by: f32,
        #[serde(default = "always")]
        probability: f32,
    },
    Contrast {
        by: f32,
        #[serde(default = "always")]
        probability: f32,
    },
    Saturation {
        by: f32,
        #[serde(default = "always")]
        probability: f32,
    },
    Noise {
        deviation: f32,
        #[serde(default = "always")]
        probability: f32,
    },
    Erase {
        /// Least and largest part of the image's area.
        #[serde(default = "erased")]
        area: [f32; 2],
        /// Least and largest height over width.
        #[serde(default = "ratios")]
        ratio: [f32; 2],
        #[serde(default = "half")]
        probability: f32,
    },
    Mixup {
        alpha: f32,
        #[serde(default = "always")]
        probability: f32,
    },
    Cutmix {
        alpha: f32,
        #[serde(default = "always")]
        probability: f32,
    },
}

fn always() -> f32 {
    1.0
}

fn half() -> f32 {
    0.5
}

fn erased() -> [f32; 2] {
    [0.02, 0.33]
}

fn ratios() -> [f32; 2] {
    [0.3, 3.3]
}

impl Transform {
    pub(super) fn probability_mut(&mut self) -> &mut f32 {
        match self {
            Transform::RandomCrop { probability, .. }
            | Transform::Shift { probability, .. }
            | Transform::HorizontalFlip { probability }
            | Transform::VerticalFlip { probability }
            | Transform::Rotate { probability, .. }
            | Transform::Translate { probability, .. }
            | Transform::Scale { probability, .. }
            | Transform::Shear { probability, .. }
            | Transform::Brightness { probability, .. }
            | Transform::Contrast { probability, .. }
            | Transform::Saturation { probability, .. }
            | Transform::Noise { probability, .. }
            | Transform::Erase { probability, .. }
            | Transform::Mixup { probability, .. }
            | Transform::Cutmix { probability, .. } => probability,
        }
    }

    /// How often it is done.
    pub fn probability(&self) -> f32 {
        *self.clone().probability_mut()
    }

    /// Its name in files and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Transform::RandomCrop { .. } => "random_crop",
            Transform::Shift { .. } => "shift",
            Transform::HorizontalFlip { .. } => "horizontal_flip",
            Transform::VerticalFlip { .. } => "vertical_flip",
            Transform::Rotate { .. } => "rotate",
            Transform::Translate { .. } => "translate",
            Transform::Scale { .. } => "scale",
            Transform::Shear { .. } => "shear",
            Transform::Brightness { .. } => "brightness",
            Transform::Contrast { .. } => "contrast",
            Transform::Saturation { .. } => "saturation",
            Transform::Noise { .. } => "noise",
            Transform::Erase { .. } => "erase",
            Transform::Mixup { .. } => "mixup",
            Transform::Cutmix { .. } => "cutmix",
        }
    }

    /// Whether rows must be images for it.
    pub(in crate::data) fn needs_image(&self) -> bool {
        !matches!(self, Transform::Noise { .. } | Transform::Mixup { .. })
    }

    /// Notes what is wrong with its numbers.
    pub(super) fn check(&self, f: &mut Faults) {
        let key = |what: &str| format!("data.augment.{}.{what}", self.name());
        let p = self.probability();
        f.check((0.0..=1.0).contains(&p), &key("probability"), p, "give a part of the rows, from 0 to 1");
        let mut within = |what: &str, v: f32, least: f32, most: f32, help: &str| f.check((least..=most).contains(&v), &key(what), v, help);
        match self {
            Transform::RandomCrop { size: [rows, columns], .. } => {
                f.check(*rows > 0 && *columns > 0, &key("size"), format!("{rows} x {columns}"), "give at least one pixel");
            }
            Transform::Rotate { degrees, .. } => within("degrees", *degrees, 0.0, 180.0, "give degrees from 0 to 180"),
            Transform::Shear { degrees, .. } => within("degrees", *degrees, 0.0, 80.0, "give degrees from 0 to 80"),
            Transform::Translate { part, .. } => within("part", *part, 0.0, 1.0, "give a part of the image, from 0 to 1"),
            Transform::Scale { least, most, .. } => {
                within("least", *least, 0.01, 100.0, "give a factor from 0.01 to 100");
                within("most", *most, *least, 100.0, "give a factor that is not below the least, at most 100");
            }
            Transform::Brightness { by, .. } | Transform::Contrast { by, .. } | Transform::Saturation { by, .. } => {
                within("by", *by, 0.0, 1000.0, "give a number from 0 on: 0.2 is between 0.8 and 1.2 times");
            }
            Transform::Noise { deviation, .. } => within("deviation", *deviation, 0.0, f32::MAX, "give a finite number from 0 on"),
            Transform::Erase { area: [least, most], ratio: [low, high], .. } => {
                within("area", *least, 0.0, *most, "give a least and a largest part");
                within("area", *most, *least, 1.0, "give parts from 0 to 1");
                within("ratio", *low, 1e-3, *high, "give a least and a largest height over width, above 0");
                within("ratio", *high, *low, 1e3, "give ratios up to 1000");
            }
            Transform::Mixup { alpha, .. } | Transform::Cutmix { alpha, .. } => {
                within("alpha", *alpha, 0.01, 100.0, "give a number from 0.01 to 100: 0.2 mixes little, 1 evenly");
            }
            Transform::Shift { .. } | Transform::HorizontalFlip { .. } | Transform::VerticalFlip { .. } => {}
        }
    }
}
