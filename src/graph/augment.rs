//! What training changes at random in the rows of a batch, as exact numbers: what both machines draw and do. The settings that it comes from are
//! [`data::Augment`](crate::data::Augment)'s.

mod draw;

use std::fmt;

pub use draw::{Box, Drawn, Partner};
pub(crate) use draw::{NOISE, ROW};

/// How often something is done: in so many of 2^32 rows, and in all of them where it is [`Chance::ALWAYS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chance(pub u32);

impl Chance {
    /// In every row.
    pub const ALWAYS: Chance = Chance(u32::MAX);
    /// In none.
    pub const NEVER: Chance = Chance(0);

    /// With this probability, to the next of 2^32 steps.
    pub fn of(probability: f32) -> Self {
        Chance((f64::from(probability).clamp(0.0, 1.0) * 4_294_967_296.0) as u32)
    }

    /// Whether it is ever done.
    pub fn is_some(self) -> bool {
        self != Self::NEVER
    }
}

/// A number that is drawn evenly from a range.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Drawable {
    /// How often.
    pub chance: Chance,
    /// The least.
    pub low: f32,
    /// What it is at most.
    pub high: f32,
}

/// Where the batch's image begins in the stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Corner {
    /// How often it is drawn, and is not in the middle.
    pub chance: Chance,
    /// The least column and row, below 0 outside of the image.
    pub least: [i32; 2],
    /// How many columns and rows are equally likely, from there on.
    pub ways: [u32; 2],
    /// Whether the strength makes the range smaller, about its middle.
    pub fades: bool,
}

/// Words of [`Augmentation::words`] in front of the tables.
pub(crate) const HEAD: usize = 41;

/// Entries of a table that a draw chooses from, by the top bits of a word.
pub const ENTRIES: usize = 1024;

/// What is done to the rows of a training batch. All of a row's numbers are drawn once, from the seed, by the batch's counter and the row's place in it, for
/// all fields alike; element noise has draws of its own. The gather does it in this order: corner, mirrors, the affine map (one bilinear sample), brightness,
/// contrast, saturation, the field's own scale and shift, the hole, mixing with the partner, noise.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Augmentation {
    /// Crops and shifts.
    pub corner: Corner,
    /// Left becomes right; top becomes bottom.
    pub mirrors: [Chance; 2],
    /// Degrees in radians, clockwise.
    pub rotate: Drawable,
    /// Columns to the right, and rows down, of the same chance.
    pub translate: [Drawable; 2],
    /// How much larger.
    pub scale: Drawable,
    /// Of the columns, in radians.
    pub shear: Drawable,
    /// Multiplies what is stored.
    pub brightness: Drawable,
    /// Multiplies the distance from [`Augmentation::mean`].
    pub contrast: Drawable,
    /// Multiplies the distance from the pixel's grey.
    pub saturation: Drawable,
    /// The set's mean, as stored.
    pub mean: f32,
    /// The deviation of normal noise upon what the model sees.
    pub noise: Drawable,
    /// How often a hole is cut.
    pub erase: Chance,
    /// Sizes of holes, a height in the upper half and a width in the lower one: [`ENTRIES`] equally likely ones, or none.
    pub holes: Vec<u32>,
    /// How often two rows are mixed, and the shares of the first (f32's bits): [`ENTRIES`] equally likely ones.
    pub mixup: Chance,
    /// See `mixup`.
    pub shares: Vec<u32>,
    /// How often a box of another row is put into one that is not mixed, and the boxes' sizes.
    pub cutmix: Chance,
    /// See `cutmix`.
    pub cuts: Vec<u32>,
    /// Tells its draws from those of another seed: of the streams' numbers.
    pub salt: u64,
    /// How strong it is in each epoch, of 2^16; the last one holds for all after it. Empty: at full strength.
    pub strengths: Vec<u32>,
}

