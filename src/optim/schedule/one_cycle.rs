//! The one-cycle schedule.

use super::cosine::half;
use super::kind::ScheduleKind;
use super::span::Span;
use super::words::{RATE, Words};
use crate::error::{Error, Faults, Result};
use crate::optim::check::check_rate;
use serde::{Deserialize, Serialize};

/// Up to `max_lr` and far down in one run (Smith & Topin 2018): PyTorch's `OneCycleLR`, with its names, defaults and formula.
///
/// ```text
/// initial = max_lr / div_factor                  the rate of update 0
/// end     = initial / final_div_factor           the rate of update total - 1, and of all that follow (PyTorch has none that follow)
/// the rate rises from initial to max_lr until update pct_start * total - 1, then falls to end; with three_phase it falls to
/// initial first, in as many updates as it rose, and then to end
/// ```
///
/// The rate alone goes through the cycle: PyTorch's `cycle_momentum=False`.
#[doc(alias = "OneCycleLR")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct OneCycle {
    /// The highest rate.
    pub max_lr: f64,
    /// Updates of the whole (PyTorch's `total_steps`).
    pub total: Span,
    /// The part of them in which the rate rises; 0.3.
    #[serde(default = "three_tenths")]
    pub pct_start: f64,
    /// The form of rise and fall; cosine.
    #[serde(default)]
    pub anneal_strategy: Anneal,
    /// `max_lr` over the rate of update 0; 25.
    #[serde(default = "twenty_five")]
    pub div_factor: f64,
    /// The rate of update 0 over the last; 1e4.
    #[serde(default = "ten_thousand")]
    pub final_div_factor: f64,
    /// Whether it falls to where it began, as fast as it rose, before the rest; it does not.
    #[serde(default)]
    pub three_phase: bool,
}

fn three_tenths() -> f64 {
    0.3
}
fn twenty_five() -> f64 {
    25.0
}
fn ten_thousand() -> f64 {
    1e4
}

/// The form of [`OneCycle`]'s rise and fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anneal {
    /// Half a cosine.
    #[default]
    Cos,
    /// A straight line.
    Linear,
}

/// By PyTorch's words: `cos`, `linear`.
impl std::str::FromStr for Anneal {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "cos" => Ok(Anneal::Cos),
            "linear" => Ok(Anneal::Linear),
            _ => Err(Error::unknown_choice("anneal_strategy", s, &["cos", "linear"])),
        }
    }
}

impl OneCycle {
    /// Up to this rate, in so many updates.
    pub fn new(max_lr: f64, total: impl Into<Span>) -> Self {
        OneCycle {
            max_lr,
            total: total.into(),
            pct_start: 0.3,
            anneal_strategy: Anneal::Cos,
            div_factor: 25.0,
            final_div_factor: 1e4,
            three_phase: false,
        }
    }
    /// The part of all updates in which the rate rises.
    pub fn pct_start(mut self, pct_start: f64) -> Self {
        self.pct_start = pct_start;
        self
    }
    /// The form of rise and fall.
    pub fn anneal_strategy(mut self, anneal_strategy: Anneal) -> Self {
        self.anneal_strategy = anneal_strategy;
        self
    }
    /// `max_lr` over the rate of update 0.
    pub fn div_factor(mut self, div_factor: f64) -> Self {
        self.div_factor = div_factor;
        self
    }
    /// The rate of update 0 over the last.
    pub fn final_div_factor(mut self, final_div_factor: f64) -> Self {
        self.final_div_factor = final_div_factor;
        self
    }
    /// Whether it falls to where it began, as fast as it rose, before the rest.
    pub fn three_phase(mut self, three_phase: bool) -> Self {
        self.three_phase = three_phase;
        self
    }
    /// From the numbers behind its name, at the base rate of words.
    pub(super) fn read(n: &mut Words<'_>) -> Option<Self> {
        Some(OneCycle::new(RATE, n.number::<Span>()?))
    }
}

impl ScheduleKind for OneCycle {
    fn at(&self, t: u64) -> f64 {
        let Some(total) = self.total.updates() else { return f64::NAN };
        let last = total.max(1) - 1;
        let (t, last) = (t.min(last) as f64, last as f64);
        let (rise, initial) = (self.pct_start * (last + 1.0) - 1.0, self.max_lr / self.div_factor);
        let end = initial / self.final_div_factor;
        let along = |from: f64, to: f64, begin: f64, stop: f64| {
            let part = if stop > begin { (t - begin) / (stop - begin) } else { 1.0 };
            match self.anneal_strategy {
                Anneal::Cos => half(from, to, part),
                Anneal::Linear => from + (to - from) * part,
            }
        };
        // PyTorch's bounds, which are no whole numbers
        if t <= rise {
            along(initial, self.max_lr, 0.0, rise)
        } else if !self.three_phase {
            along(self.max_lr, end, rise, last)
        } else if t <= 2.0 * rise {
            along(self.max_lr, initial, rise, 2.0 * rise)
        } else {
            along(initial, end, 2.0 * rise, last)
        }
    }
    fn each_span(&mut self, change: &mut dyn FnMut(&mut Span)) {
        change(&mut self.total);
    }
    fn rate(&self) -> f64 {
        self.max_lr
    }
    fn set_rate(&mut self, rate: f64) {
        self.max_lr = rate;
    }
    fn check(&self, f: &mut Faults) {
        check_rate(f, "max_lr", self.max_lr);
        self.total.check(f, "total");
        f.check((0.0..=1.0).contains(&self.pct_start), "optimizer.lr.pct_start", self.pct_start, "give a part from 0 to 1");
        for (key, x) in [("div_factor", self.div_factor), ("final_div_factor", self.final_div_factor)] {
            f.check(x.is_finite() && x > 0.0, &format!("optimizer.lr.{key}"), x, "give a finite number above 0");
        }
    }
}
