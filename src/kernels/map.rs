//! A formula at every element, over operands with offsets and strides.

use super::lib::archetype::Archetype;
use super::lib::axes::merged;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::draw::{DRAW_WORDS, Draw, drawn, kinds};
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::halves::Halves;
use super::lib::halves::{rounded, widened};
use super::lib::source::{Source, shader};
use crate::expr::Expr;
use crate::graph::Distribution;

const WG: usize = 64;

/// How an input is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Read {
    /// Element for element.
    Flat,
    /// One value for all.
    One,
    /// Along strides.
    Strided,
    /// Along strides, within a box of the output; a fill value around it (padding).
    PadBox,
}

/// An operand that is read along strides, one for each axis of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strided {
    /// First element.
    pub offset: usize,
    /// Elements to step along each axis; 0 repeats.
    pub strides: Vec<usize>,
    /// Where it lies in the output, if it does not fill it.
    pub pad: Option<PadBox>,
}

impl Strided {
    /// An operand that fills the output.
    pub fn new(offset: usize, strides: Vec<usize>) -> Self {
        Strided { offset, strides, pad: None }
    }
}

/// A box of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PadBox {
    /// Its first index along each axis.
    pub before: Vec<usize>,
    /// Its extent along each axis.
    pub size: Vec<usize>,
    /// The word that is read around it.
    pub fill: u32,
}

/// What makes a map's pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MapSpec {
    /// The formula.
    pub f: Expr,
    /// How each input is read.
    pub reads: Vec<Read>,
    /// What is drawn: the formula's operands behind the inputs. A Bernoulli's probability is no part of the pipeline.
    pub draws: Vec<Distribution>,
    /// Axes of the output, after those that can be were merged.
    pub rank: usize,
    /// Four elements a thread.
    pub vector: bool,
    /// The output through whose binding each is written: its own, or that of an earlier one in the same buffer.
    pub via: Vec<usize>,
    /// The elements are u32, and only moved.
    pub integer: bool,
    /// The inputs that are u32, and become f32; empty where none is.
    pub integers: Vec<bool>,
    /// What is f16.
    pub halves: Halves,
}

/// A formula at every element. Buffers: the state if anything is drawn, inputs, outputs.
#[derive(Debug, Clone)]
pub struct Map {
    /// Its pipeline.
    pub spec: MapSpec,
    /// The output's axes.
    pub shape: Vec<usize>,
    /// The inputs, one stride for each axis.
    pub inputs: Vec<Strided>,
    /// What is drawn.
    pub draws: Vec<Draw>,
    /// The first element of each output.
    pub outputs: Vec<usize>,
}

impl Map {
    /// Reads inputs of these strides over `shape`; merges axes and picks the reads.
    pub fn new(f: Expr, shape: &[usize], inputs: Vec<Strided>, outputs: Vec<usize>) -> Self {
        let (shape, mut inputs) = merge_axes(shape, inputs);
        inputs.iter_mut().for_each(|i| i.pad = i.pad.take().filter(|w| w.size != shape));
        let n: usize = shape.iter().product();
        let rank = shape.len();
        let reads: Vec<Read> = inputs
            .iter()
            .map(|i| match i.strides.as_slice() {
                _ if i.pad.is_some() => Read::PadBox,
                [1] | [] => Read::Flat,
                s if s.iter().all(|&s| s == 0) => Read::One,
                _ => Read::Strided,
            })
            .collect();
        let aligned = inputs.iter().zip(&reads).all(|(i, r)| match r {
            Read::Flat => i.offset % 4 == 0,
            Read::One => true,
            Read::Strided | Read::PadBox => false,
        });
        let vector = aligned && n.is_multiple_of(4) && outputs.iter().all(|o| o % 4 == 0);
        let via = (0..outputs.len()).collect();
        let spec = MapSpec { f, reads, draws: vec![], rank, vector, via, integer: false, integers: vec![], halves: Halves::default() };
        Map { spec, shape, inputs, draws: vec![], outputs }
    }

    /// With these operands and results stored as f16.
    pub fn storing(mut self, halves: Halves) -> Self {
        self.spec.halves = halves;
        self
    }

    /// With these operands stored as u32, of which numbers are made.
    pub fn reading_integers(mut self, integers: Vec<bool>) -> Self {
        self.spec.integers = if integers.contains(&true) { integers } else { vec![] };
        self
    }

