//! Digits drawn with a random pen, for machines that have neither data nor network.

use crate::data::Dataset;
use crate::error::{Faults, Result};
use crate::rng::Philox;
use crate::tensor::HostTensor;
use rayon::prelude::*;
use std::f64::consts::{PI, TAU};

const SIDE: usize = 28;
const MOST: usize = 10_000_000;

/// A training and a test set of `[rows, 28, 28]` images (u8, 0 to 255, bright on black) of the digits 0 to 9, and their classes (u8).
///
/// Strokes, pen, slant, rotation, scale, place and noise are drawn from the seed, each image from a stream of its own. So the images are the same
/// on every platform, and the first rows do not depend on how many there are. Both sets are called `synthetic`. They are about as hard as MNIST for a
/// small network, but no substitute for it: do not quote an accuracy on them as MNIST's.
///
/// Fails with `invalid-config` if a count is 0 or above 10 million.
///
/// ```
/// let (train, test) = gradus::data::synthetic_digits(0, 200, 50)?;
/// assert_eq!((train.len(), test.len(), train.name()), (200, 50, "synthetic"));
/// assert_eq!(train.input_shape().dims(), [28, 28]);
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn synthetic_digits(seed: u64, train: usize, test: usize) -> Result<(Dataset, Dataset)> {
    let mut faults = Faults::default();
    for (key, rows) in [("synthetic_digits.train", train), ("synthetic_digits.test", test)] {
        faults.check((1..=MOST).contains(&rows), key, format!("{rows} images"), "ask for 1 to 10,000,000");
    }
    faults.finish()?;
    Ok((set(seed, "train", train)?, set(seed, "test", test)?))
}

fn set(seed: u64, part: &str, rows: usize) -> Result<Dataset> {
    let (mut images, mut labels) = (vec![0; rows * SIDE * SIDE], vec![0; rows]);
    images.par_chunks_mut(SIDE * SIDE).zip(labels.par_iter_mut()).enumerate().for_each(|(i, (image, label))| {
        let mut rng = Philox::new(seed, &format!("synthetic.{part}.{i}"));
        let digit = below(&mut rng, 10);
        draw(&mut rng, digit, image);
        *label = digit as u8;
    });
    let x = HostTensor::u8([rows, SIDE, SIDE], images)?;
    Ok(Dataset::new(x, HostTensor::u8([rows], labels)?)?.named("synthetic"))
}

fn below(rng: &mut Philox, n: usize) -> usize {
    (rng.uniform() * n as f64) as usize
}

fn between(rng: &mut Philox, low: f64, high: f64) -> f64 {
    low + (high - low) * rng.uniform()
}

type Point = [f64; 2];

