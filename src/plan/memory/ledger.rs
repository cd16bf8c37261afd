//! What a session holds, in numbers: known before anything is taken.

use super::buffers::Layout;
use super::peak::{dims, slots, staging, tables};
use crate::plan::program::Program;
use crate::plan::session::{DataId, Handle};
use std::collections::HashMap;

/// The bytes of a session's buffers as a GPU holds them, whichever device it is: [`Program::peak_bytes`] for one program, and as exact for
/// several, with data sets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    /// Arenas, states, rates, partial sums, logs.
    layout: Layout,
    slots: Vec<usize>,
    /// Sizes of launches and tables, and the data that each program runs over.
    programs: HashMap<usize, (u64, Vec<DataId>)>,
    data: HashMap<usize, u64>,
}

impl Ledger {
    /// Of a new session.
    pub fn new(layout: &Layout) -> Self {
        Ledger { layout: layout.clone(), ..Ledger::default() }
    }

    /// With a program made ready: its launches are counted once it has a handle.
    pub fn with(&self, program: &Program) -> Self {
        let mut new = self.clone();
        new.layout = self.layout.clone().join(program.needs());
        new.slots.resize(new.slots.len().max(program.slots.len()), 0);
        new.slots.iter_mut().zip(&program.slots).for_each(|(s, p)| *s = (*s).max(*p));
        new
    }

    /// The program has this handle.
    pub fn ready(&mut self, handle: Handle, program: &Program, data: &[DataId]) {
        self.programs.insert(handle.0, (dims(program) + tables(program), data.to_vec()));
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
        let programs = self.programs.values().map(|p| p.0).sum::<u64>();
        let rest = staging(&self.layout) + slots(&self.slots) + programs + self.data.values().sum::<u64>();
        self.layout.bytes().saturating_add(rest)
    }
}
