// reduce: out[row] = scale * sum (or the largest) over r of term(row, r), a row cut into pieces that a second launch joins.
// Generated: WG, GROUP (lanes that share a piece), MAX (the largest: GROUP is 1), term(row, r), join(a, b), store(piece, value).
@compute @workgroup_size(WG)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let lane = local % GROUP;
    let item = (id.y * groups.x * WG + id.x) / GROUP;
    let pieces = dim(2u);
    let length = dim(1u);
    let live = item < dim(0u) * pieces;
    let row = item / pieces;
    let first = (item % pieces) * dim(3u);
    let last = select(0u, min(first + dim(3u), length), live);
    var sum = 0.0;
    // a piece past the end has the last term once more
    if (MAX && live && length > 0u) { sum = term(row, min(first, length - 1u)); }
    for (var r = first + lane; r < last; r += GROUP) { sum = join(sum, term(row, r)); }
    let total = group_sum(sum, lane);
    if (live && lane == 0u) { store(item, total * bitcast<f32>(dim(4u))); }
}
