//! The loss scale as the machines hold it: small gradients are lost in f16, so the loss is multiplied by a power of two before its gradients are
//! made, and they are divided by it before they are used.

use super::words::LOG_SCALE;

/// One over a power of two, by its bits: exact where a GPU's division need not be. The twin of `unscale` in `kernels/lib/update_guard.rs`.
pub(crate) fn inverse(scale: u32) -> f32 {
    f32::from_bits(INVERSE.wrapping_sub(scale))
}

/// The bits of `s` and of `1 / s` add up to these.
pub(crate) const INVERSE: u32 = 0x7f00_0000;

/// The scale that a log line tells of, if there is one.
pub(crate) fn scale_of_line(word: u32) -> Option<f32> {
    let exponent = word >> LOG_SCALE & 0xff;
    (exponent > 0).then(|| f32::from_bits(exponent << 23))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::Scaling;

    #[test]
    fn inverses_are_exact() {
        for e in -24..=126 {
            let s = 2f32.powi(e);
            assert!(Scaling::takes(s.into()));
            assert_eq!(inverse(s.to_bits()), 1.0 / s, "2^{e}");
            assert_eq!(scale_of_line(1 | (s.to_bits() >> 23) << LOG_SCALE), Some(s));
        }
        assert_eq!((Scaling::LEAST, Scaling::MOST), (2f32.powi(-24), 2f32.powi(126)));
        assert!(![0.0, -2.0, 3.0, 2f64.powi(-25), 2f64.powi(127), f64::NAN, f64::INFINITY].into_iter().any(Scaling::takes));
    }
}
