//! Losses of classes that exclude each other: cross-entropy, and the likelihood of log-probabilities.

use super::kind::{LossKind, Weight};
use super::weights::{check_weights, counted, some, weighed};
use crate::error::Faults;
use crate::graph::{IGNORES_CLASSES, Var};
use crate::nn::labels::{fault, targets, targets_ignoring};
use crate::nn::numbers::is_zero;
use crate::tensor::DType;
use serde::{Deserialize, Serialize};

/// Softmax cross-entropy, the mean over all rows of the batch (PyTorch's `CrossEntropyLoss`, Keras' `CategoricalCrossentropy`).
///
/// On a model that ends in softmax it uses what went into that, else the model's outputs are logits; both ways are one kernel with
/// the same bits. Outputs are `[.., classes]`, the classes last; labels are classes `[..]` or rows of probabilities `[.., classes]`, as the data set has
/// them: a model of sequences gives `[batch, positions, classes]` and has labels `[batch, positions]`. A logit of -inf (a masked class) adds nothing
/// where its target is 0 (no smoothing), with and without weights.
///
/// ```
/// use gradus::prelude::*;
/// use gradus::tensor::{DType, HostTensor};
/// // the next character of each position; 255 pads
/// const PAD: u32 = 255;
/// let net = Sequential::new().add(Embedding::new(30, 8)).add(Linear::new(30)); // [batch, positions, 30]
/// let loss = CrossEntropy::new().ignore_index(PAD);
/// let settings = Compile::new(Adam::default(), loss).input([4]).input_dtype(DType::U32).metric(Accuracy::new()).device(Device::cpu());
/// let mut model = net.compile(settings)?;
/// let text = HostTensor::u32([2, 4], vec![7, 3, 9, 9, 5, 1, 0, 0])?;
/// let next = HostTensor::u32([2, 4], vec![3, 9, 9, 2, 1, 8, PAD, PAD])?;
/// let data = Dataset::new(text, next)?.integers();
/// let history = model.fit(&data, Fit::new().epochs(2).batch_size(1).verbose(0))?;
/// // of the 6 positions that count, like the loss
/// assert!(history.last("accuracy").is_some());
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct CrossEntropy {
    /// The model's outputs are probabilities, and not by softmax.
    pub from_probabilities: bool,
    /// The part `s` of each target that all classes share, `(1 - s) * target + s / classes`; 0, and below 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub label_smoothing: f64,
    /// A weight for each class; none is 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub class_weights: Vec<f64>,
    /// The class label whose rows do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_index: Option<u32>,
}

impl CrossEntropy {
    /// On logits, or on a softmax.
    pub fn new() -> Self {
        Self::default()
    }

    /// On probabilities that the model made in its own way: `-sum t * log(p + 1e-7)`. Needs one-hot labels.
    pub fn from_probabilities() -> Self {
        CrossEntropy { from_probabilities: true, ..Self::default() }
    }

    /// Targets `(1 - s) * target + s / classes`, of classes as of probabilities (Szegedy et al. 2015; PyTorch's `label_smoothing`).
    pub fn label_smoothing(mut self, s: f64) -> Self {
        self.label_smoothing = s;
        self
    }

    /// A weight `w` for each class (PyTorch's `weight`): rows of class labels count by that of their label, and the mean is over the sum of these,
    /// `sum w_y l / sum w_y`, 0 with gradient 0 in a batch where that sum is 0 (PyTorch: NaN); of rows of probabilities each part counts by its class,
    /// and the mean is over the rows.
    #[doc(alias = "weight")]
    pub fn class_weights(mut self, weights: impl IntoIterator<Item = f64>) -> Self {
        self.class_weights = weights.into_iter().collect();
        self
    }

    /// Rows whose label is this do not count: their loss and gradient are 0, and the mean is over the others (PyTorch's `ignore_index`). It may be a class
    /// or lie beyond them; PyTorch's default of -100 has no u32, so here nothing is ignored unless it is said. In a batch where no row counts the loss is
    /// 0, and so is its gradient (PyTorch: NaN). Losses of an epoch and of an evaluation, and the gradients of
    /// [`Fit::accumulate`](crate::train::Fit::accumulate), are means over all rows that count, however many each batch has. Metrics
    /// of classes beside pass over the same rows: [`Accuracy`](crate::nn::Accuracy), [`TopKAccuracy`](crate::nn::TopKAccuracy),
    /// [`ConfusionMatrix`](crate::nn::ConfusionMatrix), and with an average [`PrecisionScore`](crate::nn::PrecisionScore), [`Recall`](crate::nn::Recall) and
    /// [`F1`](crate::nn::F1). A metric of your own ([`metric::custom`](crate::nn::metric::custom)) is given all labels, and takes the ignored one out itself
    /// (as [`Var::accuracy_ignoring`] does). Rows of probabilities cannot be ignored: an `Err` as soon as the labels are seen, of `fit`.
    pub fn ignore_index(mut self, label: u32) -> Self {
        self.ignore_index = Some(label);
        self
    }
}

