// Ranks of numbers as integers: a larger number has a larger one, equal numbers (0 of both signs) the same. It reads bits alone, for WGSL lets a
// compiler assume that there is no NaN. `nan`: the rank of a NaN, 0 below and 0xffffffff above all numbers.
fn rank(v: f32, nan: u32) -> u32 {
    let bits = bitcast<u32>(v);
    let size = bits & 0x7fffffffu;
    let turned = select(0x80000000u + size, 0x80000000u - size, bits > 0x80000000u);
    return select(turned, nan, size > 0x7f800000u);
}
