//! What a model remembers, so that it can be made again on another device: a copy of what lay on the device, and a journal of what was done since.

use super::accumulation::{Accumulation, Order};
use super::rate::Rate;
use crate::data::Dataset;
use crate::plan::BufferId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Seconds between two copies of the model, where nobody says.
pub(crate) const SNAPSHOT_EVERY: f64 = 10.0;

/// Words of the buffers that outlive a step.
pub(crate) type Arenas = BTreeMap<BufferId, Vec<u32>>;

/// Whether a buffer belongs to the model rather than to the optimizer: what `restore_best_weights` brings back.
pub(crate) fn is_weight(id: BufferId) -> bool {
    !matches!(id, BufferId::Moment(_) | BufferId::State(_))
}

/// What a model remembers, so that it can be made again.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// A copy of the arenas and of the state of training, where what is not there is zeros. None where nothing can be lost, or nothing is to be kept.
    pub kept: Option<Arenas>,
    /// What was done since, in order.
    pub journal: Vec<Event>,
    /// Bytes of batches by hand among it.
    pub by_hand: u64,
    pub taken: Option<Instant>,
    pub cost: Duration,
    /// Copies made.
    pub copies: usize,
    /// Times that the model was made again: handles of an earlier time are void.
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

/// Batches of one loop at one learning rate: whole updates.
#[derive(Debug, Clone)]
pub(crate) struct Steps {
    pub data: Dataset,
    /// How the batches become updates.
    pub accumulation: Accumulation,
    /// Batches, and the updates that they make.
    pub steps: usize,
    pub updates: usize,
    /// The number of the first of them, of updates and of batches.
    pub update: u64,
    pub batch: u64,
    /// What the run made of the schedule.
    pub rate: Rate,
    /// Where the first of them stands in the order; none for batches by hand.
    pub order: Option<Order>,
}

impl Recovery {
    /// Of a new model, all zeros; nothing is kept unless the device can be lost.
    pub fn new(losable: bool) -> Self {
        Recovery { kept: losable.then(Arenas::new), ..Default::default() }
    }

    /// Notes words that were written to a buffer of `size` words. `false` where only a new copy can hold them: an arena was written after steps.
    pub fn written(&mut self, buffer: BufferId, offset: usize, words: &[u32], size: usize) -> bool {
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

    /// Notes steps whose log was seen.
    pub fn trained(&mut self, s: Steps) {
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
