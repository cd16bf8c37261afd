// gemm for GPUs where C is small and its sums are long: a workgroup makes 16 x 16 of C, and 16 threads share the terms of each 4 x 4 of it,
// four terms at a time in turn. Their parts are added in the threads' order.
// Generated: TA, TB, ROW_SUM, a4/b4 (four elements from (major, minor) of the stored matrix), store, tile_of, FOLDED; lib/block: a_rows, b_columns.
// Sizes: m, n, k, matrices, of a and b offset, pitch and batch (from one matrix to the next), of each extra offset and steps, of each output the
// offset, and that of the row sums.
const SIDE = 16u;
const SLICES = 16u;
const CELLS = 16u;
var<workgroup> parts: array<vec4<f32>, SLICES * CELLS * 4u>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) place: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = tile_of(place);
    if (FOLDED && group.z >= d.matrices) { return; }
    let m = d.m;
    let n = d.n;
    let k_all = d.k;
    let batch = group.z;
    let row0 = group.y * SIDE;
    let col0 = group.x * SIDE;
    // neighbours read neighbours in memory: along the terms, or along A's rows where those lie side by side
    let slice = select(lane % SLICES, lane / CELLS, TA);
    let cell = select(lane / SLICES, lane % CELLS, TA);
    let row = row0 + cell / 4u * 4u;
    let col = col0 + cell % 4u * 4u;
    var acc: array<vec4<f32>, 4>;
    var row_sum: vec4<f32>;
    for (var k = 4u * slice; k < k_all; k += 4u * SLICES) {
        let a = a_rows(batch, k, row);
        let b = b_columns(batch, k, col);
        for (var j = 0u; j < 4u; j++) {
            for (var i = 0u; i < 4u; i++) { acc[i] = fma(vec4<f32>(a[j][i]), b[j], acc[i]); }
            if (ROW_SUM) { row_sum += a[j]; }
        }
    }
    for (var i = 0u; i < 4u; i++) { parts[(slice * CELLS + cell) * 4u + i] = acc[i]; }
    workgroupBarrier();
    // an element of C for each thread
    let r = lane / SIDE;
    let c = lane % SIDE;
    var sum = 0.0;
    for (var s = 0u; s < SLICES; s++) { sum += parts[(s * CELLS + r / 4u * 4u + c / 4u) * 4u + r % 4u][c % 4u]; }
    if (row0 + r < m && col0 + c < n) { store(batch, row0 + r, col0 + c, sum); }
    if (ROW_SUM) {
        workgroupBarrier();
        parts[slice * CELLS + cell] = row_sum;
        workgroupBarrier();
        if (c == 0u && col0 == 0u && row0 + r < m) {
            var total = 0.0;
            for (var s = 0u; s < SLICES; s++) { total += parts[s * CELLS + r / 4u * 4u][r % 4u]; }
            store_row_sum(row0 + r, total);
        }
    }
}
