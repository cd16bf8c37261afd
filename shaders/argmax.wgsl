// argmax: the index of the largest along the middle of [outer, length, inner], the first of equals. A thread a result: of all, of a piece (results
// lie as [outer, pieces, inner]), or of what was found in each piece. Generated: WG, above(v, top), place(o, i, c): the index of the c-th.
// Sizes: items (results), length, inner, offsets of x and out, pieces, values of a piece, choices (candidates of a result, or all values).
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let item = id.y * groups.x * WG + id.x;
    if (item >= d.items) { return; }
    let inner = d.inner;
    let pieces = d.pieces;
    let i = item % inner;
    let o = item / inner / pieces;
    let first = d.x_offset + o * d.length * inner + i;
    let start = item / inner % pieces * d.piece;
    let end = min(start + d.piece, d.choices);
    // a piece past the end has the last once more
    var best = place(o, i, min(start, d.choices - 1u));
    var top = f32(x[first + best * inner]);
    for (var c = start + 1u; c < end; c++) {
        let at = place(o, i, c);
        let v = f32(x[first + at * inner]);
        if (above(v, top)) { top = v; best = at; }
    }
    out[d.out_offset + item] = best;
}
