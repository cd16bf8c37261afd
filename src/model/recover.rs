//! What outlives a lost device: a copy of the model on the host, and a journal of what was done since. A new device gets the copy and does
//! the journal's steps again; the same steps on the same bits give the same bits.

use crate::data::Dataset;
use crate::error::{Error, Faults, Result};
use crate::kernels::words::{RATE_ROWS, RATE_WIDTH};
use crate::model::accumulation::{Accumulation, Order};
use crate::model::core::Core;
use crate::model::feed::Feed;
use crate::model::pace::{self, Pace};
use crate::model::rate::Rate;
use crate::model::shared::Model;
use crate::optim::is_rate;
use crate::plan::{BufferId, Clock, DataId, Handle, Lane, Layout, LogLine, Program, Purpose, Session, Timing};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Seconds between two copies of the model, where nobody says.
pub(crate) const SNAPSHOT_EVERY: f64 = 10.0;
/// Losses that one piece of work survives without getting on.
pub(crate) const LOSSES: usize = 3;
/// What is waited before each try to open the device again: a driver's reset takes a while.
const PAUSES: [Duration; 4] = [Duration::ZERO, Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];
/// Bytes of batches by hand that are kept to be trained on again.
const BY_HAND: u64 = 64 << 20;
/// A copy may take this part of the time.
const SHARE: u32 = 50;

/// What a model remembers, so that it can be made again.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// None where nothing can be lost, or nothing is to be kept.
    kept: Option<Kept>,
    /// What was done since, in order.
    journal: Vec<Event>,
    /// Bytes of batches by hand among it.
    by_hand: u64,
    taken: Option<Instant>,
    cost: Duration,
    /// Copies made.
    pub copies: usize,
    /// Times that the model was made again: handles of an earlier time are void.
    pub rebuilt: usize,
}

/// The arenas and the state of training. What is not there is zeros.
type Kept = BTreeMap<BufferId, Vec<u32>>;

#[derive(Debug)]
enum Event {
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
        Recovery { kept: losable.then(Kept::new), ..Default::default() }
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

impl Model {
    /// How often the device was lost and the model made again on a new one.
    pub fn recoveries(&self) -> usize {
        self.lock().recoveries()
    }

    /// Copies of the model that were read back, to train on from when the device is lost.
    #[doc(hidden)]
    pub fn snapshots(&self) -> usize {
        self.lock().snapshots()
    }
}

impl Core {
    pub(crate) fn recoveries(&self) -> usize {
        self.recovery.rebuilt
    }

    pub(crate) fn snapshots(&self) -> usize {
        self.recovery.copies
    }

    /// Whether it is time for a copy: `every` so many seconds, and not before the last one has paid off.
    pub(crate) fn copy_due(&self, every: f64) -> bool {
        let Recovery { kept, taken, cost, .. } = &self.recovery;
        let due = |t: &Instant| t.elapsed() >= Duration::try_from_secs_f64(every).unwrap_or(Duration::MAX).max(*cost * SHARE);
        kept.is_some() && taken.as_ref().is_none_or(due)
    }

    /// From now on: copies are kept, if the device can be lost; or none, and a loss is the end.
    pub(crate) fn keep_copies(&mut self, keep: bool) -> Result<()> {
        let keep = keep && self.device.kind() != "cpu";
        if !keep {
            (self.recovery.kept, self.recovery.journal) = (None, Vec::new());
        } else if self.recovery.kept.is_none() {
            self.copy()?;
        }
        self.recovery.taken.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Reads a copy of the model back. Nothing may be under way.
    pub(crate) fn copy(&mut self) -> Result<()> {
        let began = Instant::now();
        let mut kept = Kept::new();
        for (id, len) in self.lasting() {
            kept.insert(id, self.session.read(id, 0, len)?);
        }
        let r = &mut self.recovery;
        r.kept = Some(kept);
        r.journal.clear();
        r.by_hand = 0;
        r.copies += 1;
        (r.taken, r.cost) = (Some(Instant::now()), began.elapsed());
        tracing::debug!(seconds = r.cost.as_secs_f64(), "read a copy of the model back");
        Ok(())
    }

    /// Notes the next update's batch, which nobody else has; and makes a copy where many were noted.
    pub(crate) fn remember_by_hand(&mut self, data: Dataset, applied: bool) -> Result<()> {
        let r = &mut self.recovery;
        if r.kept.is_none() {
            return Ok(());
        }
        r.taken.get_or_insert_with(Instant::now);
        let rows = data.len();
        r.by_hand += rows as u64 * (0..data.fields().len()).map(|i| 4 * data.row_words(i) as u64).sum::<u64>();
        let (accumulation, rate) = (Accumulation::single(rows), Rate::default());
        let updates = usize::from(applied);
        r.trained(Steps { data, accumulation, steps: 1, updates, update: self.updates, batch: self.batches, rate, order: None });
        if r.by_hand > BY_HAND || self.copy_due(SNAPSHOT_EVERY) {
            return self.healed(Self::copy);
        }
        Ok(())
    }

    /// Does work that can be done again from its start. When the device is lost under it, the model is made again and the work with it.
    pub(crate) fn healed<T>(&mut self, mut work: impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        let mut left = LOSSES;
        loop {
            match work(self) {
                Err(lost @ Error::DeviceLost { .. }) if left > 0 => self.recover(lost)?,
                other => return other,
            }
            left -= 1;
        }
    }

    /// Work that leaves the model as it was, and none of it in the journal.
    pub(crate) fn unrecorded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let memory = (self.recovery.kept.take(), std::mem::take(&mut self.recovery.journal));
        let out = work(self);
        (self.recovery.kept, self.recovery.journal) = memory;
        out
    }

