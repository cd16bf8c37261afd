// reduce: of every row and result the sum (or the largest) over r of its term, divided by their count for a mean. A row may be cut into pieces,
// which lie as [outer, pieces, inner] and which a second launch joins. Generated: V (f32, or a vec4 of neighbouring columns or terms), WG, GROUP
// (lanes that share a piece) and STEP (how far apart they stand), PARTS (partial sums of a lane, of the terms r + p * GROUP by PARTS * GROUP; 1
// where there is one), OPENED (whether a piece's first terms are looked at: the largest begin with them, means subtract them), struct Joined (with n, how many
// terms it stands for, where there are variances, which join by Chan's rule: by how far the means beside them lie apart), join(a, b),
// turn_to(row), terms(r), opened(terms), start(opening), less(terms, r, opening), begin(all), turn(r, opening), parted(), store(item, first,
// last, opening, all). Sizes, counted in V: rows, length, pieces of a row, terms of a piece, inner, of means for how many each term stands and how
// many that are in all, of each result divisor and offset, of each input offset and steps.
@compute @workgroup_size(WG)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let lane = local / STEP % GROUP;
    let item = (id.y * groups.x * WG + id.x - local) / GROUP + local / (STEP * GROUP) * STEP + local % STEP;
    let pieces = d.pieces;
    let length = d.length;
    let inner = d.inner;
    let live = item < d.rows * pieces;
    let row = item / inner / pieces * inner + item % inner;
    let first = (item / inner % pieces) * d.piece;
    let last = select(0u, min(first + d.piece, length), live);
    turn_to(row);
    var opening = Joined();
    // a piece past the end has the last term once more
    if (OPENED && live && length > 0u) { opening = opened(terms(min(first, length - 1u))); }
    var all = start(opening);
    var r = first + lane;
    if (PARTS > 1u) {
        let end = r + (max(first, last) - first) / (PARTS * GROUP) * (PARTS * GROUP);
        begin(all);
        for (; r < end; r += PARTS * GROUP) { turn(r, opening); }
        all = parted();
    }
    for (; r < last; r += GROUP) { all = join(all, less(terms(r), r, opening)); }
    all = group_join(all, local);
    if (live && lane == 0u) { store(item, first, last, opening, all); }
}
