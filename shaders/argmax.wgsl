// argmax: the index of the largest along the middle of [outer, length, inner], the first of equals. A thread a result: of all, of a piece (results
// lie as [outer, pieces, inner]), or of what was found in each piece. Generated: WG, above(v, top), place(o, i, c): the index of the c-th.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let item = id.y * groups.x * WG + id.x;
    if (item >= dim(0u)) { return; }
    let inner = dim(2u);
    let pieces = dim(5u);
    let i = item % inner;
    let o = item / inner / pieces;
    let first = dim(3u) + o * dim(1u) * inner + i;
    let start = item / inner % pieces * dim(6u);
    let end = min(start + dim(6u), dim(7u));
    // a piece past the end has the last once more
    var best = place(o, i, min(start, dim(7u) - 1u));
    var top = f32(x[first + best * inner]);
    for (var c = start + 1u; c < end; c++) {
        let at = place(o, i, c);
        let v = f32(x[first + at * inner]);
        if (above(v, top)) { top = v; best = at; }
    }
    out[dim(4u) + item] = best;
}
