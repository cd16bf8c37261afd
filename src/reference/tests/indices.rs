//! Rows by index and sums by index.

use super::checker::{check, field};
use super::{close, one, reals};
use crate::error::{Error, Result};
use crate::graph::{Builder, Op, Var, op};
use crate::reference::Data;
use crate::tensor::DType;

#[test]
fn rows_by_index() -> Result<()> {
    let table = || (&[3, 2][..], reals(&[1., 2., 3., 4., 5., 6.]));
    close(&one(op::Take { padding: None }, &[table(), (&[3], Data::Integer(vec![2, 0, 2]))])?[0], &[5., 6., 1., 2., 5., 6.]);
    close(&one(op::Take { padding: None }, &[(&[2], reals(&[7., 8.])), (&[3], Data::Integer(vec![1, 1, 0]))])?[0], &[8., 8., 7.]);
    let values = || (&[4, 2][..], reals(&[1., 2., 3., 4., 5., 6., 7., 8.]));
    close(
        &one(op::ScatterAdd { rows: 3, padding: None }, &[values(), (&[4], Data::Integer(vec![2, 0, 2, 2]))])?[0],
        &[3., 4., 0., 0., 13., 16.],
    );
    let padded = op::ScatterAdd { rows: 3, padding: Some(2) };
    close(&one(padded, &[values(), (&[4], Data::Integer(vec![2, 0, 2, 1]))])?[0], &[3., 4., 7., 8., 0., 0.]);
    // beyond the table: left out
    close(&one(op::ScatterAdd { rows: 2, padding: None }, &[values(), (&[4], Data::Integer(vec![2, 0, 9, 0]))])?[0], &[10., 12., 0., 0.]);
    Ok(())
}

#[test]
fn an_index_beyond_the_table_gives_nan() {
    let b = Builder::new();
    let y = b.parameter("table", [2, 2].into()).take(&b.batch(2, field("ix", DType::U32, [].into(), None)));
    let g = b.finish().unwrap();
    let feed = |op: &Op| Some(if let Op::Batch(_) = op { Data::Integer(vec![1, 2]) } else { reals(&[1., 2., 3., 4.]) });
    let out = super::evaluate(&g, &feed, &[y.value().unwrap()]).unwrap()[0].to_f64();
    assert_eq!(out[..2], [3., 4.]);
    assert!(out[2].is_nan() && out[3].is_nan());
}

#[test]
fn what_cannot_be_indexed() {
    let index = || (&[2][..], Data::Integer(vec![0, 1]));
    let e = one(op::Take { padding: None }, &[(&[2, 2], reals(&[1.; 4])), (&[2], reals(&[0., 1.]))]).unwrap_err();
    assert!(matches!(e, Error::DTypeMismatch { .. }) && e.to_string().contains(".integers()"), "{e}");
    assert!(matches!(one(op::Take { padding: None }, &[(&[], reals(&[1.])), index()]), Err(Error::ShapeMismatch { .. })));
    let e = one(op::Take { padding: Some(2) }, &[(&[2, 2], reals(&[1.; 4])), index()]).unwrap_err();
    assert!(matches!(e, Error::ShapeMismatch { .. }) && e.to_string().contains("padding row 2"), "{e}");
    assert!(matches!(
        one(op::ScatterAdd { rows: 2, padding: None }, &[(&[3, 2], reals(&[1.; 6])), index()]),
        Err(Error::ShapeMismatch { .. })
    ));
}

/// Reads the result twice, so that the gradient that comes back is neither 1 nor constant.
fn mid(b: &Builder, y: &Var) -> Var {
    let w = b.parameter("w", y.shape());
    ((y * &w).tanh() * 3f64 + y * 0.5f64).mean()
}

fn indices(b: &Builder, name: &str, rows: usize, row: &[usize]) -> Var {
    b.batch(rows, field(name, DType::U32, row.into(), None))
}

#[test]
fn finite_differences() {
    let pass = |name: &str, f: &dyn Fn(&Builder) -> Var| {
        check(name, |b| mid(b, &f(b))).unwrap_or_else(|e| panic!("{e}"));
    };
    // more places than rows: some repeat; more rows than places: some are never named
    for (rows, places, row) in [(3, 7, &[2][..]), (9, 3, &[2]), (3, 4, &[]), (2, 3, &[2, 2]), (1, 3, &[1])] {
        let table = [&[rows], row].concat();
        pass(&format!("take {places} of {table:?}"), &|b| b.parameter("table", table.clone().into()).take(&indices(b, "ix", places, &[])));
        pass(&format!("take {places} of what {table:?} makes"), &|b| {
            b.parameter("table", table.clone().into()).sigmoid().take(&indices(b, "ix", places, &[2])) * 1.5
        });
    }
    pass("two readers of one table", &|b| {
        let table = b.parameter("table", [4, 3].into());
        table.take(&indices(b, "ix", 5, &[])) * table.take(&indices(b, "iy", 5, &[])) + table.square().sum()
    });
    pass("indices of another shape", &|b| b.parameter("table", [4, 3].into()).take(&indices(b, "ix", 2, &[3]).reshape([3, 2])));
}
