//! Sums of the gradients of an update's batches.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element, V};
use super::lib::dims::Dims;
use super::lib::flops::flops;
use super::lib::grid::fold;
use super::lib::source::{Source, shader};

/// Adds a batch's gradient, times its rows or its weight, to the sum of the others of one update; after the last of them the mean over all rows
/// stands in the gradient's place. Buffers: state, gradients, sums, the batch's weight if that is not its rows.
#[derive(Debug, Clone)]
pub struct Accumulate {
    /// Elements of the arena, a multiple of 4.
    pub size: usize,
    /// Rows of the batch.
    pub rows: usize,
    /// The update's last batch.
    pub last: bool,
    /// Where the weight stands in its buffer. A weight of 0 in all batches leaves a gradient of 0.
    pub weight: Option<usize>,
}

impl Accumulate {
    const WG: usize = 64;
}

impl Archetype for Accumulate {
    fn name(&self) -> String {
        "accumulate".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(V, self);
        s.number("WG", Self::WG).flag("LAST", self.last);
        if self.weight.is_some() {
            s.line("fn weight() -> f32 { return weights[d.weights_offset]; }");
        } else {
            s.line("fn weight() -> f32 { return d.rows; }");
        }
        if self.last {
            s.line(match self.weight {
                None => "fn scale() -> f32 { return 1.0 / (f32(state_word(STATE_SUMMED)) + weight()); }",
                Some(_) => {
                    "fn scale() -> f32 {\n    let sum = bitcast<f32>(state_word(STATE_SUMMED)) + weight();\n    \
                     return select(1.0 / sum, 0.0, sum == 0.0);\n}"
                }
            });
            s.line("fn put(i: u32, g: V) { gradients[i] = (sums[i] + g) * V(scale()); }");
        } else {
            s.line("fn put(i: u32, g: V) {\n    if (state_word(STATE_MICRO) == 0u) { sums[i] = g; } else { sums[i] = sums[i] + g; }\n}");
        }
        s.finish(shader!("accumulate.wgsl"))
    }

    /// State, gradients, sums, the batch's weight.
    fn bindings(&self) -> Vec<Binding> {
        let all = || 0..self.size;
        let arenas = match self.last {
            true => [Binding::update("gradients", V, all()), Binding::read("sums", V, all())],
            false => [Binding::read("gradients", V, all()), Binding::update("sums", V, all())],
        };
        let weight = self.weight.map(|at| Binding::read("weights", Element::F32, at..at + 1));
        std::iter::once(Binding::state()).chain(arenas).chain(weight).collect()
    }

    fn dims(&self) -> Dims {
        let d = Dims::new().u32("vectors", self.size / 4).u32("across", Self::WG * self.grid()[0] as usize);
        match self.weight {
            Some(place) => d.u32("weights_offset", place),
            None => d.f32("rows", self.rows as f32),
        }
    }

    /// A thread for each vector.
    fn grid(&self) -> [u32; 3] {
        fold((self.size / 4).div_ceil(Self::WG))
    }

    fn turns(&self) -> usize {
        0
    }

    fn flops(&self) -> u64 {
        flops(self.size, 2)
    }
}
