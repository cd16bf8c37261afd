// softmax over rows of dim(1) values, or its logarithm, one thread a row. Generated: WG, LOG.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * WG + id.x;
    if (row >= dim(0u)) { return; }
    let n = dim(1u);
    let first = dim(2u) + row * n;
    let to = dim(3u) + row * n;
    var top = f32(x[first]);
    for (var c = 1u; c < n; c++) { top = select(top, f32(x[first + c]), f32(x[first + c]) > top); }
    var sum = 0.0;
    for (var c = 0u; c < n; c++) { sum += exp(f32(x[first + c]) - top); }
    if (LOG) {
        let log_sum = log(sum);
        for (var c = 0u; c < n; c++) { out[to + c] = (f32(x[first + c]) - top) - log_sum; }
    } else {
        for (var c = 0u; c < n; c++) { out[to + c] = exp(f32(x[first + c]) - top) / sum; }
    }
}
