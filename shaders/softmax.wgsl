// softmax over rows, or its logarithm, one thread a row. Generated: WG, LOG. Sizes: rows, width, offsets of x and out.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * WG + id.x;
    if (row >= d.rows) { return; }
    let n = d.width;
    let first = d.x_offset + row * n;
    let to = d.out_offset + row * n;
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
