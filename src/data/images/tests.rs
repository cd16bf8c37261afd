use super::*;
use crate::tensor::HostTensor;
use image::{ExtendedColorType, ImageEncoder};
use std::fs;
use std::path::PathBuf;
use tempfile::{TempDir, tempdir};

fn png(width: u32, height: u32, colour: ExtendedColorType, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    image::codecs::png::PngEncoder::new(&mut out).write_image(bytes, width, height, colour).unwrap();
    out
}

fn jpeg(width: u32, height: u32, rgb: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, 95).write_image(rgb, width, height, ExtendedColorType::Rgb8).unwrap();
    out
}

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let dir = tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    dir
}

/// The rows of the features, in the order asked for.
fn pixels(set: &Dataset, rows: &[usize]) -> Result<Vec<u8>> {
    let words = set.words_of(0, &rows.iter().map(|&r| r as u32).collect::<Vec<_>>())?;
    let (width, stored) = (set.input_shape().size(), set.row_words(0) * 4);
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    Ok(bytes.chunks_exact(stored).flat_map(|row| row[..width].to_vec()).collect())
}

fn labels(set: &Dataset) -> Vec<u32> {
    set.labels().and_then(HostTensor::as_u32).unwrap().to_vec()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, code: &str, parts: &[&str]) {
    let e = result.unwrap_err();
    let text = e.to_string();
    assert_eq!(e.code(), code, "{text}");
    assert!(parts.iter().all(|p| text.contains(p)), "{text}");
}

#[test]
fn classes_and_order() -> Result<()> {
    let one = |v: u8| png(1, 1, ExtendedColorType::L8, &[v]);
    let dir = folder(&[
        ("owl/b.png", one(2)),
        ("owl/a.PNG", one(1)),
        ("owl/far/a.png", one(3)),
        ("owl/readme.txt", vec![1]),
        ("auk/z.png", one(0)),
        ("wren/10.png", one(4)),
        ("wren/9.png", one(5)),
        (".git/x.png", one(9)),
        ("lies-beside.png", one(9)),
    ]);
    let set = image_folder(dir.path(), ImageFolder::new().grey(true))?;
    assert_eq!((set.len(), set.input_shape().dims()), (6, &[1, 1, 1][..]));
    assert_eq!(labels(&set), [0, 1, 1, 1, 2, 2]);
    assert_eq!([0, 1, 2].map(|c| set.class_name(c)), ["auk", "owl", "wren"]);
    assert_eq!(pixels(&set, &[0, 1, 2, 3, 4, 5])?, [0, 1, 2, 3, 4, 5]);
    assert_eq!(pixels(&set, &[5, 0, 5])?, [5, 0, 5]);
    Ok(())
}

#[test]
fn colours() -> Result<()> {
    let rgb = [10, 20, 30, 40, 50, 60];
    let files = [
        ("c/0.png", png(2, 1, ExtendedColorType::Rgb8, &rgb)),
        ("c/1.png", png(2, 1, ExtendedColorType::Rgba8, &[10, 20, 30, 0, 40, 50, 60, 255])),
        ("c/2.png", png(2, 1, ExtendedColorType::L8, &[7, 8])),
        ("c/3.png", png(2, 1, ExtendedColorType::La8, &[7, 0, 8, 9])),
        ("c/4.png", png(2, 1, ExtendedColorType::Rgb16, &[10u16, 20, 30, 40, 50, 60].map(|v| (v * 257).to_ne_bytes()).concat())),
    ];
    let dir = folder(&files);
    let set = image_folder(dir.path(), ImageFolder::new())?;
    assert_eq!(set.input_shape().dims(), [3, 1, 2]);
    let channels = [10, 40, 20, 50, 30, 60];
    assert_eq!(pixels(&set, &[0])?, channels);
    assert_eq!(pixels(&set, &[1])?, channels, "transparency is left out");
    assert_eq!(pixels(&set, &[2])?, [7, 8, 7, 8, 7, 8]);
    assert_eq!(pixels(&set, &[3])?, [7, 8, 7, 8, 7, 8]);
    assert_eq!(pixels(&set, &[4])?, channels, "16 bits are rounded");
    let grey = image_folder(dir.path(), ImageFolder::new().grey(true))?;
    let luma = |p: &[f64]| (0.2126 * p[0] + 0.7152 * p[1] + 0.0722 * p[2]).round() as u8;
    assert_eq!(pixels(&grey, &[0])?, [luma(&[10., 20., 30.]), luma(&[40., 50., 60.])]);
    assert_eq!(pixels(&grey, &[2])?, [7, 8]);
    // a JPEG of one colour comes back nearly as it was
    let dir = folder(&[("c/0.jpeg", jpeg(8, 8, &[200, 100, 50].repeat(64)))]);
    let got = pixels(&image_folder(dir.path(), ImageFolder::new())?, &[0])?;
    for (channel, want) in got.chunks(64).zip([200i32, 100, 50]) {
        assert!(channel.iter().all(|&v| (i32::from(v) - want).abs() <= 3), "{channel:?}");
    }
    Ok(())
}

