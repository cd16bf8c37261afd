// WGSL lets a compiler assume that there is no NaN: only the exponent bits tell.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// 0 with its sign for what is below the normal range, as the CPU's evaluator stores it. Some processors take 100 times as long for such
// a number, and a moment whose gradient stays 0 would come to it after some 800 steps and stay there.
fn normal_range(x: vec4<f32>) -> vec4<f32> {
    let bits = bitcast<vec4<u32>>(x);
    let below = (bits & vec4<u32>(0x7f800000u)) == vec4<u32>(0u);
    return bitcast<vec4<f32>>(select(bits, bits & vec4<u32>(0x80000000u), below));
}
