// reduce: out[row] = the sum (or the largest) over r of term(row, r), divided by their count for a mean. A row may be cut into pieces, which
// lie as [outer, pieces, inner] and which a second launch joins. Generated: WG, GROUP (lanes that share a piece), PARTS (partial sums of a
// lane: the terms r, r + PARTS, ..; 1 where there is one), MAX (the largest: GROUP is 1), FROM_FIRST (a mean, summed as differences from
// the row's first term), term(row, r), join(a, b), begin(v), turn(row, r, shift), joined(), less(v, shift), store(piece, value).
// Sizes: rows, length, pieces of a row, terms of a piece, divisor, inner, out's offset, of each input offset and steps.
@compute @workgroup_size(WG)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let lane = local % GROUP;
    let item = (id.y * groups.x * WG + id.x) / GROUP;
    let pieces = d.pieces;
    let length = d.length;
    let inner = d.inner;
    let live = item < d.rows * pieces;
    let row = item / inner / pieces * inner + item % inner;
    let first = (item / inner % pieces) * d.piece;
    let last = select(0u, min(first + d.piece, length), live);
    var sum = 0.0;
    var shift = 0.0;
    // a piece past the end has the last term once more
    if (MAX && live && length > 0u) { sum = term(row, min(first, length - 1u)); }
    if (FROM_FIRST && live && length > 0u) { shift = term(row, 0u); }
    var r = first + lane;
    if (PARTS > 1u) {
        let end = first + (max(first, last) - first) / PARTS * PARTS;
        begin(sum);
        for (; r < end; r += PARTS) { turn(row, r, shift); }
        sum = joined();
    }
    for (; r < last; r += GROUP) { sum = join(sum, less(term(row, r), shift)); }
    let total = group_join(sum, local);
    if (live && lane == 0u) { store(item, total / d.divisor + select(0.0, shift, pieces == 1u)); }
}
