//! The optimizer's rule over the whole arena of parameters, in one launch.

use super::lib::archetype::Archetype;
use super::lib::binding::{Access, Binding, Element, V};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::rates::RateTable;
use super::lib::shard::Shard;
use super::lib::source::{FINITE, MATH, Source, shader};
use super::lib::still::among;
use super::lib::update_guard::UpdateGuard;
use super::lib::words::{self, BLOCK};
use crate::expr::Expr;
use crate::portable::STORAGE_BUFFERS;
use std::ops::Range;

/// An optimizer's rule over the whole parameter arena. Buffers: state, rates, parameters, gradients, moments, partial sums of the gradient's
/// squares; where a direction is applied, ratios; the f16 copies where they are kept.
///
/// The formula takes (parameter, gradient, moments..) and gives (parameter, moments..).
#[derive(Debug, Clone)]
pub struct Optimizer {
    /// The rule.
    pub rule: Expr,
    /// Arenas that it keeps beside the parameters.
    pub moments: usize,
    /// Elements of the arena, or of the shard, a multiple of 4.
    pub size: usize,
    /// Which shard it is.
    pub shard: Option<Shard>,
    /// Lanes that share a partial sum.
    pub group: usize,
    /// Where the rates are.
    pub rates: RateTable,
    /// What must be finite.
    pub guard: UpdateGuard,
    /// In place of the gradient comes a direction as [`Direction`](super::Direction) leaves it, with a ratio for each tensor.
    pub applies: bool,
    /// It leaves the parameters as f16, too.
    pub half_copies: bool,
    /// Blocks of [`BLOCK`] elements that stay as they are, counted from its first: the loss does not depend on them.
    pub still: Vec<Range<usize>>,
}

impl Optimizer {
    const WG: usize = 64;

    fn wg(&self) -> usize {
        self.group.max(Self::WG)
    }

    fn threads(&self) -> usize {
        let most = words::PARTIALS * self.group;
        (self.size / 4).next_multiple_of(self.wg()).min(most)
    }

    /// Pieces that its work is cut into: groups of lanes.
    pub(crate) fn pieces(&self) -> usize {
        self.threads() / self.group
    }

    /// Whether one launch may bind the f16 copies, too. Else they take a launch of their own.
    pub(crate) fn has_room_for_copies(&self) -> bool {
        let with = Optimizer { half_copies: true, ..self.clone() };
        with.bindings().iter().filter(|b| b.access != Access::Uniform).count() <= STORAGE_BUFFERS
    }

    /// Words of the gradients, or of the directions with their norms.
    pub(crate) fn gradient_words(&self) -> usize {
        if self.applies { self.size / BLOCK * super::Direction::STRIDE } else { self.size }
    }
}

impl Archetype for Optimizer {
    fn name(&self) -> String {
        "optimizer".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(V, self);
        s.number("WG", self.wg()).group(self.group);
        self.rates.source(&mut s, &self.guard, (self.applies, self.shard), &self.rule);
        s.file(MATH).file(FINITE);
        self.guard.source(&mut s);
        // a block of directions is followed by its norms
        let at = if self.applies { "i + i / (BLOCK / 4u)" } else { "i" };
        s.line(format!("fn gradient(i: u32) -> V {{ return gradients[{at}]; }}"));
        s.line("fn update(i: u32, g: V) {");
        among(&self.still).iter().for_each(|still| {
            s.line(format!("    let block = i / (BLOCK / 4u);\n    if ({still}) {{ return; }}"));
        });
        // without a table all blocks have the rates of the first
        let begin = if self.rates.blocks > 0 {
            s.line("    turn_to(i / (BLOCK / 4u));");
            ""
        } else {
            "turn_to(0u);"
        };
        s.line("    let p = parameters[i];");
        let mut names = vec!["p".to_string(), "g".to_string()];
        for m in 0..self.moments {
            s.line(format!("    let m{m} = moment{m}[i];"));
            names.push(format!("m{m}"));
        }
        let printed = self.rule.wgsl(&names.iter().map(String::as_str).collect::<Vec<_>>());
        s.line(printed.statements.trim_end());
        s.line(format!("    parameters[i] = {};", printed.outputs[0]));
        if self.half_copies {
            s.line(format!("    half_copies[i] = vec4<f16>({});", printed.outputs[0]));
        }
        for m in 0..self.moments {
            s.line(format!("    moment{m}[i] = normal_range({});", printed.outputs[1 + m]));
        }
        s.line("}").line(format!("fn begin() {{ {begin} }}"));
        s.finish(shader!("optimizer.wgsl"))
    }

    /// State, rates, parameters, gradients, moments, partial sums, ratios, f16 copies.
    fn bindings(&self) -> Vec<Binding> {
        let all = || 0..self.size;
        // a block of directions is followed by its norms, which are not read
        let gradients = Binding::read("gradients", V, 0..self.gradient_words()).moving(self.size);
        let first = [Binding::state(), self.rates.binding(), Binding::update("parameters", V, all()), gradients];
        let moments = (0..self.moments).map(|m| Binding::update(format!("moment{m}"), V, all()));
        let ratios = self.applies.then(|| Binding::read("ratios", Element::F32, 0..self.rates.tensors));
        let half_copies = self.half_copies.then(|| Binding::write("half_copies", Element::F16.by_fours(true), all()));
        first.into_iter().chain(moments).chain([self.guard.binding()]).chain(ratios).chain(half_copies).collect()
    }

    fn dims(&self) -> Dims {
        let d = self.guard.dims(Dims::new().u32("vectors", self.size / 4).u32("threads", self.threads()));
        Shard::dims(self.shard, d)
    }

    /// Enough threads, each taking several vectors of a large arena.
    fn grid(&self) -> [u32; 3] {
        [(self.threads() / self.wg()) as u32, 1, 1]
    }

    fn turns(&self) -> usize {
        (self.size / 4).div_ceil(self.threads().max(1)) + words::PARTIALS / self.group
    }

    fn flops(&self) -> u64 {
        flops(self.size, 2 + self.rule.flops())
    }

    fn formula(&self) -> Option<(&Expr, usize)> {
        Some((&self.rule, self.size))
    }
}
