// cumsum: running sums over rows of dim(1) values, one thread a row or, of long rows, a piece, which starts from the sum of those before it.
// Generated: WG, REVERSE (from the end), STARTED, start(item): the running sums of the pieces' own.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let item = id.y * groups.x * WG + id.x;
    let pieces = dim(4u);
    let row = item / pieces;
    let piece = item % pieces;
    if (row >= dim(0u)) { return; }
    let n = dim(1u);
    let first = dim(2u) + row * n;
    let to = dim(3u) + row * n;
    let begin = min(piece * dim(5u), n);
    let end = min(begin + dim(5u), n);
    var sum = 0.0;
    if (STARTED && !REVERSE && piece > 0u) { sum = start(item - 1u); }
    if (STARTED && REVERSE && piece + 1u < pieces) { sum = start(item + 1u); }
    for (var i = begin; i < end; i++) {
        let c = select(i, begin + (end - 1u - i), REVERSE);
        sum += x[first + c];
        out[to + c] = sum;
    }
}
