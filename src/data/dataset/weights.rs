//! Weights of rows: how much each counts in the loss.

use super::{Dataset, Look, Rows};
use crate::error::{Error, Result, place};
use crate::tensor::{DType, HostTensor};
use std::panic::Location;
use std::sync::Arc;

impl Dataset {
    /// Adds the field `weight`: how much each row counts in the loss, `[rows]`, f32 (Keras' `sample_weight`). The loss becomes
    /// `sum w_i l_i / rows`: a row of weight 2 counts as the row twice, one of weight 0 not at all, be its label NaN. (NaN among its inputs does reach
    /// the gradients of weights, as 0 times NaN.) Metrics do not look at it. A set made by
    /// [`Dataset::from_fields`] with a field of that name has weights too.
    ///
    /// Fails unless there is one number, finite and 0 or above, for each row of this set (of a part of a set these are its own; one that stands in it twice has one
    /// weight), and if there is such a field.
    ///
    /// ```
    /// use gradus::data::Dataset;
    /// use gradus::tensor::HostTensor;
    /// let x = HostTensor::f32([3, 2], vec![0.0; 6])?;
    /// let y = HostTensor::u32([3], vec![0, 1, 0])?;
    /// let set = Dataset::new(x, y)?.weights(HostTensor::f32([3], vec![1.0, 5.0, 1.0])?)?;
    /// assert_eq!(set.fields().len(), 3);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    #[doc(alias = "sample_weight")]
    #[track_caller]
    pub fn weights(mut self, weights: HostTensor) -> Result<Self> {
        let at = place(Location::caller());
        let rows = self.len();
        let help = "give one f32 for each row of this set, 0 or above".to_string();
        let wrong = |problem| Error::ShapeMismatch { op: "Dataset::weights".into(), problem, at: at.clone(), help: help.clone() };
        let shape = weights.shape().clone();
        if weights.dtype() != DType::F32 || shape.dims().first() != Some(&rows) || shape.size() != rows {
            return Err(wrong(format!("weights {} {shape} for {rows} rows", weights.dtype())));
        }
        let bad = |w: &&f32| !w.is_finite() || **w < 0.0;
        if let Some((row, w)) = weights.as_f32().and_then(|v| v.iter().enumerate().find(|(_, w)| bad(w))) {
            return Err(wrong(format!("the weight of row {row} is {w}")));
        }
        if self.position("weight").is_some() {
            return Err(wrong("the set has a field `weight` already".into()));
        }
        let stored = self.sources.first().map_or(0, |s| s.len());
        let weights = if self.rows == Rows::Range(0..stored) {
            weights
        } else {
            // a source has all stored rows: the weights of rows that are not of this set are never read
            let mut all = vec![f32::NAN; stored];
            for (own, &w) in weights.as_f32().unwrap_or_default().iter().enumerate() {
                let kept = &mut all[self.rows.at(own)];
                if !kept.is_nan() && *kept != w {
                    return Err(wrong(format!(
                        "row {own} is one that stands in the set before, with the weight {kept}, and its own is {w}"
                    )));
                }
                *kept = w;
            }
            all.iter_mut().filter(|w| w.is_nan()).for_each(|w| *w = 0.0);
            HostTensor::f32([stored], all)?
        };
        self.looks.push(Look::new("weight", &weights));
        let weights: Arc<dyn super::Source> = Arc::new(weights);
        self.sources = self.sources.iter().cloned().chain([weights]).collect();
        self.own = super::nothing_yet(self.sources.len());
        Ok(self)
    }
}
