//! Data sets of named fields.

use super::*;
use crate::error::{Error, Result};
use crate::tensor::{DType, HostTensor, Shape};
use std::sync::Arc;

fn x(rows: usize) -> HostTensor {
    HostTensor::f32([rows, 2], (0..2 * rows).map(|v| v as f32).collect()).unwrap()
}

fn bytes(rows: usize, width: usize) -> HostTensor {
    HostTensor::u8([rows, width], (0..rows * width).map(|v| v as u8).collect()).unwrap()
}

fn names(d: &Dataset) -> Vec<String> {
    d.fields().into_iter().map(|f| f.name).collect()
}

#[test]
fn fields_stand_by_name_the_features_first() -> Result<()> {
    let set = Dataset::from_fields([("y", HostTensor::u8([3], vec![0, 1, 2])?), ("mask", bytes(3, 5)), ("x", x(3))])?;
    assert_eq!(names(&set), ["x", "y", "mask"]);
    let set = set.flatten().scale(2.0).shift(1.0).one_hot(3).on("mask", |m| m.scale(0.5));
    let [f, y, m] = &set.fields()[..] else { panic!() };
    assert_eq!((f.scale, f.shift, y.scale, m.scale, m.shift), (2.0, 1.0, 1.0, 0.5, 0.0));
    assert_eq!((y.one_hot, f.one_hot, y.keep_integer, m.keep_integer), (Some(3), None, true, false));
    assert_eq!((set.input_shape().dims(), m.row.dims()), (&[2][..], &[5][..]));
    assert_eq!(set.labels().and_then(HostTensor::as_u8), Some(&[0, 1, 2][..]));
    assert_eq!(set.values("mask"), Some(&bytes(3, 5)));
    // without an x the first field holds the features
    let pair = Dataset::from_fields([("left", x(3)), ("right", x(3))])?.scale(3.0);
    assert_eq!((names(&pair), pair.fields()[0].scale, pair.fields()[1].scale), (vec!["left".into(), "right".into()], 3.0, 1.0));
    assert!(!pair.has_labels() && pair.one_hot(2).check().is_ok());
    Ok(())
}

/// What a set tells of its values is one row for each of its rows, however it was cut.
#[test]
fn a_part_has_the_values_of_its_own_rows() -> Result<()> {
    let features = HostTensor::f32([6, 2], (0..12).map(|i| i as f32).collect())?;
    let set = Dataset::from_fields([
        ("x", features),
        ("y", HostTensor::u8([6], vec![0, 1, 2, 3, 4, 5])?),
        ("mask", HostTensor::u32([6, 1], (10..16).collect())?),
    ])?;
    let (a, b) = set.split_at(2)?;
    let (c, d) = b.split_at(1)?;
    for (part, rows) in [(&set, 0..6u8), (&a, 0..2), (&b, 2..6), (&c, 2..3), (&d, 3..6), (&b.clone().take(2), 2..4)] {
        assert_eq!(part.len(), rows.len());
        assert_eq!(part.labels().and_then(HostTensor::as_u8), Some(&rows.clone().collect::<Vec<_>>()[..]));
        let x = part.features().unwrap();
        assert_eq!((x.shape().dims(), x.as_f32().unwrap()[0]), (&[rows.len(), 2][..], 2.0 * f32::from(rows.start)));
        let mask = part.values("mask").and_then(HostTensor::as_u32);
        assert_eq!(mask, Some(&rows.clone().map(|r| 10 + u32::from(r)).collect::<Vec<_>>()[..]));
        // a weight for each of these rows, where the device reads it
        let weights: Vec<f32> = rows.clone().map(f32::from).collect();
        let weighed = part.clone().weights(HostTensor::f32([rows.len()], weights.clone())?)?;
        assert_eq!(weighed.values("weight").and_then(HostTensor::as_f32), Some(&weights[..]));
        assert_eq!(weighed.words(3)?, weights.iter().map(|w| w.to_bits()).collect::<Vec<_>>());
        let e = part.clone().weights(HostTensor::f32([7], vec![1.0; 7])?).unwrap_err().to_string();
        assert!(e.contains(&format!("for {} rows", rows.len())), "{e}");
    }
    // the whole set hands out what is stored, a part one copy
    let stored = |s: &Dataset| s.features().unwrap().as_f32().unwrap().as_ptr();
    assert_eq!(stored(&set), stored(&set.clone().take(6)));
    assert_eq!(stored(&b), stored(&b.clone().scale(2.0)));
    Ok(())
}

#[test]
fn integers_stay_integers() -> Result<()> {
    let tokens = HostTensor::u32([2, 3], vec![7; 6])?;
    let set = Dataset::from_fields([("x", tokens), ("real", x(2))])?;
    assert!(!set.fields()[0].keep_integer);
    let set = set.integers().on("real", Look::integers);
    assert_eq!(set.fields()[0].out_dtype(), DType::U32);
    assert_eq!(set.fields()[1].out_dtype(), DType::F32, "f32 is no integer");
    Ok(())
}