    /// Words of a buffer.
    pub(crate) fn read_words(&mut self, buffer: BufferId, offset: usize, len: usize) -> Result<Vec<u32>> {
        self.healed(|m| m.session.read(buffer, offset, len))
    }

    /// Writes words of an arena or of the state of training, here and in what is remembered.
    pub(crate) fn write_words(&mut self, buffer: BufferId, offset: usize, words: &[u32]) -> Result<()> {
        self.healed(|m| m.write_both(buffer, offset, words))?;
        let sizes = self.lasting();
        let r = &mut self.recovery;
        let Some(kept) = &mut r.kept else { return Ok(()) };
        if !r.journal.is_empty() {
            match buffer {
                BufferId::State(_) => r.journal.push(Event::State(words.to_vec())),
                _ => return self.healed(Self::copy_or_again(buffer, offset, words)),
            }
            return Ok(());
        }
        let size = sizes.iter().find(|(id, _)| *id == buffer).map_or(0, |(_, len)| *len);
        let target = kept.entry(buffer).or_insert_with(|| vec![0; size]);
        if let Some(t) = target.get_mut(offset..offset + words.len()) {
            t.copy_from_slice(words);
        }
        Ok(())
    }

    /// What outlives a step, with its words.
    pub(crate) fn lasting(&self) -> Vec<(BufferId, usize)> {
        Layout::under(&self.arena, &self.rule).lasting().iter().map(|b| (b.id, b.words)).collect()
    }

    /// A copy after a write: a loss in between has taken the write with it.
    fn copy_or_again(buffer: BufferId, offset: usize, words: &[u32]) -> impl FnMut(&mut Self) -> Result<()> {
        move |m| {
            m.write_both(buffer, offset, words)?;
            m.copy()
        }
    }

    /// Makes the model again on a new device of the same adapter: its arenas, its state, and the steps since the last copy. Programs, data
    /// sets and pipelines follow when they are used. Gives `lost` back where there is no copy or no device.
    pub(crate) fn recover(&mut self, lost: Error) -> Result<()> {
        let (Error::DeviceLost { device, reason }, true) = (&lost, self.recovery.kept.is_some()) else { return Err(lost) };
        crate::terminal::warn!(device, reason, "the device was lost; the model is made again");
        let mut last = None;
        for pause in PAUSES {
            std::thread::sleep(pause);
            // what is left of the old device goes before the new one comes
            self.session = Box::new(Gone { device: device.clone(), reason: reason.clone() });
            match self.rebuild() {
                Ok(steps) => {
                    crate::terminal::warn!(steps, "the model is on the device again");
                    return Ok(());
                }
                Err(e) => {
                    crate::terminal::warn!("no luck: {e}");
                    last = Some(e);
                }
            }
        }
        self.session = Box::new(Gone { device: device.clone(), reason: reason.clone() });
        let why = last.map(|e| e.to_string().lines().next().unwrap_or_default().to_string()).unwrap_or_default();
        Err(Error::DeviceLost { device: device.clone(), reason: format!("{reason}; and it did not come back: {why}") })
    }

    /// Gives the number of steps that were done again.
    fn rebuild(&mut self) -> Result<usize> {
        self.forget_device();
        self.recovery.rebuilt += 1;
        self.device = self.device.reopened()?;
        self.session = self.device.session(Layout::under(&self.arena, &self.rule))?;
        self.write_rate_table()?;
        // out of the way: a write may not lose it
        let kept = self.recovery.kept.take();
        let written = kept.iter().flatten().try_for_each(|(id, words)| self.write_both(*id, 0, words));
        self.recovery.kept = kept;
        written?;
        let journal = std::mem::take(&mut self.recovery.journal);
        let done = journal.iter().map(|e| self.again(e)).sum::<Result<usize>>();
        self.recovery.journal = journal;
        self.has_gradients &= matches!(done, Ok(1..)); // no copy holds them
        done
    }

