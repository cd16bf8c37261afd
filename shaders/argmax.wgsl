// argmax: the index of the largest along the middle of [outer, length, inner], the first of equals; the first NaN is above all. GROUP lanes a
// result, STEP apart: of all, of a piece (results lie as [outer, pieces, inner]), or of what was found in each piece. Generated: WG, GROUP, STEP,
// place(o, i, c): the index of the c-th. Sizes: items (results), length, inner, offsets of x and out, pieces, values of a piece, choices
// (candidates of a result, or all values).
@compute @workgroup_size(WG)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let lane = local / STEP % GROUP;
    let item = (id.y * groups.x * WG + id.x - local) / GROUP + local / (STEP * GROUP) * STEP + local % STEP;
    let live = item < d.items;
    let inner = d.inner;
    let pieces = d.pieces;
    let i = item % inner;
    let o = item / inner / pieces;
    let first = d.x_offset + o * d.length * inner + i;
    // a piece past the end has the last once more
    let start = min(item / inner % pieces * d.piece, d.choices - 1u);
    let end = select(0u, min(start + d.piece, d.choices), live);
    // below the rank of any number
    var top = 0u;
    var best = 0u;
    for (var c = start + lane; c < end; c += GROUP) {
        let at = place(o, i, c);
        let r = rank(f32(x[first + at * inner]), 0xffffffffu);
        if (r > top) { top = r; best = at; }
    }
    best = group_first(top, best, local);
    if (live && lane == 0u) { out[d.out_offset + item] = best; }
}
