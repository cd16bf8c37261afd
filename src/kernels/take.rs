use super::source::Source;
use super::{Access, fold, to_words};

const WG: usize = 64;
/// The bit of a link that says that no earlier place has the same index.
pub(crate) const FIRST: u32 = 0x8000_0000;
/// The link of the last place of an index.
pub(crate) const LAST: u32 = 0x7fff_ffff;

/// Rows of a table by number. Buffers: table, indices, output. A row that the table has not is NaN.
#[derive(Debug, Clone)]
pub struct Take {
    /// How many indices.
    pub count: usize,
    /// Elements of a row.
    pub width: usize,
    /// Rows of the table.
    pub rows: usize,
    /// First element of table, indices, output.
    pub offsets: [usize; 3],
}

impl Take {
    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32");
        s.number("WG", WG);
        s.buffer("table", Access::Read, "f32").buffer("indices", Access::Read, "u32").buffer("out", Access::Write, "f32");
        s.finish(include_str!("../../shaders/take.wgsl"))
    }
    /// Table, indices, output.
    pub fn accesses(&self) -> Vec<Access> {
        vec![Access::Read, Access::Read, Access::Write]
    }
    /// Elements, width, rows, offsets, a NaN.
    pub fn dims(&self) -> Vec<u32> {
        let mut d = to_words([self.count * self.width, self.width, self.rows].into_iter().chain(self.offsets));
        d.push(f32::NAN.to_bits());
        d
    }
    /// A thread an element.
    pub fn grid(&self) -> [u32; 3] {
        fold((self.count * self.width).div_ceil(WG))
    }
}

/// Chains the equal ones of some indices: the first of the two launches of a sum by index. Buffers: indices, links.
#[derive(Debug, Clone)]
pub struct ScatterLinks {
    /// How many indices.
    pub count: usize,
    /// Rows of the table; an index at or above it has no chain.
    pub rows: usize,
    /// A row that has no chain either.
    pub padding: Option<usize>,
    /// First element of the indices.
    pub offset: usize,
}

/// More places than these are looked at 16 a turn.
const LONG: usize = 32_768;

fn links(s: &mut Source, count: usize) {
    s.number("WG", WG).flag("LONG", count > LONG).line(format!("const FIRST = {FIRST}u;\nconst LAST = {LAST}u;"));
}

/// Turns of a lane that looks at all places: single ones before and behind, once or twice.
fn turns(count: usize) -> usize {
    if count > LONG { count / 16 + 32 } else { count }
}

impl ScatterLinks {
    /// Turns of the longest lane's loops, at most.
    pub(super) fn turns(&self) -> usize {
        turns(self.count)
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32");
        links(&mut s, self.count);
        s.buffer("indices", Access::Read, "u32").buffer("links", Access::Write, "u32");
        s.finish(include_str!("../../shaders/scatter_links.wgsl"))
    }
    /// Indices, links.
    pub fn accesses(&self) -> Vec<Access> {
        vec![Access::Read, Access::Write]
    }
    /// Count, rows, offset, padding (rows where there is none).
    pub fn dims(&self) -> Vec<u32> {
        to_words([self.count, self.rows, self.offset, self.padding.unwrap_or(self.rows)])
    }
    /// A thread an index.
    pub fn grid(&self) -> [u32; 3] {
        fold(self.count.div_ceil(WG))
    }
}

/// Adds up the values of each index in index order, over chains that [`ScatterLinks`] made, into a table that holds zeros where no index
/// points. Buffers: values, indices, links, output.
#[derive(Debug, Clone)]
pub struct ScatterAdd {
    /// How many indices.
    pub count: usize,
    /// Elements of a row.
    pub width: usize,
    /// Rows of the table.
    pub rows: usize,
    /// First element of values, indices, output.
    pub offsets: [usize; 3],
}

impl ScatterAdd {
    /// Turns of the longest lane's loops, at most.
    pub(super) fn turns(&self) -> usize {
        turns(self.count)
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32");
        links(&mut s, self.count);
        s.buffer("values", Access::Read, "f32").buffer("indices", Access::Read, "u32");
        s.buffer("links", Access::Read, "u32").buffer("out", Access::Write, "f32");
        s.finish(include_str!("../../shaders/scatter_add.wgsl"))
    }
    /// Values, indices, links, output.
    pub fn accesses(&self) -> Vec<Access> {
        vec![Access::Read, Access::Read, Access::Read, Access::Write]
    }
    /// Elements, width, offsets.
    pub fn dims(&self) -> Vec<u32> {
        to_words([self.count * self.width, self.width].into_iter().chain(self.offsets))
    }
    /// A thread an element of the values.
    pub fn grid(&self) -> [u32; 3] {
        fold((self.count * self.width).div_ceil(WG))
    }
}
