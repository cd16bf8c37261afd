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
    /// The update alone, of gradients that the host has written. See [`update_program`](super::update_program).
    Update,
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
    /// A worker's: everything but the update. The gradients stay in their arena for the host, which has them applied elsewhere (by an
    /// [`update_program`](super::update_program)) and writes the parameters back.
    ///
    /// All else is as after [`Part::Whole`], to the bit: line of the log, counters (an update counts where its gradients are good), cursor,
    /// loss scale, state that is not trained. So gradients of a line that halted or was skipped are for nobody; those of a scaled loss are
    /// times [`LogLine::scale`](super::LogLine::scale). The line ends with what the loss is a mean over where that is not the rows of the
    /// batch ([`Program::weighed`](super::Program::weighed)).
    Leave,
}

impl Part {
    /// Whether its gradient joins those of other batches on the device.
    pub(crate) fn sums(self) -> bool {
        matches!(self, Part::Inner | Part::Last)
    }
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
            Purpose::Update => "an update alone",
        }
    }

    /// Whether it has to do with parameters that change.
    pub(crate) fn trains(self) -> bool {
        matches!(self, Purpose::Train | Purpose::Update)
    }

    /// The state that programs of this purpose move.
    pub fn state_set(self) -> StateSet {
        if self.trains() { StateSet::Train } else { StateSet::Eval }
    }
}
