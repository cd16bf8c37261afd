//! A row of terms joined in lanes: every so manieth term to the same lane, in their order. The same bits at any vector width.

use super::fork::LANES;
use pulp::Simd;

/// How a term joins those before it in its lane.
pub(crate) trait Joining: Copy {
    /// Of a vector of lanes.
    fn wide<S: Simd>(self, simd: S, lanes: S::f32s, terms: S::f32s) -> S::f32s;
    /// The same of one.
    fn one(self, lane: f32, term: f32) -> f32;
}

/// Sums of terms less a number; less 0, the terms themselves.
#[derive(Clone, Copy)]
pub(crate) struct Less(pub f32);

impl Joining for Less {
    #[inline(always)]
    fn wide<S: Simd>(self, simd: S, lanes: S::f32s, terms: S::f32s) -> S::f32s {
        simd.add_f32s(lanes, simd.sub_f32s(terms, simd.splat_f32s(self.0)))
    }
    #[inline(always)]
    fn one(self, lane: f32, term: f32) -> f32 {
        lane + (term - self.0)
    }
}

/// The largest; a NaN is larger than all.
#[derive(Clone, Copy)]
pub(crate) struct Largest;

impl Joining for Largest {
    #[inline(always)]
    fn wide<S: Simd>(self, simd: S, lanes: S::f32s, terms: S::f32s) -> S::f32s {
        let number = simd.equal_f32s(terms, terms);
        let more = simd.or_m32s(simd.greater_than_f32s(terms, lanes), simd.not_m32s(number));
        simd.select_f32s(more, terms, lanes)
    }
    #[inline(always)]
    fn one(self, lane: f32, term: f32) -> f32 {
        if term.is_nan() || term > lane { term } else { lane }
    }
}

/// Each term to the lane that is its turn.
// loops and no closures: what the compiler leaves uninlined keeps narrow vectors
#[inline(always)]
pub(crate) fn along<S: Simd>(simd: S, terms: &[f32], lanes: &mut [f32; LANES], how: impl Joining) {
    let mut own = [simd.splat_f32s(0.0); LANES];
    let n = LANES / S::F32_LANES;
    for (i, &l) in S::as_simd_f32s(&lanes[..]).0.iter().enumerate() {
        own[i] = l;
    }
    let (parts, rest) = terms.as_chunks::<LANES>();
    for part in parts {
        let part = S::as_simd_f32s(&part[..]).0;
        for i in 0..n {
            own[i] = how.wide(simd, own[i], part[i]);
        }
    }
    for (i, l) in S::as_mut_simd_f32s(&mut lanes[..]).0.iter_mut().enumerate() {
        *l = own[i];
    }
    for (l, &v) in lanes.iter_mut().zip(rest) {
        *l = how.one(*l, v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Test<'a, J>(&'a [f32], &'a mut [f32; LANES], J);

    impl<J: Joining> pulp::WithSimd for Test<'_, J> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            along(simd, self.0, self.1, self.2);
        }
    }

    fn same(how: impl Joining, terms: &[f32]) {
        let start: [f32; LANES] = std::array::from_fn(|i| i as f32 * 0.1 - 1.0);
        let mut plain = start;
        terms.iter().enumerate().for_each(|(i, &v)| plain[i % LANES] = how.one(plain[i % LANES], v));
        let (mut wide, mut narrow) = (start, start);
        pulp::Arch::new().dispatch(Test(terms, &mut wide, how));
        pulp::Arch::Scalar.dispatch(Test(terms, &mut narrow, how));
        assert_eq!(wide.map(f32::to_bits), plain.map(f32::to_bits));
        assert_eq!(narrow.map(f32::to_bits), plain.map(f32::to_bits));
    }

    /// Vectors of any width join what one number after the other does, NaN and rests among them.
    #[test]
    fn lanes_are_the_same_at_any_width() {
        for len in [0, 1, 31, 32, 33, 100, 1000] {
            let mut terms: Vec<f32> = (0..len).map(|i| ((i * 7919) % 1013) as f32 * 0.01 - 5.0).collect();
            same(Less(0.0), &terms);
            same(Less(1.25), &terms);
            same(Largest, &terms);
            for at in [3, 40, 70].into_iter().filter(|at| *at < len) {
                terms[at] = f32::NAN;
            }
            same(Largest, &terms);
        }
    }
}
