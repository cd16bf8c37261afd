//! Indices that a table has no row for, gradients that are not finite, and the bits of sums by index.

use crate::check::{Site, TARGETS, on};
use crate::common::{Job, MACHINES};
use crate::indices::indices;
use crate::make::{Case, Make, Order, field};
use gradus::graph::Field;
use gradus::tensor::DType;
use std::cell::Cell;

/// Rows that the table has are there, all others are NaN, and nothing outside of the table is read; a loss over them halts the step.
fn beyond() -> Result<(), String> {
    let (n, width) = (5, 7);
    let draw = move |u: f64| if u < 0.3 { 4_294_967_040.0 * u / 0.3 } else { (u * 7.0).floor() };
    let ix = move |m: &Make| m.field(Field { keep_integer: true, ..field("ix", DType::U32, []) }, draw);
    let forward = Case::predict("indices beyond the table", move |m| {
        // other parameters lie on both sides of the table in its buffer
        let (before, table, after) = (m.p([64]), m.p([n, width]), m.p([64]));
        m.output("rows", &table.take(&ix(m)));
        m.output("beside", &(before + after));
    });
    let training = Case::new("a loss beyond the table", move |m| m.weigh(&m.p([n, width]).take(&ix(m)).tanh()));
    for target in TARGETS {
        for machine in MACHINES {
            let site = Site { machine, target, planted: None };
            let built = forward.clone().over(Order::all(64)).build()?;
            let Some(found) = on(&site, &built) else { continue };
            let (found, table) = (found.map_err(|e| e.to_string())?, &built.leaves[1].values);
            let mut seen = (0, 0);
            for (row, index) in found[0].1.chunks(width).zip(built.fields[0].words()) {
                let good = match table.get(index as usize * width..(index as usize + 1) * width) {
                    Some(want) => row.iter().zip(want).all(|(r, w)| *r == f64::from(*w)),
                    None => row.iter().all(|r| r.is_nan()),
                };
                if !good {
                    return Err(format!("{machine:?}, {target:?} kernels: the row of index {index} is {row:?}"));
                }
                *(if (index as usize) < n { &mut seen.0 } else { &mut seen.1 }) += 1;
            }
            if seen.0 < 10 || seen.1 < 10 {
                return Err(format!("a weak case: {seen:?} indices within and beyond"));
            }
            let built = training.clone().over(Order::all(64)).build()?;
            match on(&site, &built) {
                Some(Ok(found)) if !found[0].1[0].is_nan() => return Err(format!("{machine:?}: the loss is {:?}", found[0].1)),
                _ => {} // NaN, or halted before the second step
            }
        }
    }
    Ok(())
}

/// Two runs of one program, to the bit, on each machine: many values at few rows.
fn bits() -> Result<(), String> {
    let built = Case::new("bits", |m| m.weigh(&m.p([3, 65]).take(&indices(m, "ix", 3, &[4])))).over(Order::all(250)).build()?;
    for target in TARGETS {
        for machine in MACHINES {
            let site = Site { machine, target, planted: None };
            let (Some(a), Some(b)) = (on(&site, &built), on(&site, &built)) else { continue };
            if a.map_err(|e| e.to_string())? != b.map_err(|e| e.to_string())? {
                return Err(format!("{machine:?}, {target:?} kernels: two runs differ"));
            }
        }
    }
    Ok(())
}

/// Sums by index: a table's rows, the places of a batch, and which row the i-th names.
type Places = (usize, usize, fn(usize) -> usize);

/// One index alone, each once, some as often as words, pairs among places that the table has not, a table of few rows: more places than any kernels sort
/// together.
const PLACES: &[Places] = &[
    (600, 700, |_| 5),
    (1000, 1000, |i| i * 7 % 1000),
    (1000, 2100, |i| (i * i * 31 % 1009) * (i % 13) / 13),
    (700, 1300, |i| if i % 3 == 0 { 699 + i } else { i % 500 }),
    (3, 1300, |i| i % 5),
];

