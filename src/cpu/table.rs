//! A session's buffers, as words.

use super::fault::fault;
use super::memory::available;
use super::pages::ask_for_large_pages;
use crate::error::{Error, Result};
use crate::kernels::words::STATE_MICRO;
use crate::plan::{BufferId, BufferSpec, Cuts, DataId, Lasts, Layout, StateSet};

/// A buffer's place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableIndex {
    /// One that programs may write.
    Own(usize),
    /// A field of a data set.
    Data(usize),
}

/// Every buffer of a session, as words.
#[derive(Debug)]
pub(super) struct Table {
    /// The model's buffers in the order of `specs`, then slots.
    pub(super) own: Vec<Vec<u32>>,
    /// The model's buffers, as they were asked for when the session was made.
    specs: Vec<BufferSpec>,
    /// Where arenas lie in several of them.
    pub(super) cuts: Cuts,
    data: Vec<Option<Vec<u32>>>,
    /// f16 values as f32, while a launch is at work on them: one for each of its operands and results.
    pub(super) wide: Vec<Vec<u32>>,
}

impl Table {
    pub(super) fn new(layout: Layout) -> Result<Self> {
        let mut table = Table { own: Vec::new(), specs: layout.buffers(), cuts: layout.cuts.clone(), data: Vec::new(), wide: Vec::new() };
        table.own = table.specs.iter().map(|_| Vec::new()).collect();
        layout.buffers().iter().try_for_each(|spec| table.hold(spec))?;
        Ok(table)
    }

    /// Where a buffer lies. A field of a data set only has a place within a program.
    pub(super) fn place(&self, id: BufferId) -> Result<TableIndex> {
        let index = match id {
            BufferId::Slot(i) => self.specs.len().checked_add(i),
            BufferId::Data(_) => None,
            id => self.specs.iter().position(|b| b.id == id),
        };
        match index {
            Some(i) if i < self.own.len() => Ok(TableIndex::Own(i)),
            _ => Err(fault("a buffer", format!("there is no {id:?} in this session"))),
        }
    }

    /// The words of a place; none for data that was dropped.
    pub(super) fn words(&self, place: TableIndex) -> &[u32] {
        let words = match place {
            TableIndex::Own(i) => self.own.get(i),
            TableIndex::Data(i) => self.data.get(i).and_then(Option::as_ref),
        };
        words.map_or(&[], Vec::as_slice)
    }

    /// Words `offset..offset + len` of a buffer that is not data.
    pub(super) fn range(&mut self, id: BufferId, offset: usize, len: usize) -> Result<&mut [u32]> {
        let TableIndex::Own(i) = self.place(id)? else { return Err(fault("a buffer", format!("{id:?} is data"))) };
        let held = self.own[i].len();
        let end = offset.checked_add(len).filter(|&end| end <= held);
        match end {
            Some(end) => Ok(&mut self.own[i][offset..end]),
            None => Err(fault("a copy", format!("{len} words at {offset} of {id:?}, which has {held}"))),
        }
    }

    /// Takes these words as a buffer of the model, and gives what was there; `false` where it has another length.
    pub(super) fn swap(&mut self, id: BufferId, words: &mut Vec<u32>) -> bool {
        match self.place(id) {
            Ok(TableIndex::Own(i)) if i < self.specs.len() && self.own[i].len() == words.len() => {
                std::mem::swap(&mut self.own[i], words);
                true
            }
            _ => false,
        }
    }

