use crate::terminal::Speaking;

/// What a new loss counts in the running mean.
const WEIGHT: f64 = 0.02;
/// Losses before which nothing is a spike: the mean is not known yet.
const WARM_UP: u32 = 50;

/// Notices losses far above the running mean of those before them.
#[derive(Debug, Default)]
pub(super) struct Spikes {
    mean: f64,
    /// The mean of the first losses.
    start: f64,
    seen: u32,
    /// The latest loss was one: a plateau of bad losses warns once.
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

#[cfg(test)]
mod tests {
    use super::*;

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
