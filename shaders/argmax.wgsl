// argmax: the index of the largest along the middle of [outer, length, inner]: the first of equals, the first NaN. A thread a result.
// Generated: WG, MATH.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let item = id.y * groups.x * WG + id.x;
    if (item >= dim(0u)) { return; }
    let inner = dim(2u);
    let first = dim(3u) + (item / inner) * dim(1u) * inner + item % inner;
    var top = x[first];
    var best = 0u;
    for (var c = 1u; c < dim(1u); c++) {
        let v = x[first + c * inner];
        if (!is_nan(top) && (is_nan(v) || v > top)) { top = v; best = c; }
    }
    out[dim(4u) + item] = best;
}
