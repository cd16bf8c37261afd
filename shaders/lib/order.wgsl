// The keyed permutation of an epoch; the twin of `Permutation` in src/rng.rs.
fn mix(v: u32) -> u32 {
    var x = v;
    x = (x ^ (x >> 16u)) * 0x7feb352du;
    x = (x ^ (x >> 15u)) * 0x846ca68bu;
    return x ^ (x >> 16u);
}

// Up to 12 rows: Fisher and Yates' shuffle changes row k with one at or below it, for k from n - 1 down to 1. What came to i is followed back.
fn permute_few(i: u32, n: u32, seed: vec2<u32>, epoch: u32) -> u32 {
    var x = i;
    var words = vec4<u32>(0u);
    for (var k = 0u; k < n; k++) {
        if (k % 4u == 0u) { words = philox(vec4<u32>(k / 4u, epoch, 0x6f726465u, 0x72730000u), seed); }
        let j = mul_high(words[k % 4u], k + 1u);
        if (x == k) { x = j; } else if (x == j) { x = k; }
    }
    return x;
}

fn permute(i: u32, n: u32, seed_lo: u32, seed_hi: u32, epoch: u32) -> u32 {
    if (n <= 12u) { return permute_few(i, n, vec2<u32>(seed_lo, seed_hi), epoch); }
    let k0 = mix(seed_lo ^ mix(epoch + 0x9e3779b9u));
    let k1 = mix(seed_hi ^ k0 ^ 0x85ebca6bu);
    let bits = 32u - countLeadingZeros(n - 1u);
    let half_bits = max((bits + 1u) / 2u, 1u);
    let mask = (1u << half_bits) - 1u;
    var x = i;
    loop {
        var l = x >> half_bits;
        var r = x & mask;
        for (var round = 0u; round < 6u; round++) {
            let key = mix(k0 + round * (k1 | 1u));
            let next = l ^ (mix(r ^ key) & mask);
            l = r;
            r = next;
        }
        x = (l << half_bits) | r;
        if (x < n) { break; }
    }
    return x;
}
