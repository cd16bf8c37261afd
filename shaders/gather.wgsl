// gather: rows of the data set that lies on the device become a batch, in the epoch's order. A workgroup takes WG * ITEMS words of
// one row of one field, and more where a row has more such chunks than the grid has workgroups. Generated: WG, ITEMS, fields(chunk, row, source, lane),
// source_of(row), the stored row of a place of the batch, and prepare(row), which draws what training changes at random.
// Sizes: rows of the batch, fold (of them along the grid's second axis), chunks, groups along its first; of each field its first chunk and the one
// behind its last, width, words or vectors of a row, scale, shift, classes, and its batch's offset.
@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y + group.z * d.fold;
    if (row >= d.rows) { return; }
    let source = source_of(row);
    prepare(row);
    for (var chunk = group.x; chunk < d.chunks; chunk += d.groups) { fields(chunk, row, source, lane); }
}
