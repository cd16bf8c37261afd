//! Warnings during training: of a loss that jumps, and of first steps that cannot be right.

use crate::terminal::Speaking;

/// The weight of a new loss in the running mean.
const WEIGHT: f64 = 0.02;
/// So many losses make the first mean. None of them counts as a spike.
const WARM_UP: u32 = 50;

/// Finds losses far above the running mean of the losses before them.
#[derive(Debug, Default)]
pub(crate) struct Spikes {
    mean: f64,
    /// The mean of the first losses.
    start: f64,
    seen: u32,
    /// Whether the latest loss was a spike: several in a row give one warning.
    within: bool,
}

impl Spikes {
    /// The updates, from `first` on, whose loss is more than `factor` times the mean of those before; each one is warned of.
    pub fn see(&mut self, losses: &[f32], first: u64, factor: f64) -> Vec<u64> {
        let mut found = Vec::new();
        for (i, &loss) in losses.iter().enumerate() {
            let loss = f64::from(loss);
            let high = self.seen >= WARM_UP && self.mean > 0.0 && loss > factor * self.mean;
            if high && !self.within && factor > 0.0 {
                let step = first + i as u64 + 1;
                let _quiet = (!self.is_grave(loss)).then(|| Speaking::new(false));
                crate::terminal::warn!(step, loss, mean = self.mean, "the loss jumped: a learning rate too high, or a bad batch");
                found.push(step);
            }
            self.within = high;
            let weight = if self.seen < WARM_UP { 1.0 / f64::from(self.seen + 1) } else { WEIGHT };
            self.mean += weight * (loss - self.mean);
            self.seen = self.seen.saturating_add(1);
            if self.seen == WARM_UP {
                self.start = self.mean;
            }
        }
        found
    }

    /// Whether a jump is worth a line on stderr: the run is back behind its start. Towards the end of a good run some batch is often ten times as bad as the
    /// mean, and that alone is an event.
    fn is_grave(&self, loss: f64) -> bool {
        loss > self.start
    }
}

/// Updates whose loss must be exactly 0 for a warning.
const ZEROS: u64 = 3;

/// Finds a training that cannot be right by its first updates. The log tells all it needs, so that it costs nothing. A learning rate of 0 gives no
/// warning: warm-ups begin there, and whoever sets it means it.
#[derive(Debug, Default)]
pub(crate) struct Start {
    zeros: u64,
}

impl Start {
    /// Notes an update; the first of a model has the number 1. Where nothing can be learnt it warns, and gives the warning.
    pub fn see(&mut self, step: u64, loss: f32, grad_norm: f32) -> Option<&'static str> {
        if step > ZEROS {
            return None;
        }
        self.zeros += u64::from(loss == 0.0);
        let warning = if self.zeros == ZEROS {
            "the loss is exactly 0 from the first step: labels that all count 0, labels that are the outputs, or a loss that does not depend on them"
        } else if step == 1 && loss != 0.0 && grad_norm == 0.0 {
            "every gradient is exactly 0 in the first step, so that nothing is learnt: units that are all dead or saturated, initial weights of 0, or a \
             loss of something that has no slope"
        } else {
            return None;
        };
        crate::terminal::warn!(step, loss, grad_norm, "{warning}");
        Some(warning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_cannot_be_right() {
        let all = |lines: &[(f32, f32)]| {
            let mut start = Start::default();
            lines.iter().enumerate().filter_map(|(i, l)| start.see(i as u64 + 1, l.0, l.1).map(|w| (i, &w[..8]))).collect::<Vec<_>>()
        };
        assert_eq!(all(&[(0.0, 0.0); 9]), [(2, "the loss")]);
        assert_eq!(all(&[(0.0, 1.0); 9]), [(2, "the loss")]);
        assert_eq!(all(&[(2.0, 0.0); 9]), [(0, "every gr")]);
        // one batch of rows that count 0, a fit that ends there, a loss that falls to 0
        assert!(all(&[(0.0, 0.0), (1.0, 1.0), (0.0, 0.0), (0.0, 0.0)]).is_empty());
        assert!(all(&[(1.0, 1.0), (1.0, 0.0), (0.0, 0.0), (0.0, 0.0)]).is_empty());
    }

    #[test]
    fn a_jump_is_seen_once_and_a_fall_never() {
        let mut s = Spikes::default();
        let fall = (0..400).map(|i| 2.0 / (1.0 + i as f32 * 0.05));
        assert_eq!(s.see(&fall.collect::<Vec<f32>>(), 0, 10.0), [0u64; 0]);
        assert_eq!(s.see(&[0.1, 9.0, 9.0, 0.1, 12.0], 400, 10.0), [402, 405]);
        assert_eq!(s.see(&[0.1, 90.0], 405, 0.0), [0u64; 0]); // switched off
        // the first 50 losses were 1.06 in the mean
        assert!(s.is_grave(1.1) && !s.is_grave(1.0), "{}", s.start);
    }

    #[test]
    fn nothing_is_known_at_the_start() {
        assert_eq!(Spikes::default().see(&[0.001, 50.0, 3.0], 0, 10.0), [0u64; 0]);
    }
}
