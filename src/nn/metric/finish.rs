//! How a metric's columns become one value: the host adds them up over many batches, in f64.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A metric that is a table, as counts of classes: `[rows, columns]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    size: [usize; 2],
    values: Vec<f64>,
}

impl Matrix {
    pub(crate) fn square(values: &[f64]) -> Self {
        let n = values.len().isqrt();
        Matrix { size: [n, n], values: values[..n * n].to_vec() }
    }

    /// Rows and columns.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// The value there; NaN outside.
    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.row(row).get(column).copied().unwrap_or(f64::NAN)
    }

    /// A row; empty outside.
    pub fn row(&self, row: usize) -> &[f64] {
        self.values.chunks(self.size[1].max(1)).nth(row).unwrap_or(&[])
    }

    /// All rows, one after another.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.values.iter().map(|v| v.to_string().len()).max().unwrap_or(1);
        for row in self.values.chunks(self.size[1].max(1)) {
            let row: Vec<String> = row.iter().map(|v| format!("{v:>width$}")).collect();
            writeln!(f, "{}", row.join(" "))?;
        }
        Ok(())
    }
}

/// The value of a metric over all batches.
pub(crate) enum Finished {
    Value(f64),
    Matrix(Matrix),
}

/// How the scores of several classes become one, as sklearn's `average`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Average {
    /// The mean over the classes. Classes that are neither label nor prediction of any row do not count, as in sklearn.
    Macro,
    /// One score from the counts of all classes together.
    Micro,
    /// The mean over the classes, weighted by how many rows have them as label.
    Weighted,
}

/// Its name: `macro`, `micro`, `weighted`.
impl std::str::FromStr for Average {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "macro" => Ok(Average::Macro),
            "micro" => Ok(Average::Micro),
            "weighted" => Ok(Average::Weighted),
            _ => Err(Error::unknown_choice("average", s, &["macro", "micro", "weighted"])),
        }
    }
}

type Ending = dyn Fn(&[f64]) -> f64 + Send + Sync;

/// Which score is made of the true positives, the rows said to be positive and the rows that are positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Score {
    Precision,
    Recall,
    F1,
}

impl Score {
    fn of(self, hits: f64, said: f64, told: f64) -> f64 {
        match self {
            Score::Precision => ratio(hits, said),
            Score::Recall => ratio(hits, told),
            Score::F1 => ratio(2.0 * hits, said + told),
        }
    }
}

/// 0 where nothing is counted.
fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

/// How columns are added up, and how one value is made of the sums.
#[derive(Clone)]
pub(crate) enum Finish {
    /// One column, a mean over the batch's rows: their mean over all rows.
    Mean,
    /// One column, the part of a batch's cases that are hits, so many cases a row: the part of all. Counted, so that it is exact.
    Share(usize),
    /// Two columns, the hits among what counts and how much does: the part of all.
    Counted,
    /// Sums, and a function of them.
    Sums(Arc<Ending>),
    /// The root of [`Finish::Mean`].
    RootMean,
    /// Counts of labels by predictions.
    Matrix,
    /// Hits, predictions and labels, of one class or of each.
    Score(Score, Option<Average>),
    /// Positives and negatives above falling numbers of thresholds.
    Area,
    /// Means, squares around them and squares of differences, of each output.
    Determination,
}

impl Finish {
    /// Whether a table comes of it, and no number.
    pub fn is_matrix(&self) -> bool {
        matches!(self, Finish::Matrix)
    }

    /// Numbers that are kept from batch to batch.
    pub fn kept(&self, columns: usize) -> usize {
        // of all rows so far: means, rows, squares around the means, squares of differences
        if matches!(self, Finish::Determination) { columns / 3 * 4 } else { columns }
    }

    /// Adds a batch of so many rows.
    pub fn add(&self, sums: &mut [f64], columns: &[f32], rows: f64) {
        if matches!(self, Finish::Determination) {
            return add_spreads(sums, columns, rows);
        }
        let add = |v: f64| match self {
            Finish::Mean | Finish::RootMean => rows * v,
            Finish::Share(cases) => whole(rows * *cases as f64 * v),
            Finish::Counted => whole(v),
            _ => v,
        };
        sums.iter_mut().zip(columns).for_each(|(sum, v)| *sum += add(f64::from(*v)));
    }

