//! Weights and data that no file holds: each value is a hash of a name and a place. `make_models.py` makes the same bits.

use gradus::prelude::Dataset;
use gradus::tensor::HostTensor;

/// Vectors of signs in a sketch.
const SIGNS: usize = 8;

/// A word of 32 bits for each place: FNV-1a of the name, and Chris Wellons' lowbias32 of the place.
pub fn hashed(name: &str, size: usize) -> impl Iterator<Item = u32> {
    let seed = name.bytes().fold(2_166_136_261, |h: u32, b| (h ^ u32::from(b)).wrapping_mul(16_777_619));
    (0..size as u32).map(move |i| {
        let mut x = i.wrapping_mul(0x9E37_79B9).wrapping_add(seed);
        x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
        x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
        x ^ (x >> 16)
    })
}

/// From -1 to 1: no operation on the way rounds.
fn uniform(name: &str, size: usize) -> impl Iterator<Item = f32> {
    hashed(name, size).map(|x| (x >> 8) as f32 / (1 << 23) as f32 - 1.0)
}

/// A tensor of a state dict. Signals keep their size: weights have the variance 2 / fan in.
pub fn values(name: &str, shape: &[usize]) -> Vec<f32> {
    let u = uniform(name, shape.iter().product());
    if shape.len() > 1 {
        let bound = (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt() as f32;
        u.map(|u| u * bound).collect()
    } else if name.ends_with(".weight") || name.ends_with("running_var") {
        u.map(|u| 1.0 + u * 0.25).collect()
    } else {
        u.map(|u| u * 0.125).collect()
    }
}

/// A pattern for each class, half as strong as the noise upon it, and labels in turn.
pub fn images(rows: usize, shape: [usize; 3]) -> Dataset {
    const CLASSES: usize = 10;
    let size: usize = shape.iter().product();
    let pattern: Vec<f32> = uniform("pattern", CLASSES * size).map(|u| u * 0.5).collect();
    let of_row = |i: usize| i / size % CLASSES * size + i % size;
    let x = uniform("noise", rows * size).enumerate().map(|(i, u)| u + pattern[of_row(i)]).collect();
    let labels = (0..rows).map(|i| (i % CLASSES) as u8).collect();
    let [c, h, w] = shape;
    Dataset::new(HostTensor::f32([rows, c, h, w], x).unwrap(), HostTensor::u8([rows], labels).unwrap()).unwrap()
}

/// How far a tensor is from the one that was sketched, as a part of that one's norm. A sketch is a norm and inner products with vectors of signs.
///
/// The square of a difference's inner product with random signs has the difference's squared norm as its mean: the root of the mean over eight such vectors is
/// a measure of the whole difference, in all elements, that lies below a third of it once in a thousand times (chi-square of eight degrees of freedom below 8 / 9).
pub fn distance(name: &str, got: &[f32], sketch: &[f64]) -> f64 {
    let (norm, wanted) = (sketch[0], &sketch[1..]);
    assert_eq!(wanted.len(), SIGNS);
    let off = products(name, got).iter().zip(wanted).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    (off / SIGNS as f64).sqrt() / norm
}

/// Inner products with vectors of signs, of each place its own.
fn products(name: &str, values: &[f32]) -> [f64; SIGNS] {
    let mut sums = [0.0f64; SIGNS];
    for (bits, &v) in hashed(&format!("signs.{name}"), values.len()).zip(values) {
        for (k, sum) in sums.iter_mut().enumerate() {
            *sum += if bits >> k & 1 == 1 { f64::from(v) } else { -f64::from(v) };
        }
    }
    sums
}

/// Errors of 1e-3 in one element, in one channel and in all of them, and places that are swapped: each is seen for about what it is.
#[test]
fn planted_errors_are_seen() {
    let right = values("planted.weight", &[16, 8, 3, 3]);
    let norm = |v: &[f32]| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let sketch: Vec<f64> = std::iter::once(norm(&right)).chain(products("planted", &right)).collect();
    assert_eq!(distance("planted", &right, &sketch), 0.0);
    let more = (1e-3 * norm(&right)) as f32;
    type Plant<'a> = &'a dyn Fn(&mut [f32]);
    let plants: [Plant<'_>; 4] = [
        &|v| v[77] += more,
        &|v| v[72..144].iter_mut().for_each(|v| *v += more / 72f32.sqrt()),
        &|v| v.iter_mut().for_each(|v| *v *= 1.001),
        &|v| v[..9].reverse(),
    ];
    for plant in plants {
        let mut wrong = right.clone();
        plant(&mut wrong);
        let off: Vec<f32> = wrong.iter().zip(&right).map(|(a, b)| a - b).collect();
        let (seen, is) = (distance("planted", &wrong, &sketch), norm(&off) / norm(&right));
        assert!(is > 0.99e-3 && (is / 3.0..3.0 * is).contains(&seen), "{seen} for {is}");
    }
}
