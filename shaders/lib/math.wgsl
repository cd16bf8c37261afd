// Functions that WGSL lacks or leaves loose. V is the kernel's f32 or vec4<f32>.

// XLA's rational approximation, within 1e-6; the twin of `erf` in src/expr/eval.rs. A NaN passes the comparisons and comes out.
fn erf(x: V) -> V {
    let lo = select(x, V(-3.743921), x < V(-3.743921));
    let v = select(lo, V(3.743921), lo > V(3.743921));
    let s = v * v;
    let p = ((((V(0.00022905066) * s + V(0.003408291)) * s + V(0.050955695)) * s + V(0.18520832)) * s + V(1.1283791));
    let q = ((((((V(-1.1791603e-7) * s + V(2.3547967e-5)) * s + V(0.0010179625)) * s + V(0.01407047)) * s + V(0.11098505)) * s
        + V(0.49746925)) * s + V(1.0));
    return v * p / q;
}

// Some drivers make inf / inf of a large argument.
fn safe_tanh(x: V) -> V {
    let lo = select(x, V(-10.0), x < V(-10.0));
    return tanh(select(lo, V(10.0), lo > V(10.0)));
}
