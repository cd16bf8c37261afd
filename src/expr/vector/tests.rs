use crate::expr::loops::{binary, unary};
use crate::expr::{Binary, CHUNK, Unary};
use pulp::NullaryFnOnce;

/// The functions that are approximated, with the most units in the last place that each may be off.
const FUNCTIONS: [(Unary, f64); 9] = [
    (Unary::Exp, 1.0),
    (Unary::Log, 1.0),
    (Unary::Expm1, 2.0),
    (Unary::Tanh, 2.0),
    (Unary::Sigmoid, 2.0),
    (Unary::Softplus, 2.0),
    (Unary::Erf, 2.0),
    (Unary::Sin, 2.0),
    (Unary::Cos, 2.0),
];

const SPECIAL: [f32; 24] = [
    0.0,
    -0.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    1e-40,
    -1e-40,
    1.0,
    -1.0,
    2.0,
    0.5,
    -87.33654,
    -87.33655,
    88.722_83,
    88.722_84,
    -104.0,
    4e8,
    4.000_000_3e8,
    1e30,
    -3.0,
    8_388_607.5,
];

/// Values all over the range: every exponent, some hundred fractions in each.
fn rows(step: usize) -> impl Iterator<Item = [f32; CHUNK]> {
    let bits = (0..=u32::MAX).step_by(step).map(f32::from_bits).chain(SPECIAL);
    let mut bits = bits.chain((0..4096).map(|i| (i as f32 - 2048.0) / 128.0));
    std::iter::from_fn(move || {
        let first = bits.next()?;
        let mut row = [first; CHUNK];
        row[1..].iter_mut().zip(&mut bits).for_each(|(r, v)| *r = v);
        Some(row)
    })
}

/// How many units in the last place lie between them; 0 and what is below the normal range are the same.
fn units(got: f32, want: f64) -> f64 {
    let rounded = want as f32;
    if rounded.is_nan() || got.is_nan() {
        return if rounded.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let least = f64::from(f32::MIN_POSITIVE);
    if got == rounded || (f64::from(got.abs()) <= least && want.abs() <= least) {
        let signed = got != 0.0 || rounded != 0.0 || got.is_sign_negative() == rounded.is_sign_negative();
        return if signed { 0.0 } else { f64::INFINITY };
    }
    let exponent = (rounded.to_bits() >> 23 & 255).max(1) as i32 - 127;
    (f64::from(got) - want).abs() / 2f64.powi(exponent - 23)
}

#[test]
fn functions_are_within_their_bounds() {
    for (u, most) in FUNCTIONS {
        let mut worst = (0.0, 0.0);
        for x in rows(4_999) {
            let mut out = [0.0; CHUNK];
            unary::<false>(u, &x, &mut out);
            for (&x, &got) in x.iter().zip(&out) {
                let off = units(got, u.apply(f64::from(x)));
                worst = if off > worst.0 { (off, x) } else { worst };
            }
        }
        assert!(worst.0 <= most, "{} is off by {} units at {:e}", u.name(), worst.0, worst.1);
    }
}

/// C's special cases among them, and results at both ends of the range.
#[test]
fn powers_are_within_a_unit() {
    let more = [0.3, -0.3, 1.000_000_1, 3.0, 1e10, 126.5, -126.5, 16_777_215.0, 16_777_216.0];
    let exponents = SPECIAL.into_iter().chain(more);
    for y in exponents {
        for x in rows(100_003) {
            for (x, y) in [(x, [y; CHUNK]), ([y; CHUNK], x)] {
                let mut out = [0.0; CHUNK];
                binary::<false>(Binary::Pow, &x, &y, &mut out);
                for ((&x, &y), &got) in x.iter().zip(&y).zip(&out) {
                    let want = libm::pow(f64::from(x), f64::from(y));
                    assert!(units(got, want) <= 1.0, "{x:e} to the power of {y:e}: {got:e} for {want:e}");
                }
            }
        }
    }
}

/// All functions of a row and of its mirror image.
struct All<'a>(&'a [f32; CHUNK], &'a mut Vec<[f32; CHUNK]>);

impl NullaryFnOnce for All<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let mut out = [0.0; CHUNK];
        for (u, _) in FUNCTIONS {
            unary::<false>(u, self.0, &mut out);
            self.1.push(out);
        }
        let mut mirror = *self.0;
        mirror.reverse();
        binary::<false>(Binary::Pow, self.0, &mirror, &mut out);
        self.1.push(out);
    }
}

/// Narrow vectors, the processor's widest, and those between that `pulp` has for it. A NaN's own bits are the processor's.
#[test]
fn bits_are_the_same_with_all_widths() {
    let bits =
        |of: Vec<[f32; CHUNK]>| of.into_iter().flatten().map(|v| if v.is_nan() { u32::MAX } else { v.to_bits() }).collect::<Vec<_>>();
    for x in rows(49_999) {
        let with = |run: &dyn Fn(All<'_>)| {
            let mut out = Vec::new();
            run(All(&x, &mut out));
            bits(out)
        };
        let plain = with(&|all| all.call());
        assert!(plain == with(&|all| pulp::Arch::new().dispatch(all)), "the widest, from {:e}", x[0]);
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(v3) = pulp::x86::V3::try_new() {
                assert!(plain == with(&|all| v3.vectorize(all)), "AVX2, from {:e}", x[0]);
            }
            if let Some(v4) = pulp::x86::V4::try_new() {
                assert!(plain == with(&|all| v4.vectorize(all)), "AVX-512, from {:e}", x[0]);
            }
        }
    }
}

#[test]
fn slices_are_as_single_values() {
    let x: Vec<f32> = (0..1_000).map(|i| i as f32 / 37.0).collect();
    let (mut exps, mut logs) = (x.clone(), x.clone());
    super::exp(&mut exps);
    super::log(&mut logs);
    for ((&x, e), l) in x.iter().zip(exps).zip(logs) {
        assert_eq!((e.to_bits(), l.to_bits()), (super::one::exp(x).to_bits(), super::one::log(x).to_bits()), "{x}");
    }
}
