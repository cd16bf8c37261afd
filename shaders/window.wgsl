// window: for each place of the result a formula over the places that its row's list and its column's list name, channels side by side.
// Generated: WG, V, U, B, State, start(at), visit(state, at, row, column, a, b), store(e, state). Sizes: size (of the result), of each operand and of
// the result offset, rows, columns and channels (one by one or in fours), where the lists begin, images and what is summed together of them.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let e = id.y * groups.x * WG + id.x;
    if (e >= d.size) { return; }
    let place = e / d.out_channels;
    let row = place / d.out_columns;
    let at = Place(row / d.out_rows, row % d.out_rows, place % d.out_columns, e % d.out_channels);
    let down = d.down + at.row;
    let across = d.across + at.column;
    let down_end = tables[down + 1u];
    let across_end = tables[across + 1u];
    var state = start(at);
    for (var i = tables[down]; i < down_end; i += 2u) {
        let r = tables[i];
        let a = tables[i + 1u];
        for (var j = tables[across]; j < across_end; j += 2u) {
            visit(&state, at, r, tables[j], a, tables[j + 1u]);
        }
    }
    store(e, state);
}
