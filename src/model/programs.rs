//! The programs of a model, planned and made ready: one for each purpose, part of an update, batch size and layout of the data.

use crate::graph::Field;
use crate::plan::{Handle, Part, Program, Purpose};
use crate::tensor::{DType, Shape};
use std::collections::HashMap;
use std::sync::Arc;

/// Programs that stay ready at a time, of all data sets.
pub(super) const MOST_READY: usize = 64;

/// Which of a model's programs it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ProgramKey {
    purpose: Purpose,
    part: Part,
    batch: usize,
    /// It looks at the layers, too.
    pub probes: bool,
    fields: Vec<FieldKey>,
}

/// A field of the data, its numbers by their bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct FieldKey {
    name: String,
    stored: DType,
    row: Shape,
    scale: u32,
    shift: u32,
    keep_integer: bool,
    one_hot: Option<usize>,
}

impl ProgramKey {
    pub fn new(fields: &[Field], purpose: Purpose, part: Part, batch: usize) -> Self {
        let key = |f: &Field| FieldKey {
            name: f.name.clone(),
            stored: f.stored,
            row: f.row.clone(),
            scale: f.scale.to_bits(),
            shift: f.shift.to_bits(),
            keep_integer: f.keep_integer,
            one_hot: f.one_hot,
        };
        ProgramKey { purpose, part, batch, probes: false, fields: fields.iter().map(key).collect() }
    }

    /// The same program, but that it looks at the layers, too.
    pub fn with_probes(self) -> Self {
        ProgramKey { probes: true, ..self }
    }
}

/// Programs that were planned.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    pub planned: HashMap<ProgramKey, Arc<Program>>,
}

/// Programs made ready.
#[derive(Debug, Default)]
pub(crate) struct ReadyPrograms {
    /// By the program and the data that it runs over, with when each was used last.
    pub handles: HashMap<(ProgramKey, usize), (Handle, u64)>,
    pub uses: u64,
}
