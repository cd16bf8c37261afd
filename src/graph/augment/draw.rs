//! What is drawn for a row: the twin of `shaders/lib/augment.wgsl`.

use super::{Augmentation, Chance, Corner, Drawable, ENTRIES};
use crate::rng;
use std::sync::LazyLock;

/// The stream of a row's numbers, and that of its noise.
pub(crate) const ROW: &str = "augment";
pub(crate) const NOISE: &str = "augment.noise";

/// The number of a row's stream: asked for at every row.
static ROW_STREAM: LazyLock<u64> = LazyLock::new(|| rng::stream(ROW));

/// Blocks of four words for a row. Each word has one meaning, so that one more transformation leaves the draws of the others as they are.
const BLOCKS: u32 = 8;

/// A box of an image: its first column and row, and those behind its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Box {
    /// Column and row of its first place.
    pub from: [i32; 2],
    /// Column and row behind its last.
    pub to: [i32; 2],
}

impl Box {
    /// Whether a place lies in it.
    #[inline(always)]
    pub fn holds(&self, x: i32, y: i32) -> bool {
        x >= self.from[0] && x < self.to[0] && y >= self.from[1] && y < self.to[1]
    }

    fn area(&self) -> i32 {
        (self.to[0] - self.from[0]) * (self.to[1] - self.from[1])
    }
}

/// The row that another is mixed with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Partner {
    /// Its place in the batch.
    pub row: usize,
    /// What the mixed row keeps of itself.
    pub share: f32,
    /// Where the partner's pixels replace its own, if they are not blended.
    pub cut: Option<Box>,
}

/// What was drawn for a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// Column and row of the stored image where the shown one begins.
    pub corner: [i32; 2],
    /// Left and right, top and bottom change places.
    pub mirrored: [bool; 2],
    /// From a place of the shown image, about the middle and before [`Drawn::moved`], to the stored one: `[a b; c d]`.
    pub inverse: [f32; 4],
    /// Columns and rows that the image was moved by.
    pub moved: [f32; 2],
    /// Factors of brightness, contrast and saturation.
    pub colours: [f32; 3],
    /// The deviation of the noise.
    pub noise: f32,
    /// Where nothing is left.
    pub hole: Box,
}

impl Drawn {
    /// A row that is left as it is, with this corner.
    pub fn nothing(corner: [i32; 2]) -> Self {
        Drawn {
            corner,
            mirrored: [false; 2],
            inverse: [1.0, 0.0, 0.0, 1.0],
            moved: [0.0; 2],
            colours: [1.0; 3],
            noise: 0.0,
            hole: Box::default(),
        }
    }
}

/// The words that a row's numbers are made of.
struct Words {
    seed: u64,
    stream: u64,
    batch: u32,
    first: u32,
}

impl Words {
    #[inline(always)]
    fn of(&self, block: u32) -> [u32; 4] {
        rng::words(self.seed, self.stream, self.batch, self.first.wrapping_add(block))
    }
}

/// Which of a table's [`ENTRIES`] a word draws: by its upper bits. Not by a shift of usize, which has 32 bits in a browser.
fn entry(word: u32) -> usize {
    (word >> (u32::BITS - ENTRIES.trailing_zeros())) as usize
}

/// A number below `n`, all equally likely.
fn below(word: u32, n: u32) -> u32 {
    ((u64::from(word) * u64::from(n)) >> 32) as u32
}

/// Draws that know how strong the augmentation is now, of 2^16.
struct Strength(u32);

impl Strength {
    /// Whether a word falls to a chance that does not depend on the strength.
    fn falls(word: u32, chance: Chance) -> bool {
        chance == Chance::ALWAYS || word < chance.0
    }

    /// The same of a chance that the strength makes smaller.
    fn falls_weakened(&self, word: u32, chance: Chance) -> bool {
        if self.0 >= 1 << 16 { Self::falls(word, chance) } else { word < (chance.0 >> 16) * self.0 }
    }

    /// A number about `neutral`, which it is where the coin falls otherwise.
    fn number(&self, coin: u32, word: u32, d: &Drawable, neutral: f32) -> f32 {
        if !Self::falls(coin, d.chance) {
            return neutral;
        }
        let drawn = d.low + (d.high - d.low) * ((word >> 8) as f32 / (1u32 << 24) as f32);
        neutral + (drawn - neutral) * (self.0 as f32 / 65536.0)
    }
}

/// Sine and cosine of at most pi: by polynomials of a quarter of the angle, since WGSL's own may be off by 2^-11.
fn turn(angle: f32) -> (f32, f32) {
    let t = angle * 0.25;
    let z = t * t;
    let mut s = t + t * z * (-1.666_666_7e-1 + z * (8.333_333e-3 + z * (-1.984_127e-4 + z * 2.755_732e-6)));
    // 1 - cos, which keeps its digits
    let mut v = z * (0.5 + z * (-4.166_666_8e-2 + z * (1.388_888_9e-3 - z * 2.480_158_7e-5)));
    for _ in 0..2 {
        let c = 1.0 - v;
        v = 2.0 * s * s;
        s = 2.0 * s * c;
    }
    (s, 1.0 - v)
}

impl Augmentation {
    /// How strong it is in this epoch, of 2^16.
    fn strength(&self, epoch: u32) -> Strength {
        let at = self.strengths.len().min(epoch as usize + 1);
        Strength(at.checked_sub(1).map_or(1 << 16, |i| self.strengths[i]))
    }

    fn words_of(&self, seed: u64, batch: u32, row: usize) -> Words {
        Words { seed, stream: *ROW_STREAM ^ self.salt, batch, first: (row as u32).wrapping_mul(BLOCKS) }
    }

