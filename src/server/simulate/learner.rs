//! One model that stands for all workers of a simulation: given parameters and a number, it makes the gradients of that batch.

use crate::data::Dataset;
use crate::error::Result;
use crate::exchange::{Place, Push, Run, ScaleWords, Stepper};
use crate::model::accumulation::Accumulation;
use crate::model::core::Core;
use crate::optim::schedule::RunLength;
use crate::plan::{BufferId, Part};
use crate::train::Mean;

/// Parameters as a worker was given them.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub update: u64,
    pub scale: Option<ScaleWords>,
    pub parameters: Vec<u32>,
    pub buffers: Vec<u32>,
}

/// What a worker that trains on its own keeps: its optimizer's moments, and the updates that it has made.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    moments: Vec<Vec<u32>>,
    updates: u64,
}

pub(super) struct Learner<'m> {
    steps: Stepper<'m>,
    cut: Accumulation,
    /// What a worker begins with.
    fresh: Own,
    size: usize,
    /// Words of state that is not trained.
    buffered: usize,
}

impl<'m> Learner<'m> {
    /// Over these rows. `local`: whole updates, of which each worker makes so many.
    pub fn new(core: &'m mut Core, data: &Dataset, batch: usize, shuffle: bool, local: Option<u64>) -> Result<Self> {
        let cut = Accumulation { rows: data.len() - data.len() % batch, batch, accumulate: 1 };
        let data = data.select(0..cut.rows)?;
        let (size, buffered, moments) = (core.engine.arena.size, core.engine.arena.buffered, core.engine.rule.moments);
        let part = if local.is_some() { Part::Whole } else { Part::Leave };
        if let Some(updates) = local {
            core.begin_schedule(RunLength { updates: Some(updates), per_epoch: cut.batches() as u64 })?;
        }
        let mut fresh = Own::default();
        for m in 0..if local.is_some() { moments } else { 0 } {
            fresh.moments.push(core.read_words(BufferId::Moment(m), 0, size)?);
        }
        let from = Place { epoch: 0, batch: Some(0), number: 0 };
        let steps = Stepper::new(core, &data, cut, part, shuffle, from, false)?;
        Ok(Learner { steps, cut, fresh, size, buffered })
    }

    /// Words that each worker keeps.
    pub fn own_words(&self) -> usize {
        self.fresh.moments.len() * self.size
    }

    /// The gradients of the batch of this number, for `see`. `buffers`: those of the worker whose running statistics count, which move on.
    pub fn gradients<T>(
        &mut self,
        given: &Given,
        number: u64,
        buffers: Option<&mut Vec<u32>>,
        see: impl FnOnce(&Push, &[u32]) -> Result<T>,
    ) -> Result<T> {
        self.steps.core.write_words(BufferId::Parameters, 0, &given.parameters)?;
        self.steps.take(buffers.as_ref().map(|b| &b[..]), given.scale)?;
        let push = self.steps.run(Run { at: self.place(number), batches: 1 }, &mut Mean::default())?;
        let words = [(BufferId::Gradients, self.size), (BufferId::Buffers, if buffers.is_some() { self.buffered } else { 0 })];
        self.steps.with_words(words, |values, moved| {
            if let Some(buffers) = buffers.filter(|_| push.finite) {
                buffers.copy_from_slice(moved);
            }
            see(&push, values)
        })?
    }

    /// Where the parameters come to in so many batches of a worker that trains on its own.
    pub fn updates(
        &mut self,
        given: &Given,
        own: &mut Option<Own>,
        numbers: std::ops::Range<u64>,
        see: impl FnOnce(&Push, &[u32], &[u32]),
    ) -> Result<()> {
        let own = own.get_or_insert_with(|| self.fresh.clone());
        self.steps.core.write_words(BufferId::Parameters, 0, &given.parameters)?;
        self.steps.take(Some(&given.buffers), None)?;
        for (m, words) in own.moments.iter().enumerate() {
            self.steps.core.write_words(BufferId::Moment(m), 0, words)?;
        }
        self.steps.core.progress.updates = own.updates;
        let (mut rows, mut sum, mut finite, mut last) = (0, 0.0, true, None);
        for number in numbers {
            let push = self.steps.run(Run { at: self.place(number), batches: 1 }, &mut Mean::default())?;
            (rows, sum, finite) = (rows + push.rows, sum + f64::from(push.loss) * push.rows as f64, finite && push.finite);
            last = Some(push);
        }
        own.updates = self.steps.core.progress.updates;
        for (m, words) in own.moments.iter_mut().enumerate() {
            *words = self.steps.core.read_words(BufferId::Moment(m), 0, self.size)?;
        }
        let Some(last) = last else { return Ok(()) };
        let push = Push { rows, counted: None, loss: (sum / rows.max(1) as f64) as f32, finite, ..last };
        self.steps.with_words([(BufferId::Parameters, self.size), (BufferId::Buffers, self.buffered)], |values, buffers| {
            see(&push, values, buffers)
        })
    }

    /// The batch of a number in the endless order of the rows.
    fn place(&self, number: u64) -> Place {
        let all = self.cut.batches() as u64;
        Place { epoch: number / all, batch: Some((number % all) as usize), number }
    }
}
