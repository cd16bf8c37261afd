//! What some steps of training did.

use super::evaluation::Evaluation;
use crate::inspect::diagnose::LayerReport;

/// What some steps did.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// Updates applied so far, since the weights were drawn. One that was skipped is none.
    pub step: u64,
    /// The epoch that these steps belong to, from 1.
    pub epoch: usize,
    /// The mean loss over the rows of these steps.
    pub loss: f32,
    /// The loss of each step, skipped ones too.
    pub losses: Vec<f32>,
    /// The L2 norm of all gradients at the last of them.
    pub grad_norm: f32,
    /// The learning rate of the last of them.
    pub learning_rate: f64,
    /// Loss and metrics over the rows of these steps.
    pub metrics: Evaluation,
    /// Rows trained on.
    pub rows: usize,
    /// Whether these were the last steps of an epoch.
    pub epoch_ended: bool,
    /// The steps among them whose loss jumped: see [`Fit::loss_spike`](crate::train::Fit::loss_spike).
    pub spikes: Vec<u64>,
    /// The loss scale after these steps, where there is one: see [`Compile::loss_scale`](crate::train::Compile::loss_scale).
    pub loss_scale: Option<f32>,
    /// Which of these steps were skipped, the first of them being 0: a gradient was not finite.
    pub skipped: Vec<usize>,
    /// What was seen of the layers in them: see [`Fit::diagnostics`](crate::train::Fit::diagnostics).
    pub diagnostics: Vec<LayerReport>,
}
