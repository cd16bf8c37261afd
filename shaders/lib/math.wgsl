// Functions that WGSL lacks or leaves loose. V is the kernel's f32 or vec4<f32>, U its bits.

// XLA's rational approximation, within 1e-6. A NaN passes the comparisons and comes out.
fn erf(x: V) -> V {
    let lo = select(x, V(-3.743921), x < V(-3.743921));
    let v = select(lo, V(3.743921), lo > V(3.743921));
    let s = v * v;
    let p = ((((V(0.00022905066) * s + V(0.003408291)) * s + V(0.050955695)) * s + V(0.18520832)) * s + V(1.1283791));
    let q = ((((((V(-1.1791603e-7) * s + V(2.3547967e-5)) * s + V(0.0010179625)) * s + V(0.01407047)) * s + V(0.11098505)) * s
        + V(0.49746925)) * s + V(1.0));
    // 1 where it rounds to 1: GELU multiplies what is left by x
    return select(select(v * p / q, V(-1.0), x < V(-3.743921)), V(1.0), x > V(3.743921));
}

// Some drivers make inf / inf of a large argument.
fn safe_tanh(x: V) -> V {
    let lo = select(x, V(-10.0), x < V(-10.0));
    return tanh(select(lo, V(10.0), lo > V(10.0)));
}

// A call hides an infinity or a NaN from WGSL's rules for constants.
fn from_bits(x: u32) -> f32 { return bitcast<f32>(x); }

// No comparison tells a NaN for sure: its bits do.
fn keep_nan(x: V, v: V) -> V { return select(v, x, (bitcast<U>(x) & U(0x7fffffffu)) > U(0x7f800000u)); }
fn safe_max(x: V, y: V) -> V { return keep_nan(x, keep_nan(y, select(x, y, x < y))); }
fn safe_min(x: V, y: V) -> V { return keep_nan(x, keep_nan(y, select(x, y, x > y))); }

fn sign_of(x: V) -> V { return select(V(0.0), V(1.0), x > V(0.0)) - select(V(0.0), V(1.0), x < V(0.0)); }

// exp is off by 4e-6 of its value: near 0 a Taylor series, within 1e-7.
fn expm1(x: V) -> V {
    let p = V(1.0) + x * (V(0.5) + x * (V(0.16666667) + x * (V(0.041666667) + x * (V(0.008333334) + x * (V(0.0013888889)
        + x * V(0.0001984127))))));
    return select(exp(x) - V(1.0), x * p, abs(x) < V(0.5));
}

// max(x, 0) + log(1 + exp(-|x|)), the logarithm by its series where it is small.
fn softplus(x: V) -> V {
    let e = exp(-abs(x));
    let p = e * (V(1.0) - e * (V(0.5) - e * V(0.33333334)));
    return select(x, V(0.0), x < V(0.0)) + select(log(V(1.0) + e), p, e < V(0.01));
}

// sin(x + quarter * pi / 2). WGSL's own may be off by 5e-4. Cephes' sinf and cosf: pi / 2 in three parts, then a polynomial.
fn sine(x: V, quarter: f32) -> V {
    let j = round(x * V(0.63661975));
    let r = ((x - j * V(1.5703125)) - j * V(4.837513e-4)) - j * V(7.54979e-8);
    let z = r * r;
    let s = r + r * z * (V(-0.16666655) + z * (V(8.332161e-3) + z * V(-1.9515296e-4)));
    let c = V(1.0) - V(0.5) * z + z * z * (V(0.041666646) + z * (V(-1.3887316e-3) + z * V(2.4433157e-5)));
    let q = j + V(quarter);
    let odd = q - V(2.0) * floor(q * V(0.5));
    let turned = q - V(4.0) * floor(q * V(0.25));
    let v = select(s, c, odd == V(1.0));
    return keep_nan(x, select(v, -v, turned >= V(2.0)));
}

// The largest f32 stands in hexadecimal: its shortest decimal lies above it, which browsers refuse.
// As C's pow, which PyTorch has; WGSL leaves pow open for x < 0, and for x = 0 where y is not above 0.
fn safe_pow(x: V, y: V) -> V {
    let a = abs(x);
    let plain = select(a, V(1.0), a == V(0.0));
    let nought = select(V(0.0), V(from_bits(0x7f800000u)), y < V(0.0));
    let size = select(select(pow(plain, y), V(1.0), a == V(1.0)), nought, a == V(0.0));
    let odd = floor(y * V(0.5)) != y * V(0.5);
    let negative = select(select(size, -size, odd), V(from_bits(0x7fc00000u)), (floor(y) != y) & (a != V(0.0)) & (a <= V(0x1.fffffep+127f)));
    let v = keep_nan(x, keep_nan(y, select(size, negative, x < V(0.0))));
    return select(v, V(1.0), (y == V(0.0)) | (x == V(1.0)));
}
