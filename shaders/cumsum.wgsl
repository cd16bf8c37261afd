// cumsum: running sums over rows, one thread a row or, of long rows, a piece, which starts from the sum of those before it.
// Generated: WG, REVERSE (from the end), STARTED, start(item): the running sums of the pieces' own. Sizes: rows, width, offsets of x and out, pieces of a row,
// values of a piece.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let item = id.y * groups.x * WG + id.x;
    let pieces = d.pieces;
    let row = item / pieces;
    let piece = item % pieces;
    if (row >= d.rows) { return; }
    let n = d.width;
    let first = d.x_offset + row * n;
    let to = d.out_offset + row * n;
    let begin = min(piece * d.piece, n);
    let end = min(begin + d.piece, n);
    var sum = 0.0;
    if (STARTED && !REVERSE && piece > 0u) { sum = start(item - 1u); }
    if (STARTED && REVERSE && piece + 1u < pieces) { sum = start(item + 1u); }
    for (var i = begin; i < end; i++) {
        let c = select(i, begin + (end - 1u - i), REVERSE);
        sum += x[first + c];
        out[to + c] = sum;
    }
}
