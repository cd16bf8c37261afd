//! An optimizer as the planner sees it: one formula for every element of a parameter, and what stands around that formula.

use super::Scaling;
use super::rates::{RATE_CLIP, RATE_FIRST, RATE_UNSCALE};
use crate::expr::{Expr, Scalar, Tape};

/// An optimizer as the plan sees it: (parameter, gradient, moments..) to (parameter, moments..), with what stands around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The formula. Where [`Rule::apply`] follows, its first result is a direction and no parameter.
    pub f: Expr,
    /// Arenas that it keeps beside the parameters: the optimizer's moments, then the average of the weights if there is one.
    pub moments: usize,
    /// (parameter, direction) to parameter, once the norms of each tensor's parameters and direction are known.
    pub apply: Option<Expr>,
    /// The last of the moments is an average of the weights.
    pub average: bool,
    /// The largest norm of all gradients together; longer ones are scaled down to it.
    pub clip_norm: Option<f32>,
    /// Rows of rates: one for each group of parameters.
    pub groups: usize,
    /// How the loss scale moves, if the loss is scaled: the gradients are divided by it before anything else is done with them.
    pub scaling: Option<Scaling>,
}

impl Rule {
    /// A formula over (parameter, gradient, moments..), for one launch.
    pub fn new(f: Expr, moments: usize) -> Self {
        Rule { f, moments, apply: None, average: false, clip_norm: None, groups: 1, scaling: None }
    }

    /// A direction, and how it is applied once the norms of each tensor are known: then `apply` may read the rate `RATE_RATIO`, the norm of
    /// the tensor's parameters over that of its direction (1 where one of them is 0).
    pub fn by_tensor(direction: Expr, moments: usize, apply: Expr) -> Self {
        Rule { apply: Some(apply), ..Self::new(direction, moments) }
    }

    /// With so many rows of rates.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups.max(1);
        self
    }

    /// On gradients that are scaled down where the norm over all of them is larger than this.
    #[must_use]
    pub fn clip_norm(mut self, max: f32) -> Self {
        self.clip_norm = Some(max);
        self.on_gradient(|g| g * Scalar::rate(RATE_CLIP))
    }

    /// On gradients of which each element is brought between `-max` and `max`. NaN stays NaN.
    #[must_use]
    pub fn clip_value(self, max: f64) -> Self {
        self.on_gradient(|g| g.maximum(-max).minimum(max))
    }

    /// On gradients of a loss that is multiplied by a scale. Comes last: the others are to see gradients without it.
    #[must_use]
    pub fn scaled(mut self, scaling: Scaling) -> Self {
        self.scaling = Some(scaling);
        self.on_gradient(|g| g * Scalar::rate(RATE_UNSCALE))
    }

    /// With an average of the weights, the last of the moments: the parameter after the first update, and `decay * average + (1 - decay) *
    /// parameter` after each other.
    #[must_use]
    pub fn average(mut self, decay: f64) -> Self {
        let first = Scalar::rate(RATE_FIRST).greater(0.0);
        let of = Expr::of(2, |x| vec![first.select(&x[0], decay * &x[1] + (1.0 - decay) * &x[0])]);
        let f = self.apply.as_ref().unwrap_or(&self.f);
        let mut t = Tape::default();
        let args: Vec<usize> = (0..=f.arity()).map(|i| t.input(i)).collect();
        let mut out = t.inline(f, &args);
        let average = t.inline(&of, &[out[0], args[f.arity()]])[0];
        out.push(average);
        let with = t.finish(args.len(), &out);
        *self.apply.as_mut().unwrap_or(&mut self.f) = with;
        self.moments += 1;
        self.average = true;
        self
    }

    fn on_gradient(mut self, change: impl FnOnce(&Scalar) -> Scalar) -> Self {
        let change = Expr::of(1, |x| vec![change(&x[0])]);
        let mut t = Tape::default();
        let mut args: Vec<usize> = (0..self.f.arity()).map(|i| t.input(i)).collect();
        args[1] = t.inline(&change, &[args[1]])[0];
        let out = t.inline(&self.f, &args);
        self.f = t.finish(self.f.arity(), &out);
        self
    }

    /// The moments of the optimizer alone.
    pub fn own_moments(&self) -> usize {
        self.moments - usize::from(self.average)
    }
}
