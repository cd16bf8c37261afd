//! Windows of a series: rows that overlap in one piece of memory.

use super::Series;
use crate::data::{Dataset, RowsMut, Source, SourceError};
use crate::error::{Error, Result, place};
use crate::tensor::{DType, Shape};
use serde::{Deserialize, Serialize};
use std::panic::Location;
use std::sync::Arc;

/// How a [`Series`] is cut into windows: `length` times go in, the `horizon` times behind them are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Windows {
    /// Times of the input.
    pub length: usize,
    /// Times of the target.
    pub horizon: usize,
    /// Times from a window to the next; 1.
    #[serde(default = "one")]
    pub stride: usize,
    /// The variables that are asked for; all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
}

fn one() -> usize {
    1
}

impl Windows {
    /// Windows of `length` times with a target of `horizon` times, one at every time.
    pub fn new(length: usize, horizon: usize) -> Self {
        Windows { length, horizon, stride: 1, targets: Vec::new() }
    }

    /// So many times from a window to the next.
    pub fn stride(mut self, times: usize) -> Self {
        self.stride = times;
        self
    }

    /// Only these variables are asked for, by their [names](Series::named), in this order.
    pub fn targets<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.targets = names.into_iter().map(Into::into).collect();
        self
    }
}

impl Series {
    /// The windows of this part as a set: `x` `[length, variables (and the calendar's columns)]`, `y` `[horizon, targets]`. Every window whose targets lie in the part, from
    /// the first that has `length` times before it.
    ///
    /// Nothing is copied for a window: rows overlap in what is stored, on the device too, unless the set is [streamed](Dataset::memory_budget) or is a short list of rows.
    ///
    /// Fails if there is no window, and where a target is not among the variables.
    #[track_caller]
    pub fn windows(&self, windows: Windows) -> Result<Dataset> {
        let Windows { length, horizon, stride, targets } = windows;
        let first = self.part.start.max(length);
        let room =
            self.part.end.checked_sub(first).and_then(|n| n.checked_sub(horizon)).filter(|_| length > 0 && horizon > 0 && stride > 0);
        let Some(room) = room else {
            let problem = format!(
                "windows of {length} and {horizon} times, {stride} apart, with targets in times {:?} of {}",
                self.part,
                self.times()
            );
            return Err(self.wrong("windows", problem, "give at least one time of each, and a part that holds a target behind an input"));
        };
        let rows = room / stride + 1;
        let variables = self.variables();
        let wanted: Vec<usize> = if targets.is_empty() {
            (0..variables).collect()
        } else {
            let found = |t: &String| {
                self.names.iter().position(|n| n == t).ok_or_else(|| Error::NotFound {
                    what: "variable".into(),
                    name: t.clone(),
                    at: place(Location::caller()),
                    known: self.names.to_vec(),
                })
            };
            targets.iter().map(found).collect::<Result<_>>()?
        };
        let all = wanted.iter().copied().eq(0..variables);
        let x = self.inputs();
        let y = if all {
            self.values.clone()
        } else {
            self.values.chunks_exact(variables).flat_map(|t| wanted.iter().map(|&v| t[v])).collect()
        };
        let window = |values: Arc<[f32]>, first: usize, times: usize| {
            let columns = values.len() / self.times();
            Overlap { values, first: first * columns, step: stride * columns, rows, row: [times, columns].into() }
        };
        let fields: [(&str, Arc<dyn Source>); 2] =
            [("x", Arc::new(window(x, first - length, length))), ("y", Arc::new(window(y, first, horizon)))];
        let mut set = Dataset::from_sources(fields)?.named("windows of a series");
        if let Some(scaler) = &self.scaler {
            let beside = self.calendar.as_ref().map_or(0, |c| c.1);
            let of_x: Vec<(f64, f64)> = scaler.iter().copied().chain(std::iter::repeat_n((0.0, 1.0), beside)).collect();
            set = set.on("x", |x| x.standardized(of_x)).on("y", |y| y.standardized(wanted.iter().map(|&v| scaler[v])));
        }
        Ok(set)
    }

    /// What goes in at each time: the variables, and what the calendar knows.
    fn inputs(&self) -> Arc<[f32]> {
        let Some((calendar, columns)) = &self.calendar else { return self.values.clone() };
        let times = self.values.chunks_exact(self.variables()).zip(calendar.chunks_exact(*columns));
        times.flat_map(|(values, known)| values.iter().chain(known)).copied().collect()
    }
}

/// Rows that overlap in one piece of memory.
pub(in crate::data) struct Overlap {
    values: Arc<[f32]>,
    /// Where row 0 begins, and how many values further the next one does.
    first: usize,
    step: usize,
    rows: usize,
    row: Shape,
}

impl Source for Overlap {
    fn len(&self) -> usize {
        self.rows
    }
    fn dtype(&self) -> DType {
        DType::F32
    }
    fn row(&self) -> Shape {
        self.row.clone()
    }
    fn read(&self, rows: &[u32], out: RowsMut<'_>) -> Result<(), SourceError> {
        let RowsMut::F32(out) = out else { return Err("windows are f32".into()) };
        let width = self.row.size();
        for (&row, to) in rows.iter().zip(out.chunks_exact_mut(width)) {
            let at = self.first + row as usize * self.step;
            to.copy_from_slice(self.values.get(at..at + width).ok_or("a window past the last was asked for")?);
        }
        Ok(())
    }
    fn is_in_memory(&self) -> bool {
        true
    }
    fn overlapping(&self) -> Option<(&[f32], usize)> {
        let end = self.first + (self.rows - 1) * self.step + self.row.size();
        Some((&self.values[self.first..end], self.step))
    }
}
