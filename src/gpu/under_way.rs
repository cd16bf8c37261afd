//! What a session has queued and nobody has taken yet: the log lines of submits, and reads of buffers.

use super::device::Gpu;
use super::readback::{Mapped, Staging, map};
use super::sync::lock;
use crate::error::{Error, Result};
use crate::kernels::LogShape;
use crate::plan::{LogLine, PendingRead, StateSet};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

/// What lies in a staging buffer once the device has come to it.
pub(super) enum Content {
    /// The log lines of so many steps.
    Log { set: StateSet, first_batch: u32, steps: usize, shape: LogShape },
    /// Words of a buffer.
    Read(PendingRead, usize),
    /// Words of a further buffer, behind those of the same read.
    More(usize),
}

impl Content {
    fn words(&self) -> usize {
        match self {
            Content::Log { steps, shape, .. } => steps * shape.width,
            Content::Read(_, words) | Content::More(words) => *words,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Content::Log { .. } => "the log",
            Content::Read(..) | Content::More(_) => "reading back",
        }
    }

    fn moves(&self, set: StateSet) -> bool {
        matches!(self, Content::Log { set: own, .. } if *own == set)
    }
}

/// A copy to a staging buffer.
struct Entry {
    number: u64,
    content: Content,
    staging: wgpu::Buffer,
    index: wgpu::SubmissionIndex,
    mapped: Mapped,
}

/// All of them, in the order in which they were queued.
#[derive(Default)]
pub(super) struct UnderWay {
    queue: VecDeque<Entry>,
    /// Those that nobody wants and the device has not come to: a buffer may not be used again before its mapping has ended.
    unwanted: Vec<Entry>,
}

impl UnderWay {
    /// The number of the next one, of all sessions.
    pub fn next() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes a copy to this staging buffer that was queued with this submit. Several of one number are the parts of one read, in order.
    pub fn push(&mut self, number: u64, content: Content, staging: wgpu::Buffer, index: wgpu::SubmissionIndex) {
        let mapped = map(&staging);
        self.queue.push_back(Entry { number, content, staging, index, mapped });
    }

    /// Takes the words of one, if they are there: of a read from several buffers those of all. Fails where there is none of this number.
    pub fn take(&mut self, gpu: &Gpu, idle: &mut Staging, number: u64) -> Result<Option<(Content, Vec<u32>)>> {
        let lost = |reason: &str| Error::DeviceLost { device: gpu.summary.name.clone(), reason: reason.into() };
        if self.queue.iter().filter(|e| e.number == number).any(|e| lock(&e.mapped).is_none()) {
            return Ok(None);
        }
        let mut all: Option<(Content, Vec<u32>)> = None;
        while let Some(at) = self.queue.iter().position(|e| e.number == number) {
            let Some(Entry { content, staging, mapped, .. }) = self.queue.remove(at) else { break };
            if *lock(&mapped) != Some(true) {
                gpu.check(content.name())?;
                return Err(lost(&format!("{} could not be read back", content.name())));
            }
            let words = gpu.mapped_words(content.name(), &staging, content.words());
            if words.is_err() {
                gpu.look()?; // a buffer of a device that was lost meanwhile: that is what to tell
            }
            let words = words?;
            idle.give_back(staging);
            match &mut all {
                Some((_, before)) => before.extend(words),
                None => all = Some((content, words)),
            }
        }
        all.map(Some).ok_or_else(|| lost("what was asked for was queued before it was lost, or was handed out"))
    }

    /// The oldest log of this set.
    pub fn oldest(&self, set: StateSet) -> Option<u64> {
        self.queue.iter().find(|e| e.content.moves(set)).map(|e| e.number)
    }

    /// How many logs there are.
    pub fn logs(&self) -> usize {
        self.queue.iter().filter(|e| matches!(e.content, Content::Log { .. })).count()
    }

    /// Drops the logs of a set.
    pub fn forget(&mut self, idle: &mut Staging, set: StateSet) {
        self.drop_those(idle, |e| e.content.moves(set));
    }

    /// Drops the reads that nobody can take any more, and takes back the buffers of what was dropped before.
    pub fn sweep(&mut self, idle: &mut Staging) {
        let forgotten = |e: &&Entry| matches!(&e.content, Content::Read(read, _) if read.is_forgotten());
        let numbers: Vec<u64> = self.queue.iter().filter(forgotten).map(|e| e.number).collect();
        self.drop_those(idle, |e| numbers.contains(&e.number));
    }

    fn drop_those(&mut self, idle: &mut Staging, which: impl Fn(&Entry) -> bool) {
        for e in std::mem::take(&mut self.queue) {
            if which(&e) { self.unwanted.push(e) } else { self.queue.push_back(e) }
        }
        for e in std::mem::take(&mut self.unwanted) {
            let mapped = *lock(&e.mapped);
            match mapped {
                Some(true) => idle.give_back(e.staging),
                Some(false) => {}
                None => self.unwanted.push(e),
            }
        }
    }

    /// The oldest that has not ended.
    fn open(&self) -> Option<&Entry> {
        self.queue.iter().find(|e| lock(&e.mapped).is_none())
    }

    /// Waits for the oldest that has not ended.
    pub fn wait(&self, gpu: &Gpu) -> Result<()> {
        self.open().map_or(Ok(()), |e| gpu.wait_mapped(&e.index, &e.mapped))
    }

    /// Wakes when the oldest that has not ended has; at once where there is none.
    pub fn wake(&self, gpu: &Gpu, waker: &Waker) {
        self.open().map_or_else(|| waker.wake_by_ref(), |e| gpu.alarm.set(e.number, &e.index, waker));
    }

    /// The staging buffers.
    pub fn staging(&self) -> impl Iterator<Item = &wgpu::Buffer> {
        self.queue.iter().chain(&self.unwanted).map(|e| &e.staging)
    }
}

/// The lines of a log's words that belong to these steps. A line that a halt swallowed has another batch's number.
pub(super) fn lines(first_batch: u32, shape: LogShape, words: &[u32]) -> Vec<LogLine> {
    let lines = words.chunks(shape.width).map(|w| LogLine::from_words(w, shape.columns)).enumerate();
    lines.filter(|(i, l)| l.batch == first_batch.wrapping_add(*i as u32)).map(|(_, l)| l).collect()
}