    /// With random numbers as further operands.
    pub fn drawing(mut self, draws: Vec<Draw>) -> Self {
        self.spec.draws = kinds(&draws);
        self.draws = draws;
        self
    }

    /// As [`Map::new`] for the move of u32 elements.
    pub fn of_integers(shape: &[usize], input: Strided, output: usize) -> Self {
        let mut map = Map::new(Expr::identity(), shape, vec![input], vec![output]);
        map.spec.integer = true;
        map
    }

    /// Words of `dims` that it needs at most, before axes are merged.
    pub(crate) fn words(rank: usize, plain: usize, padded: usize, draws: usize, outputs: usize) -> usize {
        1 + rank + plain * (1 + rank) + padded * (2 + 3 * rank) + draws * DRAW_WORDS + outputs
    }

    /// Elements of the output.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    fn lanes(&self) -> usize {
        if self.spec.vector { 4 } else { 1 }
    }
}

impl Archetype for Map {
    fn name(&self) -> String {
        "map".into()
    }

    fn source(&self) -> String {
        let MapSpec { f, reads, draws, rank, vector, via, integer, integers, halves } = &self.spec;
        let counts = |i: usize| integers.get(i).copied().unwrap_or(false);
        // an element or four of an input, as f32
        let load = |i: usize, four: bool, text: String| match counts(i) {
            true => format!("{}({text})", Element::F32.by_fours(four)),
            false => widened(halves.input(i), four, text),
        };
        let own = if *integer { Element::U32 } else { Element::F32 };
        let mut s = Source::new(own.by_fours(*vector), self);
        s.number("WG", WG);
        if !integer {
            s.math(f);
        }
        if !draws.is_empty() {
            s.random();
        }
        s.line("fn element(e: u32) {");
        if reads.iter().any(|r| matches!(r, Read::Strided | Read::PadBox)) {
            s.line("    var rest = e;");
            for axis in (0..*rank).rev() {
                s.line(format!("    let c{axis} = rest % d.extent{axis}; rest = rest / d.extent{axis};"));
            }
        }
        for (i, r) in reads.iter().enumerate() {
            let place = match r {
                Read::Flat => load(i, *vector, format!("in{i}[d.in{i}_offset + e]")),
                Read::One => format!("V({})", load(i, false, format!("in{i}[d.in{i}_offset]"))),
                Read::PadBox => String::new(),
                Read::Strided => {
                    let steps: Vec<String> = (0..*rank).map(|a| format!("c{a} * d.in{i}_stride{a}")).collect();
                    load(i, false, format!("in{i}[d.in{i}_offset + {}]", steps.join(" + ")))
                }
            };
            if *r == Read::PadBox {
                in_box(&mut s, i, *rank, *integer, |text| load(i, false, text));
                continue;
            }
            s.line(format!("    let x{i} = {place};"));
        }
        for (i, d) in draws.iter().enumerate() {
            s.line(format!(
                "    let x{} = {};",
                reads.len() + i,
                if *vector { drawn(*d, i, "e", "") } else { drawn(*d, i, "e / 4u", "[e % 4u]") }
            ));
        }
        let names: Vec<String> = (0..reads.len() + draws.len()).map(|i| format!("x{i}")).collect();
        let printed = f.wgsl(&names.iter().map(String::as_str).collect::<Vec<_>>());
        s.line(printed.statements.trim_end());
        for (o, name) in printed.outputs.iter().enumerate() {
            s.line(format!("    out{}[d.out{o}_offset + e] = {};", via[o], rounded(halves.output(o), *vector, name.clone())));
        }
        s.line("}");
        s.finish(shader!("map.wgsl"))
    }

    /// The state if anything is drawn, inputs, outputs.
    fn bindings(&self) -> Vec<Binding> {
        let MapSpec { reads, vector, via, integer, integers, halves, .. } = &self.spec;
        let n = self.size();
        let own = if *integer { Element::U32 } else { Element::F32 };
        let mut all: Vec<Binding> = (!self.draws.is_empty()).then(Binding::state).into_iter().collect();
        for (i, x) in self.inputs.iter().enumerate() {
            let of = match (halves.input(i), integers.get(i)) {
                (true, _) => Element::F16,
                (false, Some(true)) => Element::U32,
                (false, _) => own,
            };
            let extents = x.pad.as_ref().map_or(&self.shape, |w| &w.size);
            let steps = || extents.iter().zip(&x.strides);
            let last = steps().map(|(&d, &step)| d.saturating_sub(1) * step).sum::<usize>();
            let moved = steps().filter(|(_, step)| **step > 0).map(|(&d, _)| d).product::<usize>();
            let span = x.offset..x.offset + if n == 0 { 0 } else { last + 1 };
            let four = *vector && reads[i] != Read::One;
            all.push(Binding::read(format!("in{i}"), of.by_fours(four), span).moving(if n == 0 { 0 } else { moved }));
        }
        let first = all.len();
        for (o, &offset) in self.outputs.iter().enumerate() {
            let of = if halves.output(o) { Element::F16 } else { own };
            let made = Binding::write(format!("out{o}"), of.by_fours(*vector), offset..offset + n);
            all.push(made.bound_through(first + o, first + via[o]));
        }
        all
    }

