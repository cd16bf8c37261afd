//! Student's t: what an interval from few runs needs.

/// The number below which a draw of Student's t with so many degrees of freedom lies with this probability, 0 < p < 1.
///
/// From the distribution's integral, the regularised incomplete beta function `I_x(df / 2, 1 / 2)` at `x = df / (df + t^2)` (Abramowitz & Stegun 26.7.1),
/// by bisection.
pub(super) fn quantile(p: f64, df: f64) -> f64 {
    if p < 0.5 {
        return -quantile(1.0 - p, df);
    }
    let (mut low, mut high) = (0.0, 1.0);
    while below(high, df) < p && high < 1e12 {
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if below(middle, df) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The probability of less than `t`, for `t` of 0 or more.
fn below(t: f64, df: f64) -> f64 {
    1.0 - 0.5 * incomplete_beta(df / (df + t * t), df / 2.0, 0.5)
}

/// `I_x(a, b)`, by its continued fraction (Abramowitz & Stegun 26.5.8) on the side on which that is short.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log(1.0 - x);
    libm::exp(front) * fraction(x, a, b) / a
}

/// The continued fraction, by Lentz's rule: no numerator or denominator becomes 0.
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    let off = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / off(1.0 - (a + b) * x / (a + 1.0));
    let mut all = d;
    for m in (1..300).map(f64::from) {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = all;
        for term in [even, odd] {
            d = 1.0 / off(1.0 + term * d);
            c = off(1.0 + term / c);
            all *= c * d;
        }
        if (all - before).abs() <= 1e-15 * all.abs() {
            break;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table that every book has, and two cases with a closed form: df 1 is Cauchy's distribution, df 2 `u sqrt(2 / (1 - u^2))` with `u = 2p - 1`.
    #[test]
    fn known_quantiles() {
        let near = |p: f64, df: f64, want: f64, within: f64| {
            let t = quantile(p, df);
            assert!((t - want).abs() < within, "p {p}, df {df}: {t}, not {want}");
        };
        let table = [(1.0, 12.706), (2.0, 4.303), (3.0, 3.182), (4.0, 2.776), (9.0, 2.262), (14.0, 2.145), (30.0, 2.042), (120.0, 1.980)];
        table.iter().for_each(|&(df, t)| near(0.975, df, t, 6e-4));
        near(0.975, 1e7, 1.959964, 1e-5);
        [(1.0, 1.376), (4.0, 0.941), (14.0, 0.868), (30.0, 0.854)].iter().for_each(|&(df, t)| near(0.8, df, t, 6e-4));
        near(0.995, 10.0, 3.169, 6e-4);
        near(0.025, 4.0, -2.776, 6e-4);
        for p in [0.6, 0.8, 0.975, 0.9995] {
            near(p, 1.0, (std::f64::consts::PI * (p - 0.5)).tan(), 1e-8);
            let u = 2.0 * p - 1.0;
            near(p, 2.0, u * (2.0 / (1.0 - u * u)).sqrt(), 1e-9);
        }
    }
}
