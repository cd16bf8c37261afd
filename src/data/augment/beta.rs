//! Quantiles of the symmetric beta distribution.

/// Steps of the integral over one half.
const STEPS: usize = 4096;

/// `n` equally likely values of Beta(alpha, alpha), in order: its quantiles at `(i + 0.5) / n`.
///
/// The density is `x^(a-1) (1-x)^(a-1)`. For `a` below 1 the substitution `t = x^a` takes the pole of its lower half away: what is left to integrate is
/// `(1 - t^(1/a))^(a-1)`, which is smooth there. Else it is integrated as it is. The upper half is its mirror image.
pub(super) fn quantiles(alpha: f64, n: usize) -> Vec<f64> {
    let power = alpha.min(1.0);
    let end = 0.5f64.powf(power);
    let value = |t: f64| {
        let x = t.powf(1.0 / power);
        x.powf(alpha - power) * (1.0 - x).powf(alpha - 1.0)
    };
    // Simpson's rule, step by step
    let width = end / STEPS as f64;
    let mut sums = Vec::with_capacity(STEPS + 1);
    sums.push(0.0);
    for i in 0..STEPS {
        let t = i as f64 * width;
        let part = (value(t) + 4.0 * value(t + 0.5 * width) + value(t + width)) * width / 6.0;
        sums.push(sums[i] + part);
    }
    let half = sums[STEPS];
    let below = |share: f64| {
        // where the integral is this share of the whole, at most a half of it
        let wanted = 2.0 * share * half;
        let i = sums.partition_point(|s| *s < wanted).clamp(1, STEPS);
        let within = (wanted - sums[i - 1]) / (sums[i] - sums[i - 1]).max(f64::MIN_POSITIVE);
        ((i as f64 - 1.0 + within) * width).powf(1.0 / power)
    };
    (0..n)
        .map(|i| {
            let share = (i as f64 + 0.5) / n as f64;
            if share <= 0.5 { below(share) } else { 1.0 - below(1.0 - share) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the distribution is known in closed form.
    #[test]
    fn known_quantiles() {
        let close = |alpha: f64, at: usize, known: f64| {
            let found = quantiles(alpha, 1000)[at];
            assert!((found - known).abs() < 1e-6 * known.max(1e-3), "alpha {alpha}, {at}: {found} {known}");
        };
        // Beta(1, 1) is uniform; Beta(2, 2) has the distribution 3 x^2 - 2 x^3; Beta(1/2, 1/2) is the arcsine's
        close(1.0, 122, 0.1225);
        let two = quantiles(2.0, 1000);
        for i in [0, 10, 500, 999] {
            let (x, share) = (two[i], (i as f64 + 0.5) / 1000.0);
            assert!((3.0 * x * x - 2.0 * x * x * x - share).abs() < 1e-4 * share, "{x}");
        }
        // Beta(a, a) has the variance 1 / (4 (2a + 1))
        for alpha in [0.05, 0.2, 0.9, 1.0, 1.5, 4.0, 16.0, 100.0] {
            let v = quantiles(alpha, 1024);
            let variance = v.iter().map(|x| (x - 0.5) * (x - 0.5)).sum::<f64>() / 1024.0;
            let known = 0.25 / (2.0 * alpha + 1.0);
            assert!((variance / known - 1.0).abs() < 0.01, "alpha {alpha}: {variance} {known}");
            assert!(v.windows(2).all(|w| w[0] <= w[1]));
        }
        for i in [0usize, 100, 499, 500, 900, 999] {
            let share = (i as f64 + 0.5) / 1000.0;
            close(0.5, i, (std::f64::consts::FRAC_PI_2 * share).sin().powi(2));
        }
    }
}
