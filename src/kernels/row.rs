//! Work along the rows of `[rows, width]`: each row's values are joined to numbers, stage after stage, and formulas of both are stored. Softmax,
//! normalisations and their gradients are one launch each.

mod linear;
mod stages;
mod text;

pub use stages::{Slot, Stage};

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::halves::Halves;
use super::lib::lanes::FORMULAS;
use super::lib::target::Target;
use crate::expr::Expr;

/// What makes the pipeline of a [`Row`].
///
/// Its formulas read the operands by number, and behind them what the stages have given so far: of each stage its numbers, what it has joined, what it
/// has kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowSpec {
    /// The operands that are one number for a row. The others have a value at each place of it.
    pub numbers: Vec<bool>,
    /// The stages; the last one joins nothing, and its formula is that of the results which are rows.
    pub stages: Vec<Stage>,
    /// The results that are one number for a row: which of what formulas read. They stand behind the results which are rows.
    pub stored: Vec<usize>,
    /// Lanes that share a row: see [`Row::lanes_for`].
    pub lanes: usize,
    /// Partial sums of a lane: see [`Row::parts_for`].
    pub parts: usize,
    /// The result through whose binding each is written: its own, or that of an earlier one in the same buffer.
    pub via: Vec<usize>,
    /// What is f16 of the operands and results.
    pub halves: Halves,
}

/// Where an operand of a [`Row`] lies. The values of a row are neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowOperand {
    /// First element.
    pub offset: usize,
    /// Elements from one row to the next; 0 where all rows read the same.
    pub step: usize,
}

/// Numbers of rows, and formulas of them and of the rows' values. Buffers: inputs, outputs.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its pipeline.
    pub spec: RowSpec,
    /// How many rows.
    pub rows: usize,
    /// Values of a row.
    pub width: usize,
    /// The inputs.
    pub inputs: Vec<RowOperand>,
    /// The first element of each result.
    pub outputs: Vec<usize>,
}

impl Row {
    /// Widest row that one lane goes along.
    pub const LONG: usize = 16_384;
    /// Fewest rows that are worth a lane each where they are wider than [`Row::WIDE`].
    pub const FEW: usize = 16;
    /// See [`Row::FEW`].
    pub const WIDE: usize = 1024;

    /// Whether reductions and a map, which cut rows into pieces, take the place of one launch: where rows are too long for a lane, and where too few
    /// would keep a GPU busy.
    pub fn is_cut(target: Target, rows: usize, width: usize) -> bool {
        width > Self::LONG && (target != Target::Gpu || rows < 64)
    }

    /// Lanes that share a row, for the target. Rows that turn long in software are cut.
    pub fn lanes_for(target: Target, width: usize) -> usize {
        FORMULAS.lanes_for(target, width, usize::MAX)
    }

    /// Partial sums of a lane that has a row to itself: 16 of every sixteenth term each, added in pairs, as [`Reduce`](super::Reduce) has them.
    pub fn parts_for(lanes: usize, width: usize) -> usize {
        if lanes == 1 && width >= 64 { 16 } else { 1 }
    }

    fn wg(&self) -> usize {
        self.spec.lanes.max(64)
    }

    /// How many results are rows.
    pub fn whole(&self) -> usize {
        self.outputs.len() - self.spec.stored.len()
    }
}

impl Archetype for Row {
    fn name(&self) -> String {
        "row".into()
    }

    fn source(&self) -> String {
        text::source(self)
    }

    /// Inputs, outputs.
    fn bindings(&self) -> Vec<Binding> {
        let RowSpec { numbers, via, halves, .. } = &self.spec;
        let (rows, whole) = (self.rows, self.whole());
        let input = |(i, x): (usize, &RowOperand)| {
            let width = if numbers[i] { 1 } else { self.width };
            let span = x.offset..x.offset + (rows - 1) * x.step + width;
            let moved = if x.step == 0 { width } else { rows * width };
            Binding::read(format!("in{i}"), Element::float(halves.input(i)), span).moving(moved)
        };
        let mut all: Vec<Binding> = self.inputs.iter().enumerate().map(input).collect();
        let first = all.len();
        for (o, &offset) in self.outputs.iter().enumerate() {
            let size = if o < whole { rows * self.width } else { rows };
            let made = Binding::write(format!("out{o}"), Element::float(halves.output(o)), offset..offset + size);
            all.push(made.bound_through(first + o, first + via[o]));
        }
        all
    }

    fn dims(&self) -> Dims {
        let d = Dims::new().u32("rows", self.rows).u32("width", self.width).f32("count", self.width as f32);
        let input = |d: Dims, (i, x): (usize, &RowOperand)| d.u32(format!("in{i}_offset"), x.offset).u32(format!("in{i}_step"), x.step);
        let d = self.inputs.iter().enumerate().fold(d, input);
        self.outputs.iter().enumerate().fold(d, |d, (o, offset)| d.u32(format!("out{o}_offset"), *offset))
    }

    /// `lanes` for a row.
    fn grid(&self) -> [u32; 3] {
        fold((self.rows * self.spec.lanes).div_ceil(self.wg()))
    }

    fn turns(&self) -> usize {
        let RowSpec { stages, lanes, parts, .. } = &self.spec;
        let lane = self.width.div_ceil(*lanes);
        let joins = stages.iter().filter(|s| !s.joins.is_empty()).count();
        joins * (lane / parts + parts) + if self.whole() > 0 { lane } else { 0 }
    }

    fn flops(&self) -> u64 {
        let each: usize = self.spec.stages.iter().map(|s| s.f.flops() + s.joins.len()).sum();
        flops(self.rows * self.width, each)
    }

    /// Of each stage its numbers and what it does at each place.
    fn formulas(&self) -> Vec<(&Expr, usize)> {
        self.spec.stages.iter().flat_map(|s| [(&s.numbers, self.rows), (&s.f, self.rows * self.width)]).collect()
    }
}
