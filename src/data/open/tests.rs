use super::*;
use crate::data::{RowsMut, read_idx};
use crate::tensor::HostTensor;
use std::io::Write;
use std::path::PathBuf;

fn idx(kind: u8, dims: &[u32], values: &[u8]) -> Vec<u8> {
    let axes = dims.iter().flat_map(|d| d.to_be_bytes());
    [0, 0, kind, dims.len() as u8].into_iter().chain(axes).chain(values.iter().copied()).collect()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Bytes of `rows` rows of `width`, told apart by their places.
fn bytes(rows: usize, width: usize) -> Vec<u8> {
    (0..rows * width).map(|i| (i * 31 % 251) as u8).collect()
}

fn safetensors(tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Vec<u8> {
    let views = tensors.iter().map(|(n, d, s, b)| (n.to_string(), safetensors::tensor::TensorView::new(*d, s.to_vec(), b).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(r: Result<T>, at: u64, says: &str) {
    match r {
        Err(Error::BadData { offset, problem, help, .. }) => {
            assert_eq!(offset, at, "{problem}");
            assert!(problem.contains(says) && !help.is_empty(), "{problem}");
        }
        other => panic!("{other:?}"),
    }
}

/// Rows in any order, one and many, near and far: as the same tensor in memory gives them.
#[test]
fn rows_where_they_stand() -> Result<()> {
    let folder = Folder::new();
    for width in [1, 3, 784, 5000, 300_000] {
        let rows = if width > 5000 { 5 } else { 400 };
        let x = folder.file("x", &idx(8, &[rows as u32, width as u32], &bytes(rows, width)));
        let y = folder.file("y", &idx(8, &[rows as u32], &bytes(rows, 1)));
        let (set, whole) = (open_idx(&x, &y)?, read_idx(&x)?);
        assert!(set.features().is_none() && set.len() == rows && set.input_shape().dims() == [width]);
        let on_disk = idx_rows(&x)?;
        for list in [vec![0], (0..rows as u32).collect(), (0..rows as u32).rev().step_by(3).collect(), vec![4, 1, 1, 3, 4]] {
            let (mut a, mut b) = (vec![0; list.len() * width], vec![0; list.len() * width]);
            on_disk.read(&list, RowsMut::U8(&mut a)).unwrap();
            Source::read(&whole, &list, RowsMut::U8(&mut b)).unwrap();
            assert!(a == b, "{width} {list:?}");
        }
        let held = Dataset::new(whole, read_idx(&y)?)?;
        assert_eq!((set.words(0)?, set.words(1)?), (held.words(0)?, held.words(1)?));
    }
    Ok(())
}

#[test]
fn every_type_of_idx() -> Result<()> {
    let folder = Folder::new();
    let be = |v: &[i32]| v.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>();
    let x = folder.file("x", &idx(0x0D, &[2, 2], &[1.5f32, -2.0, 0.0, 7.0].map(f32::to_be_bytes).concat()));
    let y = folder.file("y", &idx(0x0C, &[2], &be(&[70_000, 3])));
    let set = open_idx(&x, &y)?;
    assert_eq!(set.words(0)?, [1.5f32, -2.0, 0.0, 7.0].map(f32::to_bits));
    assert_eq!(set.words(1)?, [70_000, 3]);
    let bad = folder.file("bad", &idx(0x0C, &[3], &be(&[1, 2, -9])));
    refused(open_idx(&bad, &bad)?.words(1), 16, "-9 is negative");
    Ok(())
}

#[test]
fn idx_files_that_cannot_be() {
    let folder = Folder::new();
    let good = folder.file("good", &idx(8, &[4], &[1, 2, 3, 4]));
    let with = |bytes: &[u8]| open_idx(folder.file("x", bytes), &good);
    refused(with(&[]), 0, "inside its header");
    refused(with(b"<html>"), 0, "not an idx file");
    refused(with(&idx(8, &[4], &[1, 2, 3])), 11, "of the 12 bytes");
    refused(with(&idx(8, &[4], &[1, 2, 3, 4, 5])), 12, "goes on");
    refused(with(&idx(0x0B, &[4], &[0; 8])), 2, "i16");
    refused(with(&idx(8, &[u32::MAX; 3], &[])), 4, "any memory");
    for (r, code) in [
        (with(&[0x1f, 0x8b, 8, 0]), "unsupported"),
        (with(&idx(8, &[3], &[1, 2, 3])), "shape-mismatch"),
        (open_idx(&good, folder.file("y", &idx(8, &[4, 2], &[0; 8]))), "shape-mismatch"),
        (open_idx(&good, folder.0.path().join("nowhere")), "io"),
        (open_idx(folder.0.path(), &good), "io"),
    ] {
        let e = r.unwrap_err();
        assert_eq!(e.code(), code, "{e}");
    }
}

#[test]
fn safetensors_as_fields() -> Result<()> {
    let folder = Folder::new();
    let le = |v: &[f32]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let i64s = [3i64, 0, 1].map(i64::to_le_bytes).concat();
    let path = folder.file(
        "set.safetensors",
        &safetensors(&[
            ("y", Dtype::I64, &[3], i64s),
            ("mask", Dtype::U8, &[3, 5], bytes(3, 5)),
            ("x", Dtype::F32, &[3, 2], le(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
            ("a", Dtype::U32, &[3], [7u32, 8, 9].map(u32::to_le_bytes).concat()),
        ]),
    );
    let set = open_safetensors(&path)?;
    let names: Vec<String> = set.fields().into_iter().map(|f| f.name).collect();
    assert_eq!((names, set.name()), (vec!["x".into(), "y".into(), "a".into(), "mask".into()], "set"));
    assert_eq!(set.words(0)?, [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0].map(f32::to_bits));
    assert_eq!((set.words(1)?, set.words(2)?), (vec![3, 0, 1], vec![7, 8, 9]));
    let mask = Dataset::unlabelled(HostTensor::u8([3, 5], bytes(3, 5))?)?;
    assert_eq!(set.words(3)?, mask.words(0)?);
    Ok(())
}

#[test]
fn safetensors_that_cannot_be() {
    let folder = Folder::new();
    let with = |bytes: &[u8]| open_safetensors(folder.file("s", bytes));
    let good = safetensors(&[("x", Dtype::U8, &[4, 2], bytes(4, 2))]);
    let end = good.len() as u64;
    assert!(with(&good).is_ok());
    refused(with(&good[..5]), 5, "header's length");
    refused(with(&good[..20]), 0, "cut short");
    refused(with(&good[..good.len() - 1]), end - 1, "the file ends after");
    refused(with(&[&good[..], &[0]].concat()), end, "goes on");
    refused(with(&u64::MAX.to_le_bytes()), 0, "not a safetensors file");
    refused(with(b"PK\x03\x04 a pickle in a zip"), 0, "not a safetensors file");
    let header = |text: &str, data: usize| [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &vec![0; data]].concat();
    refused(with(&header("{\"x\"", 0)), 8, "cannot be used");
    // a hole, and a size that is not the shape's
    refused(with(&header(r#"{"x":{"dtype":"U8","shape":[4],"data_offsets":[1,5]}}"#, 5)), 8, "cannot be used");
    refused(with(&header(r#"{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,5]}}"#, 5)), 8, "cannot be used");
    let half = safetensors(&[("x", Dtype::F16, &[4, 2], bytes(8, 2))]);
    refused(with(&half), half.len() as u64 - 16, "F16");
    for (r, code) in [
        (with(&safetensors(&[("x", Dtype::U8, &[4], bytes(4, 1)), ("y", Dtype::U8, &[3], bytes(3, 1))])), "shape-mismatch"),
        (with(&safetensors(&[("x", Dtype::U8, &[], bytes(1, 1))])), "shape-mismatch"),
        (with(&safetensors(&[])), "shape-mismatch"),
    ] {
        let e = r.unwrap_err();
        assert_eq!(e.code(), code, "{e}");
    }
    let mut labels = safetensors(&[("y", Dtype::I64, &[2], [1i64, 1 << 40].map(i64::to_le_bytes).concat())]);
    let at = labels.len() as u64 - 8;
    refused(with(&labels).unwrap().words(0), at, "above 2^32 - 1");
    // the header says 2^40 bytes: refused at once, no memory taken
    labels.truncate(8);
    labels[..8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    refused(with(&labels), 0, "cut short");
}

/// Cut short while it is open: an error with the byte where the file now ends. Deleted while it is open: read to its end.
#[test]
fn a_file_that_changes_under_way() -> Result<()> {
    let folder = Folder::new();
    let y = folder.file("y", &idx(8, &[100], &bytes(100, 1)));
    let x = folder.file("x", &idx(8, &[100, 50], &bytes(100, 50)));
    let set = open_idx(&x, &y)?;
    let before = set.words(0)?;
    std::fs::OpenOptions::new().write(true).open(&x).unwrap().set_len(3000).unwrap();
    refused(set.words(0), 3000, "ends before byte");
    assert!(set.take(50).words(0).is_ok());
    std::fs::File::create(&x).and_then(|mut f| f.write_all(&idx(8, &[100, 50], &bytes(100, 50)))).unwrap();
    let set = open_idx(&x, &y)?;
    if std::fs::remove_file(&x).is_ok() && cfg!(unix) {
        assert_eq!(set.words(0)?, before);
    }
    Ok(())
}
