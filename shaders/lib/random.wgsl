// Random numbers of the state's batch, four at a time; the twin of `words` in src/rng.rs, which has the same bits.
fn draw_words(block: u32, stream_lo: u32, stream_hi: u32) -> vec4<u32> {
    let seed = vec2<u32>(state_word(STATE_SEED_LO), state_word(STATE_SEED_HI));
    return philox(vec4<u32>(block, state_word(STATE_BATCH), stream_lo, stream_hi), seed);
}

fn uniforms(w: vec4<u32>) -> vec4<f32> { return vec4<f32>(w >> vec4<u32>(8u)) * 5.9604644775390625e-8; }

fn coins(w: vec4<u32>, below: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), vec4<f32>(1.0), (w >> vec4<u32>(8u)) < vec4<u32>(below));
}

// Cephes' logf, for 0 < x <= 1: WGSL's own may be off by 5e-7 near 1, of which a root makes 1e-3.
fn log_below_1(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let small = bitcast<f32>((bits & 0x7fffffu) | 0x3f000000u);
    let low = small < 0.70710677;
    let k = f32(bits >> 23u) - select(126.0, 127.0, low);
    let m = select(small, small + small, low) - 1.0;
    let z = m * m;
    let p = ((((((((0.070376836 * m - 0.1151461) * m + 0.116769987) * m - 0.12420141) * m + 0.14249323) * m - 0.16668057) * m
        + 0.20000714) * m - 0.24999999) * m + 0.3333333) * m * z;
    return m + ((p - 2.1219444e-4 * k) - 0.5 * z) + 0.693359375 * k;
}

// Box and Muller's rule. The angle is 2 pi v, v in [0, 1): its quarter is exact, and the rest goes through polynomials.
fn normal_pair(a: f32, b: f32) -> vec2<f32> {
    let r = sqrt(-2.0 * log_below_1(1.0 - a));
    let q = floor(4.0 * b + 0.5);
    let t = (b - 0.25 * q) * 6.2831855;
    let z = t * t;
    let s = t + t * z * (-0.16666655 + z * (8.332161e-3 - z * 1.9515296e-4));
    let c = 1.0 - 0.5 * z + z * z * (0.041666646 + z * (-1.3887316e-3 + z * 2.4433157e-5));
    let odd = (u32(q) & 1u) == 1u;
    let turned = (u32(q) & 2u) == 2u;
    let v = select(vec2<f32>(c, s), vec2<f32>(-s, c), odd);
    return r * select(v, -v, turned);
}

fn normals(w: vec4<u32>) -> vec4<f32> {
    let u = uniforms(w);
    return vec4<f32>(normal_pair(u.x, u.y), normal_pair(u.z, u.w));
}
