//! What a study came to: a row for each arm.

use super::cells::Cell;
use super::power::{Power, deviation, mean};
use super::record::Record;
use super::settings::Study;
use super::student::quantile;
use crate::error::{Error, Result};
use crate::train::callbacks::Mode;
use std::collections::BTreeSet;

/// What a study came to. It prints as aligned text; see [`Table::to_markdown`] and its like for other forms.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Table {
    /// The study's name.
    pub name: String,
    /// The names of the axes.
    pub axes: Vec<String>,
    /// The axis whose first arm is what differences are to; none in a study without axes.
    pub against: Option<usize>,
    /// The columns that tables for people show.
    pub shown: Vec<String>,
    /// All columns.
    pub columns: Vec<String>,
    /// A row for each arm, in the order of the study.
    pub rows: Vec<Row>,
    /// What differences its seeds show, by its pilot runs.
    pub power: Vec<Power>,
    /// The row that was chosen by [`Study::select`].
    pub chosen: Option<usize>,
    /// Whether the runs had the device to themselves, so that their times are comparable.
    pub timed: bool,
}

/// The runs of one arm.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// Its arm of each axis.
    pub arms: Vec<String>,
    /// Runs that came to their end.
    pub runs: usize,
    /// Runs that failed.
    pub failed: usize,
    /// The first of their errors.
    pub error: Option<String>,
    /// Mean seconds of training.
    pub seconds: Option<f64>,
    /// What its runs came to, by the table's columns; none where no run has such a value.
    pub values: Vec<Option<Summary>>,
}

/// The values of some runs.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Runs that count: those with a finite value.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// The deviation of the sample; none of one run.
    pub deviation: Option<f64>,
    /// The difference to the first arm, the other axes being equal; none for the first arm itself.
    pub difference: Option<Difference>,
}

/// A difference over pairs of runs of the same seed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// Seeds for which both arms have a finite value.
    pub pairs: usize,
    /// The mean of the differences.
    pub mean: f64,
    /// The 95 % interval of that mean, `mean -+ t(0.975, pairs - 1) * deviation / sqrt(pairs)` over the pairs' differences; none of one pair. One interval in
    /// twenty misses the truth: of many arms some lie apart from 0 by chance.
    pub interval: Option<(f64, f64)>,
}

impl Table {
    /// From all runs of a study. They may come in any order.
    pub(super) fn of(study: &Study, cells: &[Cell], runs: &[Record], power: Vec<Power>, chosen: Option<usize>) -> Self {
        let of_cell: Vec<Vec<&Record>> = cells.iter().map(|c| runs_of(c, runs)).collect();
        let names: BTreeSet<&str> = of_cell.iter().flatten().flat_map(|r| r.values().map(|(name, _)| name)).collect();
        let columns: Vec<String> = names.into_iter().map(String::from).collect();
        let against = study.compared();
        let row = |i: usize| {
            let (cell, runs) = (&cells[i], &of_cell[i]);
            let first = against.and_then(|axis| cells.iter().position(|c| is_first(c, cell, axis)).filter(|&first| first != i));
            let summary = |column: &String| summary(runs, first.map(|f| of_cell[f].as_slice()), column);
            let good: Vec<&&Record> = runs.iter().filter(|r| r.error.is_none()).collect();
            let seconds: Vec<f64> = good.iter().filter(|r| !r.tested).map(|r| r.seconds).collect();
            Row {
                arms: cell.names.clone(),
                runs: seconds.len(),
                failed: runs.iter().filter(|r| r.error.is_some()).count(),
                error: runs.iter().find_map(|r| r.error.clone()),
                seconds: mean(&seconds),
                values: columns.iter().map(summary).collect(),
            }
        };
        let axes = if study.axes.is_empty() { vec!["arm".into()] } else { study.axes.iter().map(|a| a.name.clone()).collect() };
        Table {
            name: study.name.clone(),
            axes,
            against,
            shown: shown(study, &columns),
            rows: (0..cells.len()).map(row).collect(),
            columns,
            power,
            chosen,
            timed: study.time,
        }
    }

    /// The row of these arms.
    pub fn row(&self, arms: &[&str]) -> Option<&Row> {
        self.rows.iter().find(|r| r.arms.iter().map(String::as_str).eq(arms.iter().copied()))
    }

    /// A value of a row by its column's name.
    pub fn value<'a>(&self, row: &'a Row, column: &str) -> Option<&'a Summary> {
        let at = self.columns.iter().position(|c| c == column)?;
        row.values.get(at)?.as_ref()
    }

    /// The row with the best mean of a value of the validation set, `val_accuracy` or `val_loss`: up or down by its name, as
    /// [`Mode::Auto`](crate::train::callbacks::Mode) says. Rows with a run that failed come only where all have one.
    ///
    /// Fails with `unsupported` for any other value: who chooses by the test set no longer knows how good the choice is. Fails with `not-found` where no run
    /// has such a value.
    pub fn best(&self, value: &str) -> Result<&Row> {
        let at = best(&self.columns, &self.rows, value)?;
        Ok(&self.rows[at])
    }
}

