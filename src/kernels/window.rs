//! Values of windows over images, channels last: pools, changes of size, depthwise convolution.

mod texts;

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::halves::Halves;
use super::lib::source::{Source, shader};

const WG: usize = 64;

/// What is made of the places of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowFormula {
    /// The sum of the places, each times the weights of its row and column.
    Sum,
    /// The largest.
    Largest,
    /// Of a second operand the value where the first's largest stands.
    Picked,
    /// Of a second operand the sum of the values of those windows whose largest stands here.
    Back,
    /// The sum of the places, each times the channel's weight for it.
    Depthwise,
    /// The same the other way round: a channel of the result sees several of the operand.
    DepthwiseBack,
    /// The sum over images of the places times those of a second operand.
    DepthwiseWeights,
}

/// Where in the tables lie, for each place along an axis of the result, the places that it sees: from word `starts + i` on stands where the list of
/// place `i` begins, and behind the last where it ends. An entry has two words: the place, and its weight, its tap or another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    /// The word of the first begin.
    pub starts: usize,
    /// The word behind the last entry.
    pub end: usize,
    /// Entries of the longest.
    pub longest: usize,
    /// Entries of all.
    pub all: usize,
}

/// What makes a window's pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowSpec {
    /// What is made.
    pub formula: WindowFormula,
    /// Four channels at a time.
    pub fours: bool,
    /// What is f16.
    pub halves: Halves,
}

/// An operand: images `[N, rows, columns, channels]`, or weights `[channels, taps]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Images {
    /// Its first element.
    pub offset: usize,
    /// Rows of an image.
    pub rows: usize,
    /// Columns of an image.
    pub columns: usize,
    /// Channels.
    pub channels: usize,
}

/// A formula over the places that a window sees, for each place of the result `[images, rows, columns, channels]`. Buffers: operands, tables, result.
///
/// The weights of a depthwise convolution are made in parts: an image of the result is the sum over `together` images, its rows are the window's rows,
/// once for each band of positions.
#[derive(Debug, Clone)]
pub struct Window {
    /// Its pipeline.
    pub spec: WindowSpec,
    /// Images of the operands.
    pub images: usize,
    /// The first operand: images.
    pub x: Images,
    /// The second, if there is one: images, or the weights of a depthwise convolution.
    pub y: Option<Images>,
    /// The result.
    pub out: Images,
    /// What each row and each column of the result sees.
    pub lists: [List; 2],
    /// What each window sees, where the result asks whether its largest value stands there.
    pub windows: Option<[List; 2]>,
    /// Channels of the depthwise convolution's results for each of its images.
    pub each: usize,
    /// Images of the operands in one of the result.
    pub together: usize,
}

impl Window {
    /// Reads channels by fours where all of them can be.
    #[must_use]
    pub fn by_fours(mut self) -> Self {
        let fits = |i: &Images| i.channels.is_multiple_of(4) && i.offset.is_multiple_of(4);
        // weights are read one by one
        let second = self.has_weights() || self.y.is_none_or(|y| fits(&y));
        self.spec.fours = self.each == 1 && second && fits(&self.x) && fits(&self.out);
        self
    }

    /// Whether the second operand are a depthwise convolution's weights.
    fn has_weights(&self) -> bool {
        matches!(self.spec.formula, WindowFormula::Depthwise | WindowFormula::DepthwiseBack)
    }

    fn lanes(&self) -> usize {
        if self.spec.fours { 4 } else { 1 }
    }

    /// Images of the result.
    pub fn made(&self) -> usize {
        self.images.div_ceil(self.together)
    }

    /// Elements of the result.
    pub fn size(&self) -> usize {
        self.made() * self.out.plane()
    }

    fn all_lists(&self) -> impl Iterator<Item = &List> {
        self.lists.iter().chain(self.windows.iter().flatten())
    }
}

impl Images {
    /// Elements of an image.
    pub fn plane(&self) -> usize {
        self.rows * self.columns * self.channels
    }
}

impl Archetype for Window {
    fn name(&self) -> String {
        match self.spec.formula {
            WindowFormula::Sum => "window_sum",
            WindowFormula::Largest => "window_max",
            WindowFormula::Picked => "window_picked",
            WindowFormula::Back => "window_max_back",
            WindowFormula::Depthwise => "window_depthwise",
            WindowFormula::DepthwiseBack => "window_depthwise_back",
            WindowFormula::DepthwiseWeights => "window_depthwise_weights",
        }
        .into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32.by_fours(self.spec.fours), self);
        s.number("WG", WG);
        self.texts(&mut s);
        s.finish(shader!("window.wgsl"))
    }

    /// Operands, tables, result.
    fn bindings(&self) -> Vec<Binding> {
        let halves = &self.spec.halves;
        let of = |i: usize, four: bool| Element::float(halves.input(i)).by_fours(four && self.spec.fours);
        let span = |i: &Images| i.offset..i.offset + self.images * i.plane();
        let mut all = vec![Binding::read("x", of(0, true), span(&self.x))];
        if let Some(y) = &self.y {
            let weights = self.has_weights();
            let own = if weights { y.offset..y.offset + y.plane() } else { span(y) };
            all.push(Binding::read("y", of(1, !weights), own));
        }
        let (start, end) = self.all_lists().fold((usize::MAX, 0), |(a, b), l| (a.min(l.starts), b.max(l.end)));
        all.push(Binding::read("tables", Element::U32, start..end));
        let out = Element::float(halves.output(0)).by_fours(self.spec.fours);
        all.push(Binding::write("out", out, self.out.offset..self.out.offset + self.size()));
        all
    }

    /// Its sizes; where it takes four channels at a time these and offsets count in fours.
    fn dims(&self) -> Dims {
        let q = self.lanes();
        let images = |d: Dims, name: &str, i: &Images, q: usize| {
            let d = d.u32(format!("{name}_offset"), i.offset / q).u32(format!("{name}_rows"), i.rows);
            d.u32(format!("{name}_columns"), i.columns).u32(format!("{name}_channels"), i.channels / q)
        };
        let mut d = images(images(Dims::new().u32("size", self.size() / q), "out", &self.out, q), "x", &self.x, q);
        if let Some(y) = &self.y {
            d = images(d, "y", y, if self.has_weights() { 1 } else { q });
        }
        d = d.u32("down", self.lists[0].starts).u32("across", self.lists[1].starts).u32("each", self.each);
        if let Some([down, across]) = &self.windows {
            d = d.u32("window_down", down.starts).u32("window_across", across.starts);
        }
        d.u32("images", self.images).u32("together", self.together)
    }

    /// A thread for each value of the result, or for four channels of it.
    fn grid(&self) -> [u32; 3] {
        fold((self.size() / self.lanes()).div_ceil(WG))
    }

    fn turns(&self) -> usize {
        let entries = self.all_lists().map(|l| l.longest).product::<usize>();
        let each = if self.spec.formula == WindowFormula::DepthwiseBack { self.each } else { 1 };
        entries.saturating_mul(each * self.together)
    }

    fn flops(&self) -> u64 {
        let [down, across] = [0, 1].map(|i| self.windows.map_or(self.lists[i].all, |w| w[i].all));
        let channels = if self.spec.formula == WindowFormula::DepthwiseBack { self.x.channels } else { self.out.channels };
        flops(self.images * down * across * channels, if self.spec.formula == WindowFormula::Largest { 1 } else { 2 })
    }
}