#[test]
fn other_sizes() -> Result<()> {
    // left half black, right half white, twice as wide as high
    let wide: Vec<u8> = (0..8 * 4).map(|i| if i % 8 < 4 { 0 } else { 255 }).collect();
    let dir = folder(&[("c/0.png", png(4, 4, ExtendedColorType::L8, &[9; 16])), ("c/1.png", png(8, 4, ExtendedColorType::L8, &wide))]);
    let grey = ImageFolder::new().grey(true);
    let set = image_folder(dir.path(), grey.clone())?;
    assert_eq!(set.input_shape().dims(), [1, 4, 4]);
    pixels(&set, &[0])?;
    refused(pixels(&set, &[0, 1]), "bad-data", &["has 4 x 8 pixels, and the first of its set 4 x 4", "1.png", "ImageFolder::size"]);
    let set = image_folder(dir.path(), grey.clone().size(2, 2))?;
    assert_eq!(pixels(&set, &[0])?, [9; 4]);
    let stretched = pixels(&set, &[1])?;
    // a triangle of four pixels to each side: a seventh of it lies beyond the middle
    assert_eq!(stretched, [36, 219, 36, 219]);
    let cut = pixels(&image_folder(dir.path(), grey.clone().size(4, 4).crop(true))?, &[1])?;
    assert_eq!(cut, [0, 0, 255, 255].repeat(4), "the middle, as it was");
    let larger = pixels(&image_folder(dir.path(), grey.size(3, 16))?, &[1])?;
    assert!(larger.len() == 48 && larger[0] == 0 && larger[15] == 255);
    Ok(())
}

#[test]
fn folders_that_are_none() {
    let png = png(1, 1, ExtendedColorType::L8, &[0]);
    let open = |p: PathBuf| image_folder(p, ImageFolder::new());
    let dir = folder(&[("a/x.png", png.clone()), ("b/x.txt", vec![])]);
    refused(open(dir.path().join("none")), "data-not-found", &["there is no folder"]);
    refused(open(dir.path().join("a")), "data-not-found", &["has no folder in it"]);
    refused(open(dir.path().to_path_buf()), "data-not-found", &["b has no picture"]);
    refused(image_folder(dir.path(), ImageFolder::new().size(0, 4).max_pixels(0)), "invalid-config", &["images.size", "images.max_pixels"]);
    #[cfg(unix)]
    {
        let dir = folder(&[("a/x.png", png)]);
        std::os::unix::fs::symlink(dir.path(), dir.path().join("a/round")).unwrap();
        refused(open(dir.path().to_path_buf()), "io", &["more than 16 deep"]);
    }
}

