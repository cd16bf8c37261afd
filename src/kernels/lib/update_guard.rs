//! What an update must know before it touches the first parameter, as generated WGSL.

use super::binding::{Binding, Element};
use super::dims::Dims;
use super::scaling::INVERSE;
use super::source::Source;
use super::words;

/// What an update must know before the first parameter is touched: that the norm of all gradients is finite.
/// [`Squares`](crate::kernels::Squares) has left partial sums of it, infinite ones where the loss is not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateGuard {
    /// Partial sums to add.
    pub partials: usize,
    /// The largest norm; longer gradients are scaled down to it.
    pub clip: Option<f32>,
    /// Whether the loss was scaled: then an earlier batch of the same update stops it, too, where several are accumulated.
    pub scaled: bool,
}

/// `unscale()`: one over the loss scale, or 1. The caller binds the state before, if it is one over the scale.
pub(crate) fn unscale(s: &mut Source, scaled: bool) {
    let value = if scaled { format!("bitcast<f32>({INVERSE}u - state_word(STATE_LOSS_SCALE))") } else { "1.0".into() };
    s.line(format!("fn unscale() -> f32 {{ return {value}; }}"));
}

impl UpdateGuard {
    /// `stopped(lane)`, to be called in uniform control flow.
    pub(crate) fn source(&self, s: &mut Source) {
        // as torch.nn.utils.clip_grad_norm_ has it, the small number too
        let scale = if self.clip.is_some() {
            "    let share = d.clip / (sqrt(squares) + 1e-6);\n    clip_scale = select(share, 1.0, share > 1.0);\n"
        } else {
            ""
        };
        let pending = format!(" || state_word(STATE_SKIP) == {}u", words::SKIP_PENDING);
        let pending = if self.scaled { &pending } else { "" };
        s.line(format!(
            "fn stopped(lane: u32) -> bool {{\n    var squares = 0.0;\n    for (var k = lane; k < d.partials; k += GROUP) {{ \
             squares += norms[k]; }}\n    squares = group_sum(squares, lane);\n{scale}    \
             return state_word(STATE_HALT) != 0u || !is_finite(squares){pending};\n}}"
        ));
    }

    /// With its sizes behind a kernel's own.
    pub(crate) fn dims(&self, own: Dims) -> Dims {
        own.u32("partials", self.partials).f32("clip", self.clip.unwrap_or(0.0))
    }

    /// The partial sums' buffer.
    pub(crate) fn binding(&self) -> Binding {
        Binding::read("norms", Element::F32, self.span())
    }

    /// The words of its buffer that it reads.
    pub(crate) fn span(&self) -> std::ops::Range<usize> {
        0..self.partials.min(words::PARTIALS)
    }
}
