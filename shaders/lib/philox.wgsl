// Random words by number; the twin of `block` in src/rng.rs, which has the same bits.
fn mul_high(a: u32, b: u32) -> u32 {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let t = ah * bl + ((al * bl) >> 16u);
    let m = (t & 0xffffu) + al * bh;
    return ah * bh + (t >> 16u) + (m >> 16u);
}

// Philox4x32-10 (Salmon et al. 2011).
fn philox(counter: vec4<u32>, seed: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = seed;
    for (var i = 0u; i < 10u; i++) {
        let a = mul_high(0xd2511f53u, c.x);
        let b = mul_high(0xcd9e8d57u, c.z);
        c = vec4<u32>(b ^ c.y ^ k.x, 0xcd9e8d57u * c.z, a ^ c.w ^ k.y, 0xd2511f53u * c.x);
        k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}