    /// The value over all rows.
    pub fn value(&self, sums: &[f64], rows: f64) -> Finished {
        let mean = || sums.first().map_or(f64::NAN, |s| s / rows);
        Finished::Value(match self {
            Finish::Matrix => return Finished::Matrix(Matrix::square(sums)),
            Finish::Mean => mean(),
            Finish::Share(cases) => mean() / *cases as f64,
            Finish::Counted => ratio(sums.first().copied().unwrap_or(0.0), sums.get(1).copied().unwrap_or(0.0)),
            Finish::RootMean => mean().sqrt(),
            Finish::Sums(f) => f(sums),
            Finish::Score(score, average) => averaged(*score, *average, sums),
            Finish::Area => area(sums),
            Finish::Determination => determination(sums),
        })
    }
}

/// A count that f32 has divided, made whole again. A value that is further from a whole number than rounding explains is no count (a case may be a part
/// of a row) and stays as it is.
fn whole(count: f64) -> f64 {
    let near = count.round();
    if (count - near).abs() <= count * 2f64.powi(-22) { near } else { count }
}

/// `[hits.., said.., told..]`, each of as many classes.
fn averaged(score: Score, average: Option<Average>, sums: &[f64]) -> f64 {
    let n = sums.len() / 3;
    let class = |c: usize| (sums[c], sums[n + c], sums[2 * n + c]);
    let mean = |weight: &dyn Fn(f64, f64) -> f64| {
        let (mut total, mut weights) = (0.0, 0.0);
        for (hits, said, told) in (0..n).map(class) {
            let w = weight(said, told);
            (total, weights) = (total + w * score.of(hits, said, told), weights + w);
        }
        ratio(total, weights)
    };
    match average {
        Some(Average::Macro) => mean(&|said, told| f64::from(u8::from(said + told > 0.0))),
        Some(Average::Weighted) => mean(&|_, told| told),
        Some(Average::Micro) | None => {
            let all = |part: usize| sums[part * n..(part + 1) * n].iter().sum();
            score.of(all(0), all(1), all(2))
        }
    }
}

/// Under straight lines between the points of each threshold; the first is below everything.
fn area(sums: &[f64]) -> f64 {
    let (hits, alarms) = sums.split_at(sums.len() / 2);
    let rate = |v: &[f64], i: usize| ratio(v[i], v[0]);
    let piece = |i: usize| (rate(alarms, i - 1) - rate(alarms, i)) * (rate(hits, i - 1) + rate(hits, i)) / 2.0;
    (1..hits.len()).map(piece).sum()
}

/// Keeps `[mean.., rows.., squares around the mean.., squares of differences..]` of all rows so far, and joins a batch to them as Chan et al.
/// (1979) do: in sums of squares the labels' offset would swallow how little they vary.
fn add_spreads(sums: &mut [f64], columns: &[f32], rows: f64) {
    let n = columns.len() / 3;
    for i in 0..n {
        let before = sums[n + i];
        let apart = f64::from(columns[i]) - sums[i];
        let all = before + rows;
        sums[i] += apart * rows / all;
        sums[n + i] = all;
        sums[2 * n + i] += f64::from(columns[n + i]) + apart * apart * before * rows / all;
        sums[3 * n + i] += f64::from(columns[2 * n + i]);
    }
}

fn determination(sums: &[f64]) -> f64 {
    let n = sums.len() / 4;
    let one = |i: usize| match sums[2 * n + i] {
        0.0 => f64::from(u8::from(sums[3 * n + i] == 0.0)),
        all => 1.0 - sums[3 * n + i] / all,
    };
    (0..n).map(one).sum::<f64>() / n as f64
}

impl fmt::Debug for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Finish::Mean => "Mean",
            Finish::Share(_) => "Share",
            Finish::Counted => "Counted",
            Finish::Sums(_) => "Sums",
            Finish::RootMean => "RootMean",
            Finish::Matrix => "Matrix",
            Finish::Score(..) => "Score",
            Finish::Area => "Area",
            Finish::Determination => "Determination",
        })
    }
}
