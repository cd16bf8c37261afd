//! The programs of a model, planned and made ready: one for each purpose, part of an update, batch size and layout of the data.

use super::device_data::Placement;
use crate::graph::Field;
use crate::graph::augment::{ImageSize, Touches};
use crate::plan::{Handle, Part, Program, Purpose};
use crate::tensor::{DType, Shape};
use std::collections::HashMap;
use std::sync::Arc;

/// Most programs that stay ready at a time, over all data sets.
pub(super) const MOST_READY: usize = 64;

/// Tells the programs of a model apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ProgramKey {
    purpose: Purpose,
    part: Part,
    batch: usize,
    /// It logs statistics of the layers, too.
    pub probes: bool,
    /// Its rows stand at the places that a list names.
    pub listed: bool,
    fields: Vec<FieldKey>,
}

/// A field of the data; its factors are compared by their bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct FieldKey {
    name: String,
    stored: DType,
    row: Shape,
    scale: u32,
    shift: u32,
    keep_integer: bool,
    one_hot: Option<usize>,
    step: Option<usize>,
    image: Option<ImageSize>,
    touches: Option<Touches>,
    /// The bits of what is drawn, and of the channels' scales and shifts.
    words: Vec<u32>,
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
            step: f.step,
            image: f.image,
            touches: f.touches(),
            words: f.words_of_changes(),
        };
        ProgramKey { purpose, part, batch, probes: false, listed: false, fields: fields.iter().map(key).collect() }
    }

    /// The key of the same program over rows in this place.
    pub fn over(self, place: Placement) -> Self {
        ProgramKey { listed: place == Placement::Listed, ..self }
    }

    /// The key of the same program with statistics of the layers.
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
    /// By the key of the program and that of the data set on the device. With each handle: the value of `uses` when it was used last.
    pub handles: HashMap<(ProgramKey, usize), (Handle, u64)>,
    /// Counts the uses of all handles.
    pub uses: u64,
}
