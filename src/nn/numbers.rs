//! Numbers in settings: one for all, or one for each.

/// One number for all, or one for each: `3.0`, `[3.0, 1.0]`, a `Vec`.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers(pub(super) Vec<f64>);

impl From<f64> for Numbers {
    fn from(one: f64) -> Self {
        Numbers(vec![one])
    }
}

impl<const N: usize> From<[f64; N]> for Numbers {
    fn from(all: [f64; N]) -> Self {
        Numbers(all.to_vec())
    }
}

impl From<Vec<f64>> for Numbers {
    fn from(all: Vec<f64>) -> Self {
        Numbers(all)
    }
}

impl From<&[f64]> for Numbers {
    fn from(all: &[f64]) -> Self {
        Numbers(all.to_vec())
    }
}

/// A number of 0 is left out of files.
pub(super) fn is_zero(x: &f64) -> bool {
    *x == 0.0
}
