//! Indices that a table has no row for, gradients that are not finite, and the bits of sums by index.

use crate::check::{Site, TARGETS, on};
use crate::common::{Job, MACHINES};
use crate::indices::indices;
use crate::make::{Case, Make, Order, field};
use gradus::graph::Field;
use gradus::tensor::DType;

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
    vec![Job::new("indices beyond the table", beyond), Job::new("places that are spoilt", spoilt), Job::new("two runs alike", bits)]
}
