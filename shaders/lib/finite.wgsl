// WGSL lets a compiler assume that there is no NaN: only the exponent bits tell.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}
