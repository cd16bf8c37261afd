//! Rows of the data set, in the order of the epoch, to the fields of a batch.

mod changed;
mod plain;

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::limits::MAX_GROUPS;
use super::lib::source::{Source, shader};
use super::lib::word::word;
use crate::graph::Field;
use crate::graph::augment::Augmentation;
use crate::tensor::DType;

const WG: usize = 64;
const ITEMS: usize = 4;
/// Rows along one axis of the grid; more fold into the next.
const FOLD: usize = 32_768;

/// A field and where its batch goes.
#[derive(Debug, Clone)]
pub struct GatherField {
    /// What is stored, and what is made of it.
    pub field: Field,
    /// First element of the batch.
    pub output: usize,
    /// The batch is f16.
    pub half: bool,
}

impl GatherField {
    /// Four elements of a row at a time. Rows of the batch then begin at whole vectors, and stored ones too where they are read so.
    fn vector(&self) -> bool {
        let f = &self.field;
        f.one_hot.is_none() && f.width().is_multiple_of(4) && self.output.is_multiple_of(4) && (self.is_changed() || f.step.is_none())
    }

    /// Words of a stored row, or vectors, or elements of the batch's.
    fn items(&self) -> usize {
        match (self.vector(), self.is_changed()) {
            (true, _) => self.field.width() / 4,
            (false, true) if self.field.one_hot.is_none() => self.field.width(),
            _ => self.field.words(),
        }
    }

    /// Whether values come from other places than their own, or by other ways than one scale and one shift.
    pub fn is_changed(&self) -> bool {
        let f = &self.field;
        f.image.is_some() || f.augmented.is_some() || f.channels.is_some()
    }
}

/// Rows of the data set become a batch. Buffers: state, the list of rows if there is one, then each field's data and batch, then the tables if it looks
/// anything up.
#[derive(Debug, Clone)]
pub struct Gather {
    /// Rows of the batch.
    pub batch: usize,
    /// A [`RowList`](crate::graph::RowList) says which stored row stands at each place of the order.
    pub listed: bool,
    /// The fields.
    pub fields: Vec<GatherField>,
    /// Where in the program's tables [`Gather::table`] begins.
    pub tables: usize,
}

impl Gather {
    /// What is drawn for each row, if anything is.
    pub fn augmentation(&self) -> Option<&Augmentation> {
        self.fields.iter().find_map(|f| f.field.augmented.as_ref()).map(|a| &*a.by)
    }

    /// Rows and columns of the image, and its corner where none is drawn. One place where there is no image.
    pub fn image(&self) -> ([usize; 2], [i32; 2]) {
        let image = self.fields.iter().find_map(|f| f.field.image.filter(|_| f.field.augmented.is_some()));
        image.or_else(|| self.fields.iter().find_map(|f| f.field.image)).map_or(([1, 1], [0, 0]), |i| (i.shown, i.middle()))
    }

    /// The words that it looks up: what is drawn, then the scales and shifts of each field's channels.
    pub fn table(&self) -> Vec<u32> {
        let drawn = self.augmentation().map(Augmentation::words).unwrap_or_default();
        let channels = self.fields.iter().filter_map(|f| f.field.channels.as_ref());
        drawn.into_iter().chain(channels.flat_map(|c| c.scale.iter().chain(&c.shift).map(|v| v.to_bits()))).collect()
    }

    fn chunks(f: &GatherField) -> usize {
        f.items().div_ceil(WG * ITEMS)
    }

    fn all_chunks(&self) -> usize {
        self.fields.iter().map(Self::chunks).sum()
    }
}

impl Archetype for Gather {
    fn name(&self) -> String {
        "gather".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        s.number("WG", WG).number("ITEMS", ITEMS);
        s.order();
        changed::draws(&mut s, self);
        let mut channels = self.augmentation().map_or(0, |a| a.words().len());
        for (i, f) in self.fields.iter().enumerate() {
            if f.is_changed() {
                changed::field(&mut s, i, f, channels);
                channels += f.field.channels.as_ref().map_or(0, |c| 2 * c.scale.len());
            } else if f.vector() {
                plain::field_of_vectors(&mut s, i, &f.field, f.half);
            } else {
                plain::one_field(&mut s, i, &f.field, f.half);
            }
        }
        s.line("fn fields(chunk: u32, row: u32, source: u32, lane: u32) {");
        for i in 0..self.fields.len() {
            s.line(format!(
                "    if (chunk >= d.field{i}_first && chunk < d.field{i}_end) {{ field{i}(chunk - d.field{i}_first, row, source, lane); }}"
            ));
        }
        s.line("}");
        if self.listed {
            s.row_list();
        }
        let row = if self.listed { "listed_row(at, permuted)" } else { "permuted" };
        s.line("// The stored row of a place of the batch.\nfn source_of(row: u32) -> u32 {\n    let at = state_word(STATE_CURSOR) + row;\n    var permuted = at;");
        s.line("    if (state_word(STATE_SHUFFLE) != 0u) {");
        s.line("        permuted = permute(at, state_word(STATE_ROWS), state_word(STATE_SEED_LO), state_word(STATE_SEED_HI), state_word(STATE_EPOCH));");
        s.line(format!("    }}\n    return {row};\n}}"));
        s.finish(shader!("gather.wgsl"))
    }

