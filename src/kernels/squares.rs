//! Partial sums of the gradient's squares: the norm that every update waits for.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element, V};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::shard::Shard;
use super::lib::source::{FINITE, MATH, Source, shader};
use super::lib::update_guard::unscale;
use super::lib::words;

/// Partial sums of the gradient's squares, before the first parameter is touched: infinite ones where the loss is not finite.
/// Buffers: the state where the loss was scaled, gradients, the loss if there is one, sums under way, partial sums.
///
/// Of an arena in several buffers each shard is a launch. It takes up each thread's sum where the shard before has left it, so that the order
/// of additions, and every bit, is that of the arena in one buffer; the last shard's launch leaves the partial sums.
#[derive(Debug, Clone)]
pub struct Squares {
    /// Elements of the arena, or of the shard, a multiple of 4.
    pub size: usize,
    /// Which shard it is.
    pub shard: Option<Shard>,
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
    /// Words that the CPU's twin hands on beside the sums that are done: 32 lanes of a sum in f32 and in f64.
    const HANDED_ON: usize = 32 * 3;

    /// Lanes that share a partial sum on a machine whose groups have this many. What clips by the norm keeps the sums that it had ever since,
    /// to the bit.
    pub(crate) fn group_for(group: usize, clips: bool) -> usize {
        if group == 1 && !clips { Self::WG } else { group }
    }

    fn wg(&self) -> usize {
        self.group.max(Self::WG)
    }

    /// Elements of the whole arena.
    pub(crate) fn whole(&self) -> usize {
        self.shard.map_or(self.size, |s| s.whole)
    }

    /// Whether no shard is before it.
    pub(crate) fn is_first(&self) -> bool {
        self.shard.is_none_or(|s| s.first == 0)
    }

    /// Whether no shard is behind it.
    pub(crate) fn is_last(&self) -> bool {
        self.shard.is_none_or(|s| s.first + self.size == s.whole)
    }

    /// Numbers that one shard's launch leaves for the next: a sum for each thread, or what the CPU's twin hands on.
    pub(crate) fn underway(&self) -> usize {
        self.threads() + Self::HANDED_ON
    }

    fn threads(&self) -> usize {
        let whole = self.whole();
        let few = whole / 4 <= Self::SOME;
        let most = match self.group {
            1 if few => Self::FEW,
            Self::WG if few => Self::FEW_GROUPS * Self::WG,
            group => words::PARTIALS * group,
        };
        (whole / 4).next_multiple_of(self.wg()).min(most)
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
        s.line(match self.shard {
            // a thread goes on with its own vectors of the arena, whichever the shard begins with
            Some(_) => "fn first(thread: u32) -> u32 { return (thread + d.threads - d.turn) % d.threads; }",
            None => "fn first(thread: u32) -> u32 { return thread; }",
        });
        s.line(match self.is_first() {
            true => "fn begin(thread: u32) -> f32 { return 0.0; }",
            false => "fn begin(thread: u32) -> f32 { return underway[thread]; }",
        });
        s.line(match self.is_last() {
            true => {
                "fn leave(thread: u32, lane: u32, squares: f32) {\n    let sum = group_sum(squares, lane);\n    \
                 if (lane == 0u) { partials[thread / GROUP] = select(from_bits(0x7f800000u), sum, good()); }\n}"
            }
            false => "fn leave(thread: u32, lane: u32, squares: f32) { underway[thread] = squares; }",
        });
        s.finish(shader!("squares.wgsl"))
    }

    /// The state, gradients, loss, sums on their way, partial sums.
    fn bindings(&self) -> Vec<Binding> {
        let mut all: Vec<Binding> = self.scaled.then(Binding::state).into_iter().collect();
        all.push(Binding::read("gradients", V, 0..self.size));
        all.extend(self.loss.map(|at| Binding::read("loss", Element::F32, at..at + 1)));
        if self.shard.is_some() {
            let span = 0..self.underway();
            all.push(match (self.is_first(), self.is_last()) {
                (true, _) => Binding::write("underway", Element::F32, span),
                (_, true) => Binding::read("underway", Element::F32, span),
                (false, false) => Binding::update("underway", Element::F32, span),
            });
        }
        all.extend(self.is_last().then(|| Binding::write("partials", Element::F32, 0..self.partials())));
        all
    }

    fn dims(&self) -> Dims {
        let d = Dims::new().u32("vectors", self.size / 4).u32("threads", self.threads()).u32("loss_offset", self.loss.unwrap_or(0));
        self.shard.map_or(d.clone(), |s| d.u32("turn", s.first / 4 % self.threads()))
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
