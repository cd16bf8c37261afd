//! The buffers of a model.

use super::arena::Arena;
use crate::kernels::RateTable;
use crate::optim::Rule;

/// The arenas that a session holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// Elements of the trainable arena, of its gradients and of each moment.
    pub parameters: usize,
    /// Elements of the frozen arena.
    pub frozen: usize,
    /// Moments that the optimizer keeps.
    pub moments: usize,
    /// What the rates' buffer holds.
    pub rates: RateTable,
    /// Elements of the arena of state that is not trained.
    pub buffers: usize,
    /// Elements of the parameters' f16 copies.
    pub working: usize,
}

impl Layout {
    /// The arenas of these parameters, with so many moments.
    pub fn of(arena: &Arena, moments: usize) -> Self {
        Layout {
            parameters: arena.size,
            frozen: arena.frozen,
            moments,
            buffers: arena.buffered,
            working: arena.working,
            ..Layout::default()
        }
    }

    /// The arenas of these parameters under this rule.
    pub fn under(arena: &Arena, rule: &Rule) -> Self {
        Layout { rates: rule.rates(arena), ..Self::of(arena, rule.moments) }
    }
}