impl Augmentation {
    /// Whether pixels come from anywhere but whole places of the stored image.
    pub fn is_affine(&self) -> bool {
        let any = |d: &Drawable| d.chance.is_some();
        any(&self.rotate) || any(&self.translate[0]) || any(&self.scale) || any(&self.shear)
    }

    /// Whether the values of pixels change where they stand.
    pub fn is_coloured(&self) -> bool {
        [&self.brightness, &self.contrast, &self.saturation].iter().any(|d| d.chance.is_some())
    }

    /// Whether rows are mixed with others.
    pub fn mixes(&self) -> bool {
        self.mixup.is_some() || self.cutmix.is_some()
    }

    /// The tables one after the other: holes, shares, cuts, strengths.
    pub fn tables(&self) -> impl Iterator<Item = u32> {
        [&self.holes, &self.shares, &self.cuts, &self.strengths].into_iter().flatten().copied()
    }

    /// Where each of the tables begins, and where they end.
    pub fn table_places(&self) -> [usize; 5] {
        let mut end = 0;
        let mut next = |t: &Vec<u32>| {
            end += t.len();
            end
        };
        let [a, b, c, d] = [&self.holes, &self.shares, &self.cuts, &self.strengths].map(&mut next);
        [0, a, b, c, d]
    }

    /// All of its numbers, by their bits: two augmentations are the same if these are.
    pub fn words(&self) -> Vec<u32> {
        let ranges = [&self.rotate, &self.translate[0], &self.translate[1], &self.scale, &self.shear];
        let values = [&self.brightness, &self.contrast, &self.saturation, &self.noise];
        let mut words: Vec<u32> = vec![self.corner.chance.0, self.corner.fades.into()];
        words.extend(self.corner.least.map(|v| v as u32).into_iter().chain(self.corner.ways));
        words.extend([self.mirrors[0].0, self.mirrors[1].0, self.erase.0, self.mixup.0, self.cutmix.0, self.mean.to_bits()]);
        words.extend(ranges.into_iter().chain(values).flat_map(|d| [d.chance.0, d.low.to_bits(), d.high.to_bits()]));
        words.extend(crate::rng::split(self.salt));
        debug_assert_eq!(words.len(), HEAD);
        words.extend(self.tables());
        words
    }
}

impl fmt::Display for Augmentation {
    /// What is done, in its order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("crop or shift", self.corner.chance),
            ("horizontal flip", self.mirrors[0]),
            ("vertical flip", self.mirrors[1]),
            ("rotate", self.rotate.chance),
            ("translate", self.translate[0].chance),
            ("scale", self.scale.chance),
            ("shear", self.shear.chance),
            ("brightness", self.brightness.chance),
            ("contrast", self.contrast.chance),
            ("saturation", self.saturation.chance),
            ("erase", self.erase),
            ("mixup", self.mixup),
            ("cutmix", self.cutmix),
            ("noise", self.noise.chance),
        ];
        let done: Vec<&str> = all.into_iter().filter(|(_, chance)| chance.is_some()).map(|(name, _)| name).collect();
        f.write_str(&done.join(", "))
    }
}

/// What of a row's draws touches a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Touches {
    /// All of it: the features.
    All,
    /// Its places, and the mixing of rows: a mask beside the image. Integers come from the nearest place.
    Places,
    /// The mixing of rows alone: labels.
    Mixing,
}

/// How an image of a field is cut from the stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageSize {
    /// Channels, rows and columns as stored.
    pub stored: [usize; 3],
    /// Rows and columns in the batch.
    pub shown: [usize; 2],
}

impl ImageSize {
    /// Values of a stored image.
    pub fn stored_values(&self) -> usize {
        self.stored.iter().product()
    }

    /// The first column and row where the shown image is in the middle of the stored one: rounded down, as Keras' and torchvision's `CenterCrop` do of even sizes.
    pub fn middle(&self) -> [i32; 2] {
        let [_, height, width] = self.stored.map(|n| n as i32);
        let [rows, columns] = self.shown.map(|n| n as i32);
        [(width - columns).div_euclid(2), (height - rows).div_euclid(2)]
    }
}
