// cumsum: running sums over rows of dim(1) values, one thread a row. Generated: WG, REVERSE (from the end).
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * WG + id.x;
    if (row >= dim(0u)) { return; }
    let n = dim(1u);
    let first = dim(2u) + row * n;
    let to = dim(3u) + row * n;
    var sum = 0.0;
    for (var i = 0u; i < n; i++) {
        let c = select(i, n - 1u - i, REVERSE);
        sum += x[first + c];
        out[to + c] = sum;
    }
}
