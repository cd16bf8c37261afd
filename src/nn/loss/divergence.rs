//! How far a distribution lies from another.

use super::kind::{LossKind, Weight};
use super::weights::{counted, mean, some};
use crate::graph::Var;
use crate::nn::labels::same;
use crate::nn::plain::plain;

plain! {
    /// Kullback-Leibler divergence of the labels from the output, `sum t (log t - x)` over the elements of a row, the mean over rows (PyTorch's
    /// `KLDivLoss(reduction="batchmean")`). The outputs `x` are logarithms of probabilities, as `LogSoftmax` gives; on a model that ends in
    /// softmax it takes the logarithm of that. The labels `t` are probabilities; a label of 0 counts 0.
    #[doc(alias = "KLDivLoss")]
    #[doc(alias = "KLDivergence")]
    pub struct KlDivergence, "Of log-probabilities and probabilities.";
}

impl LossKind for KlDivergence {
    fn build(&self, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
        // a log-softmax of it is itself
        let x = output.softmax_input().map_or_else(|| output.clone(), |x| x.log_softmax());
        let t = same("kl_divergence", &x, labels);
        let positive = t.greater(&t.number(0.0));
        let parts = &t * positive.select(&t, &t.number(1.0)).log() - &t * some(&t, &counted(&x, weight));
        let axes: Vec<usize> = (1..parts.shape().rank()).collect();
        mean(&if axes.is_empty() { parts } else { parts.sum_axes(&axes) }, weight)
    }
}
