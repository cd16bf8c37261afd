//! How the loss scale moves from update to update. PyTorch's `GradScaler` states the rules.

/// How the loss scale moves from update to update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scaling {
    /// It stays.
    Fixed,
    /// It falls at a gradient that is not finite, and rises after many good updates.
    Dynamic {
        /// Multiplies it after `interval` good updates in a row: a power of two above 1.
        growth: f32,
        /// Multiplies it at a gradient that is not finite: a power of two below 1.
        backoff: f32,
        /// Good updates in a row after which it grows.
        interval: u32,
    },
}

impl Scaling {
    /// Below this a dynamic scale does not fall: what is not finite then is so without any scale, and training halts. 2^-24.
    pub const LEAST: f32 = f32::from_bits((127 - 24) << 23);
    /// Above this it does not rise, so that one over it is no denormal. 2^126.
    pub const MOST: f32 = f32::from_bits((127 + 126) << 23);
    /// Updates in a row that a fixed scale skips before training halts: as many as a dynamic one takes from 2^16 to its end.
    pub const PATIENCE: u32 = 41;

    /// Scale and count after an update, `skip` if it was skipped; `None` where training halts. The twin of `rescale` in `shaders/tick.wgsl`.
    pub fn after(self, scale: f32, count: u32, skip: bool) -> Option<(f32, u32)> {
        match (self, skip) {
            (Scaling::Fixed, true) => (count + 1 < Self::PATIENCE).then_some((scale, count + 1)),
            (Scaling::Fixed, false) => Some((scale, 0)),
            (Scaling::Dynamic { backoff, .. }, true) => Some((scale * backoff, 0)).filter(|s| s.0 >= Self::LEAST),
            (Scaling::Dynamic { growth, interval, .. }, false) if count + 1 >= interval => {
                let grown = scale * growth;
                Some((if grown <= Self::MOST { grown } else { scale }, 0))
            }
            (Scaling::Dynamic { .. }, false) => Some((scale, count + 1)),
        }
    }

    /// Its kind in a word.
    pub fn name(self) -> &'static str {
        match self {
            Scaling::Fixed => "fixed",
            Scaling::Dynamic { .. } => "dynamic",
        }
    }

    /// Whether a number can be a scale: a power of two from [`Scaling::LEAST`] to [`Scaling::MOST`].
    pub fn takes(scale: f64) -> bool {
        (f64::from(Self::LEAST)..=f64::from(Self::MOST)).contains(&scale) && scale.log2().fract() == 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From 2^16 a dynamic scale and a fixed one give up at the same update.
    #[test]
    fn both_give_up() {
        let dynamic = Scaling::Dynamic { growth: 2.0, backoff: 0.5, interval: 2000 };
        for kind in [dynamic, Scaling::Fixed] {
            let mut now = Some((65536.0, 0));
            let mut skipped = 0;
            while let Some((scale, count)) = now {
                now = kind.after(scale, count, true);
                skipped += 1;
            }
            assert_eq!(skipped, Scaling::PATIENCE);
        }
        assert_eq!(dynamic.after(4.0, 1999, false), Some((8.0, 0)));
        assert_eq!(dynamic.after(Scaling::MOST, 1999, false), Some((Scaling::MOST, 0)));
    }
}
