//! The face that training sees of a device.

use super::memory::BufferId;
use super::program::Program;
use super::purpose::StateSet;
use super::timing::{Clock, Timing};
use crate::error::Result;
use crate::kernels::words::{LOG_HALTED, LOG_SKIPPED};
use crate::kernels::{LOG_HEAD, scale_of_line};
use std::sync::Arc;

/// A program made ready on a device, over one data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle(pub usize);

/// A field of a data set on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DataId(pub usize);

/// What a step left in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// The batch's number since the state was set.
    pub batch: u32,
    /// The loss.
    pub loss: f32,
    /// The L2 norm of all gradients.
    pub grad_norm: f32,
    /// The loss was not finite: the step changed nothing.
    pub halted: bool,
    /// The gradients of a scaled loss were not finite: the update was skipped.
    pub skipped: bool,
    /// What the loss was multiplied by, if it was.
    pub scale: Option<f32>,
    /// The columns of all metrics, in the program's order.
    pub metrics: Box<[f32]>,
}

impl LogLine {
    /// From a line's words, with so many columns.
    pub fn from_words(w: &[u32], columns: usize) -> Self {
        let f = |i: usize| f32::from_bits(w[i]);
        let metrics = w[LOG_HEAD..][..columns].iter().map(|&w| f32::from_bits(w)).collect();
        let (halted, skipped) = (w[3] & LOG_HALTED != 0, w[3] & LOG_SKIPPED != 0);
        LogLine { batch: w[0], loss: f(1), grad_norm: f(2), halted, skipped, scale: scale_of_line(w[3]), metrics }
    }
}

/// What went between host and device since the session was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Submits of steps.
    pub submits: u64,
    /// Steps in them.
    pub steps: u64,
    /// Bytes written to buffers.
    pub written: u64,
    /// Reads of a buffer that wait for all that was queued. Log lines come on their own and are not among them.
    pub reads: u64,
}

/// A device that holds one model's buffers and runs its programs: the one face that training sees of `gpu/` and `cpu/`.
///
/// Work is queued by [`Session::submit`] and its log lines come back in order from [`Session::poll`]; reads and writes of buffers
/// wait their turn in the same queue.
pub trait Session: Send {
    /// Room for a field: this many words, all zero until they are written.
    fn new_data(&mut self, words: usize) -> Result<DataId>;

    /// Writes words of a field, in order with what is submitted: steps queued before read what was there.
    fn write_data(&mut self, id: DataId, offset: usize, words: &[u32]) -> Result<()>;

    /// Copies a field's words to the device.
    fn add_data(&mut self, words: &[u32]) -> Result<DataId> {
        let id = self.new_data(words.len())?;
        self.write_data(id, 0, words)?;
        Ok(id)
    }

    /// Most words that one field can have here.
    fn data_limit(&self) -> usize {
        usize::MAX
    }

    /// Frees a field.
    fn drop_data(&mut self, id: DataId);

    /// Makes a program ready to run over these fields: pipelines, slots, bind groups.
    fn prepare(&mut self, program: &Arc<Program>, data: &[DataId]) -> Result<Handle>;

    /// Frees what was made ready for a program; its handle may be given again. Nothing of it may be submitted after that.
    fn drop_program(&mut self, handle: Handle) {
        let _ = handle;
    }

    /// Writes words of a buffer (not of a slot).
    fn write(&mut self, buffer: BufferId, offset: usize, words: &[u32]) -> Result<()>;

    /// Reads words of a buffer, after all that was queued.
    fn read(&mut self, buffer: BufferId, offset: usize, len: usize) -> Result<Vec<u32>>;

    /// Queues `steps` steps; `first_batch` is the state's batch counter when the first of them starts.
    fn submit(&mut self, handle: Handle, steps: usize, first_batch: u32) -> Result<()> {
        self.submit_runs(&[(handle, steps)], first_batch)
    }

    /// Queues runs of steps, each of one program, one after another in one submit. All programs move one state.
    fn submit_runs(&mut self, runs: &[(Handle, usize)], first_batch: u32) -> Result<()>;

    /// The log of the oldest submit that was not yet handed out, if it has ended; `wait` waits for that. `None` if nothing is under way.
    /// Lines of steps that a halt swallowed are missing.
    fn poll(&mut self, set: StateSet, wait: bool) -> Result<Option<Vec<LogLine>>>;

    /// Runs one step with every launch timed, by this clock or by the best that the device has, and waits for it. The step leaves
    /// what a step leaves: parameters, state and log move; its log line is not handed out by [`Session::poll`].
    fn profile(&mut self, handle: Handle, clock: Option<Clock>) -> Result<Timing>;

    /// Submits that were not yet handed out.
    fn in_flight(&self) -> usize;

    /// Bytes of all buffers on the device.
    fn bytes(&self) -> u64;

    /// From now on each submit finds NaN where no step may read before it has written: in slots, partial sums and the log, in the gradients that
    /// an earlier step left, in sums of gradients between updates. Tests compare the bits.
    #[doc(hidden)]
    fn poison(&mut self) {}

    /// What went between host and device. Devices that are the host count nothing.
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}
