//! Partial sums of the gradient's squares: the norm that every update waits for.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element, V};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::source::{FINITE, MATH, Source, shader};
use super::lib::update_guard::unscale;
use super::lib::words;

/// Partial sums of the gradient's squares, before the first parameter is touched: infinite ones where the loss is not finite.
/// Buffers: the state where the loss was scaled, gradients, the loss if there is one, partial sums.
#[derive(Debug, Clone)]
pub struct Squares {
    /// Elements of the arena, a multiple of 4.
    pub size: usize,
    /// Lanes that share a partial sum.
    pub group: usize,
    /// First element of the loss; `None` where there is none, and the gradients alone are looked at.
    pub loss: Option<usize>,
    /// Whether the loss was scaled: the norm is that without the scale.
    pub scaled: bool,
}

impl Squares {
    const WG: usize = 64;
    /// Partial sums where a lane is a group of its own: each lane of the update adds them all.
    const FEW: usize = 256;
    /// Vectors of an arena that so few are enough for.
    const SOME: usize = 1 << 23;
    /// Groups on a machine whose lanes work alone, but for this launch: each lane of the update adds what they leave.
    const FEW_GROUPS: usize = 8;

    /// Lanes that share a partial sum on a machine whose groups have this many. What clips by the norm keeps the sums that it had ever since,
    /// to the bit.
    pub(crate) fn group_for(group: usize, clips: bool) -> usize {
        if group == 1 && !clips { Self::WG } else { group }
    }

    fn wg(&self) -> usize {
        self.group.max(Self::WG)
    }

    fn threads(&self) -> usize {
        let few = self.size / 4 <= Self::SOME;
        let most = match self.group {
            1 if few => Self::FEW,
            Self::WG if few => Self::FEW_GROUPS * Self::WG,
            group => words::PARTIALS * group,
        };
        (self.size / 4).next_multiple_of(self.wg()).min(most)
    }

    /// Partial sums that it leaves.
    pub fn partials(&self) -> usize {
        self.threads() / self.group
    }
}

impl Archetype for Squares {
    fn name(&self) -> String {
        "squares".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(V, self);
        s.number("WG", self.wg()).group(self.group);
        s.file(MATH).file(FINITE);
        unscale(&mut s, self.scaled);
        let good = if self.loss.is_some() { "is_finite(loss[d.loss_offset])" } else { "true" };
        s.line(format!("fn good() -> bool {{ return {good}; }}"));
        s.finish(shader!("squares.wgsl"))
    }

    /// The state, gradients, loss, partial sums.
    fn bindings(&self) -> Vec<Binding> {
        let mut all: Vec<Binding> = self.scaled.then(Binding::state).into_iter().collect();
        all.push(Binding::read("gradients", V, 0..self.size));
        all.extend(self.loss.map(|at| Binding::read("loss", Element::F32, at..at + 1)));
        all.push(Binding::write("partials", Element::F32, 0..self.partials()));
        all
    }

    fn dims(&self) -> Dims {
        Dims::new().u32("vectors", self.size / 4).u32("threads", self.threads()).u32("loss_offset", self.loss.unwrap_or(0))
    }

    /// Enough threads, each taking several vectors of a large arena.
    fn grid(&self) -> [u32; 3] {
        [(self.threads() / self.wg()) as u32, 1, 1]
    }

    fn turns(&self) -> usize {
        (self.size / 4).div_ceil(self.threads().max(1))
    }

    fn flops(&self) -> u64 {
        flops(self.size, 2)
    }
}