impl LossKind for CrossEntropy {
    fn build(&self, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
        let s = self.label_smoothing;
        if weight.is_some() || !self.class_weights.is_empty() {
            let x = match self.from_probabilities {
                true => (counted(output, weight) + 1e-7).log(),
                false => output.softmax_input().unwrap_or_else(|| output.clone()).log_softmax(),
            };
            return Likelihood { op: "cross_entropy", smoothing: s, classes: &self.class_weights, ignored: self.ignore_index }
                .of(&x, labels, weight);
        }
        if self.from_probabilities {
            if self.ignore_index.is_some() {
                return fault(output, "cross_entropy", format!("labels {} of dtype {}", labels.shape(), labels.dtype()), IGNORES_CLASSES);
            }
            let targets = if s == 0.0 { labels.clone() } else { labels * (1.0 - s) + s / output.shape().last() as f64 };
            return ((output + 1e-7).log() * targets).sum_axes(&[output.shape().rank().saturating_sub(1)]).mean() * -1.0;
        }
        let logits = output.softmax_input().unwrap_or_else(|| output.clone());
        mean_of_classes(&logits, labels, s, self.ignore_index)
    }

    fn ignored(&self) -> Option<u32> {
        self.ignore_index
    }

    fn check(&self, f: &mut Faults) {
        let s = self.label_smoothing;
        f.check((0.0..1.0).contains(&s), "loss.label_smoothing", s, "give a part of 1, as 0.1");
        check_weights(f, "loss.class_weights", &self.class_weights);
    }
}

/// Negative log-likelihood of log-probabilities, as `LogSoftmax` gives (PyTorch's `NLLLoss`). Labels are classes or rows of probabilities. A
/// log-probability of -inf (a masked class) adds nothing where its target or weight is 0; a batch whose class weights are all 0 has loss and
/// gradient 0.
#[doc(alias = "NLLLoss")]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Nll {
    /// A weight for each class; none is 1. See [`CrossEntropy::class_weights`](super::CrossEntropy::class_weights).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub class_weights: Vec<f64>,
    /// The class label whose rows do not count. See [`CrossEntropy::ignore_index`](super::CrossEntropy::ignore_index()).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_index: Option<u32>,
}

impl Nll {
    /// All classes alike.
    pub fn new() -> Self {
        Self::default()
    }
    /// A weight for each class (PyTorch's `weight`).
    #[doc(alias = "weight")]
    pub fn class_weights(mut self, weights: impl IntoIterator<Item = f64>) -> Self {
        self.class_weights = weights.into_iter().collect();
        self
    }
    /// Rows whose label is this do not count. See [`CrossEntropy::ignore_index`](super::CrossEntropy::ignore_index()).
    pub fn ignore_index(mut self, label: u32) -> Self {
        self.ignore_index = Some(label);
        self
    }
}

impl LossKind for Nll {
    fn build(&self, output: &Var, labels: &Var, weight: Weight<'_>) -> Var {
        match output.softmax_input() {
            // one kernel
            Some(x) if weight.is_none() && self.class_weights.is_empty() && output.is_log_softmax() => {
                mean_of_classes(&x, labels, 0.0, self.ignore_index)
            }
            _ => Likelihood { op: "nll", smoothing: 0.0, classes: &self.class_weights, ignored: self.ignore_index }
                .of(output, labels, weight),
        }
    }

    fn ignored(&self) -> Option<u32> {
        self.ignore_index
    }

    fn check(&self, f: &mut Faults) {
        check_weights(f, "loss.class_weights", &self.class_weights);
    }
}

/// Of logits, by the kernel that makes loss and gradient at once.
fn mean_of_classes(logits: &Var, labels: &Var, smoothing: f64, ignored: Option<u32>) -> Var {
    let Some(ignored) = ignored else { return logits.cross_entropy_smoothed(labels, smoothing) };
    let (loss, counted) = logits.cross_entropy_ignoring(labels, smoothing, ignored);
    logits.builder().weighed_by(counted);
    loss
}

/// `-sum_c w_c t_c x_c` of each row, for log-probabilities `x`, and how it is averaged: over the rows that count, or for class labels with weights over
/// the sum of their weights, as in PyTorch (0 where these are all 0). A class of weight or probability 0 adds nothing, be its `x` infinite.
struct Likelihood<'a> {
    op: &'a str,
    smoothing: f64,
    classes: &'a [f64],
    ignored: Option<u32>,
}

impl Likelihood<'_> {
    fn of(&self, x: &Var, labels: &Var, weight: Weight<'_>) -> Var {
        let (t, counts) = match self.ignored {
            None => (targets(self.op, x, labels), None),
            Some(ignored) => match targets_ignoring(self.op, x, labels, ignored) {
                Some((t, counts)) => (t, Some(counts)),
                None => return x.builder().poisoned(),
            },
        };
        if t.value().is_none() {
            return t;
        }
        let (smoothing, last) = (self.smoothing, x.shape().rank() - 1);
        let mut goal = if smoothing == 0.0 { t.clone() } else { &t * (1.0 - smoothing) + smoothing / x.shape().last() as f64 };
        let mut total = counts.as_ref().map(Var::sum);
        if !self.classes.is_empty() {
            if self.classes.len() != x.shape().last() {
                let problem = format!("{} class weights for scores {}", self.classes.len(), x.shape());
                return fault(x, self.op, problem, "give one weight for each class");
            }
            let w = x.builder().table(self.classes);
            total = (labels.dtype() != DType::F32).then(|| (&t * &w).sum());
            goal = goal * w;
        }
        if let Some(counts) = counts.filter(|_| smoothing != 0.0) {
            goal = goal * counts;
        }
        // rows of class labels that count 0 get a gradient of 0 times a finite number
        let x = if labels.dtype() == DType::F32 { counted(x, weight) } else { x.clone() };
        let x = some(&goal, &x);
        let parts = weighed(&-(goal * x).sum_axes(&[last]), weight);
        match total.map(|total| parts.builder().weighed_by(total)) {
            Some(total) => parts.sum() / total.not_equal(&total.number(0.0)).select(&total, &total.number(1.0)),
            None => parts.mean(),
        }
    }
}
