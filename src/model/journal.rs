//! What a model remembers, so that it can be made again on another device: a copy of what lay on the device, and a journal of what was done
//! since.

use super::accumulation::{Accumulation, Order};
use super::progress::Progress;
use super::rate::Rate;
use crate::data::Dataset;
use crate::plan::{BufferId, PendingRead, Ticket};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Weak;

/// Seconds between two copies of the model, unless the user says otherwise.
pub(crate) const SNAPSHOT_EVERY: f64 = 10.0;

/// Words of buffers that outlive a step.
pub(crate) type Arenas = BTreeMap<BufferId, Vec<u32>>;

/// Whether a buffer belongs to the model rather than to the optimizer: what `restore_best_weights` brings back.
pub(crate) fn is_weight(id: BufferId) -> bool {
    !matches!(id, BufferId::Moment(_) | BufferId::State(_))
}

/// What a model remembers, so that it can be made again.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// A copy of the arenas and of the state of training; a buffer that is missing is all zeros. None where the device cannot be lost, or
    /// where the user wants no copies.
    pub kept: Option<Arenas>,
    /// What was done since the copy was made, in order.
    pub journal: Vec<Event>,
    /// Submits of steps whose log lines nobody has seen yet, the oldest first.
    pub queued: VecDeque<Queued>,
    /// The counters before the first of those that a dropped loop has left, while not all of them are seen to their end.
    pub unsettled: Option<Progress>,
    /// A copy on its way. What is written or queued meanwhile ends it.
    pub copying: Option<Copying>,
    /// Bytes of the batches by hand in the journal.
    pub by_hand: u64,
    /// When the last copy was made, in seconds on the clock, and how many that took.
    pub taken: Option<f64>,
    pub cost: f64,
    /// How many copies were made.
    pub copies: usize,
    /// How often the model was made again. Handles of programs do not outlive that.
    pub rebuilt: usize,
}

/// Something that was done to a model.
#[derive(Debug)]
pub(crate) enum Event {
    /// The state of training was set.
    State(Vec<u32>),
    /// Steps were trained, and their log lines were seen.
    Steps(Box<Steps>),
}

/// Batches of one loop that make whole updates, all at one learning rate.
#[derive(Debug, Clone)]
pub(crate) struct Steps {
    pub data: Dataset,
    /// How the batches become updates.
    pub accumulation: Accumulation,
    /// How many batches, and how many updates they make.
    pub steps: usize,
    pub updates: usize,
    /// The numbers of the first update and of the first batch.
    pub update: u64,
    pub batch: u64,
    /// What the run has made of the schedule of the optimizer.
    pub rate: Rate,
    /// Where the first batch stands in the order of the rows; none for a batch by hand.
    pub order: Option<Order>,
}

/// Batches of one submit.
#[derive(Debug)]
pub(crate) struct Queued {
    pub ticket: Ticket,
    /// How batches become updates, the first of them in its epoch, and how many there are.
    pub accumulation: Accumulation,
    pub first: usize,
    pub batches: usize,
    /// The loop that will see them, as long as it lives.
    pub owner: Weak<()>,
}

/// A copy on its way to the host, one buffer after another.
#[derive(Debug)]
pub(crate) struct Copying {
    /// Buffers with their words that were not asked for yet, and the one that was.
    pub left: Vec<(BufferId, usize)>,
    pub read: Option<(BufferId, PendingRead)>,
    pub arenas: Arenas,
    pub began: Option<f64>,
}

impl Queued {
    /// Updates that end with its batches.
    pub fn updates(&self) -> usize {
        self.accumulation.ended(self.first, self.batches)
    }
}

impl Recovery {
    /// That of a new model, whose buffers are all zeros. `losable`: whether its device can be lost.
    pub fn new(losable: bool) -> Self {
        Recovery { kept: losable.then(Arenas::new), ..Default::default() }
    }

    /// Notes words that were written to a buffer of `size` words. `false` where the journal cannot hold them, because an arena was written after
    /// steps: then a new copy is due.
    pub fn written(&mut self, buffer: BufferId, offset: usize, words: &[u32], size: usize) -> bool {
        self.copying = None;
        let Some(kept) = &mut self.kept else { return true };
        if !self.journal.is_empty() {
            let is_state = matches!(buffer, BufferId::State(_));
            if is_state {
                self.journal.push(Event::State(words.to_vec()));
            }
            return is_state;
        }
        let target = kept.entry(buffer).or_insert_with(|| vec![0; size]);
        if let Some(t) = target.get_mut(offset..offset + words.len()) {
            t.copy_from_slice(words);
        }
        true
    }

    /// Notes steps whose log lines were seen.
    pub fn trained(&mut self, s: Steps) {
        self.copying = None;
        if self.kept.is_none() || s.steps == 0 {
            return;
        }
        if let Some(Event::Steps(last)) = self.journal.last_mut()
            && (last.accumulation, last.rate, last.update + last.updates as u64) == (s.accumulation, s.rate, s.update)
            && last.data == s.data
            && last.order.is_some() == s.order.is_some()
        {
            last.steps += s.steps;
            last.updates += s.updates;
            return;
        }
        self.journal.push(Event::Steps(Box::new(s)));
    }
}
