//! Metrics of numbers: how far the outputs lie from the labels.

use super::finish::Finish;
use super::kind::MetricKind;
use crate::graph::Var;
use crate::nn::labels::same;
use crate::nn::plain::plain;
use crate::nn::{Mae, Mse};
use crate::tensor::DType;

plain! {
    /// The root of the mean of squared differences over all elements of an epoch (not a mean of the batches' roots): `rmse`.
    #[doc(alias = "RootMeanSquaredError")]
    pub struct Rmse, "The root of the mean of squared differences.";
    /// The coefficient of determination, `1 - sum (t - y)^2 / sum (t - mean t)^2`, of each output over the epoch, and the mean over the outputs
    /// (sklearn's `r2_score`, Keras' `R2Score`): `r2`. Where the labels of an output do not vary it is 1 if all are met, else 0.
    #[doc(alias = "R2Score")]
    pub struct R2, "The coefficient of determination.";
}

impl MetricKind for Mae {
    fn build(&self, _: bool, output: &Var, labels: &Var) -> Var {
        (output - same("mae", output, labels)).abs().mean()
    }
}

impl MetricKind for Mse {
    fn build(&self, _: bool, output: &Var, labels: &Var) -> Var {
        squares("mse", output, labels)
    }
}

impl MetricKind for Rmse {
    fn build(&self, _: bool, output: &Var, labels: &Var) -> Var {
        squares("rmse", output, labels)
    }

    fn finish(&self, _: &Var) -> Finish {
        Finish::RootMean
    }
}

impl MetricKind for R2 {
    /// Of each output over the batch: the labels' mean, the squares around it, the squares of the differences: `[3 * outputs]`.
    fn build(&self, _: bool, output: &Var, labels: &Var) -> Var {
        let t = same("r2", output, labels);
        if t.value().is_none() || t.dtype() != DType::F32 {
            return t;
        }
        let (rows, size) = (t.shape()[0], t.shape().size());
        let (t, y) = (t.reshape([rows, size / rows]), output.reshape([rows, size / rows]));
        let mean = t.mean_from_first(&[0]);
        let around = (&t - &mean).square().sum_axes(&[0]);
        let missed = (t - y).square().sum_axes(&[0]);
        mean.squeeze(0).concat(&[&around, &missed], 0)
    }

    fn finish(&self, _: &Var) -> Finish {
        Finish::Determination
    }
}

fn squares(op: &str, output: &Var, labels: &Var) -> Var {
    (output - same(op, output, labels)).square().mean()
}
