//! The steps of a worker: batches anywhere in the order of its rows, of which the gradients are left for the server, or which are whole updates.

use super::message::{Push, ScaleWords};
use super::share::Place;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::model::accumulation::{Accumulation, Order};
use crate::model::core::Core;
use crate::model::feed::RowFeed;
use crate::model::pace::Pace;
use crate::model::rate::Rate;
use crate::model::signature::Measure;
use crate::plan::{Blocking, BufferId, Handle, LogLine, Part, Purpose, Submit};
use crate::train::{Mean, weighed_loss};

/// The programs and rows of a worker.
pub(crate) struct Stepper<'m> {
    pub core: &'m mut Core,
    cut: Accumulation,
    part: Part,
    handles: Vec<((Part, usize), Handle)>,
    feed: RowFeed,
    /// Whether log lines end with what the loss is a mean over.
    weighed: bool,
    most_steps: usize,
    work: u64,
    pub measures: Vec<Measure>,
}

/// Batches of one clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub at: Place,
    pub batches: usize,
}

impl<'m> Stepper<'m> {
    /// Makes the programs ready. `part`: [`Part::Leave`] or [`Part::Whole`]. `in_order`: batches are wanted one after another, from this one on.
    pub fn new(
        core: &'m mut Core,
        data: &Dataset,
        cut: Accumulation,
        part: Part,
        shuffle: bool,
        from: Place,
        in_order: bool,
    ) -> Result<Self> {
        let rows = |batch: usize| (part, cut.rows_of(batch));
        let (first, last) = (rows(0), rows(cut.batches() - 1));
        let mut handles = vec![(first, core.handle_part(data, first)?)];
        if last != first {
            handles.push((last, core.handle_part(data, last)?));
        }
        let program = core.program_part(data, Purpose::Train, part, first.1)?;
        core.progress.epochs = from.epoch;
        let order = Order { shuffle, epoch: from.epoch as u32, row: from.batch.unwrap_or(0) * cut.batch, epochs: usize::MAX };
        let feed = RowFeed::start(core, data, &program, cut.batch, order)?;
        if feed.streams() && !in_order {
            return Err(Error::Unsupported {
                what: "a worker's share of rows that are read from files".into(),
                at: format!("the data set `{}`", data.name()),
                help: "give it the memory that it needs (`Dataset::memory_budget`), or each worker rows of its own (`Worker::own_rows`)"
                    .into(),
            });
        }
        let (weighed, most_steps, work) = (program.weighed, program.log().most_steps(), program.work());
        let measures = core.measures();
        Ok(Stepper { core, cut, part, handles, feed, weighed, most_steps, work, measures })
    }

    /// Runs the batches of a clock, and adds them to the means of their epoch. The push says what they came to.
    pub fn run(&mut self, run: Run, mean: &mut Mean) -> Result<Push> {
        let Some(first) = run.at.batch else { return Ok(nothing()) };
        let (mut done, mut rows, mut weights, mut sum, mut finite) = (0, 0, 0.0f64, 0.0f64, true);
        let (mut scale, mut counted) = (None, None);
        while done < run.batches && finite {
            let lines = self.submit(run.at, first + done, run.batches - done)?;
            for (i, line) in lines.iter().enumerate() {
                let n = self.cut.rows_of(first + done + i);
                let (weight, loss) = weighed_loss(line, n, self.weighed);
                (rows, weights, sum) = (rows + n as u64, weights + weight, sum + loss);
                finite &= !line.halted && (!line.skipped || self.part == Part::Whole);
                scale = line.scale;
                if line.loss.is_finite() {
                    mean.add(line, n, self.weighed, &self.measures);
                }
            }
            done += lines.len();
        }
        if self.weighed {
            counted = Some(weights as f32);
        }
        Ok(Push { clock: 0, update: 0, rows, counted, loss: if weights > 0.0 { (sum / weights) as f32 } else { 0.0 }, finite, scale })
    }

    /// Queues batches from this one of the epoch on, as many as go into one submit, and waits for them. A halt ends the lines.
    fn submit(&mut self, at: Place, batch: usize, most: usize) -> Result<Vec<LogLine>> {
        let m = &mut *self.core;
        let first = at.number + (batch - at.batch.unwrap_or(0)) as u64;
        (m.progress.batches, m.progress.epochs) = (first, at.epoch);
        if self.feed.streams() {
            // what the stream does not know of: counters, loss scale, halt
            m.set_train_state(0, self.cut.rows, false)?;
        }
        self.feed.forget_owner();
        // the smaller batch at the end goes alone
        let full = (self.cut.rows / self.cut.batch).saturating_sub(batch).max(1);
        let mut n = self.feed.ready(m, batch * self.cut.batch, most.min(self.most_steps).min(full))?;
        if self.part == Part::Whole {
            n = n.min(m.upload_rates(m.progress.updates, n, Rate::default())?);
        }
        let pieces = Pace::default().pieces(self.work);
        let program = (self.part, self.cut.rows_of(batch));
        let runs: Vec<_> = self.handles.iter().filter(|h| h.0 == program).map(|h| (h.1, n)).collect();
        let ticket = m.engine.session.submit(Submit { runs: &runs, first_batch: first as u32, pieces })?;
        self.feed.used(n);
        m.engine.has_gradients = true;
        let lines = m.engine.session.log(ticket)?;
        if lines.is_empty() {
            let problem = "it has left no line in the log".into();
            return Err(Error::DeviceFault { what: "a worker's step".into(), problem, device: m.engine.device.name() });
        }
        if self.part == Part::Whole {
            m.progress.updates += lines.iter().filter(|l| !l.halted).count() as u64;
            lines.iter().filter(|l| !l.halted).for_each(|l| m.progress.saw_update(l));
        }
        Ok(lines)
    }

    /// Shows the words of a buffer to `see`: where they lie if that can be, else a copy.
    pub fn with_words<T>(&mut self, buffers: [(BufferId, usize); 2], see: impl FnOnce(&[u32], &[u32]) -> T) -> Result<T> {
        let session = &mut self.core.engine.session;
        let [a, b] = buffers;
        if let (Some(a), Some(b)) = (lying(&**session, a), lying(&**session, b)) {
            return Ok(see(a, b));
        }
        let mut read = |(id, len): (BufferId, usize)| if len == 0 { Ok(vec![]) } else { session.read(id, 0, len) };
        Ok(see(&read(a)?, &read(b)?))
    }

    /// Takes the state that is not trained, and where the server decides it the loss scale.
    pub fn take(&mut self, buffers: Option<&[u32]>, scale: Option<ScaleWords>) -> Result<()> {
        let m = &mut *self.core;
        if let Some(buffers) = buffers.filter(|b| !b.is_empty()) {
            m.write_words(BufferId::Buffers, 0, buffers)?;
        }
        if let (Some(scaler), Some(to)) = (&mut m.progress.scaler, scale) {
            scaler.follow(to.scale, to.growth, to.skipped.into());
        }
        Ok(())
    }
}

/// The push of a worker that has no batch left in this epoch.
fn nothing() -> Push {
    Push { clock: 0, update: 0, rows: 0, counted: None, loss: 0.0, finite: true, scale: None }
}

fn lying(session: &dyn crate::plan::Session, (id, len): (BufferId, usize)) -> Option<&[u32]> {
    if len == 0 { Some(&[]) } else { session.words(id, len) }
}
