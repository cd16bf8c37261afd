// gemm_join: the end of a product whose terms were cut into pieces: adds up what each piece came to, in order, and applies the epilogue. Behind the
// pieces' results lie their row sums.
// Generated: WG, ROW_SUM, FOURS (columns of a V), store, store_row_sum, part_of_row (one number of parts).
// Sizes: m, n, size (of a piece's result, in V), pieces, of each extra offset and steps, of each output the offset, and that of the row sums.
const AT_ONCE = 4u;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let e = id.y * groups.x * WG + id.x;
    let pieces = d.pieces;
    let n = d.n;
    if (e < d.size) {
        var sum = V();
        // several are on their way at once
        for (var p = 0u; p < pieces; p += AT_ONCE) {
            var x: array<V, AT_ONCE>;
            for (var j = 0u; j < AT_ONCE; j++) { x[j] = parts[min(p + j, pieces - 1u) * d.size + e]; }
            for (var j = 0u; j < AT_ONCE; j++) { sum += select(V(), x[j], p + j < pieces); }
        }
        let row = FOURS * e / n;
        store(row / d.m, row % d.m, FOURS * e % n, sum);
    }
    if (ROW_SUM && e < d.m) {
        var sum = 0.0;
        for (var p = 0u; p < pieces; p++) { sum += part_of_row(pieces * d.size * FOURS + p * d.m + e); }
        store_row_sum(0u, e, sum);
    }
}
