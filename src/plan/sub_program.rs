//! Programs of some of a program's launches alone: what a bisection runs.

use super::memory::BufferId;
use super::program::{Launch, Made, Phase, Program};
use crate::error::{Error, Result};
use crate::graph::Value;
use crate::kernels::Access;
use std::ops::Range;

/// A program that runs only some units of another program, over the same buffers.
#[derive(Debug, Clone)]
pub struct SubProgram {
    /// Their launches. What earlier units would have made is read from further data fields, behind the program's own.
    pub program: Program,
    /// The value of each of these fields, in order, from its first element on.
    pub feeds: Vec<Value>,
    /// What can be read after it has run.
    pub results: Vec<Made>,
}

impl Program {
    /// These units alone. Neither the optimizer nor the tick is a unit.
    pub fn sub_program(&self, units: Range<usize>) -> Result<SubProgram> {
        let inside = self.units.get(units.clone()).unwrap_or(&[]);
        let mut feeds: Vec<Value> = Vec::new();
        let mut launches = Vec::new();
        for i in inside.iter().flat_map(|u| u.launches.clone()) {
            let mut l = self.launches[i].clone();
            for (id, access) in l.buffers.iter_mut().zip(l.kernel.accesses()) {
                if access == Access::Write || !matches!(id, BufferId::Slot(_)) {
                    continue;
                }
                let value = match self.writer(*id, i) {
                    Some(w) if inside.iter().any(|u| u.launches.contains(&w)) => continue,
                    w => w.and_then(|w| self.made(w, *id)).ok_or_else(|| self.uncuttable(i, *id))?,
                };
                let at = feeds.iter().position(|f| *f == value).unwrap_or_else(|| {
                    feeds.push(value);
                    feeds.len() - 1
                });
                *id = BufferId::Data(self.first_free_data() + at);
            }
            launches.push(l);
        }
        let phases = vec![(Phase::Compute, 0..launches.len())];
        let mut results = Vec::new();
        for (at, u) in inside.iter().enumerate() {
            let later = inside[at + 1..].iter().flat_map(|u| u.launches.clone());
            let lost = |id: BufferId| matches!(id, BufferId::Slot(_)) && later.clone().any(|i| writes(&self.launches[i], id));
            results.extend(u.made.iter().filter(|m| !lost(m.buffer)));
        }
        let program = Program { launches, phases, units: vec![], outputs: vec![], metrics: vec![], ..self.clone() };
        Ok(SubProgram { program, feeds, results })
    }

    /// The launch that last wrote a buffer before launch `i` runs for the first time.
    fn writer(&self, id: BufferId, i: usize) -> Option<usize> {
        let before: Vec<usize> = self.schedule().map(|d| d.launch).take_while(|&w| w != i).collect();
        before.into_iter().rev().find(|&w| writes(&self.launches[w], id))
    }

    /// The value that a launch's unit leaves in a buffer, if it begins there.
    fn made(&self, launch: usize, id: BufferId) -> Option<Value> {
        let unit = self.units.iter().find(|u| u.launches.contains(&launch))?;
        unit.made.iter().find(|m| m.buffer == id && m.offset == 0).map(|m| m.value)
    }

    fn uncuttable(&self, i: usize, id: BufferId) -> Error {
        let l = &self.launches[i];
        Error::Unsupported {
            what: format!("cutting the step in front of {} {}", l.kernel.name(), l.label),
            at: format!("what it reads from {id:?} is no value of the graph"),
            help: "cut it elsewhere".into(),
        }
    }
}

fn writes(l: &Launch, id: BufferId) -> bool {
    l.buffers.iter().zip(l.kernel.accesses()).any(|(&b, access)| b == id && access == Access::Write)
}
