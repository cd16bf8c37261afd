use super::source::Source;
use super::{Access, fold, to_words};

/// Adds a batch's gradient, times its rows, to the sum of the others of one update; after the last of them the mean over all rows stands in the
/// gradient's place. Buffers: state, gradients, sums.
#[derive(Debug, Clone)]
pub struct Accumulate {
    /// Elements of the arena, a multiple of 4.
    pub size: usize,
    /// Rows of the batch.
    pub rows: usize,
    /// The update's last batch.
    pub last: bool,
}

impl Accumulate {
    const WG: usize = 64;

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("vec4<f32>");
        s.number("WG", Self::WG).flag("LAST", self.last).state();
        let (gradients, sums) = if self.last { (Access::Write, Access::Read) } else { (Access::Read, Access::Write) };
        s.buffer("gradients", gradients, "V").buffer("sums", sums, "V");
        if self.last {
            s.line("fn scale() -> f32 { return 1.0 / (f32(state_word(STATE_SUMMED)) + bitcast<f32>(dim(1u))); }");
            s.line("fn put(i: u32, g: V) { gradients[i] = (sums[i] + g) * V(scale()); }");
        } else {
            s.line("fn put(i: u32, g: V) {\n    if (state_word(STATE_MICRO) == 0u) { sums[i] = g; } else { sums[i] = sums[i] + g; }\n}");
        }
        s.finish(include_str!("../../shaders/accumulate.wgsl"))
    }

    /// State, gradients, sums.
    pub fn accesses(&self) -> Vec<Access> {
        match self.last {
            true => vec![Access::Uniform, Access::Write, Access::Read],
            false => vec![Access::Uniform, Access::Read, Access::Write],
        }
    }

    /// Vectors, rows as a float, threads along the grid's first axis.
    pub fn dims(&self) -> Vec<u32> {
        let width = Self::WG * self.grid()[0] as usize;
        to_words([self.size / 4, (self.rows as f32).to_bits() as usize, width])
    }

    /// A thread for each vector.
    pub fn grid(&self) -> [u32; 3] {
        fold((self.size / 4).div_ceil(Self::WG))
    }
}
