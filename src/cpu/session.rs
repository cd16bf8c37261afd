//! The CPU as a device.

use super::awake;
use super::done::Done;
use super::fault::fault;
use super::launch::{Fields, Ready};
use super::pool::Pool;
use super::prepared::Prepared;
use super::profile;
use super::table::Table;
use crate::error::{Error, Result};
use crate::kernels::words::LOG_ROWS;
use crate::plan::{
    BufferId, Clock, DataId, Handle, Layout, LogLine, PendingRead, Program, Purpose, Session, StateSet, Submit, Ticket, Timing,
};
use std::sync::Arc;

/// A model's buffers in the host's memory, and its programs made ready: the CPU as a device.
///
/// ```
/// use gradus::cpu::CpuSession;
/// use gradus::plan::{Blocking, BufferId, Layout, Session};
/// let mut s = CpuSession::new(Layout { parameters: 128, frozen: 0, moments: 2, ..Layout::default() }, 2)?;
/// s.write(BufferId::Parameters, 0, &[1.5f32.to_bits()])?;
/// assert_eq!(f32::from_bits(s.read(BufferId::Parameters, 0, 1)?[0]), 1.5);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug)]
pub struct CpuSession {
    pool: Pool,
    /// The process that has the pool's threads.
    process: u32,
    threads: usize,
    pub(super) table: Table,
    /// A program is gone once its data is.
    prepared: Vec<Option<Prepared>>,
    /// What was asked for and not yet handed out.
    done: Done,
    poisoned: bool,
}

impl CpuSession {
    /// Buffers of this layout. `threads`: 0 for as many as the machine runs at once (fewer, where `RAYON_NUM_THREADS` says so), which all such
    /// sessions share; 1 for the caller's thread alone, else a pool of that many, 256 at most.
    pub fn new(layout: Layout, threads: usize) -> Result<Self> {
        let pool = Pool::new(threads)?;
        let threads = pool.threads().map_or(1, |p| p.current_num_threads());
        Ok(CpuSession {
            pool,
            process: awake::process(),
            threads,
            table: Table::new(layout)?,
            prepared: Vec::new(),
            done: Done::default(),
            poisoned: false,
        })
    }

    /// Fails in a child of `fork`: the threads are the parent's, and would be waited for for ever.
    fn own_threads(&self) -> Result<()> {
        if self.pool.threads().is_none() || self.process == awake::process() {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: "a step in a process that was forked off behind the model's back".into(),
            at: "the CPU device".into(),
            help:
                "make the model in the child: the threads that this one computes with are the parent's; `Device::cpu_threads(1)` needs none"
                    .into(),
        })
    }

    /// Threads that work is shared out to.
    pub fn threads(&self) -> usize {
        self.threads
    }
}

impl Session for CpuSession {
    fn new_data(&mut self, words: usize) -> Result<DataId> {
        self.table.new_data(words)
    }

    fn write_data(&mut self, id: DataId, offset: usize, words: &[u32]) -> Result<()> {
        self.table.data_range(id, offset, words.len())?.copy_from_slice(words);
        Ok(())
    }

    fn drop_data(&mut self, id: DataId) {
        self.table.drop_data(id);
        for i in 0..self.prepared.len() {
            if self.prepared[i].as_ref().is_some_and(|p| p.data.contains(&id)) {
                self.drop_program(Handle(i));
            }
        }
    }

    fn prepare(&mut self, program: &Arc<Program>, data: &[DataId]) -> Result<Handle> {
        let same = |p: &Option<Prepared>| p.as_ref().is_some_and(|p| Arc::ptr_eq(&p.program, program) && p.data == data);
        if let Some(known) = self.prepared.iter().position(same) {
            return Ok(Handle(known));
        }
        if let Some(gone) = data.iter().find(|d| !self.table.has_data(**d)) {
            return Err(fault("a program", format!("it is to run over {gone:?}, which is not there")));
        }
        if program.phases.iter().any(|(_, r)| r.start > r.end || r.end > program.launches.len()) {
            return Err(fault("a program", "a phase names launches that are not there"));
        }
        self.table.grow(&program.slots)?;
        program.needs().buffers().iter().filter(|b| b.id.grows()).try_for_each(|b| self.table.hold(b))?;
        program.countable()?;
        let (table, threads) = (&mut self.table, self.threads);
        let tables = (!program.tables.is_empty()).then(|| table.add_data(&program.tables)).transpose()?;
        let fields = Fields { data, tables };
        let launches = program.launches.iter().map(|l| Ready::new(l, table, fields, threads)).collect::<Result<Vec<_>>>();
        if let (Err(_), Some(id)) = (&launches, tables) {
            table.drop_data(id);
        }
        let prepared = Some(Prepared { program: program.clone(), data: data.to_vec(), tables, launches: launches? });
        let free = self.prepared.iter().position(Option::is_none);
        match free {
            Some(i) => self.prepared[i] = prepared,
            None => self.prepared.push(prepared),
        }
        Ok(Handle(free.unwrap_or(self.prepared.len() - 1)))
    }

