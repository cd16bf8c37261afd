// take: out[i, c] = table[indices[i], c]. A row that the table has not is NaN, and nothing is read for it. Generated: WG.
// Sizes: size (of the output), width, rows of the table, offsets of table, indices and out, the bits of a NaN.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let e = id.y * groups.x * WG + id.x;
    if (e >= d.size) { return; }
    let width = d.width;
    let row = indices[d.indices_offset + e / width];
    // from the sizes: WGSL has no NaN to write down
    var value = bitcast<f32>(d.nan_bits);
    if (row < d.rows) { value = table[d.table_offset + row * width + e % width]; }
    out[d.out_offset + e] = value;
}
