//! What the rest of the crate asks of any optimizer: its rule for the planner, and the rates of each update.

use super::check::check_number;
use super::decay::Decay;
use super::rates::RATE_FIRST;
use super::{Group, Optimizer, Rates, Rule, Schedule};
use crate::error::Faults;
use crate::named::Named;

impl Optimizer {
    /// The learning rate.
    pub fn schedule(&self) -> &Schedule {
        self.kind().lr()
    }

    /// The same optimizer at another learning rate.
    #[must_use]
    pub fn with_schedule(mut self, lr: impl Into<Schedule>) -> Self {
        self.kind_mut().set_lr(lr.into());
        self
    }

    /// The same optimizer with this weight decay: an L2 penalty where its `weight_decay` is one, else decoupled.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f64) -> Self {
        self.kind_mut().set_weight_decay(weight_decay);
        self
    }

    /// Parameters that are treated otherwise; the first whose pattern covers a name holds.
    pub fn groups(&self) -> &[Group] {
        self.kind().groups()
    }

    /// Whether a parameter of this name keeps its values.
    pub fn freezes(&self, name: &str) -> bool {
        Group::of(self.groups(), name).is_some_and(|g| g.frozen)
    }

    /// Its formula, over (parameter, gradient, moments..), with a row of rates for each group that trains.
    pub fn rule(&self) -> Rule {
        self.kind().formulas().rule().groups(1 + self.groups().iter().filter(|g| !g.frozen).count())
    }

    /// Which row of the rates a parameter of this name reads: 0, or that of its group among those that train.
    pub fn rate_group(&self, name: &str) -> usize {
        let groups = self.groups();
        Group::place(groups, name).map_or(0, |i| 1 + groups[..i].iter().filter(|g| !g.frozen).count())
    }

    /// What the moments begin with: zeros, but for Adagrad's sums.
    pub fn initial_moment(&self) -> f32 {
        self.kind().initial_moment()
    }

    fn rates_of(&self, update: u64, lr: f64, decay: Decay) -> Rates {
        let mut rates = self.kind().rates(update as f64 + 1.0, lr, decay);
        rates[RATE_FIRST] = if update == 0 { 1.0 } else { 0.0 };
        rates
    }

    /// The rates of update `update` (from 0) at this learning rate, for parameters that no group covers.
    pub fn rates(&self, update: u64, lr: f64) -> Rates {
        self.rates_of(update, lr, self.kind().decay())
    }

    /// The rates of update `update` (from 0) at this learning rate: of parameters without a group, then of each group that trains.
    pub fn group_rates(&self, update: u64, lr: f64) -> impl Iterator<Item = Rates> {
        let of = move |g: &Group| self.rates_of(update, lr * g.lr_multiplier, self.kind().decay().of(g));
        std::iter::once(self.rates(update, lr)).chain(self.groups().iter().filter(|g| !g.frozen).map(of))
    }

    pub(crate) fn check(&self, faults: &mut Faults) {
        self.schedule().check(faults);
        let Decay { weight_decay, l1 } = self.kind().decay();
        check_number(faults, "weight_decay", weight_decay);
        check_number(faults, "l1", l1);
        let many = self.groups().len();
        faults.check(many < 256, "optimizer.groups", format!("{many} groups"), "at most 255 groups: name more parameters by one pattern");
        let others = self.kind().l1_penalty().is_none().then(with_l1);
        Group::check_numbers(self.groups(), others.as_deref(), faults);
        self.kind().check(faults);
    }
}

/// The optimizers that have an L1 penalty, for messages: `Sgd, Adam or Adagrad`.
fn with_l1() -> String {
    let all = Optimizer::NAMES.iter().filter_map(|name| name.parse::<Optimizer>().ok());
    let mut names: Vec<&str> = all.filter(|o| o.kind().l1_penalty().is_some()).map(|o| o.kind().type_name()).collect();
    names.dedup();
    let last = names.pop().unwrap_or_default();
    format!("{} or {last}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::{Adam, AdamW, Optimizer, Sgd};
    use crate::expr::{Evaluator, MOST};

    /// The usual rules are computed in one pass, in the place of what they change, however long it is.
    #[test]
    fn usual_rules_are_one_pass() {
        let usual: [Optimizer; 3] = [Adam::default().into(), AdamW::default().into(), Sgd::new(0.1).momentum(0.9).into()];
        for optimizer in usual {
            assert!(Evaluator::new(&optimizer.rule().f).stretch() > MOST, "{optimizer:?}");
        }
        // what comes before is made in pieces
        assert!(Evaluator::new(&Optimizer::from(Adam::default().weight_decay(0.1)).rule().f).stretch() <= MOST);
    }
}
