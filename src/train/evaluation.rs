//! The loss and the metrics over some rows, and how such values are printed.

use crate::nn::Matrix;
use crate::terminal::plain;
use std::fmt;
use std::ops::Index;

/// The loss and the metrics over a data set. `evaluation["loss"]` reads one, and panics where there is none of this name.
///
/// It prints four decimals of each, and values below 0.001 and from 1,000,000 on with an exponent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    pub(super) values: Vec<(String, f64)>,
    pub(super) matrices: Vec<(String, Matrix)>,
}

impl Evaluation {
    /// A value by name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }

    /// A metric that is a table, by name: `evaluation.matrix("confusion")`. These are in no history.
    pub fn matrix(&self, name: &str) -> Option<&Matrix> {
        self.matrices.iter().find(|(n, _)| n == name).map(|(_, m)| m)
    }

    /// Names and values, the loss first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.values.iter().map(|(n, v)| (n.as_str(), *v))
    }
}

/// Panics on a name that is not there, as the standard library's maps do: [`Evaluation::get`] gives an `Option`.
impl Index<&str> for Evaluation {
    type Output = f64;
    #[track_caller]
    fn index(&self, name: &str) -> &f64 {
        let found = self.values.iter().find(|(n, _)| n == name).map(|(_, v)| v);
        found.unwrap_or_else(|| no_value(name, self.values.iter().map(|(n, _)| n.as_str())))
    }
}

/// Panics because there is no value of this name, and says which names there are.
#[track_caller]
pub(crate) fn no_value<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> ! {
    let known: Vec<&str> = known.collect();
    let known = if known.is_empty() { "nothing".into() } else { known.join(", ") };
    panic!("there is no value `{}`: there is {}; `get` asks without a panic", plain(name), plain(known))
}

/// A value for people: with four decimals, or with an exponent where those would show nothing or too much.
pub(crate) fn number(v: f64) -> String {
    let plain = v == 0.0 || !v.is_finite() || (1e-3..1e6).contains(&v.abs());
    if plain { format!("{v:.4}") } else { format!("{v:.3e}") }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.values.iter().map(|(n, v)| format!("{n} {}", number(*v))).collect();
        plain(parts.join("  ")).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_for_people() {
        let of = |v: f64| number(v);
        assert_eq!([0.0, 0.5, -0.25, 0.001, 999_999.0].map(of), ["0.0000", "0.5000", "-0.2500", "0.0010", "999999.0000"]);
        assert_eq!([0.00099, -9.5e-7, 1e6, 119_422_545_581_478_224.0].map(of), ["9.900e-4", "-9.500e-7", "1.000e6", "1.194e17"]);
        assert_eq!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(of), ["NaN", "inf", "-inf"]);
        let e = Evaluation { values: vec![("loss".into(), 1e-9), ("a\u{1b}[31m".into(), 0.5)], matrices: vec![] };
        assert_eq!(e.to_string(), "loss 1.000e-9  a\\u{1b}[31m 0.5000");
    }
}
