//! The words of a lane's state: one table for the host, the shaders and the CPU's kernels.

/// Words of the state: eight `vec4` of a uniform.
pub const STATE_WORDS: usize = 32;
/// Words that a checkpoint holds: all that have a meaning so far.
pub const STATE_SAVED: usize = 16;

/// All went well.
pub const SKIP_NONE: u32 = 0;
/// The update that is open will be skipped.
pub const SKIP_PENDING: u32 = 1;
/// The last update was skipped.
pub const SKIP_DONE: u32 = 2;

/// Makes the number of each word, the names that shaders use, and [`StateWords`].
macro_rules! state_words {
    (used { $($(#[$doc:meta])+ $field:ident: $name:ident = $at:literal,)+ } reserved { $($(#[$later:meta])+ $free:ident: $number:ident = $place:literal,)+ }) => {
        $($(#[$doc])+ pub const $name: usize = $at;)+
        $($(#[$later])+ pub const $number: usize = $place;)+

        /// The names that shaders use.
        pub const STATE_NAMES: &[(&str, usize)] = &[$((stringify!($name), $name)),+];

        /// A lane's state by name, as the host sets it. All zeros is a lane that has done nothing.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct StateWords {
            $($(#[$doc])+ pub $field: u32,)+
            $($(#[$later])+ pub $free: u32,)+
        }

        impl StateWords {
            /// The words as the device holds them.
            pub fn words(&self) -> [u32; STATE_WORDS] {
                let mut words = [0; STATE_WORDS];
                $(words[$name] = self.$field;)+
                $(words[$number] = self.$free;)+
                words
            }

            /// From the device's words, or from the first of them: what is missing is 0.
            pub fn from_words(words: &[u32]) -> Self {
                let word = |at: usize| words.get(at).copied().unwrap_or(0);
                StateWords { $($field: word($name),)+ $($free: word($number),)+ }
            }
        }
    };
}

state_words! {
    used {
        /// Batches begun so far: keys random draws, indexes the log.
        batch: STATE_BATCH = 0,
        /// Updates applied so far: indexes the rates.
        update: STATE_UPDATE = 1,
        /// The next row in the epoch's order.
        cursor: STATE_CURSOR = 2,
        /// Epochs ended so far: keys the order.
        epoch: STATE_EPOCH = 3,
        /// Rows of the data set.
        rows: STATE_ROWS = 4,
        /// Whether the order is shuffled.
        shuffle: STATE_SHUFFLE = 5,
        /// The seed of the order, lower half.
        seed_lo: STATE_SEED_LO = 6,
        /// The seed's upper half.
        seed_hi: STATE_SEED_HI = 7,
        /// Set by a loss that is not finite: nothing moves until the host has seen it.
        halt: STATE_HALT = 8,
        /// Batches whose gradients are summed for the next update; 0 where each has an update of its own.
        micro: STATE_MICRO = 9,
        /// Rows of those batches; the sum of their weights, as the bits of an f32, where the loss is a mean over these.
        summed: STATE_SUMMED = 10,
        /// What the loss is multiplied by before its gradients are made, as the bits of an f32: a power of two. See [`Scaling`](crate::optim::Scaling).
        loss_scale: STATE_LOSS_SCALE = 11,
        /// Good updates in a row since the scale last moved; under a fixed scale skipped ones in a row.
        growth: STATE_GROWTH = 12,
        /// Updates skipped so far.
        skipped: STATE_SKIPPED = 13,
        /// Whether a batch of the open update has gone wrong, or the last update was skipped: [`SKIP_NONE`] and so on.
        skip: STATE_SKIP = 14,
    }
    reserved {
        /// Reserved: how many workers share the order of rows.
        stride: STATE_STRIDE = 16,
        /// Reserved: which of these workers this is.
        rank: STATE_RANK = 17,
        /// Reserved: what the batch of this worker weighs, as the bits of an f32.
        weight: STATE_WEIGHT = 18,
        /// Reserved: how the order of rows is made.
        order: STATE_ORDER = 19,
    }
}

impl StateWords {
    /// With this seed of the order and of random draws.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        StateWords { seed_lo: seed as u32, seed_hi: (seed >> 32) as u32, ..self }
    }

    /// The words of the order, for a write at [`STATE_CURSOR`] that leaves all others alone: cursor, epoch, rows, shuffle.
    pub fn of_order(&self) -> [u32; 4] {
        [self.cursor, self.epoch, self.rows, self.shuffle]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_a_place_of_its_own() {
        let numbered: Vec<u32> = (1..=STATE_WORDS as u32).collect();
        let kept = StateWords::from_words(&numbered).words();
        assert!(kept.iter().zip(&numbered).all(|(k, n)| k == n || *k == 0));
        assert_eq!(kept.iter().filter(|w| **w != 0).count(), STATE_NAMES.len() + 4, "two names of one word");
        assert!(STATE_NAMES.iter().all(|(_, at)| *at < STATE_SAVED), "a checkpoint would lose it");
        assert_eq!(
            StateWords { cursor: 1, epoch: 2, rows: 3, shuffle: 4, ..StateWords::default() }.of_order(),
            kept[STATE_CURSOR..][..4].iter().map(|w| w - 2).collect::<Vec<_>>()[..]
        );
    }
}
