// gemm for GPUs where C is small and its sums are long: a workgroup makes 16 x 16 of C, and 16 threads share the terms of each 4 x 4 of it,
// four terms at a time in turn. Their parts are added in the threads' order.
// Generated: TA, TB, ROW_SUM, the loaders of A and B (src/kernels/gemm/load.rs), store, store_row_sum, tile_of, FOLDED.
// Sizes: m, n, k, matrices, of a and b what their loaders read, of each extra offset and steps, of each output the offset, and that of the row sums.
const SIDE = 16u;
const SLICES = 16u;
const CELLS = 16u;
const STEP = 4u * SLICES;
// steps whose vectors are on their way together
const AT_ONCE = 2u;
var<workgroup> parts: array<vec4<f32>, SLICES * CELLS * 4u>;

// Where row i of a cell's part lies: neighbours, be they slices or cells, write to other banks, and rows side by side are read from other banks.
fn place_of(slice: u32, cell: u32, i: u32) -> u32 {
    return (slice * 4u + i) * CELLS + (cell ^ (slice % 8u) ^ (i % 2u * 4u));
}

// Four terms of a cell, as its thread read them.
fn multiply(a_read: mat4x4<f32>, b_read: mat4x4<f32>, acc: ptr<function, array<vec4<f32>, 4>>, row_sum: ptr<function, vec4<f32>>) {
    var a = a_read;
    var b = b_read;
    if (!TA) { a = transpose(a); }
    if (TB) { b = transpose(b); }
    for (var j = 0u; j < 4u; j++) {
        for (var i = 0u; i < 4u; i++) { (*acc)[i] = fma(vec4<f32>(a[j][i]), b[j], (*acc)[i]); }
        if (ROW_SUM) { *row_sum += a[j]; }
    }
}

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
    var at_a: array<PlaceA, 4>;
    var at_b: array<PlaceB, 4>;
    for (var j = 0u; j < 4u; j++) {
        at_a[j] = a_start(batch, row + select(j, 0u, TA), 4u * slice);
        at_b[j] = b_start(batch, col + select(0u, j, TB), 4u * slice);
    }
    // vectors of terms further on lie as far from there for all threads
    var ahead_a: array<StepA, 4u * AT_ONCE>;
    var ahead_b: array<StepB, 4u * AT_ONCE>;
    for (var i = 0u; i < 4u * AT_ONCE; i++) {
        ahead_a[i] = a_step(i / 4u * STEP + select(0u, i % 4u, TA));
        ahead_b[i] = b_step(i / 4u * STEP + select(i % 4u, 0u, TB));
    }
    let step_a = a_step(AT_ONCE * STEP);
    let step_b = b_step(AT_ONCE * STEP);
    var acc: array<vec4<f32>, 4>;
    var row_sum: vec4<f32>;
    var k = 4u * slice;
    for (; k + (AT_ONCE - 1u) * STEP < k_all; k += AT_ONCE * STEP) {
        var a: array<mat4x4<f32>, AT_ONCE>;
        var b: array<mat4x4<f32>, AT_ONCE>;
        for (var i = 0u; i < 4u * AT_ONCE; i++) {
            let j = i % 4u;
            let first = k + i / 4u * STEP;
            a[i / 4u][j] = a_at(a_on(at_a[select(j, 0u, TA)], ahead_a[i]), first + select(0u, j, TA), k_all);
            b[i / 4u][j] = b_at(b_on(at_b[select(0u, j, TB)], ahead_b[i]), first + select(j, 0u, TB), k_all);
        }
        for (var j = 0u; j < 4u; j++) {
            at_a[j] = a_on(at_a[j], step_a);
            at_b[j] = b_on(at_b[j], step_b);
        }
        for (var i = 0u; i < AT_ONCE; i++) { multiply(a[i], b[i], &acc, &row_sum); }
    }
    if (k < k_all) {
        var a: mat4x4<f32>;
        var b: mat4x4<f32>;
        for (var j = 0u; j < 4u; j++) {
            a[j] = a_at(a_on(at_a[select(j, 0u, TA)], ahead_a[j]), k + select(0u, j, TA), k_all);
            b[j] = b_at(b_on(at_b[select(0u, j, TB)], ahead_b[j]), k + select(j, 0u, TB), k_all);
        }
        multiply(a, b, &acc, &row_sum);
    }
    for (var i = 0u; i < 4u; i++) { parts[place_of(slice, cell, i)] = acc[i]; }
    workgroupBarrier();
    // an element of C for each thread
    let r = lane / SIDE;
    let c = lane % SIDE;
    var sum = 0.0;
    for (var s = 0u; s < SLICES; s++) { sum += parts[place_of(s, r / 4u * 4u + c / 4u, r % 4u)][c % 4u]; }
    if (row0 + r < m && col0 + c < n) { store(batch, row0 + r, col0 + c, sum); }
    if (ROW_SUM) {
        workgroupBarrier();
        parts[slice * CELLS + cell] = row_sum;
        workgroupBarrier();
        if (c == 0u && col0 == 0u && row0 + r < m) {
            var total = 0.0;
            for (var s = 0u; s < SLICES; s++) { total += parts[s * CELLS + r / 4u * 4u][r % 4u]; }
            store_row_sum(batch, row0 + r, total);
        }
    }
}
