//! Precision, recall and F1.

use super::confusion::said_and_true;
use super::finish::{Average, Finish, Score};
use super::kind::MetricKind;
use super::settings::{binary_settings, check_threshold, half, ignoring, labelled, positive};
use crate::error::Faults;
use crate::graph::Var;
use crate::nn::labels::zeros_and_ones;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

macro_rules! score {
    ($($(#[$doc:meta])* pub struct $name:ident = $word:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// Without an average it is of labels 0 and 1, over all outputs together (Keras); with one it is of classes, the largest output being what the
        /// model says (sklearn). It comes of counts over the whole epoch, and is 0 where it would be 0 / 0.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[non_exhaustive]
        #[must_use]
        pub struct $name {
            /// A probability above it counts as 1; 0.5. Without effect where there is an average.
            #[serde(default = "half")]
            pub threshold: f64,
            /// Whether the outputs are logits; `None`: what the loss beside takes them for, else probabilities. Without effect where there is an
            /// average.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub from_logits: Option<bool>,
            /// How the scores of several classes become one; none for labels 0 and 1.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub average: Option<Average>,
            /// The class label whose rows do not count; `None`: what the loss beside ignores. Without effect where there is no average.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub ignore_index: Option<u32>,
            /// Its name in histories.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub label: Option<String>,
        }

        impl $name {
            /// Of labels 0 and 1, at a probability of 0.5.
            pub fn new() -> Self {
                $name { threshold: 0.5, from_logits: None, average: None, ignore_index: None, label: None }
            }
            /// Of several classes.
            pub fn average(mut self, average: Average) -> Self {
                self.average = Some(average);
                self
            }
        }

        impl MetricKind for $name {
            fn build(&self, logits: bool, output: &Var, labels: &Var) -> Var {
                match self.average {
                    None => sides($word, self.threshold, self.from_logits.unwrap_or(logits), output, labels),
                    Some(_) => said_and_true($word, output, labels, self.ignore_index),
                }
                .map_or_else(|| output.builder().poisoned(), |(said, told)| counts(&said, &told))
            }
            fn finish(&self, _: &Var) -> Finish {
                Finish::Score(Score::$name, self.average)
            }
            fn check(&self, f: &mut Faults) {
                check_threshold(f, self.threshold);
            }
            fn name(&self) -> Option<Cow<'_, str>> {
                self.label.as_deref().map(Cow::from)
            }
        }
    )*};
}

score! {
    /// What part of the rows that the model takes for a class has that label: `precision`.
    pub struct Precision = "precision";
    /// What part of the rows with a label the model takes for that class: `recall`.
    pub struct Recall = "recall";
    /// The harmonic mean of precision and recall, `2 tp / (2 tp + fp + fn)`: `f1`.
    #[doc(alias = "F1Score")]
    pub struct F1 = "f1";
}

labelled! { Precision Recall F1 }
ignoring! { Precision Recall F1 }
binary_settings! { Precision Recall F1 }

/// True positives, rows said to be positive, rows that are: one of each, or one for each class, `[3 * classes]`.
fn counts(said: &Var, told: &Var) -> Var {
    (said * told).concat(&[said, told], 1).sum_axes(&[0])
}

/// On which side of the threshold each output lies, and each label, `[outputs, 1]`.
fn sides(op: &str, threshold: f64, logits: bool, output: &Var, labels: &Var) -> Option<(Var, Var)> {
    let told = zeros_and_ones(op, output, labels);
    let column = |v: &Var| v.reshape([v.shape().size(), 1]);
    told.value()?;
    Some((column(&positive(output, threshold, logits)), column(&told)))
}
