//! What lies on the device: the buffers behind a session, where parameters lie in them, data sets, programs that are ready to run.

use super::device_data::DeviceData;
use super::half_copy::half_copy_of;
use super::pace::Pace;
use super::programs::ReadyPrograms;
use crate::device::Device;
use crate::error::Result;
use crate::optim::Rule;
use crate::plan::{Arena, ArenaEntry, BufferId, Layout, Part, Program, Purpose, Request, Session, Step, plan};
use crate::tensor::pack_f16;

/// All that a model has on its device, and what is needed to plan and run programs there.
pub(crate) struct Engine {
    pub device: Device,
    pub session: Box<dyn Session>,
    /// Where each parameter lies.
    pub arena: Arena,
    /// The optimizer, with clipping, loss scaling and the average of the weights.
    pub rule: Rule,
    pub data: DeviceData,
    pub ready: ReadyPrograms,
    /// Whether a training step has run, so that the gradient arena holds gradients.
    pub has_gradients: bool,
    /// How many batches of an evaluation go into one submit. It is kept from one evaluation to the next.
    pub eval_pace: Pace,
}

impl Engine {
    /// Opens a session on the device and takes the memory of the arenas there. They hold zeros.
    pub fn open(device: Device, arena: Arena, rule: Rule) -> Result<Self> {
        let session = device.session(Layout::under(&arena, &rule)).map_err(|e| e.with_biggest(|| arena.largest(5)))?;
        let data = DeviceData::new(session.data_limit());
        let (ready, eval_pace) = (ReadyPrograms::default(), Pace::default());
        Ok(Engine { device, session, arena, rule, data, ready, has_gradients: false, eval_pace })
    }

    /// Plans a step for these arenas and this device. No other place of the library calls the planner.
    pub fn plan(&self, step: &Step, purpose: Purpose, part: Part, batch: usize) -> Result<Program> {
        plan(&Request {
            step,
            purpose,
            part,
            batch,
            arena: &self.arena,
            rule: &self.rule,
            target: self.device.target(),
            caps: self.device.caps(step),
        })
    }

    /// Writes words to a buffer. Where they are parameters their f16 copies are written, too. `offset` is the start of a tensor.
    pub fn write_with_half_copy(&mut self, buffer: BufferId, offset: usize, words: &[u32]) -> Result<()> {
        self.session.write(buffer, offset, words)?;
        match half_copy_of(&self.arena, buffer) {
            Some(first) => self.session.write(BufferId::HalfCopy, (first + offset) / 2, &pack_f16(words)),
            None => Ok(()),
        }
    }

    /// Whether an f16 copy is kept of some of these words.
    pub fn has_half_copy(&self, buffer: BufferId) -> bool {
        half_copy_of(&self.arena, buffer).is_some()
    }

    /// The buffers that outlive a step, each with its number of words.
    pub fn lasting(&self) -> Vec<(BufferId, usize)> {
        Layout::under(&self.arena, &self.rule).lasting().iter().map(|b| (b.id, b.words)).collect()
    }

    /// The arena that holds the average of the weights, if one is kept.
    pub fn average(&self) -> Option<BufferId> {
        self.rule.average.then(|| BufferId::Moment(self.rule.own_moments()))
    }

    /// Each parameter that trains with its part of `words`, which are those of an arena laid out like the trainable parameters.
    pub fn trained_in<'a>(&'a self, words: &'a [u32]) -> impl Iterator<Item = (&'a str, &'a [u32])> {
        let of = |e: &'a ArenaEntry| Some((e.name.as_str(), words.get(e.offset..e.offset + e.shape.size())?));
        self.arena.entries.iter().filter(|e| !e.frozen).filter_map(of)
    }
}