#[test]
fn words_of_every_dtype_and_of_slices() -> Result<()> {
    let set = Dataset::from_fields([("x", bytes(3, 5)), ("y", HostTensor::u32([3], vec![5, 6, 7])?), ("r", x(3))])?;
    let (head, tail) = set.split_at(1)?;
    assert_eq!(head.words(0)?, [0x03020100, 0x04]);
    assert_eq!(tail.words(0)?, [0x08070605, 0x09, 0x0d0c0b0a, 0x0e]);
    assert_eq!((head.words(1)?, tail.words(1)?, set.take(2).words(1)?), (vec![5], vec![6, 7], vec![5, 6]));
    assert_eq!(tail.words(2)?, [2.0f32, 3.0, 4.0, 5.0].map(f32::to_bits));
    // longer than what is read at a time
    let long = Dataset::unlabelled(HostTensor::u32([10_000, 1], (0..10_000).collect())?)?.split_at(3)?.1;
    assert_eq!(long.words(0)?, (3..10_000).collect::<Vec<u32>>());
    Ok(())
}

#[track_caller]
fn says<T: std::fmt::Debug>(r: Result<T>, code: &str, words: &[&str]) {
    let e = r.unwrap_err();
    assert_eq!(e.code(), code, "{e}");
    words.iter().for_each(|w| assert!(e.to_string().contains(w), "{w}: {e}"));
}

#[test]
fn fields_that_cannot_be() -> Result<()> {
    says(Dataset::from_fields([("x", x(3)), ("mask", x(4))]), "shape-mismatch", &["`x` [3, 2]", "`mask` [4, 2]", "tests.rs"]);
    says(Dataset::from_fields([("x", x(3)), ("x", x(3))]), "invalid-config", &["data.x", "two fields"]);
    says(Dataset::from_fields([("", x(3))]), "invalid-config", &["no name"]);
    says(Dataset::from_fields(Vec::<(String, HostTensor)>::new()), "shape-mismatch", &["no field"]);
    says(Dataset::from_fields([("x", HostTensor::f32([2, 0], vec![])?)]), "shape-mismatch", &["[2, 0]", "no usable rows"]);
    says(Dataset::unlabelled(HostTensor::f32(Shape::default(), vec![1.0])?), "shape-mismatch", &["no usable rows"]);
    let set = Dataset::from_fields([("x", x(2)), ("m", bytes(2, 3))])?;
    says(set.clone().on("mark", |m| m.scale(2.0)).check(), "not-found", &["`mark`", "x, m"]);
    says(set.clone().on("m", |m| m.one_hot(9)).check(), "invalid-config", &["data.m.one_hot", "[3]"]);
    says(set.on("m", |m| m.one_hot(0)).scale(f32::NAN).check(), "invalid-config", &["data.m.one_hot", "data.x.scale"]);
    Ok(())
}

#[test]
fn labels_out_of_range_are_found() -> Result<()> {
    let labels = |below| Limit { field: 1, below, except: None, ignored: None, table: None };
    let mut y = vec![1; 9000];
    y[8500] = 4;
    let set = Dataset::new(x(9000), HostTensor::u8([9000], y.clone())?)?;
    says(set.check_limit(&labels(4)), "label-out-of-range", &["label 4 of row 8500"]);
    says(set.split_at(8000)?.1.check_limit(&labels(4)), "label-out-of-range", &["row 500"]);
    set.check_limit(&labels(5))?;
    says(set.one_hot(3).check_limit(&labels(9)), "label-out-of-range", &["label 4", "3 outputs"]);
    let wide = Dataset::new(x(9000), HostTensor::u32([9000], y.into_iter().map(u32::from).collect())?)?;
    says(wide.check_limit(&labels(4)), "label-out-of-range", &["row 8500"]);
    Ok(())
}

/// Fails at row 7, with an error of its own or gradus'.
struct Faulty(bool);

impl Source for Faulty {
    fn len(&self) -> usize {
        10
    }
    fn dtype(&self) -> DType {
        DType::F32
    }
    fn row(&self) -> Shape {
        [1].into()
    }
    fn read(&self, rows: &[u32], _: RowsMut<'_>) -> std::result::Result<(), SourceError> {
        match (rows.contains(&7), self.0) {
            (false, _) => Ok(()),
            (true, false) => Err("the cable is out".into()),
            (true, true) => Err(Error::DataNotFound { problem: "gone".into(), looked: vec![], help: "look".into() }.into()),
        }
    }
}

#[test]
fn errors_of_a_source() -> Result<()> {
    let set = |own| Dataset::from_sources([("x", Arc::new(Faulty(own)) as Arc<dyn Source>)]);
    says(set(false)?.words(0), "data-source", &["`x`", "the cable is out", "10 rows, 0 to 9", "`data`"]);
    says(set(true)?.words(0), "data-not-found", &["gone"]);
    assert_eq!(set(false)?.take(7).words(0)?.len(), 7);
    assert!(set(false)?.features().is_none());
    Ok(())
}