fn by_index(&(rows, places, row): &Places, padding: Option<usize>) -> Case {
    let body = move |m: &Make| {
        let (next, w) = (Cell::new(0), m.field(field("w", DType::F32, [3]), |u| 4.0 * u - 2.0));
        let ix = m.field(Field { keep_integer: true, ..field("ix", DType::U32, []) }, |_| row(next.replace(next.get() + 1)) as f64);
        let table = m.p([rows, 3]);
        let taken = padding.map_or_else(|| table.take(&ix), |none| table.take_padded(&ix, none));
        // a place that names no row is NaN
        (ix.less(rows as f64).unsqueeze(1).select(&taken, 0.0) * w).sum()
    };
    Case::new(format!("{places} places of {rows} rows"), body).over(Order::all(places))
}

/// Every sum by index is its terms one after another as they stand in the batch, in f32, to the bit, on each machine.
fn in_order() -> Result<(), String> {
    for (p, padding) in PLACES.iter().flat_map(|p| [(p, None), (p, Some(2))]) {
        let built = by_index(p, padding).build()?;
        let &(rows, places, row) = p;
        let mut want = vec![None; rows];
        for i in (0..places).filter(|&i| row(i) < rows && Some(row(i)) != padding) {
            let terms = built.fields[0].row(i).iter().map(|v| *v as f32);
            let sums: &mut Option<Vec<f32>> = &mut want[row(i)];
            *sums = Some(
                sums.as_ref().map_or_else(|| terms.clone().collect(), |sums| sums.iter().zip(terms.clone()).map(|(s, t)| s + t).collect()),
            );
        }
        let want: Vec<f64> = want.into_iter().flat_map(|sums| sums.unwrap_or(vec![0.0; 3])).map(f64::from).collect();
        for (target, machine) in TARGETS.into_iter().flat_map(|t| MACHINES.into_iter().map(move |m| (t, m))) {
            let Some(found) = on(&Site { machine, target, planted: None }, &built) else { continue };
            let found = found.map_err(|e| e.to_string())?;
            let (_, got) = found.iter().find(|f| f.0 == "gradient of p0").ok_or("no gradient")?;
            if let Some(i) = (0..want.len()).find(|&i| got[i] != want[i]) {
                let at = format!("{places} places of {rows} rows, padding {padding:?}: {machine:?}, {target:?} kernels");
                return Err(format!("{at}: element {i} is {} for {}", got[i], want[i]));
            }
        }
    }
    Ok(())
}

/// What comes back to a place stays with the row that it names, be it NaN: no sum of another row knows of it, and a padding row has no gradient.
fn spoilt() -> Result<(), String> {
    let width = 7;
    for padding in [None, Some(2)] {
        let case = Case::new("spoilt", move |m| {
            let ix = indices(m, "ix", 5, &[3]);
            // the root of 0 has an infinite slope, and 0 times that is NaN
            let lives = ix.not_equal(2).unsqueeze(2);
            let table = m.positive([5, width]);
            let rows = padding.map_or_else(|| table.take(&ix), |row| table.take_padded(&ix, row));
            m.weigh(&(rows * lives).sqrt())
        });
        let built = case.over(Order::shuffled(31, 62)).build()?;
        let mut first: Option<Vec<f64>> = None;
        for target in TARGETS {
            for machine in MACHINES {
                let site = Site { machine, target, planted: None };
                let Some(found) = on(&site, &built) else { continue };
                let found = found.map_err(|e| e.to_string())?;
                let (_, gradient) = &found[found.iter().position(|f| f.0 == "gradient of p0").ok_or("no gradient")?];
                let own = first.get_or_insert_with(|| gradient.clone());
                let good = |i: usize| match (i / width, padding) {
                    (2, None) => gradient[i].is_nan(),
                    (2, Some(_)) => gradient[i] == 0.0,
                    _ => (gradient[i] - own[i]).abs() <= 1e-5 * own[i].abs() + 1e-6,
                };
                if let Some(i) = (0..gradient.len()).find(|&i| !good(i)) {
                    let row = &gradient[i / width * width..][..width];
                    return Err(format!("{machine:?}, {target:?} kernels, padding {padding:?}: row {} is {row:?}", i / width));
                }
            }
        }
    }
    Ok(())
}

pub fn jobs() -> Vec<Job> {
    vec![
        Job::new("indices beyond the table", beyond),
        Job::new("places that are spoilt", spoilt),
        Job::new("two runs alike", bits),
        Job::new("sums in order", in_order),
    ]
}
