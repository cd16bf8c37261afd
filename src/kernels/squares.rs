use super::lib::binding::{Access, Binding, Element, V};
use super::lib::dims::Dims;
use super::lib::gate::unscale;
use super::lib::source::{FINITE, MATH, Source};
use super::lib::words;

/// Partial sums of the gradient's squares, before the first parameter is touched: infinite ones where the loss is not finite.
/// Buffers: the state where the loss was scaled, gradients, loss, partial sums.
#[derive(Debug, Clone)]
pub struct Squares {
    /// Elements of the arena, a multiple of 4.
    pub size: usize,
    /// Lanes that share a partial sum.
    pub group: usize,
    /// First element of the loss.
    pub loss: usize,
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

    /// Turns of the longest lane's loops, at most.
    pub(super) fn turns(&self) -> usize {
        (self.size / 4).div_ceil(self.threads().max(1))
    }

    /// The state, gradients, loss, partial sums.
    pub fn bindings(&self) -> Vec<Binding> {
        let mut all: Vec<Binding> = self.scaled.then(Binding::state).into_iter().collect();
        all.push(Binding::read("gradients", V, 0..self.size));
        all.push(Binding::read("loss", Element::F32, self.loss..self.loss + 1));
        all.push(Binding::write("partials", Element::F32, 0..self.partials()));
        all
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("vec4<f32>", &self.dims());
        s.number("WG", self.wg()).group(self.group);
        if self.scaled {
            s.state();
        }
        s.buffer("gradients", Access::Read, "V").buffer("loss", Access::Read, "f32").buffer("partials", Access::Write, "f32");
        s.line(MATH).line(FINITE);
        unscale(&mut s, self.scaled);
        s.finish(include_str!("../../shaders/squares.wgsl"))
    }

    /// The state, gradients, loss, partial sums.
    pub fn accesses(&self) -> Vec<Access> {
        let state = self.scaled.then_some(Access::Uniform);
        state.into_iter().chain([Access::Read, Access::Read, Access::Write]).collect()
    }

    /// Its sizes.
    pub(crate) fn dims(&self) -> Dims {
        Dims::new().u32("vectors", self.size / 4).u32("threads", self.threads()).u32("loss_offset", self.loss)
    }

    /// Enough threads, each taking several vectors of a large arena.
    pub fn grid(&self) -> [u32; 3] {
        [(self.threads() / self.wg()) as u32, 1, 1]
    }
}
