//! From settings to the exact numbers that both machines draw by.

use super::beta::quantiles;
use super::{Augment, Transform};
use crate::graph::augment::{Augmentation, Chance, Corner, Drawable, ENTRIES, ImageSize};
use crate::rng::stream;

impl Augment {
    /// For images of this size; `mean` is the set's, as stored.
    pub(in crate::data) fn resolve(&self, image: Option<ImageSize>, mean: f32) -> Augmentation {
        let mut a = Augmentation { mean, ..Augmentation::default() };
        let [rows, columns] = image.map_or([1, 1], |i| i.shown);
        let evenly = |p: f32, low: f32, high: f32| Drawable { chance: Chance::of(p), low, high };
        let about = |p: f32, by: f32| evenly(p, (1.0 - by).max(0.0), 1.0 + by);
        for t in &self.transforms {
            match *t {
                Transform::RandomCrop { size, padding, probability } => a.corner = crop(image, size, padding, probability),
                Transform::Shift { pixels, probability } => {
                    let most = pixels.min(rows.max(columns)).min(i32::MAX as usize / 4);
                    let [left, top] = image.map_or([0, 0], |i| i.middle());
                    let least = [left - most as i32, top - most as i32];
                    a.corner = Corner { chance: Chance::of(probability), least, ways: [2 * most as u32 + 1; 2], fades: true };
                }
                Transform::HorizontalFlip { probability } => a.mirrors[0] = Chance::of(probability),
                Transform::VerticalFlip { probability } => a.mirrors[1] = Chance::of(probability),
                Transform::Rotate { degrees, probability } => a.rotate = evenly(probability, -degrees.to_radians(), degrees.to_radians()),
                Transform::Translate { part, probability } => {
                    a.translate = [columns, rows].map(|n| evenly(probability, -part * n as f32, part * n as f32));
                }
                Transform::Scale { least, most, probability } => a.scale = evenly(probability, least, most),
                Transform::Shear { degrees, probability } => a.shear = evenly(probability, -degrees.to_radians(), degrees.to_radians()),
                Transform::Brightness { by, probability } => a.brightness = about(probability, by),
                Transform::Contrast { by, probability } => a.contrast = about(probability, by),
                Transform::Saturation { by, probability } => a.saturation = about(probability, by),
                Transform::Noise { deviation, probability } => a.noise = evenly(probability, deviation, deviation),
                Transform::Erase { area, ratio, probability } => {
                    (a.erase, a.holes) = (Chance::of(probability), holes([rows, columns], area, ratio));
                }
                Transform::Mixup { alpha, probability } => {
                    (a.mixup, a.shares) =
                        (Chance::of(probability), quantiles(alpha.into(), ENTRIES).iter().map(|s| (*s as f32).to_bits()).collect());
                }
                Transform::Cutmix { alpha, probability } => {
                    let cut = |kept: &f64| {
                        let side = (1.0 - kept).max(0.0).sqrt();
                        size_word((rows as f64 * side).round() as usize, (columns as f64 * side).round() as usize)
                    };
                    (a.cutmix, a.cuts) = (Chance::of(probability), quantiles(alpha.into(), ENTRIES).iter().map(cut).collect());
                }
            }
        }
        a.salt = self.seed.map_or(0, |seed| stream(&format!("augment seed {seed}")));
        a.strengths = self.strengths.iter().map(|s| (s.clamp(0.0, 1.0) * 65536.0).round() as u32).collect();
        a
    }
}

fn crop(image: Option<ImageSize>, [rows, columns]: [usize; 2], padding: usize, probability: f32) -> Corner {
    let Some(ImageSize { stored: [_, high, wide], .. }) = image else { return Corner::default() };
    // what is too much is an error of `fit`
    let padding = padding.min(1 << 15);
    let ways = [(wide, columns), (high, rows)].map(|(stored, shown)| (stored + 2 * padding + 1).saturating_sub(shown).max(1) as u32);
    Corner { chance: Chance::of(probability), least: [-(padding as i32); 2], ways, fades: false }
}

/// Rows in the upper half, columns in the lower one.
fn size_word(rows: usize, columns: usize) -> u32 {
    (rows.min(0xffff) as u32) << 16 | columns.min(0xffff) as u32
}

/// Equally likely sizes of holes: areas evenly, ratios evenly by their logarithms, in a grid of the middles of 32 by 32 parts.
fn holes([rows, columns]: [usize; 2], area: [f32; 2], ratio: [f32; 2]) -> Vec<u32> {
    const SIDE: usize = 32;
    let middle = |i: usize, [low, high]: [f64; 2]| low + (high - low) * (i as f64 + 0.5) / SIDE as f64;
    let (area, ratio) = (area.map(f64::from), ratio.map(|r| f64::from(r).ln()));
    let size = |i: usize| {
        let pixels = middle(i / SIDE, area) * (rows * columns) as f64;
        let high_to_wide = middle(i % SIDE, ratio).exp();
        let side = |v: f64, most: usize| (v.sqrt().round() as usize).clamp(1, most.max(1));
        size_word(side(pixels * high_to_wide, rows), side(pixels / high_to_wide, columns))
    };
    (0..ENTRIES).map(size).collect()
}
