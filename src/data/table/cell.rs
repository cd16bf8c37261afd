//! One value of a table.

/// Whether nothing stands there, in one of the ways in which that is written.
#[cfg(feature = "data-csv")]
pub(super) fn is_missing(text: &str) -> bool {
    text.is_empty() || ["na", "n/a", "nan", "null", "none", "?"].iter().any(|m| text.eq_ignore_ascii_case(m))
}

/// Whether a number is finite as f32.
pub(super) fn is_single(number: f64) -> bool {
    (number as f32).is_finite()
}

/// The number, or what is wrong with it.
#[cfg(feature = "data-csv")]
pub(super) fn number(text: &str) -> Result<f32, String> {
    match text.parse::<f64>() {
        Ok(n) if is_single(n) => Ok(n as f32),
        Ok(_) => Err(format!("`{}` is no finite number that f32 holds", short(text))),
        Err(_) => Err(format!("`{}` is no number", short(text))),
    }
}

/// A value as a message shows it.
#[cfg(any(feature = "data-csv", feature = "data-parquet"))]
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 40;
    let mut out: String = text.chars().take(MOST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}
