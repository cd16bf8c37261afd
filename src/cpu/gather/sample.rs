//! One bilinear sample for each place of an image, by its affine map.

use super::super::lib::fork::wide;
use crate::graph::augment::{Drawn, ImageSize};

/// Zeros in front of a line and of the first, and all around: a place outside is moved to the border, and reads one further.
const BEFORE: usize = 1;
const AROUND: usize = 3;

/// Buffers of a thread.
pub(super) struct Sampler {
    /// A stored row with its border.
    plane: Vec<f32>,
    /// Of bytes: the four around each place in one word, so that a sample is one look.
    fours: Vec<u32>,
    /// Of a line: where its samples begin, how far between two places they lie, and the four bytes there.
    at: Vec<u32>,
    between: [Vec<f32>; 2],
    found: Vec<u32>,
}

impl Sampler {
    pub const NEW: Sampler =
        Sampler { plane: Vec::new(), fours: Vec::new(), at: Vec::new(), between: [const { Vec::new() }; 2], found: Vec::new() };

    /// The shown image of a stored row of floats, which are bytes' where that is told; what lies outside is 0.
    pub fn sample(&mut self, image: ImageSize, drawn: &Drawn, stored: &[f32], bytes: bool, to: &mut [f32]) {
        self.surround(image, stored);
        if bytes {
            self.fours.resize(self.plane.len(), 0);
            wide(Fours { plane: &self.plane, pitch: image.stored[2] + AROUND, fours: &mut self.fours });
        }
        let columns = image.shown[1];
        self.at.resize(columns, 0);
        self.found.resize(columns, 0);
        self.between.iter_mut().for_each(|b| b.resize(columns, 0.0));
        wide(Sample { image, drawn, bytes, sampler: self, to });
    }

    /// The stored lines with zeros around them.
    fn surround(&mut self, image: ImageSize, stored: &[f32]) {
        let [channels, high, wide] = image.stored;
        let (pitch, tall) = (wide + AROUND, high + AROUND);
        self.plane.clear();
        self.plane.resize(channels * pitch * tall, 0.0);
        for (channel, from) in self.plane.chunks_exact_mut(pitch * tall).zip(stored.chunks_exact((high * wide).max(1))) {
            let lines = channel.chunks_exact_mut(pitch).skip(BEFORE);
            lines.zip(from.chunks_exact(wide.max(1))).for_each(|(line, from)| line[BEFORE..][..wide].copy_from_slice(from));
        }
    }
}

/// A whole number from 0 to 2^23 - 1. A cast would look for NaN and for what is too large, one number at a time.
#[inline(always)]
fn whole(v: f32) -> u32 {
    (v + 8_388_608.0).to_bits() & 0x7f_ffff
}

/// The byte at a place, the next, and the two below them, from the lowest bits up.
struct Fours<'a> {
    plane: &'a [f32],
    pitch: usize,
    fours: &'a mut [u32],
}

impl pulp::NullaryFnOnce for Fours<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Fours { plane, pitch, fours } = self;
        let n = plane.len().saturating_sub(pitch + 1);
        let below = &plane[pitch.min(plane.len())..];
        let four = plane.iter().zip(&plane[1..]).zip(below.iter().zip(&below[1..]));
        for (word, ((a, b), (c, d))) in fours[..n].iter_mut().zip(four) {
            *word = whole(*a) | whole(*b) << 8 | whole(*c) << 16 | whole(*d) << 24;
        }
    }
}

struct Sample<'a> {
    image: ImageSize,
    drawn: &'a Drawn,
    bytes: bool,
    sampler: &'a mut Sampler,
    to: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Sample<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Sample { image: ImageSize { stored: [_, high, wide], shown: [rows, columns] }, drawn, bytes, sampler, to } = self;
        let Sampler { plane, fours, at, between: [across, along], found } = sampler;
        let (pitch, tall) = (wide + AROUND, high + AROUND);
        let middle = [wide, high].map(|n| 0.5 * (n as f32 - 1.0));
        let [a, b, c, d] = drawn.inverse;
        // from the left or from the right
        let (x0, dx) = if drawn.mirrored[0] { (columns as f32 - 1.0, -1.0) } else { (0.0, 1.0) };
        let x0 = x0 + drawn.corner[0] as f32 - middle[0] - drawn.moved[0];
        for y in 0..rows {
            let from = if drawn.mirrored[1] { rows - 1 - y } else { y };
            let qy = (from as i32 + drawn.corner[1]) as f32 - middle[1] - drawn.moved[1];
            for (i, ((at, across), along)) in at.iter_mut().zip(across.iter_mut()).zip(along.iter_mut()).enumerate() {
                let qx = x0 + dx * i as f32;
                // NaN becomes the border, too
                let x = ((a * qx + b * qy) + middle[0]).max(-1.0).min(wide as f32);
                let y = ((c * qx + d * qy) + middle[1]).max(-1.0).min(high as f32);
                let (fx, fy) = (x.floor(), y.floor());
                (*across, *along) = (x - fx, y - fy);
                *at = whole(fy + BEFORE as f32) * pitch as u32 + whole(fx + BEFORE as f32);
            }
            for channel in 0..plane.len() / (pitch * tall) {
                let line = &mut to[(channel * rows + y) * columns..][..columns];
                let first = channel * pitch * tall;
                if bytes {
                    let fours = &fours[first..];
                    found.iter_mut().zip(&*at).for_each(|(word, &at)| *word = fours.get(at as usize).copied().unwrap_or(0));
                    for (((t, &word), &s), &r) in line.iter_mut().zip(&*found).zip(&*across).zip(&*along) {
                        let byte = |i: u32| (word >> (8 * i) & 255) as f32;
                        *t = between_four([byte(0), byte(1), byte(2), byte(3)], s, r);
                    }
                } else {
                    let plane = &plane[first..];
                    for (((t, &at), &s), &r) in line.iter_mut().zip(&*at).zip(&*across).zip(&*along) {
                        let four = &plane[at as usize..][..pitch + 2];
                        *t = between_four([four[0], four[1], four[pitch], four[pitch + 1]], s, r);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn between_four([a, b, c, d]: [f32; 4], across: f32, along: f32) -> f32 {
    let (above, below) = (a + (b - a) * across, c + (d - c) * across);
    above + (below - above) * along
}
