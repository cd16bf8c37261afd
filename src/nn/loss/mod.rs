//! What training makes small: the losses.

mod custom;
mod kind;
mod weights;

#[doc(hidden)]
pub use super::closure::Custom;
pub use custom::custom;

use crate::error::Faults;
use crate::graph::Var;
use crate::named::{Named, named};
use kind::LossKind;
use std::panic::Location;

named! {
    /// Any of the losses, as settings and recipes hold it.
    ///
    /// ```
    /// use gradus::nn::{Huber, Loss};
    /// assert_eq!("huber".parse::<Loss>()?, Huber::new().into());
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub enum Loss: LossKind, types of crate::nn::loss in kinds, read as "loss" {
        /// [`CrossEntropy`].
        CrossEntropy(CrossEntropy) = "cross_entropy" => CrossEntropy::new();
        /// [`Mse`].
        Mse(Mse) = "mse" => Mse::new();
        /// [`Mae`].
        Mae(Mae) = "mae" => Mae::new();
        /// [`Huber`].
        Huber(Huber) = "huber" => Huber::new();
        /// [`LogCosh`].
        LogCosh(LogCosh) = "log_cosh" => LogCosh::new();
        /// [`BinaryCrossEntropy`].
        BinaryCrossEntropy(BinaryCrossEntropy) = "binary_cross_entropy" => BinaryCrossEntropy::new();
        /// [`Nll`].
        Nll(Nll) = "nll" => Nll::new();
        /// [`FocalLoss`].
        FocalLoss(FocalLoss) = "focal_loss" => FocalLoss::new();
        /// [`KlDivergence`].
        KlDivergence(KlDivergence) = "kl_divergence" => KlDivergence::new();
        /// [`custom`]: files hold its name alone.
        Custom(Custom) = "custom";
    } // a new loss is a row above this line, and its file below it
}
mod divergence;
pub use divergence::KlDivergence;
mod focal;
pub use focal::FocalLoss;
mod binary;
pub use binary::BinaryCrossEntropy;
mod regression;
pub use regression::{Huber, LogCosh, Mae, Mse};
mod cross_entropy;
pub use cross_entropy::{CrossEntropy, Nll};

impl Loss {
    /// The loss `[]` of a model's output for these labels.
    #[track_caller]
    pub fn build(&self, output: &Var, labels: &Var) -> Var {
        self.build_weighted(output, labels, None)
    }

    /// As [`Loss::build`] with a weight for each row, `[rows]` or `[rows, 1]`: `sum w_i l_i / rows`, as Keras' `sample_weight` has it, where `l_i` is
    /// the mean over row `i`. So a row of weight 2 counts as the row twice, and weights of 0 leave the others' gradients as they were: NaN or infinity
    /// in the outputs or labels of such a row reaches neither the loss nor the outputs' gradient, which is 0 there. (NaN among the row's *inputs* still
    /// reaches the weights that it is multiplied by: 0 times NaN. Fill inputs in.) Where all weights are 0 so is the loss.
    /// (With class weights on class labels the mean stays over the sum of those.)
    #[track_caller]
    pub fn build_weighted(&self, output: &Var, labels: &Var, weight: Option<&Var>) -> Var {
        if labels.value().is_none() {
            return labels.clone(); // a step in `predict`, which has no labels
        }
        // messages about nodes that the loss builds name the line that asked for the loss
        let before = output.builder().on_line(Some(Location::caller()));
        let loss = self.build_sound(output, labels, weight);
        output.builder().back_on_line(before);
        loss
    }

    fn build_sound(&self, output: &Var, labels: &Var, weight: Option<&Var>) -> Var {
        let mut faults = Faults::default();
        self.check(&mut faults);
        if let Err(e) = faults.finish() {
            output.builder().fail(e);
            return output.builder().poisoned();
        }
        self.kind().build(output, labels, weight)
    }

    /// Its name, as files and messages have it.
    pub(crate) fn name(&self) -> &str {
        self.kind().name().unwrap_or(self.word())
    }

    /// Whether it takes this output for logits of two classes.
    pub(super) fn takes_logits(&self, output: &Var) -> bool {
        self.kind().takes_logits() && output.sigmoid_input().is_none()
    }

    /// The class label whose rows do not count.
    pub(crate) fn ignored(&self) -> Option<u32> {
        self.kind().ignored()
    }

    /// Whether its labels are parts of 1, each on its own.
    pub(crate) fn takes_parts(&self) -> bool {
        self.kind().takes_parts()
    }

    pub(crate) fn check(&self, faults: &mut Faults) {
        self.kind().check(faults);
    }
}
