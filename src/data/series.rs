//! Time series: windows of one as rows of a set.

mod calendar;
mod windows;

pub use calendar::{Calendar, CalendarFeature};
pub use windows::Windows;

use super::Table;
use crate::error::{Error, Result, place};
use crate::tensor::HostTensor;
use std::ops::Range;
use std::panic::Location;
use std::sync::Arc;

/// A series of so many times and variables, in order: what [`Series::windows`] makes rows of. See [`series`].
#[derive(Debug, Clone)]
pub struct Series {
    /// `[times, variables]`.
    values: Arc<[f32]>,
    names: Arc<[String]>,
    /// Known beforehand at every time, `[times, columns]`.
    calendar: Option<(Arc<[f32]>, usize)>,
    /// The times that the targets of windows lie in.
    part: Range<usize>,
    /// Mean and deviation of each variable.
    scaler: Option<Arc<[(f64, f64)]>>,
}

/// A series of `[times, variables]`, f32, in the order of time; `[times]` is one variable.
///
/// It is cut in the order of time ([`Series::split`]), scaled by what was known when training ended ([`Series::standardize`]), and becomes a [`Dataset`](super::Dataset) of
/// windows ([`Series::windows`]). The windows are a view: however long they are, the values are stored once here, and on the device once for inputs and once for targets.
/// (Chosen targets and the calendar's columns are copies of the series' length.)
///
/// Fails with `shape-mismatch` unless there are one or two axes and at least two times, and with `dtype-mismatch` unless the values are f32. Values that are missing are for
/// the caller to fill: NaN stays NaN.
///
/// ```
/// use gradus::data::{self, Windows};
/// use gradus::prelude::*;
/// let values = (0..200).map(|t| (t as f32 * 0.3).sin()).collect();
/// let series = data::series(HostTensor::f32([200], values)?)?.standardize(0..120)?;
/// let [train, val, test] = series.split([120, 40, 40])?;
/// let train = train.windows(Windows::new(24, 6))?;
/// // the targets of the first window are times 24 to 29, those of the last 114 to 119
/// assert_eq!((train.len(), train.input_shape().dims()), (91, &[24, 1][..]));
/// // inputs may reach back into what came before, as they may when a forecast is made
/// assert_eq!((val.windows(Windows::new(24, 6))?.len(), test.windows(Windows::new(24, 6).stride(5))?.len()), (35, 7));
/// # Ok::<(), gradus::Error>(())
/// ```
#[doc(alias("timeseries_dataset_from_array", "TimeSeriesSplit"))]
#[track_caller]
pub fn series(values: HostTensor) -> Result<Series> {
    let at = place(Location::caller());
    let (times, variables) = match *values.shape().dims() {
        [times] => (times, 1),
        [times, variables] => (times, variables),
        _ => (0, 0),
    };
    if times < 2 || variables == 0 || times.saturating_mul(variables) > u32::MAX as usize {
        return Err(Error::ShapeMismatch {
            op: "data::series".into(),
            problem: format!("values of the shape {}", values.shape()),
            at,
            help: "give [times, variables], at least two times and at most 2^32 - 1 values".into(),
        });
    }
    let Some(floats) = values.as_f32() else {
        return Err(Error::DTypeMismatch {
            op: "data::series".into(),
            problem: format!("its values are {}", values.dtype()),
            at,
            help: "give f32".into(),
        });
    };
    Ok(Series {
        values: floats.into(),
        names: (0..variables).map(|v| format!("variable {v}")).collect(),
        calendar: None,
        part: 0..times,
        scaler: None,
    })
}

impl Table {
    /// The features as the variables of a series, with their names; the rows are its times. A column of dates is left out before: [`Csv::drop`](super::Csv::drop).
    ///
    /// Fails as [`series`] does.
    ///
    /// ```
    /// use gradus::data::Csv;
    /// let path = std::env::temp_dir().join(format!("gradus-series-doctest-{}.csv", std::process::id()));
    /// std::fs::write(&path, "date,load,oil\n2016-07-01,5.8,30.5\n2016-07-02,5.7,27.8\n")?;
    /// let series = Csv::new().drop("date").read(&path)?.series()?;
    /// assert_eq!((series.len(), series.names()), (2, &["load".to_string(), "oil".into()][..]));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn series(&self) -> Result<Series> {
        let Some(values) = self.data.features() else {
            return Err(Error::Unsupported {
                what: "a series of a table that is not in memory".into(),
                at: format!("the data set `{}`, {}", self.data.name(), place(Location::caller())),
                help: "read fewer columns, or give the values to `data::series`".into(),
            });
        };
        series(values.clone())?.named(&self.features[..])
    }
}