    /// State, the list, then each field's data and batch. Which rows of the data are read only the state and the list say.
    fn bindings(&self) -> Vec<Binding> {
        let field = |(i, f): (usize, &GatherField)| {
            let four = f.vector();
            let stored = Element::U32.by_fours(four && f.field.stored != DType::U8 && !f.is_changed());
            let made = if f.field.out_dtype() == DType::U32 { Element::U32 } else { Element::float(f.half) };
            let size = self.batch * f.field.width() * f.field.one_hot.unwrap_or(1);
            [
                Binding::read(format!("data{i}"), stored, 0..0).moving(self.batch * f.field.words()),
                Binding::write(format!("batch{i}"), made.by_fours(four), f.output..f.output + size),
            ]
        };
        let list = self.listed.then(|| Binding::read("rows", Element::U32, 0..0).moving(self.batch));
        let table = Some(self.table().len()).filter(|n| *n > 0);
        let table = table.map(|n| Binding::read("tables", Element::U32, self.tables..self.tables + n).moving(n));
        std::iter::once(Binding::state()).chain(list).chain(self.fields.iter().enumerate().flat_map(field)).chain(table).collect()
    }

    /// Its sizes. Of a field that is read in vectors the items of a row and the batch's offset count these.
    fn dims(&self) -> Dims {
        let d = Dims::new().u32("rows", self.batch).u32("fold", FOLD);
        let mut d = d.u32("chunks", self.all_chunks()).u32("groups", self.all_chunks().min(MAX_GROUPS));
        let mut first = 0;
        for (i, f) in self.fields.iter().enumerate() {
            let end = first + Self::chunks(f);
            d = d.u32(format!("field{i}_first"), first).u32(format!("field{i}_end"), end);
            d = d.u32(format!("field{i}_items"), f.items());
            d = d.u32(format!("batch{i}_offset"), if f.vector() { f.output / 4 } else { f.output });
            // each text reads some of these; a launch holds 64 sizes of all its fields
            let plain = !f.is_changed();
            if plain && !f.vector() {
                d = d.u32(format!("field{i}_width"), f.field.width());
            }
            if !(plain && f.vector()) {
                d = d.u32(format!("field{i}_pitch"), f.field.pitch());
            }
            match f.field.one_hot {
                Some(classes) => d = d.u32(format!("field{i}_classes"), classes),
                None if f.field.keep_integer || f.field.channels.is_some() => {}
                None => d = d.f32(format!("field{i}_scale"), f.field.scale).f32(format!("field{i}_shift"), f.field.shift),
            }
            d = changed::sizes(d, i, f);
            first = end;
        }
        let ([rows, columns], [left, top]) = self.image();
        if self.table().is_empty() {
            return d;
        }
        let d = d.u32("tables", self.tables).u32("image_rows", rows).u32("image_columns", columns);
        d.word("left", left as u32).word("top", top as u32)
    }

    /// Chunks by rows.
    fn grid(&self) -> [u32; 3] {
        [self.all_chunks().min(MAX_GROUPS), self.batch.min(FOLD), self.batch.div_ceil(FOLD)].map(word)
    }

    fn turns(&self) -> usize {
        let turns = |f: &GatherField| {
            let elements = if f.field.stored == DType::U8 || f.is_changed() { 4 } else { 1 };
            f.items().div_ceil(WG).min(ITEMS) * (1 + elements * (1 + f.field.one_hot.unwrap_or(0)))
        };
        // a few for the order and the draws of two rows; a workgroup takes one field at a time
        64 + self.augmentation().map_or(0, |_| 400)
            + self.all_chunks().div_ceil(MAX_GROUPS) * (1 + self.fields.iter().map(turns).max().unwrap_or(0))
    }

    fn flops(&self) -> u64 {
        0
    }
}
