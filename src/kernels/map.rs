use super::source::{MATH, Source};
use super::{Access, fold, owners, to_words};
use crate::expr::Expr;

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
}

/// An operand that is read along strides, one for each axis of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strided {
    /// First element.
    pub offset: usize,
    /// Elements to step along each axis; 0 repeats.
    pub strides: Vec<usize>,
}

/// What makes a map's pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MapSpec {
    /// The formula.
    pub f: Expr,
    /// How each input is read.
    pub reads: Vec<Read>,
    /// Axes of the output, after those that can be were merged.
    pub rank: usize,
    /// Four elements a thread.
    pub vector: bool,
    /// The output through whose binding each is written: its own, or that of an earlier one in the same buffer.
    pub via: Vec<usize>,
}

/// A formula at every element. Buffers: inputs, outputs.
#[derive(Debug, Clone)]
pub struct Map {
    /// Its pipeline.
    pub spec: MapSpec,
    /// The output's axes.
    pub shape: Vec<usize>,
    /// The inputs, one stride for each axis.
    pub inputs: Vec<Strided>,
    /// The first element of each output.
    pub outputs: Vec<usize>,
}

impl Map {
    /// Reads inputs of these strides over `shape`; merges axes and picks the reads.
    pub fn new(f: Expr, shape: &[usize], inputs: Vec<Strided>, outputs: Vec<usize>) -> Self {
        let (shape, inputs) = merge_axes(shape, inputs);
        let n: usize = shape.iter().product();
        let rank = shape.len();
        let reads: Vec<Read> = inputs
            .iter()
            .map(|i| match i.strides.as_slice() {
                [1] | [] => Read::Flat,
                s if s.iter().all(|&s| s == 0) => Read::One,
                _ => Read::Strided,
            })
            .collect();
        let aligned = inputs.iter().zip(&reads).all(|(i, r)| match r {
            Read::Flat => i.offset % 4 == 0,
            Read::One => true,
            Read::Strided => false,
        });
        let vector = aligned && n.is_multiple_of(4) && outputs.iter().all(|o| o % 4 == 0);
        let via = (0..outputs.len()).collect();
        Map { spec: MapSpec { f, reads, rank, vector, via }, shape, inputs, outputs }
    }

    /// Elements of the output.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    fn lanes(&self) -> usize {
        if self.spec.vector { 4 } else { 1 }
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let MapSpec { f, reads, rank, vector, via } = &self.spec;
        let v = if *vector { "vec4<f32>" } else { "f32" };
        let mut s = Source::new(v);
        s.number("WG", WG);
        for (i, r) in reads.iter().enumerate() {
            s.buffer(&format!("in{i}"), Access::Read, if *r == Read::One { "f32" } else { v });
        }
        for o in (0..via.len()).filter(|&o| via[o] == o) {
            s.buffer(&format!("out{o}"), Access::Write, v);
        }
        s.line(MATH).line("fn element(e: u32) {");
        if reads.contains(&Read::Strided) {
            s.line("    var rest = e;");
            for axis in (0..*rank).rev() {
                s.line(format!("    let c{axis} = rest % dim({}u); rest = rest / dim({}u);", 1 + axis, 1 + axis));
            }
        }
        let mut at = 1 + rank;
        for (i, r) in reads.iter().enumerate() {
            let place = match r {
                Read::Flat => format!("in{i}[dim({at}u) + e]"),
                Read::One => format!("V(in{i}[dim({at}u)])"),
                Read::Strided => {
                    let steps: Vec<String> = (0..*rank).map(|a| format!("c{a} * dim({}u)", at + 1 + a)).collect();
                    format!("in{i}[dim({at}u) + {}]", steps.join(" + "))
                }
            };
            s.line(format!("    let x{i} = {place};"));
            at += 1 + rank;
        }
        let names: Vec<String> = (0..reads.len()).map(|i| format!("x{i}")).collect();
        let printed = f.wgsl(&names.iter().map(String::as_str).collect::<Vec<_>>());
        s.line(printed.statements.trim_end());
        for (o, name) in printed.outputs.iter().enumerate() {
            s.line(format!("    out{}[dim({}u) + e] = {name};", via[o], at + o));
        }
        s.line("}");
        s.finish(include_str!("../../shaders/map.wgsl"))
    }

    /// Inputs, outputs.
    pub fn accesses(&self) -> Vec<Access> {
        let mut a = vec![Access::Read; self.inputs.len()];
        a.resize(self.inputs.len() + owners(&self.spec.via), Access::Write);
        a
    }

    /// Count, axes, then offset and strides of each input, then the outputs' offsets.
    pub fn dims(&self) -> Vec<u32> {
        let q = self.lanes();
        let mut d = vec![self.size() / q];
        d.extend(&self.shape);
        for (i, r) in self.inputs.iter().zip(&self.spec.reads) {
            d.push(if *r == Read::Flat { i.offset / q } else { i.offset });
            d.extend(&i.strides);
        }
        d.extend(self.outputs.iter().map(|o| o / q));
        to_words(d)
    }

    /// A thread for every element or four.
    pub fn grid(&self) -> [u32; 3] {
        fold((self.size() / self.lanes()).div_ceil(WG))
    }
}

/// Merges neighbouring axes along which every input steps alike; drops axes of size 1.
fn merge_axes(shape: &[usize], mut inputs: Vec<Strided>) -> (Vec<usize>, Vec<Strided>) {
    let mut dims: Vec<usize> = Vec::new();
    let mut strides: Vec<Vec<usize>> = vec![Vec::new(); inputs.len()];
    for (axis, &size) in shape.iter().enumerate() {
        if size == 1 {
            continue;
        }
        let joins = !dims.is_empty() && inputs.iter().zip(&strides).all(|(i, s)| s[s.len() - 1] == i.strides[axis] * size);
        if joins {
            let last = dims.len() - 1;
            dims[last] *= size;
            inputs.iter().zip(&mut strides).for_each(|(i, s)| s[last] = i.strides[axis]);
        } else {
            dims.push(size);
            inputs.iter().zip(&mut strides).for_each(|(i, s)| s.push(i.strides[axis]));
        }
    }
    inputs.iter_mut().zip(strides).for_each(|(i, s)| i.strides = s);
    (dims, inputs)
}