    /// Makes a buffer of the model at least as large as this.
    pub(super) fn hold(&mut self, spec: &BufferSpec) -> Result<()> {
        match self.place(spec.id)? {
            TableIndex::Own(i) if self.own[i].len() < spec.words => {
                self.own[i] = zeros(spec.words)?;
                if let BufferId::Log(_) = spec.id {
                    // no step has this number: a line that none has written matches none. Older lines were handed out
                    self.own[i].fill(u32::MAX);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Makes the slots at least this many bytes.
    ///
    /// All of them or, when memory is short, none.
    pub(super) fn grow(&mut self, slots: &[usize]) -> Result<()> {
        let held = |i: usize| self.own.get(self.specs.len() + i).map_or(0, Vec::len);
        let larger = || slots.iter().enumerate().map(|(i, b)| (b.div_ceil(4), held(i))).filter(|(new, old)| new > old);
        let (new, old) = larger().fold((0, 0), |(n, o), (new, old)| (n + new, o + old));
        enough(new, old)?;
        for (i, &bytes) in slots.iter().enumerate() {
            let at = self.specs.len() + i;
            if at >= self.own.len() {
                self.own.resize_with(at + 1, Vec::new);
            }
            let words = bytes.div_ceil(4);
            if self.own[at].len() < words {
                // nothing in a slot outlives a step: the old one goes first, and comes back if there is no room
                let old = std::mem::take(&mut self.own[at]).len();
                let made = zeros(words);
                if made.is_err() {
                    self.own[at] = zeros(old)?;
                }
                self.own[at] = made?;
            }
        }
        Ok(())
    }

    /// Fills with NaN what no step may read before it has written it. Of gradients and their sums only what is there: a parameter without a
    /// gradient keeps its zeros, and gradients that are given are as the host wrote them.
    pub(super) fn poison(&mut self, given: bool) -> Result<()> {
        let sums = self.range(BufferId::State(StateSet::Train), STATE_MICRO, 1)?[0] == 0;
        for (i, words) in self.own.iter_mut().enumerate() {
            match self.specs.get(i).map(|b| (b.lasts, b.id)) {
                // a slot has no row
                None | Some((Lasts::Step, _)) => words.fill(u32::MAX),
                Some((Lasts::Update, id)) if given && id.whole() == BufferId::Gradients => {}
                Some((Lasts::Update, id)) if sums || id.whole() == BufferId::Gradients => poison_values(words),
                Some((Lasts::Update | Lasts::Model | Lasts::Derived, _)) => {}
            }
        }
        self.wide.iter_mut().for_each(|words| words.fill(u32::MAX));
        Ok(())
    }

    /// Makes room for so many f16 values as f32, as operand or result `i` of a launch.
    pub(super) fn make_wide(&mut self, i: usize, words: usize) -> Result<()> {
        if self.wide.len() <= i {
            self.wide.resize_with(i + 1, Vec::new);
        }
        if self.wide[i].len() < words {
            self.wide[i] = Vec::new();
            self.wide[i] = zeros(words)?;
        }
        Ok(())
    }

    pub(super) fn new_data(&mut self, words: usize) -> Result<DataId> {
        self.data.push(Some(zeros(words)?));
        Ok(DataId(self.data.len() - 1))
    }

    /// A field of these words.
    pub(super) fn add_data(&mut self, words: &[u32]) -> Result<DataId> {
        let id = self.new_data(words.len())?;
        self.data_range(id, 0, words.len())?.copy_from_slice(words);
        Ok(id)
    }

    /// Words `offset..offset + len` of a field.
    pub(super) fn data_range(&mut self, id: DataId, offset: usize, len: usize) -> Result<&mut [u32]> {
        let Some(data) = self.data.get_mut(id.0).and_then(Option::as_mut) else { return Err(fault("data", format!("there is no {id:?}"))) };
        let held = data.len();
        let end = offset.checked_add(len).filter(|&end| end <= held);
        match end {
            Some(end) => Ok(&mut data[offset..end]),
            None => Err(fault("a copy", format!("{len} words at {offset} of {id:?}, which has {held}"))),
        }
    }

    pub(super) fn drop_data(&mut self, id: DataId) {
        if let Some(d) = self.data.get_mut(id.0) {
            *d = None;
        }
    }

    pub(super) fn has_data(&self, id: DataId) -> bool {
        self.data.get(id.0).is_some_and(Option::is_some)
    }

    pub(super) fn bytes(&self) -> u64 {
        let words: usize = self.own.iter().chain(self.data.iter().flatten()).chain(&self.wide).map(Vec::len).sum();
        4 * words as u64
    }
}

fn poison_values(words: &mut [u32]) {
    words.iter_mut().filter(|w| **w != 0).for_each(|w| *w = u32::MAX);
}

/// Buffers below this many words (16 MiB) are made without asking how much memory there is: the question takes as long as a few pages.
const LARGE: usize = 4 << 20;

fn too_large(words: usize, available: u64) -> Error {
    Error::OutOfMemory {
        what: "the memory of this machine: a buffer".into(),
        needed: 4 * words as u64,
        available,
        biggest: vec![format!("{words} words in one piece")],
        help: "take a smaller batch or model (`Program::explain` lists what is large), or free memory".into(),
    }
}

/// Fails if so many words are more than the machine has left, once `freed` are given back: many systems hand memory out that is not there,
/// and end the program when it is touched.
fn enough(words: usize, freed: usize) -> Result<()> {
    if words < LARGE {
        return Ok(());
    }
    match available() {
        Some(left) if 4 * words as u64 > left.saturating_add(4 * freed as u64) => Err(too_large(words, left)),
        _ => Ok(()),
    }
}

fn reserved(words: usize) -> Result<Vec<u32>> {
    enough(words, 0)?;
    let mut v = Vec::new();
    // a figure that would do says nothing: there is no such piece, or the system counts otherwise
    let left = || available().filter(|left| *left < 4 * words as u64).unwrap_or(0);
    v.try_reserve_exact(words).map_err(|_| too_large(words, left()))?;
    ask_for_large_pages(&mut v);
    Ok(v)
}

fn zeros(words: usize) -> Result<Vec<u32>> {
    let mut v = reserved(words)?;
    v.resize(words, 0);
    Ok(v)
}
