//! What becomes of a metric's columns: added up over many batches in f64, then one value.

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

/// What a metric says at last.
pub(crate) enum Finished {
    Value(f64),
    Matrix(Matrix),
}

type Ending = dyn Fn(&[f64]) -> f64 + Send + Sync;

/// How columns are added up and what is made of the sums.
#[derive(Clone)]
pub(crate) enum Finish {
    /// One column, a mean over the batch's rows: their mean over all rows.
    Mean,
    /// Sums: what this makes of them.
    Sums(Arc<Ending>),
}

impl Finish {
    /// Numbers that are kept from batch to batch.
    pub fn kept(&self, columns: usize) -> usize {
        columns
    }

    /// Adds a batch of so many rows.
    pub fn add(&self, sums: &mut [f64], columns: &[f32], rows: f64) {
        let w = if matches!(self, Finish::Mean) { rows } else { 1.0 };
        sums.iter_mut().zip(columns).for_each(|(sum, v)| *sum += w * f64::from(*v));
    }

    /// The value over all rows.
    pub fn value(&self, sums: &[f64], rows: f64) -> Finished {
        Finished::Value(match self {
            Finish::Mean => sums.first().map_or(f64::NAN, |s| s / rows),
            Finish::Sums(f) => f(sums),
        })
    }
}

impl fmt::Debug for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Finish::Mean => "Mean",
            Finish::Sums(_) => "Sums",
        })
    }
}
