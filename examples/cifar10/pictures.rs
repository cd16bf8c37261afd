//! The search for CIFAR-10, and the coloured shapes that stand in where there is none.

use anyhow::Result;
use gradus::Error;
use gradus::data::{self, ArchiveOptions};
use gradus::prelude::{Dataset, HostTensor};
use gradus::rng::Philox;
use std::path::PathBuf;

/// Pixels of a side.
pub const SIDE: usize = 32;
/// How many shapes to draw, to train and to test.
const SYNTHETIC: (usize, usize) = (5_000, 1_000);

/// Images to train and to test on, and what is to be said of them.
pub struct Pictures {
    pub train: Dataset,
    pub test: Dataset,
    /// What they are, and where they lie or why they are not CIFAR-10.
    pub told: String,
    /// Put behind every accuracy that must not be taken for CIFAR-10's; nothing where it is.
    pub caution: &'static str,
}

/// CIFAR-10 of this folder, or of wherever it is found; `synthetic`, and where it cannot be had, shapes.
pub fn find(source: Option<&str>) -> Result<Pictures> {
    if source == Some("synthetic") {
        return shapes(SYNTHETIC, "as asked for");
    }
    let options = ArchiveOptions::default();
    let options = source.map_or(options.clone(), |dir| options.dir(PathBuf::from(dir)));
    match data::cifar10_with(&options) {
        Ok(found) => {
            let (whence, checked) = (found.whence, found.checked);
            let (kind, caution) = match checked {
                true => ("checked by SHA-256", ""),
                false => ("not known to be the original bytes", "  (not CIFAR-10's original bytes: do not quote it as CIFAR-10's)"),
            };
            let told = format!("CIFAR-10, {} + {} images, {whence}, {kind}", found.train.len(), found.test.len());
            Ok(Pictures { train: found.train, test: found.test, told, caution })
        }
        Err(Error::DataNotFound { problem, .. } | Error::Download { problem, .. }) if source.is_none() => {
            shapes(SYNTHETIC, &format!("CIFAR-10 is not here: {problem}"))
        }
        Err(e) => Err(e.into()),
    }
}

/// Five shapes in warm and in cold colours: ten classes, `[rows, 3, 32, 32]` of bytes. The same for everyone, whatever the number of rows.
pub fn shapes((train, test): (usize, usize), why: &str) -> Result<Pictures> {
    let set = |part: &str, rows: usize| -> Result<Dataset> {
        let images = (0..rows).flat_map(|i| draw(&mut Philox::new(0, &format!("shapes.{part}.{i}")), i % 10)).collect();
        let labels = (0..rows).map(|i| (i % 10) as u8).collect();
        Ok(Dataset::new(HostTensor::u8([rows, 3, SIDE, SIDE], images)?, HostTensor::u8([rows], labels)?)?.named("shapes"))
    };
    let told = format!("synthetic shapes, {train} + {test} images, {why}");
    Ok(Pictures { train: set("train", train)?, test: set("test", test)?, told, caution: "  (synthetic shapes, not CIFAR-10)" })
}

/// One shape of some size, place and turn on a ground of another colour, under noise. Classes below 5 are warm.
fn draw(rng: &mut Philox, class: usize) -> Vec<u8> {
    let mut between = |low: f64, high: f64| low + (high - low) * rng.uniform();
    let (x, y, size, turn) = (between(10.0, 22.0), between(10.0, 22.0), between(6.0, 10.0), between(-0.5, 0.5));
    let (strong, weak, green) = (between(150.0, 255.0), between(0.0, 90.0), between(30.0, 150.0));
    let ink = if class < 5 { [strong, green, weak] } else { [weak, green, strong] };
    let ground = [(); 3].map(|()| between(30.0, 200.0));
    let mut image = vec![0; 3 * SIDE * SIDE];
    for (i, value) in image.iter_mut().enumerate() {
        let (channel, row, column) = (i / (SIDE * SIDE), i / SIDE % SIDE, i % SIDE);
        let (dx, dy) = ((column as f64 - x) / size, (row as f64 - y) / size);
        let (u, v) = (dx * turn.cos() - dy * turn.sin(), dx * turn.sin() + dy * turn.cos());
        let colour = if inside(class % 5, u, v) { ink[channel] } else { ground[channel] };
        *value = (colour + between(-25.0, 25.0)).clamp(0.0, 255.0) as u8;
    }
    image
}

/// Disc, square, triangle, cross, ring; each reaches from about -1 to 1.
fn inside(shape: usize, u: f64, v: f64) -> bool {
    let (far, square) = (u.hypot(v), u.abs().max(v.abs()));
    match shape {
        0 => far < 1.0,
        1 => square < 0.85,
        2 => v < 0.8 && u.abs() < 0.55 * (v + 1.0),
        3 => square < 1.0 && u.abs().min(v.abs()) < 0.3,
        _ => (0.55..1.0).contains(&far),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_the_same_for_everyone() {
        let (few, more) = (shapes((20, 10), "for a test").unwrap(), shapes((30, 10), "for a test").unwrap());
        let bytes = |d: &Dataset| d.features().unwrap().as_u8().unwrap().to_vec();
        assert_eq!(few.train.input_shape().dims(), [3, SIDE, SIDE]);
        assert_eq!(bytes(&few.train)[..], bytes(&more.train)[..20 * 3 * SIDE * SIDE]);
        assert_ne!(bytes(&few.test), bytes(&few.train)[..10 * 3 * SIDE * SIDE]);
        assert!(few.told.contains("synthetic") && few.caution.contains("not CIFAR-10"));
    }

    /// Warm ones are redder, cold ones bluer; no two shapes cover the same places.
    #[test]
    fn classes_differ() {
        let set = shapes((200, 10), "for a test").unwrap().train;
        let (x, y) = (set.features().unwrap().as_u8().unwrap(), set.labels().unwrap().as_u8().unwrap());
        let mut redder = [0i64; 2];
        for (image, &class) in x.chunks(3 * SIDE * SIDE).zip(y) {
            let sum = |channel: usize| image[channel * SIDE * SIDE..][..SIDE * SIDE].iter().map(|&v| i64::from(v)).sum::<i64>();
            redder[usize::from(class >= 5)] += sum(0) - sum(2);
        }
        assert!(redder[0] > 0 && redder[1] < 0, "{redder:?}");
        let covered = |shape: usize| (0..1600).map(move |i| inside(shape, (i % 40) as f64 / 20.0 - 1.0, (i / 40) as f64 / 20.0 - 1.0));
        for (a, b) in (0..5).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let apart = covered(a).zip(covered(b)).filter(|(a, b)| a != b).count();
            assert!(apart > 200, "{a} and {b} differ in {apart} of 1600 places");
        }
    }

    #[test]
    fn a_folder_that_is_not_there() {
        let e = find(Some("no/such/folder")).err().unwrap();
        assert!(e.to_string().contains("no/such/folder"), "{e}");
    }
}
