//! What the calendar knows of a time.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Features of the calendar at every time of a series: each a column from -0.5 to 0.5 (GluonTS' and Autoformer's time features), known for any time to come.
///
/// ```
/// use gradus::data::Calendar;
/// // hourly values from the 1st of July 2016 on
/// let calendar = Calendar::new("2016-07-01 00:00:00", 3600).hour().weekday();
/// assert_eq!(calendar.columns(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Calendar {
    /// The first time, `YYYY-MM-DD` or `YYYY-MM-DD HH:MM:SS` (seconds and a `T` between the two are optional), in whatever zone the values are: no clock is put forward.
    pub first: String,
    /// Seconds from a time to the next.
    pub step: u64,
    /// The columns, in this order.
    #[serde(default)]
    pub features: Vec<CalendarFeature>,
}

/// A column of a [`Calendar`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CalendarFeature {
    /// The minute of the hour, of 60.
    Minute,
    /// The hour of the day, of 24.
    Hour,
    /// The day of the week from Monday on, of 7.
    Weekday,
    /// The day of the month, of 31.
    Monthday,
    /// The day of the year, of 366.
    Yearday,
}

impl Calendar {
    /// Without any feature yet; `step` is in seconds.
    pub fn new(first: impl Into<String>, step: u64) -> Self {
        Calendar { first: first.into(), step, features: Vec::new() }
    }

    fn with(mut self, feature: CalendarFeature) -> Self {
        self.features.push(feature);
        self
    }

    /// The minute of the hour.
    pub fn minute(self) -> Self {
        self.with(CalendarFeature::Minute)
    }

    /// The hour of the day.
    pub fn hour(self) -> Self {
        self.with(CalendarFeature::Hour)
    }

    /// The day of the week.
    pub fn weekday(self) -> Self {
        self.with(CalendarFeature::Weekday)
    }

    /// The day of the month.
    pub fn monthday(self) -> Self {
        self.with(CalendarFeature::Monthday)
    }

    /// The day of the year.
    pub fn yearday(self) -> Self {
        self.with(CalendarFeature::Yearday)
    }

    /// How many features.
    pub fn columns(&self) -> usize {
        self.features.len()
    }

    /// The features of so many times, `[times, columns]`.
    pub(super) fn features(&self, times: usize) -> Result<Vec<f32>> {
        let first = seconds_of(&self.first).ok_or_else(|| Error::Unsupported {
            what: format!("the time {:?}", self.first),
            at: "Calendar, first".into(),
            help: "write it as `2016-07-01` or `2016-07-01 13:00:00`".into(),
        })?;
        let mut out = Vec::with_capacity(times * self.columns());
        for t in 0..times as i64 {
            let at = first.saturating_add(t.saturating_mul(self.step.min(i64::MAX as u64) as i64));
            let (days, second) = (at.div_euclid(86_400), at.rem_euclid(86_400));
            let (year, _, day) = date_of(days);
            let yearday = days - days_of(year, 1, 1);
            // the epoch was a Thursday
            let share = |f: &CalendarFeature| match f {
                CalendarFeature::Minute => (second / 60 % 60) as f32 / 59.0,
                CalendarFeature::Hour => (second / 3600) as f32 / 23.0,
                CalendarFeature::Weekday => (days + 3).rem_euclid(7) as f32 / 6.0,
                CalendarFeature::Monthday => (day - 1) as f32 / 30.0,
                CalendarFeature::Yearday => yearday as f32 / 365.0,
            };
            out.extend(self.features.iter().map(|f| share(f) - 0.5));
        }
        Ok(out)
    }
}

/// Days from the 1st of January 1970 to a date of the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a number of days.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * years + years / 4 - years / 100);
    let part = (5 * of_year + 2) / 153;
    let month = if part < 10 { part + 3 } else { part - 9 };
    (years + era * 400 + i64::from(month <= 2), month, of_year - (153 * part + 2) / 5 + 1)
}

/// Seconds since 1970 of a written time.
fn seconds_of(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, clock) = text.split_once([' ', 'T']).unwrap_or((text, "0:0"));
    let number = |t: &str| t.parse::<i64>().ok().filter(|_| t.bytes().all(|b| b.is_ascii_digit()));
    let mut parts = date.split('-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let mut clock = clock.split(':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next().unwrap_or(Some(0))?);
    let sound = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && date_of(days_of(year, month, day)) == (year, month, day);
    let sound = sound && hour < 24 && minute < 60 && second < 60;
    sound.then(|| days_of(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_there_and_back() {
        assert_eq!(days_of(1970, 1, 1), 0);
        assert_eq!(days_of(2000, 3, 1), 11_017);
        for days in (-800_000..800_000).step_by(97) {
            let (y, m, d) = date_of(days);
            assert_eq!(days_of(y, m, d), days);
        }
    }

    #[test]
    fn features_of_known_times() {
        // the 29th of February 2024 was a Thursday, the 60th day of its year
        let c = Calendar::new("2024-02-29 23:30", 1800).minute().hour().weekday().monthday().yearday();
        let f = c.features(2).unwrap();
        let known = [30.0 / 59.0, 1.0, 3.0 / 6.0, 28.0 / 30.0, 59.0 / 365.0, 0.0, 0.0, 4.0 / 6.0, 0.0, 60.0 / 365.0];
        f.iter().zip(known).for_each(|(a, b)| assert!((a + 0.5 - b).abs() < 1e-6, "{f:?}"));
    }

    #[test]
    fn what_is_no_time() {
        for bad in ["", "yesterday", "2024-02-30", "2024-13-01", "2024-01-01 25:00", "2024-01-01 10", "2024-1", "+024-01-01", "99999-01-01"]
        {
            assert!(seconds_of(bad).is_none(), "{bad}");
        }
        assert_eq!(seconds_of("1970-01-02T00:00:01"), Some(86_401));
    }
}