#[test]
fn pictures_that_are_none() -> Result<()> {
    let whole = jpeg(16, 16, &(0..768).map(|i| (i * 7 % 256) as u8).collect::<Vec<_>>());
    let good = png(2, 2, ExtendedColorType::L8, &[1, 2, 3, 4]);
    let mut flipped = good.clone();
    flipped[45] ^= 1;
    let mut huge = good.clone();
    huge[16..24].copy_from_slice(&[0, 0, 16, 0, 0, 0, 16, 0]); // 4096 x 4096 in its header
    let sum = crc(&huge[12..29]);
    huge[29..33].copy_from_slice(&sum.to_be_bytes());
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("empty.png", vec![], "cannot be read"),
        ("page.png", b"<html>".to_vec(), "cannot be read"),
        ("anim.jpg", b"GIF89a\x01\0\x01\0\0\0\0".to_vec(), "Gif, whatever its name says"),
        ("cut.png", good[..good.len() - 20].to_vec(), "cannot be read"),
        ("flipped.png", flipped, "cannot be read"),
        ("cut.jpg", whole[..whole.len() / 2].to_vec(), "cut short"),
        ("bomb.png", huge, "its header promises 4096 x 4096 pixels"),
    ];
    for (name, bytes, says) in cases {
        let dir = folder(&[("c/0.png", good.clone()), (&format!("c/{name}"), bytes)]);
        let set = image_folder(dir.path(), ImageFolder::new().size(2, 2))?;
        refused(pixels(&set, &[0, 1]), "bad-data", &[says, name]);
    }
    // a large one is told before it is decoded; a name says nothing about what is in a file
    let dir = folder(&[("c/0.png", png(64, 64, ExtendedColorType::L8, &[0; 4096])), ("c/1.png", whole)]);
    let few = ImageFolder::new().size(2, 2).max_pixels(1000);
    refused(pixels(&image_folder(dir.path(), few.clone())?, &[0]), "bad-data", &["64 x 64 pixels, more than the 1000", "max_pixels"]);
    pixels(&image_folder(dir.path(), few)?, &[1])?;
    Ok(())
}

/// The checksum of a PNG's chunk.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &b| (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 }))
}

/// Of several that fail the first in order is told, however many threads there are.
#[test]
fn the_first_failure_is_told() -> Result<()> {
    let good = png(2, 2, ExtendedColorType::L8, &[1, 2, 3, 4]);
    let files: Vec<(String, Vec<u8>)> =
        (0..40).map(|i| (format!("c/{i:02}.png"), if i >= 7 && i % 2 == 1 { vec![0; i] } else { good.clone() })).collect();
    let dir = folder(&files.iter().map(|(n, b)| (n.as_str(), b.clone())).collect::<Vec<_>>());
    let set = image_folder(dir.path(), ImageFolder::new())?;
    let rows: Vec<usize> = (0..40).collect();
    for _ in 0..10 {
        refused(pixels(&set, &rows), "bad-data", &["07.png"]);
    }
    Ok(())
}

#[test]
fn settings_are_values() {
    let how = ImageFolder::new().size(4, 5).crop(true).grey(true).max_pixels(9);
    let text = serde_json::to_string(&how).unwrap();
    assert_eq!(serde_json::from_str::<ImageFolder>(&text).unwrap(), how);
    assert!(serde_json::from_str::<ImageFolder>(r#"{"sise": [1, 2]}"#).is_err());
}

/// Prints the decoding rate of one thread and of all: `cargo test --release --lib --features data-images rate_of_decoding -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn rate_of_decoding() -> Result<()> {
    let noisy = |seed: u32| {
        let mut x = seed | 1;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            (x >> 26) as u8
        };
        (0..256 * 256).flat_map(|i| [(i % 256) as u8 / 2 + next(), (i / 256) as u8 / 2 + next(), next()]).collect::<Vec<u8>>()
    };
    let files: Vec<(String, Vec<u8>)> = (0..64).map(|i| (format!("c/{i:03}.jpg"), jpeg(256, 256, &noisy(i + 1)))).collect();
    let dir = folder(&files.iter().map(|(n, b)| (n.as_str(), b.clone())).collect::<Vec<_>>());
    let set = image_folder(dir.path(), ImageFolder::new().size(224, 224))?;
    let rows: Vec<u32> = (0..files.len() as u32).collect();
    let mut rates = Vec::new();
    let pools: Vec<rayon::ThreadPool> = [1, 2].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap()).into();
    for pool in pools.iter().chain(&pools).chain(&pools) {
        let began = std::time::Instant::now();
        pool.install(|| set.words_of(0, &rows))?;
        rates.push((pool.current_num_threads(), rows.len() as f64 / began.elapsed().as_secs_f64()));
    }
    let best = |threads| rates.iter().filter(|r| r.0 == threads).map(|r| r.1).fold(0.0, f64::max);
    println!("{rates:.0?}; {:.2} times one thread", best(2) / best(1));
    Ok(())
}