impl Series {
    /// Names the variables, in order, for [`Windows::targets`].
    ///
    /// Fails unless there is one name for each variable.
    #[track_caller]
    pub fn named<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Result<Self> {
        let names: Arc<[String]> = names.into_iter().map(Into::into).collect();
        if names.len() != self.variables() {
            return Err(self.wrong(
                "named",
                format!("{} names for {} variables", names.len(), self.variables()),
                "name each variable once",
            ));
        }
        self.names = names;
        Ok(self)
    }

    /// How many variables.
    pub fn variables(&self) -> usize {
        self.names.len()
    }

    /// Their names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many times this part has.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.part.len()
    }

    /// All times of the whole series.
    fn times(&self) -> usize {
        self.values.len() / self.variables()
    }

    /// The values of this part, `[times, variables]`, as they were given.
    pub fn values(&self) -> &[f32] {
        &self.values[self.part.start * self.variables()..self.part.end * self.variables()]
    }

    /// Parts in the order of time, of so many times each; what is left behind them belongs to none. The **targets** of a part's windows lie in it; their inputs may reach
    /// back into the parts before it, as they do when a forecast is made, and nothing reaches forward.
    ///
    /// Fails if a part is empty or there are fewer times.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let series = gradus::data::series(HostTensor::f32([10], vec![0.0; 10])?)?;
    /// let [train, test] = series.split([7, 3])?;
    /// assert_eq!((train.len(), test.len()), (7, 3));
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[track_caller]
    pub fn split<const N: usize>(&self, times: [usize; N]) -> Result<[Series; N]> {
        let all = times.iter().fold(0usize, |a, n| a.saturating_add(*n));
        if all > self.part.len() || times.contains(&0) {
            let problem = format!("parts of {times:?} times of {}", self.part.len());
            return Err(self.wrong("split", problem, "give parts of at least one time, together at most all of them"));
        }
        let mut start = self.part.start;
        Ok(times.map(|n| {
            start += n;
            Series { part: start - n..start, ..self.clone() }
        }))
    }

    /// Shows every variable with the mean 0 and the deviation 1 that it has at these times (scikit-learn's `StandardScaler`): the training part, since what comes later is
    /// not known then. Inputs and targets alike, in the gather.
    ///
    /// Fails where the times are not there, and where a value of theirs is not finite. A variable that does not move keeps its deviation.
    #[track_caller]
    pub fn standardize(mut self, times: Range<usize>) -> Result<Self> {
        if times.is_empty() || times.end > self.times() {
            return Err(self.wrong("standardize", format!("times {times:?} of {}", self.times()), "give the times of the training part"));
        }
        let n = self.variables();
        let rows = &self.values[times.start * n..times.end * n];
        let of = |v: usize| rows.iter().skip(v).step_by(n).map(|x| f64::from(*x));
        let mut scaler = Vec::with_capacity(n);
        for v in 0..n {
            let count = times.len() as f64;
            let mean = of(v).sum::<f64>() / count;
            let deviation = (of(v).map(|x| (x - mean) * (x - mean)).sum::<f64>() / count).sqrt();
            if !mean.is_finite() || !deviation.is_finite() {
                let problem = format!("`{}` has values that are not finite", self.names[v]);
                return Err(self.wrong("standardize", problem, "fill in what is missing first"));
            }
            scaler.push((mean, if deviation > 0.0 { deviation } else { 1.0 }));
        }
        self.scaler = Some(scaler.into());
        Ok(self)
    }

    /// Adds what the calendar knows of every time to the inputs of the windows: see [`Calendar`].
    #[track_caller]
    pub fn calendar(mut self, calendar: &Calendar) -> Result<Self> {
        let columns = calendar.columns();
        if columns == 0 {
            return Err(self.wrong("calendar", "a calendar without features".into(), "choose some: `.hour().weekday()`"));
        }
        self.calendar = Some((calendar.features(self.times())?.into(), columns));
        Ok(self)
    }

    #[track_caller]
    fn wrong(&self, call: &str, problem: String, help: &str) -> Error {
        Error::ShapeMismatch { op: format!("Series::{call}"), problem, at: place(Location::caller()), help: help.into() }
    }
}
