//! What a session was asked for and nobody has taken yet. On the CPU it is there at once.

use super::fault::fault;
use crate::error::Result;
use crate::plan::{LogLine, PendingRead, StateSet, Ticket};
use std::collections::VecDeque;

/// Log lines of submits and words of reads, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(super) struct Done {
    logs: VecDeque<(Ticket, StateSet, Vec<LogLine>)>,
    reads: Vec<(PendingRead, Vec<u32>)>,
    next: u64,
}

impl Done {
    /// Keeps the lines of a submit.
    pub fn log(&mut self, set: StateSet, lines: Vec<LogLine>) -> Ticket {
        self.next += 1;
        self.logs.push_back((Ticket(self.next), set, lines));
        Ticket(self.next)
    }

    pub fn take_log(&mut self, ticket: Ticket) -> Result<Vec<LogLine>> {
        let at = self.logs.iter().position(|l| l.0 == ticket);
        let taken = at.and_then(|at| self.logs.remove(at));
        taken.map(|l| l.2).ok_or_else(|| fault("the log", format!("{ticket:?} was handed out, or is no submit of this session")))
    }

    pub fn oldest(&self, set: StateSet) -> Option<Ticket> {
        self.logs.iter().find(|l| l.1 == set).map(|l| l.0)
    }

    pub fn forget(&mut self, set: StateSet) {
        self.logs.retain(|l| l.1 != set);
    }

    /// How many logs there are.
    pub fn logs(&self) -> usize {
        self.logs.len()
    }

    /// Keeps the words of a read. Those that nobody can take any more go.
    pub fn read(&mut self, words: Vec<u32>) -> PendingRead {
        self.reads.retain(|(read, _)| !read.is_forgotten());
        self.next += 1;
        let read = PendingRead::new(self.next);
        self.reads.push((read.clone(), words));
        read
    }

    pub fn take_read(&mut self, read: &PendingRead) -> Result<Vec<u32>> {
        let at = self.reads.iter().position(|(r, _)| r.number() == read.number());
        let gone = || fault("a read", "its words were handed out, or it is no read of this session");
        at.map(|at| self.reads.swap_remove(at).1).ok_or_else(gone)
    }
}