    /// Its sizes: where it takes four elements a thread size and offsets count in fours.
    fn dims(&self) -> Dims {
        let q = self.lanes();
        let mut d = Dims::new().u32("size", self.size() / q).numbered("extent", &self.shape);
        for (i, (x, read)) in self.inputs.iter().zip(&self.spec.reads).enumerate() {
            d = d.u32(format!("in{i}_offset"), if *read == Read::Flat { x.offset / q } else { x.offset });
            d = d.numbered(format!("in{i}_stride"), &x.strides);
            if let Some(w) = &x.pad {
                d = d.numbered(format!("in{i}_before"), &w.before).numbered(format!("in{i}_size"), &w.size);
                d = d.word(format!("in{i}_fill"), w.fill);
            }
        }
        d = self.draws.iter().enumerate().fold(d, |d, (i, draw)| draw.dims(d, i));
        self.outputs.iter().enumerate().fold(d, |d, (o, offset)| d.u32(format!("out{o}_offset"), offset / q))
    }

    /// A thread for every element or four.
    fn grid(&self) -> [u32; 3] {
        fold((self.size() / self.lanes()).div_ceil(WG))
    }

    fn turns(&self) -> usize {
        0
    }

    fn flops(&self) -> u64 {
        flops(self.size(), self.spec.f.flops())
    }

    fn formula(&self) -> Option<(&Expr, usize)> {
        Some((&self.spec.f, self.size()))
    }
}

/// The element of a padded input: nothing is read outside of its box.
fn in_box(s: &mut Source, i: usize, rank: usize, integer: bool, load: impl Fn(String) -> String) {
    let fill = if integer { format!("d.in{i}_fill") } else { format!("bitcast<f32>(d.in{i}_fill)") };
    s.line(format!("    var x{i} = {fill};"));
    let inside: Vec<String> = (0..rank).map(|a| format!("c{a} - d.in{i}_before{a} < d.in{i}_size{a}")).collect();
    let steps: Vec<String> = (0..rank).map(|a| format!("(c{a} - d.in{i}_before{a}) * d.in{i}_stride{a}")).collect();
    // a coordinate before the box wraps round to a large one
    let value = load(format!("in{i}[d.in{i}_offset + {}]", steps.join(" + ")));
    s.line(format!("    if ({}) {{ x{i} = {value}; }}", inside.join(" && ")));
}

/// Merges neighbouring axes along which every input steps alike; drops axes of size 1.
fn merge_axes(shape: &[usize], inputs: Vec<Strided>) -> (Vec<usize>, Vec<Strided>) {
    // a box must fill the inner axis, to be a box along both as one
    let apart = |axis: usize| inputs.iter().filter_map(|i| i.pad.as_ref()).any(|w| w.size[axis] != shape[axis]);
    let steps: Vec<&[usize]> = inputs.iter().map(|i| i.strides.as_slice()).collect();
    let groups = merged(shape, &steps, apart);
    let innermost = |of: &[usize]| groups.iter().filter_map(|group| group.last()).map(|&axis| of[axis]).collect::<Vec<_>>();
    let extents = |of: &[usize]| groups.iter().map(|group| group.iter().map(|&axis| of[axis]).product()).collect::<Vec<_>>();
    let first = |of: &[usize]| groups.iter().map(|group| group.iter().fold(0, |at, &axis| at * shape[axis] + of[axis])).collect();
    let merge = |i: &Strided| {
        let pad = i.pad.as_ref().map(|w| PadBox { before: first(&w.before), size: extents(&w.size), fill: w.fill });
        Strided { offset: i.offset, strides: innermost(&i.strides), pad }
    };
    (extents(shape), inputs.iter().map(merge).collect())
}