/// A stroke of the pen: through its points by straight lines or by a smooth curve. `x` is about -0.6 to 0.6, `y` -1 (top) to 1.
enum Stroke {
    Line(&'static [Point]),
    Curve(&'static [Point]),
}

use Stroke::{Curve, Line};

/// The ways in which each digit is written.
#[rustfmt::skip]
const DIGITS: [&[&[Stroke]]; 10] = [
    &[
        &[Curve(&[[0., -1.], [-0.42, -0.72], [-0.56, 0.], [-0.42, 0.72], [0., 1.], [0.42, 0.72], [0.56, 0.], [0.42, -0.72], [0., -1.]])],
        &[Curve(&[[0.2, -0.9], [-0.3, -0.85], [-0.55, -0.1], [-0.35, 0.75], [0.1, 0.98], [0.5, 0.5], [0.5, -0.4], [0.2, -0.95], [-0.15, -0.85]])],
    ],
    &[
        &[Line(&[[0., -1.], [0., 1.]])],
        &[Line(&[[-0.35, -0.55], [0.05, -1.], [0.05, 1.]])],
        &[Line(&[[-0.35, -0.6], [0.05, -1.], [0.05, 1.]]), Line(&[[-0.4, 1.], [0.45, 1.]])],
    ],
    &[
        &[Curve(&[[-0.5, -0.55], [-0.25, -0.92], [0.2, -0.95], [0.5, -0.55], [0.3, 0.], [-0.1, 0.5], [-0.5, 0.95]]), Line(&[[-0.5, 0.95], [0.55, 0.9]])],
        &[Curve(&[[-0.5, -0.6], [-0.15, -0.98], [0.35, -0.8], [0.4, -0.3], [0.05, 0.3], [-0.4, 0.85], [-0.6, 0.75], [-0.35, 0.55], [0.1, 0.85], [0.6, 0.9]])],
    ],
    &[
        &[Curve(&[[-0.45, -0.75], [-0.05, -1.], [0.4, -0.75], [0.35, -0.3], [-0.1, -0.05]]), Curve(&[[-0.1, -0.05], [0.4, 0.15], [0.5, 0.6], [0.1, 0.98], [-0.5, 0.75]])],
        &[Line(&[[-0.45, -0.95], [0.45, -0.95], [-0.05, -0.2]]), Curve(&[[-0.05, -0.2], [0.4, 0.], [0.5, 0.5], [0.15, 0.95], [-0.5, 0.8]])],
    ],
    &[
        &[Line(&[[-0.35, -0.95], [-0.5, 0.1], [0.55, 0.1]]), Line(&[[0.3, -0.6], [0.22, 1.]])],
        &[Line(&[[0.2, 1.], [0.25, -1.], [-0.55, 0.3], [0.6, 0.3]])],
        &[Curve(&[[-0.45, -0.9], [-0.5, -0.3], [-0.2, 0.05], [0.4, -0.05]]), Line(&[[0.45, -0.95], [0.35, 1.]])],
    ],
    &[
        &[Line(&[[0.5, -0.95], [-0.35, -0.95], [-0.4, -0.15]]), Curve(&[[-0.4, -0.15], [0.1, -0.3], [0.5, 0.15], [0.35, 0.75], [-0.1, 1.], [-0.5, 0.8]])],
        &[Curve(&[[0.45, -0.9], [-0.15, -0.95], [-0.35, -0.5], [-0.2, -0.15], [0.3, 0.1], [0.4, 0.6], [0.05, 0.95], [-0.45, 0.85]])],
    ],
    &[
        &[Curve(&[[0.4, -0.9], [-0.1, -0.6], [-0.45, 0.1], [-0.35, 0.75], [0.05, 1.], [0.45, 0.65], [0.35, 0.15], [-0.05, 0.05], [-0.4, 0.4]])],
        &[Curve(&[[0.05, -1.], [-0.3, -0.3], [-0.4, 0.5], [-0.05, 0.98], [0.35, 0.75], [0.3, 0.3], [-0.1, 0.25], [-0.35, 0.6]])],
    ],
    &[
        &[Line(&[[-0.5, -0.9], [0.5, -0.9], [-0.1, 1.]])],
        &[Line(&[[-0.5, -0.9], [0.5, -0.9], [-0.1, 1.]]), Line(&[[-0.25, 0.05], [0.4, 0.05]])],
        &[Curve(&[[-0.55, -0.7], [-0.3, -0.95], [0.2, -0.85], [0.45, -0.9]]), Curve(&[[0.45, -0.9], [0.15, -0.2], [-0.05, 0.4], [-0.1, 1.]])],
    ],
    &[
        &[Curve(&[[0.4, -0.75], [0., -1.], [-0.4, -0.7], [-0.25, -0.25], [0.2, 0.1], [0.45, 0.6], [0., 1.], [-0.45, 0.65], [-0.2, 0.1], [0.25, -0.25], [0.42, -0.7]])],
        &[
            Curve(&[[0., -1.], [-0.35, -0.75], [-0.35, -0.35], [0., -0.08], [0.35, -0.35], [0.35, -0.75], [0., -1.]]),
            Curve(&[[0., -0.08], [-0.45, 0.25], [-0.4, 0.8], [0., 1.], [0.4, 0.8], [0.45, 0.25], [0., -0.08]]),
        ],
    ],
    &[
        &[Curve(&[[0.4, -0.7], [0.05, -1.], [-0.4, -0.75], [-0.4, -0.25], [0., -0.02], [0.35, -0.35], [0.42, -0.75]]), Line(&[[0.42, -0.75], [0.3, 1.]])],
        &[Curve(&[[0.42, -0.6], [0.1, -0.98], [-0.4, -0.75], [-0.38, -0.25], [0., 0.], [0.38, -0.3], [0.42, -0.7], [0.42, 0.2], [0.2, 0.8], [-0.35, 0.95]])],
    ],
];

/// One hand and one sheet: how the strokes of a digit become pixels.
struct Hand {
    /// Rows of the map from glyph to pixels, and where its centre goes.
    map: [Point; 2],
    centre: Point,
    /// A slow wave that bends the glyph: amplitude, frequency and phase along each axis.
    wave: [[f64; 3]; 2],
    jitter: f64,
    /// Half the pen's width and the softness of its edge, in pixels.
    radius: f64,
    soft: f64,
    ink: f64,
    noise: f64,
}

impl Hand {
    fn new(rng: &mut Philox) -> Self {
        let angle = 0.14 * rng.normal().clamp(-2.5, 2.5);
        let slant = 0.22 * rng.normal().clamp(-2.5, 2.5);
        let height = between(rng, 7.6, 10.4);
        let width = height * between(rng, 0.75, 1.3);
        let (sin, cos) = (libm::sin(angle), libm::cos(angle));
        // Rotation after slant after scale.
        let map = [[cos * width, -(cos * slant + sin) * height], [sin * width, (cos - sin * slant) * height]];
        let mut wave = || [between(rng, 0.0, 0.12), between(rng, 0.2, 0.6) * PI, between(rng, 0.0, TAU)];
        let wave = [wave(), wave()];
        let centre = [13.5 + between(rng, -2.0, 2.0), 13.5 + between(rng, -2.0, 2.0)];
        let radius = libm::exp(between(rng, -0.4, 0.6));
        let (soft, jitter) = (between(rng, 0.8, 1.6), between(rng, 0.02, 0.09));
        Hand { map, centre, wave, jitter, radius, soft, ink: between(rng, 170.0, 255.0), noise: between(rng, 0.0, 24.0) }
    }

    fn place(&self, [x, y]: Point) -> Point {
        let bend = |[amplitude, frequency, phase]: [f64; 3], t: f64| amplitude * libm::sin(frequency * t + phase);
        let (x, y) = (x + bend(self.wave[0], y), y + bend(self.wave[1], x));
        let [a, b] = self.map;
        [self.centre[0] + a[0] * x + a[1] * y, self.centre[1] + b[0] * x + b[1] * y]
    }
}

fn draw(rng: &mut Philox, digit: usize, image: &mut [u8]) {
    let hand = Hand::new(rng);
    let ways = DIGITS[digit];
    let mut ink = [0.0; SIDE * SIDE];
    for stroke in ways[below(rng, ways.len())] {
        let (Line(points) | Curve(points)) = stroke;
        let shaken: Vec<Point> = points.iter().map(|p| p.map(|v| v + hand.jitter * rng.normal())).collect();
        let path: Vec<Point> = match stroke {
            Line(_) => shaken.iter().map(|&p| hand.place(p)).collect(),
            Curve(_) => smooth(&shaken).into_iter().map(|p| hand.place(p)).collect(),
        };
        let radius = hand.radius * between(rng, 0.85, 1.15);
        for ends in path.windows(2) {
            trace(&mut ink, ends[0], ends[1], radius, hand.soft);
        }
    }
    // One block of words serves 16 pixels: the sum of two bytes is noise enough.
    let mut word = 0u64;
    for (i, (pixel, &ink)) in image.iter_mut().zip(&ink).enumerate() {
        if i % 4 == 0 {
            word = rand::Rng::next_u64(rng);
        }
        let pair = (word >> (16 * (i % 4))) as u16;
        let noise = (f64::from(pair & 255) + f64::from(pair >> 8) - 255.0) / 255.0;
        *pixel = (hand.ink * ink + hand.noise * noise).clamp(0.0, 255.0) as u8;
    }
}

/// Points along the Catmull-Rom spline through these.
fn smooth(points: &[Point]) -> Vec<Point> {
    const PIECES: usize = 5;
    let at = |i: usize| points[i.clamp(1, points.len()) - 1];
    let mut out = Vec::with_capacity(points.len() * PIECES);
    for i in 1..points.len() {
        let [a, b, c, d] = [at(i - 1), at(i), at(i + 1), at(i + 2)];
        for piece in 0..PIECES {
            let t = piece as f64 / PIECES as f64;
            let axis = |k: usize| {
                let bend = 2.0 * a[k] - 5.0 * b[k] + 4.0 * c[k] - d[k] + t * (3.0 * (b[k] - c[k]) + d[k] - a[k]);
                b[k] + 0.5 * t * (c[k] - a[k] + t * bend)
            };
            out.push([axis(0), axis(1)]);
        }
    }
    out.extend(points.last());
    out
}

/// Inks every pixel near a straight piece of the pen's path, by its distance.
fn trace(ink: &mut [f64], from: Point, to: Point, radius: f64, soft: f64) {
    let reach = radius + 0.5 * soft;
    let span = |k: usize| {
        let low = (from[k].min(to[k]) - reach).ceil().clamp(0.0, SIDE as f64);
        let high = (from[k].max(to[k]) + reach).floor().clamp(-1.0, (SIDE - 1) as f64);
        low as usize..(high + 1.0) as usize
    };
    let along = [to[0] - from[0], to[1] - from[1]];
    let square = along[0] * along[0] + along[1] * along[1];
    for y in span(1) {
        for x in span(0) {
            let gap = [x as f64 - from[0], y as f64 - from[1]];
            let t = if square > 0.0 { ((gap[0] * along[0] + gap[1] * along[1]) / square).clamp(0.0, 1.0) } else { 0.0 };
            let (dx, dy) = (gap[0] - t * along[0], gap[1] - t * along[1]);
            let cover = ((radius - (dx * dx + dy * dy).sqrt()) / soft + 0.5).min(1.0);
            let pixel = &mut ink[y * SIDE + x];
            *pixel = pixel.max(cover);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides() -> Result<()> {
        let (train, test) = synthetic_digits(3, 300, 40)?;
        let (again, _) = synthetic_digits(3, 40, 40)?;
        let (other, _) = synthetic_digits(4, 40, 40)?;
        let head = |d: &Dataset| d.features().unwrap().as_u8().unwrap()[..40 * 784].to_vec();
        assert_eq!(head(&train), head(&again));
        assert_ne!(head(&train), head(&other));
        assert_ne!(head(&train), head(&test));
        Ok(())
    }

    /// Pins the bits, so that every platform that runs this test draws the same images.
    #[test]
    fn the_same_bits_everywhere() -> Result<()> {
        let (train, test) = synthetic_digits(0, 500, 100)?;
        let hash = |d: &Dataset| crate::rng::fnv1a(d.features().unwrap().as_u8().unwrap_or_default());
        assert_eq!((hash(&train), hash(&test)), (0x4fc6_5d7e_586b_b790, 0x9e22_4cc2_52f9_07d1));
        Ok(())
    }

    #[test]
    fn every_class_and_enough_ink() -> Result<()> {
        let (train, _) = synthetic_digits(0, 2000, 1)?;
        let labels = train.labels().unwrap().as_u8().unwrap();
        for digit in 0..10 {
            assert!((130..270).contains(&labels.iter().filter(|&&l| l == digit).count()), "{digit}");
        }
        for image in train.features().unwrap().as_u8().unwrap().chunks(784) {
            let bright = image.iter().filter(|&&p| p > 100).count();
            assert!((12..400).contains(&bright), "{bright}");
        }
        Ok(())
    }

    #[test]
    fn counts_are_checked() {
        let e = synthetic_digits(0, 0, usize::MAX).unwrap_err().to_string();
        assert!(e.contains("synthetic_digits.train: 0 images") && e.contains("synthetic_digits.test"), "{e}");
    }
}