    /// What is drawn for a row: by its place in the batch, the counter of batches, and the epoch, which says how strong it is. `shown` are the rows and columns of
    /// the image, and `middle` its corner where none is drawn.
    pub fn draw(&self, seed: u64, batch: u32, epoch: u32, row: usize, shown: [usize; 2], middle: [i32; 2]) -> Drawn {
        let (w, s) = (self.words_of(seed, batch, row), self.strength(epoch));
        let any = |d: &Drawable| d.chance.is_some();
        let mut drawn = Drawn::nothing(middle);
        if self.corner.chance.is_some() || self.mirrors.iter().any(|m| m.is_some()) {
            let places = w.of(0);
            let falls =
                self.corner.chance == Chance::ALWAYS || self.corner.chance.is_some() && Strength::falls(w.of(1)[0], self.corner.chance);
            if falls {
                drawn.corner = [0, 1].map(|i| begins(&self.corner, i, places[i], &s));
            }
            drawn.mirrored = [0, 1].map(|i| self.mirrors[i].is_some() && s.falls_weakened(places[2 + i], self.mirrors[i]));
        }
        if self.is_affine() {
            let (a, b, c) = (w.of(1), w.of(2), w.of(3));
            let (sin, cos) = turn(s.number(a[2], a[3], &self.rotate, 0.0));
            drawn.moved = [s.number(b[0], b[1], &self.translate[0], 0.0), s.number(b[0], b[2], &self.translate[1], 0.0)];
            let larger = s.number(b[3], c[0], &self.scale, 1.0);
            let (across, along) = turn(s.number(c[1], c[2], &self.shear, 0.0));
            let tan = across / along;
            // torchvision's `_get_inverse_affine_matrix`: rotation, shear, scale
            drawn.inverse = [(cos - sin * tan) / larger, (cos * tan + sin) / larger, -sin / larger, cos / larger];
        }
        if self.is_coloured() {
            let (a, b) = (w.of(3), w.of(4));
            drawn.colours[0] = s.number(a[3], b[0], &self.brightness, 1.0);
            drawn.colours[1] = s.number(b[1], b[2], &self.contrast, 1.0);
            if any(&self.saturation) {
                drawn.colours[2] = s.number(b[3], w.of(5)[0], &self.saturation, 1.0);
            }
        }
        if any(&self.noise) {
            let coin = if self.noise.chance == Chance::ALWAYS { 0 } else { w.of(1)[1] };
            drawn.noise = s.number(coin, 0, &self.noise, 0.0);
        }
        if self.erase.is_some() {
            let (a, b) = (w.of(5), w.of(6));
            if s.falls_weakened(a[1], self.erase) {
                let size = self.holes[entry(a[2])];
                drawn.hole = inside(size, [b[0], b[1]], shown);
            }
        }
        drawn
    }

    /// The row that one is mixed with, if it is: by the places of rows in a batch of `rows`.
    pub fn partner(&self, seed: u64, batch: u32, epoch: u32, row: usize, rows: usize, shown: [usize; 2]) -> Option<Partner> {
        if !self.mixes() || rows < 2 {
            return None;
        }
        let (w, s) = (self.words_of(seed, batch, row), self.strength(epoch));
        let (a, b) = (w.of(6), w.of(7));
        let other = (row + 1 + below(a[3], rows as u32 - 1) as usize) % rows;
        let entry = entry(b[0]);
        if self.mixup.is_some() && s.falls_weakened(a[2], self.mixup) {
            return Some(Partner { row: other, share: f32::from_bits(self.shares[entry]), cut: None });
        }
        if self.cutmix.is_some() && s.falls_weakened(b[1], self.cutmix) {
            let cut = about(self.cuts[entry], [b[2], b[3]], shown);
            let share = 1.0 - cut.area() as f32 / (shown[0] * shown[1]) as f32;
            return Some(Partner { row: other, share, cut: Some(cut) });
        }
        None
    }
}

/// The column (axis 0) or row where an image begins.
fn begins(corner: &Corner, axis: usize, word: u32, s: &Strength) -> i32 {
    let (least, ways) = (corner.least[axis], corner.ways[axis]);
    if !corner.fades {
        return least + below(word, ways) as i32;
    }
    // about the middle: so many each way
    let most = ways / 2;
    let each = (most * s.0 + (1 << 15)) >> 16;
    least + (most - each) as i32 + below(word, 2 * each + 1) as i32
}

/// A box of this size (rows, columns in the halves of a word) that lies wholly inside of an image.
fn inside(size: u32, words: [u32; 2], shown: [usize; 2]) -> Box {
    let size = [size & 0xffff, size >> 16];
    let from = [0, 1].map(|i| below(words[i], (shown[1 - i] as u32 + 1).saturating_sub(size[i]).max(1)) as i32);
    Box { from, to: [0, 1].map(|i| (from[i] + size[i] as i32).min(shown[1 - i] as i32)) }
}

/// A box of this size about any place of an image, cut at its borders.
fn about(size: u32, words: [u32; 2], shown: [usize; 2]) -> Box {
    let size = [(size & 0xffff) as i32, (size >> 16) as i32];
    let middle = [0, 1].map(|i| below(words[i], shown[1 - i] as u32) as i32);
    let from = [0, 1].map(|i| (middle[i] - size[i] / 2).max(0));
    Box { from, to: [0, 1].map(|i| (middle[i] - size[i] / 2 + size[i]).min(shown[1 - i] as i32)) }
}
