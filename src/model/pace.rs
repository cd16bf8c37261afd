//! How many steps go into one submit where the user does not say: as many as take some milliseconds.
//!
//! With fewer steps the host has more work than need be. With more steps the progress bar, Ctrl-C and a halt have to wait, and drivers of
//! desktops take a submit of seconds for a hang. The clock is read when a submit has ended anyway: nothing waits for the clock. No bit of a
//! result depends on the number.

use crate::clock;
use std::collections::VecDeque;

/// Seconds that a submit should last.
const TARGET: f64 = 0.008;
/// A submit costs the host as much as dozens of launches: so many steps share the cost, if they take no longer than `LONGEST` together.
const SHARED: f64 = 16.0;
const LONGEST: f64 = 0.05;
/// A submit has at most so many times the steps of the one before. The first has one step, whose time tells little of the others.
const GROWTH: usize = 4;
/// A step that takes more seconds than `LONG` is cut into pieces of about `PIECE`: drivers take work that lasts seconds for a hang.
const LONG: f64 = 0.5;
const PIECE: f64 = 0.25;
/// Operations of a piece while it is not known how long a step takes: a quarter of a second on the slowest GPUs.
const UNKNOWN: u64 = 25_000_000_000;
/// Steps where there is no clock.
pub(crate) const STEPS: usize = 32;

/// Chooses the number of steps from submit to submit.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Steps of the next submit, once one has ended.
    chosen: Option<usize>,
    /// Seconds that a step took in the last submit, and in the faster of the last two.
    last: Option<f64>,
    fair: Option<f64>,
    /// Steps of the submits under way, and when each was queued.
    queued: VecDeque<(usize, Option<f64>)>,
    /// When the last submit was seen to end.
    ended: Option<f64>,
}

impl Pace {
    /// Steps of the next submit.
    pub fn steps(&self) -> usize {
        self.chosen.unwrap_or_else(|| clock::now().map_or(STEPS, |_| 1))
    }

    /// Into how many pieces each step of the next submit is cut, which has so many operations.
    pub fn pieces(&self, operations: u64) -> usize {
        match self.fair {
            Some(seconds) if seconds > LONG => (seconds / PIECE).ceil() as usize,
            Some(_) => 1,
            None => operations.div_ceil(UNKNOWN).max(1) as usize,
        }
    }

    /// Notes how long a submit took.
    fn took(&mut self, steps: usize, seconds: f64) {
        let each = seconds / steps.max(1) as f64;
        // the faster of the last two: one hiccup does not count, nor do the shaders that the first step compiles
        let before = self.last.replace(each);
        self.fair = before.map(|before| before.min(each));
        let fair = self.fair.unwrap_or(each);
        let most = self.steps().saturating_mul(GROWTH);
        let fair = fair.max(1e-9);
        let steps = (TARGET / fair).max(SHARED.min(LONGEST / fair));
        self.chosen = Some((steps as usize).clamp(1, most));
    }

    /// Notes that so many steps were queued at that time, which [`clock::now`] gave.
    pub fn queued(&mut self, steps: usize, at: Option<f64>) {
        self.queued.push_back((steps, at));
    }

    /// Notes that the oldest submit in the queue has ended.
    pub fn ended(&mut self) {
        let Some((steps, Some(queued))) = self.queued.pop_front() else { return };
        let Some(now) = clock::now() else { return };
        // it began when it was queued, or when the one before it ended
        let began = self.ended.replace(now).map_or(queued, |before| before.max(queued));
        self.took(steps, now - began);
    }

    /// Forgets what was queued: the end of these submits will not be seen.
    pub fn forget(&mut self) {
        (self.queued, self.ended) = (VecDeque::new(), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps of submits whose steps take so long each, after a first one of so long.
    fn steps(first: f64, each: f64, submits: usize) -> Vec<usize> {
        let mut pace = Pace::default();
        let mut out = vec![];
        for i in 0..submits {
            let n = pace.steps();
            out.push(n);
            pace.took(n, if i == 0 { first } else { n as f64 * each });
        }
        out
    }

    #[test]
    fn a_submit_lasts_some_milliseconds() {
        // 0.25 ms a step; the first has compiled shaders for ten seconds
        assert_eq!(steps(10.0, 0.25e-3, 6), [1, 1, 4, 16, 32, 32]);
        // a step that is too long already goes alone
        assert_eq!(steps(0.3, 0.3, 5), [1; 5]);
        // between the two, many enough to share the cost of a submit, within 50 ms
        assert_eq!(steps(0.002, 0.002, 5), [1, 4, 16, 16, 16]);
        assert_eq!(steps(0.012, 0.012, 4), [1, 4, 4, 4]);
        // steps of next to nothing: the caller knows what its rings hold
        assert_eq!(steps(0.0, 0.0, 4), [1, 4, 16, 64]);
    }

    #[test]
    fn a_long_step_is_cut() {
        let mut pace = Pace::default();
        assert_eq!([0, 1, UNKNOWN, UNKNOWN + 1].map(|work| pace.pieces(work)), [1, 1, 1, 2]);
        // the first step has compiled shaders, too
        pace.took(1, 10.0);
        assert_eq!(pace.pieces(1), 1);
        pace.took(1, 1.1);
        assert_eq!(pace.pieces(0), 5);
        pace.took(1, 0.4);
        assert_eq!(pace.pieces(u64::MAX), 1);
    }

    #[test]
    fn one_hiccup_is_forgiven_and_two_are_not() {
        let mut pace = Pace::default();
        (0..9).for_each(|_| pace.took(pace.steps(), pace.steps() as f64 * 1e-3));
        assert_eq!(pace.steps(), 16);
        pace.took(16, 2.0);
        assert_eq!(pace.steps(), 16);
        pace.took(16, 2.0);
        assert_eq!(pace.steps(), 1);
    }

    #[test]
    fn what_is_forgotten_is_not_timed() {
        let mut pace = Pace::default();
        pace.queued(3, clock::now());
        pace.forget();
        pace.ended();
        assert_eq!((pace.steps(), pace.last), (1, None));
        pace.queued(3, clock::now());
        pace.ended();
        assert!(pace.last.is_some_and(|s| s < 1.0));
    }
}
