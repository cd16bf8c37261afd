//! The loss scale as the host knows it: it moves on the device, and log lines tell how.

use crate::kernels::words::StateWords;
use crate::optim::Scaling;
use crate::plan::LogLine;
use serde::{Deserialize, Serialize};

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

/// The loss scale, and the rule by which it moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scaler {
    rule: Scaling,
    pub scale: f32,
    count: u32,
    pub skipped: u64,
    /// The scale of the last step.
    pub last: f32,
}

impl Scaler {
    pub fn new((rule, scale): (Scaling, f32)) -> Self {
        Scaler { rule, scale, count: 0, skipped: 0, last: scale }
    }

    /// Follows the device: a log line tells the scale that a step had and whether it was skipped, and the rule tells the rest.
    pub fn see(&mut self, line: &LogLine) {
        self.saw(line.scale, line.skipped);
    }

    /// Notes an update of such a scale. Gives whether there is a scale to go on with.
    fn saw(&mut self, scale: Option<f32>, skipped: bool) -> bool {
        self.last = scale.unwrap_or(self.scale);
        self.skipped += u64::from(skipped);
        let next = self.rule.after(self.last, self.count, skipped);
        (self.scale, self.count) = next.unwrap_or((self.scale, self.count));
        next.is_some()
    }

    /// Notes an update of a distributed run. Gradients of a scale that is no longer the present one say nothing about it. Gives whether there is a
    /// scale to go on with.
    pub fn judge(&mut self, scale: Option<f32>, skipped: bool) -> bool {
        if scale.is_some_and(|s| s != self.scale) {
            self.skipped += u64::from(skipped);
            return true;
        }
        self.saw(scale, skipped)
    }

    /// Takes over where another scale stands: in a distributed run the server decides.
    pub fn follow(&mut self, scale: f32, count: u32, skipped: u64) {
        (self.scale, self.last, self.count, self.skipped) = (scale, scale, count, skipped);
    }

    /// The state of training with the words of the loss scale in it.
    pub fn write(&self, state: StateWords) -> StateWords {
        StateWords { loss_scale: self.scale.to_bits(), growth: self.count, skipped: self.skipped as u32, ..state }
    }

    /// Goes on from the state of training in a checkpoint.
    pub fn read(&mut self, state: &StateWords) {
        let scale = f32::from_bits(state.loss_scale);
        self.go_on(SavedScale { scale, growth_tracker: state.growth, skipped: state.skipped.into() });
    }

    /// Where it stands, for the user.
    pub fn state(&self) -> LossScaleState {
        LossScaleState { scale: self.scale, growth_tracker: self.count, skipped: self.skipped }
    }

    /// Where it stands, for the file of a model.
    pub fn saved(&self) -> SavedScale {
        SavedScale { scale: self.scale, growth_tracker: self.count, skipped: self.skipped }
    }

    /// Goes on from where it stood in a file. A number that is no scale comes from an older file, or from damage: then the scale begins
    /// anew. A fixed scale is what the settings say, whatever the file has.
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
