use crate::data::{self, Augment};
use crate::prelude::*;
use crate::tensor::HostTensor;
use std::path::Path;

/// The picture's width, height and pixels.
struct Sheet(usize, usize, Vec<u8>);

impl Sheet {
    fn of(set: &Dataset, rows: usize) -> Sheet {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sheet.png");
        set.contact_sheet(&path, rows).unwrap();
        Sheet::read(&path)
    }

    fn read(path: &Path) -> Sheet {
        let mut reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap())).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut rgb).unwrap();
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
        Sheet(info.width as usize, info.height as usize, rgb)
    }

    /// The pixels of a sample of these sides, enlarged.
    fn sample(&self, row: usize, column: usize, [high, wide]: [usize; 2]) -> Vec<[u8; 3]> {
        let at = |y: usize, x: usize| 3 * ((4 + row * (high + 4) + y) * self.0 + 4 + column * (wide + 4) + x);
        let pixel = |i: usize| <[u8; 3]>::try_from(&self.2[i..i + 3]).unwrap();
        (0..high).flat_map(|y| (0..wide).map(move |x| (y, x))).map(|(y, x)| pixel(at(y, x))).collect()
    }
}

fn digits() -> Dataset {
    let (train, _) = data::synthetic_digits(0, 20, 10).unwrap();
    train
}

/// Bytes as they are stored, three pixels for one, whatever the model is shown; what is drawn anew beside them; white between.
#[test]
fn digits_before_and_after() {
    let set = digits().flatten().scale(1.0 / 255.0).one_hot(10).augment(Augment::new().shift(3).rotate(20.0).mixup(0.2));
    let sheet = Sheet::of(&set, 5);
    assert_eq!((sheet.0, sheet.1), (8 * 88 + 4, 5 * 88 + 4));
    let Some(stored) = digits().features().and_then(|x| x.as_u8().map(<[u8]>::to_vec)) else { panic!("the digits are bytes") };
    for row in 0..5 {
        let plain = sheet.sample(row, 0, [84, 84]);
        for (i, pixel) in plain.iter().enumerate() {
            assert_eq!(*pixel, [stored[row * 784 + i / 84 / 3 * 28 + i % 84 / 3]; 3], "row {row}, pixel {i}");
        }
        let mut seen = vec![plain];
        for column in 1..8 {
            let sample = sheet.sample(row, column, [84, 84]);
            assert!(!seen.contains(&sample), "row {row}, column {column} stands there twice");
            seen.push(sample);
        }
    }
    let white = |x: usize, y: usize| sheet.2[3 * (y * sheet.0 + x)..][..3] == [255; 3];
    assert!((0..sheet.1).all(|y| (0..4).chain(88..92).chain(sheet.0 - 4..sheet.0).all(|x| white(x, y))));
}

#[test]
fn without_augmentation_all_samples_are_alike() {
    // more rows than there are, a part of a set, of which rows are drawn
    for (set, rows) in [(digits(), 30), (digits().augment(Augment::new()), 3), (digits().balanced(1).unwrap().take(7), 7)] {
        let (sheet, rows) = (Sheet::of(&set, rows), rows.min(20));
        assert_eq!(sheet.1, rows * 88 + 4);
        for row in 0..rows {
            let plain = sheet.sample(row, 0, [84, 84]);
            assert!((1..8).all(|column| sheet.sample(row, column, [84, 84]) == plain), "row {row}");
        }
    }
}

/// Reals that are normalised channel by channel: colours where they belong, one scale for all samples, the strength of the last epoch.
#[test]
fn colours_in_one_scale() {
    // red from 1 to 3 downwards, green 1, blue 3
    let image = (0..3 * 48 * 32).map(|i| [1.0 + 2.0 * ((i / 32) % 48) as f32 / 47.0, 1.0, 3.0][i / (48 * 32)]);
    let set = Dataset::unlabelled(HostTensor::f32([1, 3, 48, 32], image.collect()).unwrap()).unwrap();
    let set = set.normalize_with(&[2.0, 0.0, 5.0], &[0.5, 2.0, 1.0]).unwrap();
    let sheet = Sheet::of(&set.clone().augment(Augment::new().brightness(0.5).strength([0.0, 1.0])), 1);
    assert_eq!((sheet.0, sheet.1), (8 * 68 + 4, 100 + 4));
    let plain = sheet.sample(0, 0, [96, 64]);
    assert_eq!((plain[0], plain[95 * 64]), ([0, 0, 255], [255, 0, 255]));
    let columns = (1..8).map(|c| sheet.sample(0, c, [96, 64]));
    // about half of them are brighter or darker all over
    let brighter = columns.filter(|c| c != &plain && c.iter().zip(&plain).all(|(a, b)| (0..3).all(|i| a[i] >= b[i]))).count();
    assert!((1..7).contains(&brighter), "{brighter}");
    // the middle of it, where training crops
    assert_eq!(Sheet::of(&set.augment(Augment::new().random_crop(16, 0)), 1).0, 8 * 68 + 4);
}

#[test]
fn what_is_no_sheet_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sheet.png");
    let code = |set: Dataset, rows: usize| set.contact_sheet(&path, rows).unwrap_err().code();
    let table = Dataset::unlabelled(HostTensor::f32([4, 3], vec![0.5; 12]).unwrap()).unwrap();
    let e = table.contact_sheet(&path, 1).unwrap_err();
    assert!(e.code() == "unsupported" && e.to_string().contains("no images"), "{e}");
    assert_eq!(code(digits(), 0), "unsupported");
    let long = Dataset::unlabelled(HostTensor::u8([300, 28, 28], vec![0; 300 * 784]).unwrap()).unwrap();
    assert_eq!(code(long.clone(), 300), "unsupported");
    assert_eq!(Sheet::of(&long, 227).1, 227 * 88 + 4);
    // as `fit` says it
    assert_eq!(code(digits().augment(Augment::new().mixup(0.2)), 1), code(digits().augment(Augment::new().saturation(0.2).mixup(0.2)), 1));
    assert!(!path.exists());
    assert_eq!(digits().contact_sheet(dir.path().join("nowhere/sheet.png"), 1).unwrap_err().code(), "io");
}
