//! An update without a graph: what a parameter server runs.

use super::caps::Caps;
use super::lower::update_alone;
use super::memory::{Arena, colour};
use super::program::Program;
use super::purpose::{Part, Purpose};
use super::request::Request;
use super::step::Step;
use crate::error::Result;
use crate::graph::{Graph, Precision};
use crate::kernels::Target;
use crate::optim::Rule;

/// Plans what a whole step does after its gradients are known: their norm, the update, the tick. The host writes the gradients of these
/// parameters to [`BufferId::Gradients`](super::BufferId::Gradients) before each submit: of one worker ([`Part::Leave`]), or the mean over
/// several, weighed by what each counted. `has_gradient` tells which parameters the loss depends on: the others stay as they are, and
/// nothing decays them.
///
/// The launches are those of a whole step under this rule, so the parameters, moments and f16 copies get the same bits. The session is made
/// for [`Program::layout`]; the program runs over no data.
///
/// - The rates are those of the state's update counter, as in training. Batch and update counter move with each update; the cursor stays.
/// - There is no loss: the log says 0. A norm that is not finite halts, and so changes nothing: the worker's own log has told which gradients
///   are for nobody.
/// - Where the rule scales the loss, the gradients are times the state's loss scale, which the host sets: to the scale of the worker's line,
///   or to 1 where it has divided the gradients by it (by a power of two: no bit is lost). It does not move here; it is a matter of the worker.
///
/// Fails where the device cannot bind what a launch of the rule needs.
#[doc(hidden)]
pub fn update_program(arena: &Arena, rule: &Rule, has_gradient: impl Fn(&str) -> bool, target: Target, caps: Caps) -> Result<Program> {
    let with = arena.entries.iter().filter(|e| !e.frozen && has_gradient(&e.name));
    // names alone: no node makes their values
    let gradients = with.map(|e| (e.name.clone(), 0.into())).collect();
    let step = Step {
        graph: Graph::default(),
        loss: None,
        gradients,
        weight: None,
        metrics: vec![],
        outputs: vec![],
        updates: vec![],
        precision: Precision::F32,
    };
    let r = Request { step: &step, purpose: Purpose::Update, part: Part::Whole, batch: 0, arena, rule, target, caps };
    super::launchable(colour(&r, update_alone(&r)), caps)
}
