//! What a plan is asked for.

use super::caps::Caps;
use super::memory::Arena;
use super::purpose::{Part, Purpose};
use super::step::Step;
use crate::kernels::Target;
use crate::optim::Rule;

/// What to plan.
#[derive(Debug)]
pub struct Request<'a> {
    /// The step.
    pub step: &'a Step,
    /// What it is for. [`Purpose::Update`] has no step: [`update_program`](super::update_program) plans it.
    pub purpose: Purpose,
    /// Which of an update's batches, in training.
    pub part: Part,
    /// Rows of a batch.
    pub batch: usize,
    /// Where the parameters lie.
    pub arena: &'a Arena,
    /// The optimizer, in training.
    pub rule: &'a Rule,
    /// The kind of machine.
    pub target: Target,
    /// What the device can do.
    pub caps: Caps,
}
