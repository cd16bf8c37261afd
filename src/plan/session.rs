//! The face that training sees of a device.

use super::memory::BufferId;
use super::program::Program;
use super::purpose::StateSet;
use super::timing::{Clock, Timing};
use crate::error::Result;
use crate::kernels::words::{LOG_HALTED, LOG_SKIPPED};
use crate::kernels::{LOG_HEAD, scale_of_line};
use std::sync::Arc;
use std::task::Waker;

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
    /// The loss; 0 of an update alone.
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
    /// Submits of steps; one that is cut in pieces counts as so many.
    pub submits: u64,
    /// Steps in them.
    pub steps: u64,
    /// Bytes written to buffers.
    pub written: u64,
    /// Reads of a buffer that wait for all that was queued. Log lines come on their own and are not among them.
    pub reads: u64,
}

/// Steps that were queued together: what [`Session::take_log`] gives their log lines for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// A read that was queued. Once all clones of it are gone the session forgets it.
#[derive(Debug, Clone)]
pub struct PendingRead {
    number: u64,
    held: Arc<()>,
}

impl PendingRead {
    /// The read of this number.
    pub fn new(number: u64) -> Self {
        PendingRead { number, held: Arc::default() }
    }

    /// Tells the reads of a session apart.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether nobody but the session has it any more.
    pub fn is_forgotten(&self) -> bool {
        Arc::strong_count(&self.held) == 1
    }
}

/// What is queued in one submit: runs of steps, each of one program, one after another. All programs move one state.
#[derive(Debug, Clone, Copy)]
pub struct Submit<'a> {
    /// The programs with their numbers of steps.
    pub runs: &'a [(Handle, usize)],
    /// The state's batch counter when the first step starts.
    pub first_batch: u32,
    /// Into how many pieces each step is cut, at launches: drivers take a piece of work that lasts seconds for a hang. No bit depends on it.
    pub pieces: usize,
}

/// A device that holds one model's buffers and runs its programs: the one face that training sees of `gpu/` and `cpu/`.
///
/// **It never waits**, but in [`Session::wait`] and [`Session::profile`]. Work is queued by [`Session::submit`] and by
/// [`Session::start_read`], and runs in that order; writes of buffers wait their turn in the same queue. What it has come to is asked for by
/// [`Session::take_log`] and [`Session::take_read`], which say `None` until it is there. [`Blocking`](super::Blocking) waits for both.
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

    /// Queues a read of words of a buffer, after all that was queued before.
    fn start_read(&mut self, buffer: BufferId, offset: usize, len: usize) -> Result<PendingRead>;

    /// The words of a read, once they are there. They are handed out once.
    fn take_read(&mut self, read: &PendingRead) -> Result<Option<Vec<u32>>>;

    /// As [`Session::words`], to be changed.
    fn words_mut(&mut self, buffer: BufferId, len: usize) -> Option<&mut [u32]> {
        let _ = (buffer, len);
        None
    }

    /// Takes these words as the whole of a buffer, and gives what was there, if that is the host's memory: nothing is copied. `false` where it is not,
    /// or where the buffer has another length: then nothing was done.
    fn swap(&mut self, buffer: BufferId, words: &mut Vec<u32>) -> bool {
        let _ = (buffer, words);
        false
    }

    /// The first words of a buffer where they lie, if that is the host's memory, in one piece. Nothing may be under way.
    fn words(&self, buffer: BufferId, len: usize) -> Option<&[u32]> {
        let _ = (buffer, len);
        None
    }

    /// Queues steps.
    fn submit(&mut self, submit: Submit<'_>) -> Result<Ticket>;

    /// The log lines of a submit once it has ended, handed out once. Lines of steps that a halt swallowed are missing.
    fn take_log(&mut self, ticket: Ticket) -> Result<Option<Vec<LogLine>>>;

    /// The oldest submit of steps that move this state whose lines were not handed out.
    fn oldest(&self, set: StateSet) -> Option<Ticket>;

    /// Drops the log lines of all submits that move this state and were not handed out. The steps run all the same.
    fn forget(&mut self, set: StateSet);

    /// Lets the device tell what it has done. Never waits.
    fn progress(&mut self) -> Result<()>;

    /// Waits until the oldest submit or read that is still under way has ended; returns at once where there is none. A browser cannot wait: there
    /// this is an `Err`.
    fn wait(&mut self) -> Result<()>;

    /// Wakes a future when more of what is under way has ended, or before: then it asks again.
    fn wake(&mut self, waker: &Waker) {
        waker.wake_by_ref();
    }

    /// Runs one step with every launch timed, by this clock or by the best that the device has, and waits for it. The step leaves
    /// what a step leaves: parameters, state and log move; its log line is not handed out.
    fn profile(&mut self, handle: Handle, clock: Option<Clock>) -> Result<Timing>;

    /// Submits whose lines were not yet handed out.
    fn in_flight(&self) -> usize;

    /// Bytes of all buffers on the device.
    fn bytes(&self) -> u64;

    /// From now on each submit finds NaN where no step may read before it has written: in slots, partial sums and the log, in the gradients that
    /// an earlier step left (but not before an update alone, which reads what the host has written), in sums of gradients between updates. Tests compare the bits.
    #[doc(hidden)]
    fn poison(&mut self) {}

    /// What went between host and device. Devices that are the host count nothing.
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}
