//! Layers that take what they know from a data set.

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::nn::Normalization;

impl Normalization {
    /// With the mean and the (biased) variance of the features `x` of a data set: over its own rows (after `take` or `split_at` these are its
    /// part) and all axes but the last, as the model sees them, in f64. Take the training set, and not what is to be tested.
    ///
    /// Fails where a value is not finite (fill what is missing first), and where the rows cannot be read.
    pub fn adapt(data: &Dataset) -> Result<Self> {
        let (mut count, mut shift, mut sums, mut squares) = (0.0, Vec::new(), Vec::new(), Vec::new());
        let mut bad = None;
        data.each_vector("x", |row, values| {
            let width = values.len();
            if shift.is_empty() {
                // sums about the first row: a large mean takes nothing from a small variance
                (shift, sums, squares) = (values.to_vec(), vec![0.0; width], vec![0.0; width]);
            }
            for (i, v) in values.iter().enumerate() {
                let d = v - shift[i];
                (sums[i], squares[i]) = (sums[i] + d, squares[i] + d * d);
                bad = bad.or_else(|| (!v.is_finite()).then_some((row, i, *v)));
            }
            count += 1.0;
        })?;
        if let Some((row, feature, v)) = bad {
            return Err(Error::Unsupported {
                what: format!("a mean of features with {v} among them"),
                at: format!("Normalization::adapt, feature {feature} of row {row} of `x`"),
                help: "fill in what is missing, or leave such rows out".into(),
            });
        }
        let mean = shift.iter().zip(&sums).map(|(s, d)| s + d / count).collect();
        let variance = sums.iter().zip(&squares).map(|(d, q): (&f64, &f64)| (q / count - (d / count) * (d / count)).max(0.0)).collect();
        Ok(Normalization { mean, variance })
    }
}
