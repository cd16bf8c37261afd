//! What a program is for, and which state it moves.

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// Forward, backward, update.
    Train,
    /// Loss and metrics.
    Evaluate,
    /// The outputs.
    Predict,
}

/// Which of an update's batches a training program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Part {
    /// The only one.
    #[default]
    Whole,
    /// One of several that is not the last: its gradient is added to a sum, and nothing is updated.
    Inner,
    /// The last of several.
    Last,
}

/// A state and its log: one for training, one for everything else, so that a validation leaves the order of training alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StateSet {
    /// Training.
    Train,
    /// Evaluation and inference.
    Eval,
}

impl Purpose {
    /// What such a program does, in a word.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Purpose::Train => "training",
            Purpose::Evaluate => "evaluation",
            Purpose::Predict => "prediction",
        }
    }

    /// The state that programs of this purpose move.
    pub fn state_set(self) -> StateSet {
        if self == Purpose::Train { StateSet::Train } else { StateSet::Eval }
    }
}
