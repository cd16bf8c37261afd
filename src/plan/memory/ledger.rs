//! What a session holds, in numbers: known before anything is taken.

use super::buffers::Layout;
use super::peak::STAGED;
use crate::kernels::words::{PARTIALS, STATE_WORDS};
use crate::kernels::{DIMS, LogShape};
use crate::plan::program::Program;
use crate::plan::purpose::Lane;
use crate::plan::session::{DataId, Handle};
use std::collections::HashMap;

/// The bytes of a session's buffers as a GPU holds them, whichever device it is: [`Program::peak_bytes`] for one program, and as exact for
/// several, with data sets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    /// Arenas, states, rates, partial sums.
    arenas: u64,
    /// Words of each lane's log.
    logs: [usize; 2],
    slots: Vec<usize>,
    /// Sizes of launches, and the data that each program runs over.
    programs: HashMap<usize, (u64, Vec<DataId>)>,
    data: HashMap<usize, u64>,
}

impl Ledger {
    /// Of a new session.
    pub fn new(layout: &Layout) -> Self {
        // what no memory holds is refused, not miscounted
        let arenas = layout.parameters.saturating_mul(2 + layout.moments).saturating_add(layout.frozen).saturating_add(layout.buffers);
        let words = arenas.saturating_add(layout.working / 2).saturating_add(layout.rates.words() + PARTIALS + 2 * STATE_WORDS);
        Ledger { arenas: (words as u64).saturating_mul(4), logs: [LogShape::of(0).words(); 2], ..Ledger::default() }
    }

    /// With a program made ready: its launches are counted once it has a handle.
    pub fn with(&self, program: &Program) -> Self {
        let mut new = self.clone();
        let (log, least) = (program.log().words(), LogShape::of(0).words());
        let own = 4 * (log.max(least) + least + staged(log.max(least))) as u64 + dims(program) + slots(&program.slots);
        new.arenas = new.arenas.max(program.peak_bytes().saturating_sub(own));
        let lane = &mut new.logs[if program.purpose.lane() == Lane::Train { 0 } else { 1 }];
        *lane = log.max(*lane);
        new.slots.resize(new.slots.len().max(program.slots.len()), 0);
        new.slots.iter_mut().zip(&program.slots).for_each(|(s, p)| *s = (*s).max(*p));
        new
    }

    /// The program has this handle.
    pub fn ready(&mut self, handle: Handle, program: &Program, data: &[DataId]) {
        self.programs.insert(handle.0, (dims(program), data.to_vec()));
    }

    /// With a field of data: it is counted under its name once that is known.
    pub fn field(&mut self, id: DataId, bytes: u64) {
        self.data.insert(id.0, bytes);
    }

    /// Without a field, and without the programs that run over it.
    pub fn drop_field(&mut self, id: DataId) {
        self.data.remove(&id.0);
        self.programs.retain(|_, (_, data)| !data.contains(&id));
    }

    /// Without a program.
    pub fn drop_program(&mut self, handle: Handle) {
        self.programs.remove(&handle.0);
    }

    /// All of it.
    pub fn bytes(&self) -> u64 {
        let logs = self.logs.iter().sum::<usize>() + staged(self.logs[0].max(self.logs[1]));
        let programs = self.programs.values().map(|p| p.0).sum::<u64>();
        self.arenas.saturating_add(4 * logs as u64 + slots(&self.slots) + programs + self.data.values().sum::<u64>())
    }
}

/// Words that logs of so many are read back through.
fn staged(log: usize) -> usize {
    STAGED * (log / 4)
}

/// Bytes of the sizes of a program's launches.
pub(crate) fn dims(program: &Program) -> u64 {
    4 * (DIMS * program.launches.len()) as u64
}

fn slots(slots: &[usize]) -> u64 {
    slots.iter().sum::<usize>() as u64
}
