//! The direction of a rule that needs norms of each tensor (LAMB), and those norms.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, V};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::rates::RateTable;
use super::lib::shard::Shard;
use super::lib::source::{BLOCKS, FINITE, MATH, Source, shader};
use super::lib::still::among;
use super::lib::update_guard::UpdateGuard;
use super::lib::words::{self, BLOCK};
use crate::expr::Expr;
use std::ops::Range;

/// The direction of a rule that needs norms of each tensor: each block of the arena with its part of the norms behind it.
/// Buffers: state, rates, parameters, gradients, moments, direction, partial sums of the gradient's squares.
///
/// The formula takes (parameter, gradient, moments..) and gives (direction, moments..).
#[derive(Debug, Clone)]
pub struct Direction {
    /// The rule.
    pub rule: Expr,
    /// Moments that it keeps.
    pub moments: usize,
    /// Elements of the arena, or of the shard, a multiple of [`BLOCK`].
    pub size: usize,
    /// Which shard it is.
    pub shard: Option<Shard>,
    /// Lanes that work together: they share the guard's sum, and as many of them a block as it has vectors.
    pub group: usize,
    /// Where the rates are.
    pub rates: RateTable,
    /// What must be finite.
    pub guard: UpdateGuard,
    /// Blocks whose moments stay as they are, counted from its first: the loss does not depend on them.
    pub still: Vec<Range<usize>>,
}

impl Direction {
    /// Elements of a block with its norms: squares of the parameters, of the direction, two that nobody reads.
    pub const STRIDE: usize = BLOCK + 4;
    const WG: usize = 64;

    /// Lanes that share a block.
    fn lanes(&self) -> usize {
        self.group.min(BLOCK / 4)
    }

    fn wg(&self) -> usize {
        if self.group == 1 { Self::WG } else { self.group }
    }

    fn threads(&self) -> usize {
        (self.size / BLOCK * self.lanes()).next_multiple_of(self.wg()).min(words::PARTIALS * self.group)
    }

    /// Blocks that are under way at a time.
    pub(crate) fn groups(&self) -> usize {
        self.threads() / self.lanes()
    }

    /// Words of the direction.
    pub fn words(&self) -> usize {
        self.size / BLOCK * Self::STRIDE
    }
}

impl Archetype for Direction {
    fn name(&self) -> String {
        "direction".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(V, self);
        s.number("WG", self.wg()).number("LANES", self.lanes()).group(self.group);
        if self.lanes() > 1 {
            s.file(BLOCKS);
        } else {
            s.line("fn block_sum(norms: vec2<f32>, local: u32) -> vec2<f32> { return norms; }");
        }
        self.rates.source(&mut s, &self.guard, (false, self.shard), &self.rule);
        s.file(MATH).file(FINITE);
        self.guard.source(&mut s);
        s.line("fn way(i: u32, p: V, g: V, keep: bool) -> V {");
        let mut names = vec!["p".to_string(), "g".to_string()];
        for m in 0..self.moments {
            s.line(format!("    let m{m} = moment{m}[i];"));
            names.push(format!("m{m}"));
        }
        let printed = self.rule.wgsl(&names.iter().map(String::as_str).collect::<Vec<_>>());
        s.line(printed.statements.trim_end());
        match among(&self.still) {
            Some(still) => s.line(format!("    let block = i / (BLOCK / 4u);\n    if (keep && !({still})) {{")),
            None => s.line("    if (keep) {"),
        };
        for m in 0..self.moments {
            s.line(format!("        moment{m}[i] = normal_range({});", printed.outputs[1 + m]));
        }
        s.line(format!("    }}\n    return {};\n}}", printed.outputs[0]));
        s.finish(shader!("direction.wgsl"))
    }

    /// State, rates, parameters, gradients, moments, direction, partial sums.
    fn bindings(&self) -> Vec<Binding> {
        let all = || 0..self.size;
        let first = [self.rates.binding(), Binding::read("parameters", V, all()), Binding::read("gradients", V, all())];
        let moments = (0..self.moments).map(|m| Binding::update(format!("moment{m}"), V, all()));
        let last = [Binding::write("direction", V, 0..self.words()), self.guard.binding()];
        std::iter::once(Binding::state()).chain(first).chain(moments).chain(last).collect()
    }

    fn dims(&self) -> Dims {
        let d = self.guard.dims(Dims::new().u32("blocks", self.size / BLOCK).u32("step", self.groups()));
        Shard::dims(self.shard, d)
    }

    /// Enough workgroups, each taking several turns at a large arena.
    fn grid(&self) -> [u32; 3] {
        [(self.threads() / self.wg()) as u32, 1, 1]
    }

    fn turns(&self) -> usize {
        let blocks = (self.size / BLOCK).div_ceil(self.groups().max(1));
        blocks * (1 + BLOCK / 4 / self.lanes()) + words::PARTIALS / self.group
    }

    fn flops(&self) -> u64 {
        flops(self.size, 2 + self.rule.flops())
    }

    fn formula(&self) -> Option<(&Expr, usize)> {
        Some((&self.rule, self.size))
    }
}
