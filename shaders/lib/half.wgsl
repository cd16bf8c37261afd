// x as a store to f16 would leave it: to nearest, ties to even, beyond 65504 infinite. In bits, for f32(f16(x)) is x to a compiler. The twin of
// `half_of` in src/expr/eval.rs.
fn half_of(x: V) -> V {
    let bits = bitcast<U>(x);
    let a = bits & U(0x7fffffffu);
    let ten = (a + U(0xfffu) + ((a >> U(13u)) & U(1u))) & U(0xffffe000u);
    let large = select(ten, U(0x7f800000u), ten >= U(0x47800000u));
    // below 2^-14 the steps are 2^-24
    let small = bitcast<U>(round(abs(x) * V(16777216.0)) * V(5.9604645e-8));
    let r = select(large, small, a < U(0x38800000u));
    return select(bitcast<V>(r | (bits & U(0x80000000u))), x, a > U(0x7f800000u));
}
