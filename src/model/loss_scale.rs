//! The loss scale as the host knows it: it moves on the device, and log lines tell how.

use crate::kernels::Scaling;
use crate::kernels::words::StateWords;
use crate::model::compile::Compile;
use crate::model::core::Core;
use crate::model::shared::Model;
use crate::optim::LossScale;
use crate::plan::LogLine;
use serde::{Deserialize, Serialize};

impl Compile {
    /// Multiplies the loss before its gradients are made, and divides them before they are used: for gradients that would be lost in f16. None
    /// by default in f32, and [`LossScale::dynamic`] in mixed precision. See [`LossScale`]; [`Model::loss_scale`] tells where it stands, [`StepReport`](crate::train::StepReport) and
    /// [`History`](crate::train::History) what was skipped.
    ///
    /// No launch. In f32 the gradients have the bits that they have without
    /// it, as long as nothing overflows or underflows. A parameter's [`gradient`](Model::gradient), the norm that is logged and what
    /// [`Fit::diagnostics`](crate::train::Fit::diagnostics) shows are those without the scale.
    ///
    /// A loss that is not finite skips its update as a gradient does, and is left out of the means over the epoch, with the metrics of its
    /// batch. Where several batches make an update ([`Fit::accumulate`](crate::train::Fit::accumulate)) a bad one takes all of it along.
    pub fn loss_scale(mut self, scale: impl Into<LossScale>) -> Self {
        self.loss_scale = Some(scale.into());
        self
    }

    /// How the loss is scaled, if it is.
    pub(crate) fn scaling(&self) -> Option<(Scaling, f32)> {
        match self.loss_scale {
            None if self.precision.is_mixed() => LossScale::from(LossScale::dynamic()).scaling(),
            given => given.and_then(|s| s.scaling()),
        }
    }
}

impl Model {
    /// The loss scale as it stands behind all steps that were reported; `None` where there is none ([`Compile::loss_scale`]).
    pub fn loss_scale(&self) -> Option<LossScaleState> {
        self.lock().loss_scale()
    }
}

impl Core {
    pub(crate) fn loss_scale(&self) -> Option<LossScaleState> {
        self.scaler.map(|s| LossScaleState { scale: s.scale, growth_tracker: s.count, skipped: s.skipped })
    }

    /// Updates that were tried: those applied, and those skipped.
    pub(crate) fn tried(&self) -> u64 {
        self.updates + self.scaler.map_or(0, |s| s.skipped)
    }

    /// Takes note of an update that was queued, and counted as applied, once its line is there.
    pub(crate) fn saw_update(&mut self, line: &LogLine) {
        if let Some(s) = &mut self.scaler {
            s.see(line);
            self.updates -= u64::from(line.skipped);
        }
    }
}

/// Where the loss scale of a model stands.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LossScaleState {
    /// What the loss of the next step is multiplied by.
    pub scale: f32,
    /// Good updates in a row since it last moved; skipped ones in a row where it is fixed. PyTorch's `_growth_tracker`.
    pub growth_tracker: u32,
    /// Updates skipped since the model was made.
    pub skipped: u64,
}

/// The same, and how it moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scaler {
    rule: Scaling,
    pub scale: f32,
    count: u32,
    skipped: u64,
    /// That of the last step.
    pub last: f32,
}

impl Scaler {
    pub fn new((rule, scale): (Scaling, f32)) -> Self {
        Scaler { rule, scale, count: 0, skipped: 0, last: scale }
    }

    /// The device's own words tell the scale that a step had, and whether it was skipped: the rest follows as it does there.
    fn see(&mut self, line: &LogLine) {
        self.last = line.scale.unwrap_or(self.scale);
        self.skipped += u64::from(line.skipped);
        if let Some((scale, count)) = self.rule.after(self.last, self.count, line.skipped) {
            (self.scale, self.count) = (scale, count);
        }
    }

    /// Its words in the state of training.
    pub fn write(&self, state: StateWords) -> StateWords {
        StateWords { loss_scale: self.scale.to_bits(), growth: self.count, skipped: self.skipped as u32, ..state }
    }

    /// As the state of training in a checkpoint has it.
    pub fn read(&mut self, state: &StateWords) {
        let scale = f32::from_bits(state.loss_scale);
        self.go_on(SavedScale { scale, growth_tracker: state.growth, skipped: state.skipped.into() });
    }

    /// What goes into a model's file.
    pub fn saved(&self) -> SavedScale {
        SavedScale { scale: self.scale, growth_tracker: self.count, skipped: self.skipped }
    }

    /// From where a file has it. What is no scale is an older file's, or damage: the scale begins anew. A fixed one is what the settings say.
    pub fn go_on(&mut self, from: SavedScale) {
        if !Scaling::takes(from.scale.into()) {
            return;
        }
        if let Scaling::Dynamic { .. } = self.rule {
            self.scale = from.scale;
        }
        (self.count, self.skipped, self.last) = (from.growth_tracker, from.skipped, self.scale);
    }
}

/// A loss scale in a file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedScale {
    scale: f32,
    growth_tracker: u32,
    skipped: u64,
}
