// take: out[i, c] = table[indices[i], c]. A row that the table has not is NaN, and nothing is read for it. Generated: WG.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let e = id.y * groups.x * WG + id.x;
    if (e >= dim(0u)) { return; }
    let width = dim(1u);
    let row = indices[dim(4u) + e / width];
    // from a word of the dims: WGSL has no NaN to write down
    var value = bitcast<f32>(dim(6u));
    if (row < dim(2u)) { value = table[dim(3u) + row * width + e % width]; }
    out[dim(5u) + e] = value;
}
