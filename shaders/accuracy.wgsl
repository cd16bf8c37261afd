// accuracy: 1 for each row whose largest score is the label's. Generated: WG, KNOWN (in place of scores there is where the largest stands),
// target_class(row). Sizes: rows, classes, offsets of logits, labels and hits.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * WG + id.x;
    if (row >= d.rows) { return; }
    var best = 0u;
    if (KNOWN) {
        best = u32(logits[d.logits_offset + row]);
    } else {
        let n = d.classes;
        let first = d.logits_offset + row * n;
        for (var c = 1u; c < n; c++) { if (f32(logits[first + c]) > f32(logits[first + best])) { best = c; } }
    }
    hits[d.hits_offset + row] = select(0.0, 1.0, best == target_class(row));
}
