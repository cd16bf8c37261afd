// gather: rows of the data set that lies on the device become a batch, in the epoch's order. A workgroup takes WG * ITEMS words of
// one row of one field, and more where a row has more such chunks than the grid has workgroups. Generated: WG, ITEMS, fields(chunk, row, source, lane).
@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y + group.z * dim(1u);
    if (row >= dim(0u)) { return; }
    var source = state_word(STATE_CURSOR) + row;
    if (state_word(STATE_SHUFFLE) != 0u) {
        source = permute(source, state_word(STATE_ROWS), state_word(STATE_SEED_LO), state_word(STATE_SEED_HI), state_word(STATE_EPOCH));
    }
    for (var chunk = group.x; chunk < dim(2u); chunk += dim(3u)) { fields(chunk, row, source, lane); }
}
