//! Where the largest of a row stands.

use super::fork::LANES;

/// The first of equals is the largest, and a NaN never is, unless it comes first: as in the shaders.
#[inline(always)]
pub(crate) fn first_largest(x: &[f32]) -> usize {
    if x.first().is_none_or(|v| v.is_nan()) {
        return 0;
    }
    // fewer than there are lanes are not worth them
    if x.len() <= LANES {
        let top = x.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
        return x.iter().position(|&v| v == top).unwrap_or(0);
    }
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for part in whole.iter().map(|p| &p[..]).chain([rest]) {
        lanes.iter_mut().zip(part).for_each(|(l, &v)| *l = if v > *l { v } else { *l });
    }
    let top = lanes.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    let has = |part: &[f32; LANES]| part.iter().fold(false, |has, &v| has | (v == top));
    let before = whole.iter().position(has).unwrap_or(whole.len()) * LANES;
    x[before..].iter().position(|&v| v == top).map_or(0, |i| before + i)
}

/// The first of equals is the largest, and the first NaN above all: what `argmax` means.
#[inline(always)]
pub(crate) fn first_highest(x: &[f32]) -> usize {
    let mut nans = [false; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for part in whole.iter().map(|p| &p[..]).chain([rest]) {
        nans.iter_mut().zip(part).for_each(|(nan, v)| *nan |= v.is_nan());
    }
    if nans.contains(&true) { x.iter().position(|v| v.is_nan()).unwrap_or(0) } else { first_largest(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_and_no_nan_behind_it() {
        const NAN: f32 = f32::NAN;
        const INF: f32 = f32::INFINITY;
        for n in [1, 2, 31, 32, 33, 64, 65, 257] {
            for at in 0..n {
                let mut x: Vec<f32> = (0..n).map(|i| -1.0 - (i % 7) as f32).collect();
                x[at] = 0.5;
                x[n - 1] = if at + 1 < n { x[at] } else { x[n - 1] };
                assert_eq!([first_largest(&x), first_highest(&x)], [at; 2], "{n}");
                x[(at + 1) % n] = if n > 1 && at > 0 { NAN } else { x[(at + 1) % n] };
                assert_eq!(first_largest(&x), if x[0].is_nan() { 0 } else { at }, "{n}");
                assert_eq!(first_highest(&x), x.iter().position(|v| v.is_nan()).unwrap_or(at), "{n}");
            }
        }
        assert_eq!([first_largest(&[]), first_largest(&[-INF; 40]), first_largest(&[NAN, 1.0]), first_largest(&[0.0, -0.0, 0.0])], [0; 4]);
    }
}