/// The place of the best row.
pub(super) fn best(columns: &[String], rows: &[Row], value: &str) -> Result<usize> {
    if !value.starts_with("val_") {
        return Err(Error::Unsupported {
            what: format!("a choice by `{value}`"),
            at: "the study's table".into(),
            help: "choose by a value of the validation set, as `val_accuracy`: on what an arm was chosen by, it looks better than it is"
                .into(),
        });
    }
    let known = || columns.iter().filter(|c| c.starts_with("val_")).cloned().collect();
    let none = || Error::NotFound { what: "value".into(), name: value.into(), at: "the study's table".into(), known: known() };
    let at = columns.iter().position(|c| c == value).ok_or_else(none)?;
    let of = |i: &usize| rows[*i].values[at].map_or(f64::NAN, |s| s.mean);
    let with = |whole: bool| {
        let all = (0..rows.len()).filter(|&i| !of(&i).is_nan() && (rows[i].failed == 0 || !whole));
        all.reduce(|best, i| if Mode::Auto.better(value, of(&i), of(&best), 0.0) { i } else { best })
    };
    with(true).or_else(|| with(false)).ok_or_else(none)
}

/// The columns that people are shown: as the study says, else all of the test set but losses, or of the validation set, or of training.
fn shown(study: &Study, columns: &[String]) -> Vec<String> {
    if !study.columns.is_empty() {
        return study.columns.clone();
    }
    let of = |begin: &str, losses: bool| {
        let loss = |c: &&String| c.ends_with("loss") == losses;
        columns.iter().filter(|c| c.starts_with(begin) && c.as_str() != "epochs").filter(loss).cloned().collect::<Vec<_>>()
    };
    // where one arm was chosen all others have values of the validation set alone
    let chosen: Vec<String> = study.select.iter().cloned().collect();
    let test = [chosen, [of("test_", false), of("test_", true)].into_iter().find(|c| !c.is_empty()).unwrap_or_default()].concat();
    let rest = [of("val_", false), of("val_", true), of("", false), of("", true)];
    std::iter::once(test).chain(rest).find(|c| !c.is_empty()).unwrap_or_default()
}

/// Whether a cell has the first arm of this axis, and the other one's arms of all others.
pub(super) fn is_first(cell: &Cell, other: &Cell, axis: usize) -> bool {
    cell.at.iter().zip(&other.at).enumerate().all(|(i, (a, b))| if i == axis { *a == 0 } else { a == b })
}

/// The runs of a cell, by its seeds.
fn runs_of<'a>(cell: &Cell, runs: &'a [Record]) -> Vec<&'a Record> {
    let both = cell.seeds.iter().flat_map(|s| [(*s, false), (*s, true)]);
    both.filter_map(|(seed, tested)| runs.iter().find(|r| r.is_of(cell, seed, tested))).collect()
}

fn finite(run: &Record, column: &str) -> Option<f64> {
    run.get(column).filter(|v| v.is_finite())
}

/// The value of a column by seed. A chosen arm's runs are two of one seed, of which the second has the test set's values; the others are the same.
fn by_seed(runs: &[&Record], column: &str) -> Vec<(u64, f64)> {
    let mut all: Vec<(u64, f64)> = vec![];
    for run in runs {
        if let Some(v) = finite(run, column).filter(|_| !all.iter().any(|(s, _)| *s == run.seed)) {
            all.push((run.seed, v));
        }
    }
    all
}

fn summary(runs: &[&Record], first: Option<&[&Record]>, column: &str) -> Option<Summary> {
    let own = by_seed(runs, column);
    let values: Vec<f64> = own.iter().map(|(_, v)| *v).collect();
    let difference = first.and_then(|first| difference(&own, &by_seed(first, column)));
    Some(Summary { n: values.len(), mean: mean(&values)?, deviation: deviation(&values), difference })
}

fn difference(own: &[(u64, f64)], first: &[(u64, f64)]) -> Option<Difference> {
    let pair = |(seed, v): &(u64, f64)| first.iter().find(|(s, _)| s == seed).map(|(_, w)| v - w);
    let pairs: Vec<f64> = own.iter().filter_map(pair).collect();
    let (n, mean) = (pairs.len(), mean(&pairs)?);
    let half = deviation(&pairs).map(|s| quantile(0.975, n as f64 - 1.0) * s / (n as f64).sqrt());
    Some(Difference { pairs: n, mean, interval: half.map(|h| (mean - h, mean + h)) })
}