    fn again(&mut self, event: &Event) -> Result<usize> {
        let s = match event {
            Event::State(words) => return self.session.write(BufferId::State(Lane::Train), 0, words).map(|()| 0),
            Event::Steps(s) => s,
        };
        let w = s.accumulation;
        let (handles, mut feed, mut at) = match s.order {
            None => (vec![(w.program(0), self.by_hand(&s.data, Purpose::Train)?)], None, 0),
            Some(order) => {
                // before the feed, which takes the rows' buffers for its own
                let handles = self.loop_handles(&s.data, &w)?;
                let (part, rows) = w.program(0);
                let program = self.program_part(&s.data, Purpose::Train, part, rows)?;
                let feed = Feed::start(self, &s.data, &program, rows, Order { epochs: usize::MAX, ..order })?;
                (handles, Some(feed), order.row / w.batch)
            }
        };
        let (mut done, mut update, mut pace) = (0, s.update, Pace::default());
        while done < s.steps {
            at = if at >= w.batches() { 0 } else { at };
            let mut now = (s.steps - done).min(pace.steps()).min(pace::STEPS).min(w.batches() - at);
            if let Some(feed) = &mut feed {
                now = feed.ready(self, 0, now)?;
                feed.used(now);
            }
            let runs = w.runs_of(&handles, at, now);
            self.upload_rates(update, w.touched(at, now), s.rate)?;
            let queued = Pace::now();
            self.session.submit_runs(&runs, (s.batch + done as u64) as u32)?;
            pace.queued(now, queued);
            let lines = self.session.poll(Lane::Train, true)?.unwrap_or_default();
            pace.ended();
            if lines.len() != now || lines.iter().any(|l| l.halted) {
                return Err(Error::DeviceFault {
                    what: "steps that it had done before".into(),
                    problem: format!("{} of {now} went well", lines.iter().filter(|l| !l.halted).count()),
                    device: self.device.name(),
                });
            }
            update += (w.ended(at, now) - lines.iter().filter(|l| l.skipped).count()) as u64;
            (done, at) = (done + now, at + now);
        }
        Ok(done)
    }

    /// The rates of so many updates from this one on, to their rows of the ring. Where updates that are under way are skipped the device is
    /// behind: its rows were written before, with the same rates.
    ///
    /// Gives how many there are before one that is no rate (a schedule may be a closure); fails where that is the first.
    pub(crate) fn upload_rates(&mut self, first: u64, steps: usize, rate: Rate) -> Result<usize> {
        let width = self.rule.groups * RATE_WIDTH;
        let mut words = Vec::with_capacity(steps * width);
        for u in first..first + steps as u64 {
            let (lr, at) = (rate.at(self.settings.optimizer.schedule(), u), words.len());
            words.extend(self.rate_words(u, lr));
            if !is_rate(lr) || words[at..].iter().any(|w| !f32::from_bits(*w).is_finite()) {
                words.truncate(at);
                if at == 0 {
                    return Err(bad_rate(u, lr));
                }
                break;
            }
        }
        let steps = words.len() / width;
        // the device indexes by a 32-bit counter
        let row = first as u32 as usize % RATE_ROWS;
        let head = steps.min(RATE_ROWS - row) * width;
        self.session.write(BufferId::Rates, row * width, &words[..head])?;
        if head < words.len() {
            self.session.write(BufferId::Rates, 0, &words[head..])?;
        }
        Ok(steps)
    }
}

/// The error of an update that has no rate; those before it were applied.
fn bad_rate(update: u64, lr: f64) -> Error {
    let mut f = Faults::default();
    let (what, help) = if is_rate(lr) {
        ("with the decay or the multiplier of a group it is beyond f32", "lower the rate, the weight decay or the multiplier")
    } else {
        ("that is no rate", "a schedule must give a number that f32 holds, 0 or above, for every update")
    };
    f.check(false, "optimizer.lr", format!("{lr} for update {update} (the first is 0): {what}"), help);
    f.finish().err().unwrap_or(Error::InvalidConfig { faults: vec![] })
}

/// In place of a session whose device is gone.
struct Gone {
    device: String,
    reason: String,
}

impl Gone {
    fn lost<T>(&self) -> Result<T> {
        Err(Error::DeviceLost { device: self.device.clone(), reason: self.reason.clone() })
    }
}

impl Session for Gone {
    fn new_data(&mut self, _: usize) -> Result<DataId> {
        self.lost()
    }
    fn write_data(&mut self, _: DataId, _: usize, _: &[u32]) -> Result<()> {
        self.lost()
    }
    fn drop_data(&mut self, _: DataId) {}
    fn prepare(&mut self, _: &Arc<Program>, _: &[DataId]) -> Result<Handle> {
        self.lost()
    }
    fn write(&mut self, _: BufferId, _: usize, _: &[u32]) -> Result<()> {
        self.lost()
    }
    fn read(&mut self, _: BufferId, _: usize, _: usize) -> Result<Vec<u32>> {
        self.lost()
    }
    fn submit_runs(&mut self, _: &[(Handle, usize)], _: u32) -> Result<()> {
        self.lost()
    }
    fn poll(&mut self, _: Lane, _: bool) -> Result<Option<Vec<LogLine>>> {
        self.lost()
    }
    fn profile(&mut self, _: Handle, _: Option<Clock>) -> Result<Timing> {
        self.lost()
    }
    fn in_flight(&self) -> usize {
        0
    }
    fn bytes(&self) -> u64 {
        0
    }
}