    fn drop_program(&mut self, handle: Handle) {
        let gone = self.prepared.get_mut(handle.0).and_then(Option::take);
        gone.and_then(|p| p.tables).into_iter().for_each(|id| self.table.drop_data(id));
    }

    fn write(&mut self, buffer: BufferId, offset: usize, words: &[u32]) -> Result<()> {
        if let BufferId::Slot(_) = buffer {
            return Err(fault("a write", format!("{buffer:?} belongs to the programs")));
        }
        let mut rest = words;
        for p in self.table.cuts.pieces(buffer, offset, words.len()) {
            let (own, after) = rest.split_at(p.len);
            self.table.range(p.buffer, p.offset, p.len)?.copy_from_slice(own);
            rest = after;
        }
        Ok(())
    }

    fn start_read(&mut self, buffer: BufferId, offset: usize, len: usize) -> Result<PendingRead> {
        let mut words = Vec::new();
        for p in self.table.cuts.pieces(buffer, offset, len) {
            words.extend_from_slice(self.table.range(p.buffer, p.offset, p.len)?);
        }
        Ok(self.done.read(words))
    }

    fn take_read(&mut self, read: &PendingRead) -> Result<Option<Vec<u32>>> {
        self.done.take_read(read).map(Some)
    }

    fn words(&self, buffer: BufferId, len: usize) -> Option<&[u32]> {
        let [piece] = self.table.cuts.pieces(buffer, 0, len)[..] else { return None };
        self.table.words(self.table.place(piece.buffer).ok()?).get(piece.offset..piece.offset + piece.len)
    }

    fn words_mut(&mut self, buffer: BufferId, len: usize) -> Option<&mut [u32]> {
        let [piece] = self.table.cuts.pieces(buffer, 0, len)[..] else { return None };
        self.table.range(piece.buffer, piece.offset, piece.len).ok()
    }

    fn swap(&mut self, buffer: BufferId, words: &mut Vec<u32>) -> bool {
        let [piece] = self.table.cuts.pieces(buffer, 0, words.len())[..] else { return false };
        self.table.swap(piece.buffer, words)
    }

    /// Runs the steps at once, all of them on the pool's threads.
    fn submit(&mut self, submit: Submit<'_>) -> Result<Ticket> {
        self.own_threads()?;
        let Self { pool, threads, table, prepared, done, poisoned, .. } = self;
        if *poisoned {
            let of = |(h, _): &(Handle, usize)| prepared.get(h.0)?.as_ref();
            table.poison(submit.runs.iter().filter_map(of).any(|p| p.program.purpose == Purpose::Update))?;
        }
        let gone = |h: &Handle| prepared.get(h.0).is_none_or(Option::is_none);
        if let Some((handle, _)) = submit.runs.iter().find(|(h, _)| gone(h)) {
            return Err(fault("a submit", format!("{handle:?} is no program of this session, or its data was dropped")));
        }
        let all = submit.runs.iter().map(|(_, steps)| steps).sum();
        let mut set = StateSet::Train;
        let useful = submit.runs.iter().filter_map(|(h, _)| prepared[h.0].as_ref()).map(Prepared::worth).max().unwrap_or(1);
        let lines = pool.run(useful, || {
            let mut lines = Vec::with_capacity(std::cmp::min(all, LOG_ROWS));
            for &(handle, steps) in submit.runs {
                let Some(p) = prepared[handle.0].as_mut() else { continue };
                set = p.program.purpose.state_set();
                p.run(table, *threads, steps, submit.first_batch, all, &mut lines)?;
            }
            Ok(lines)
        })?;
        Ok(done.log(set, lines))
    }

    fn take_log(&mut self, ticket: Ticket) -> Result<Option<Vec<LogLine>>> {
        self.done.take_log(ticket).map(Some)
    }

    fn oldest(&self, set: StateSet) -> Option<Ticket> {
        self.done.oldest(set)
    }

    fn forget(&mut self, set: StateSet) {
        self.done.forget(set);
    }

    /// All that was queued has ended.
    fn progress(&mut self) -> Result<()> {
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        Ok(())
    }

    fn profile(&mut self, handle: Handle, clock: Option<Clock>) -> Result<Timing> {
        profile::check(clock)?;
        self.own_threads()?;
        let Self { pool, threads, table, prepared, .. } = self;
        let Some(p) = prepared.get_mut(handle.0).and_then(Option::as_mut) else { return Err(profile::gone(handle)) };
        pool.run(p.worth(), || profile::step(p, table, *threads))
    }

    fn poison(&mut self) {
        self.poisoned = true;
    }

    fn in_flight(&self) -> usize {
        self.done.logs()
    }

    fn bytes(&self) -> u64 {
        self.table.bytes()
    }
}
