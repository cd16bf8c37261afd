// gemm for software adapters: no workgroup memory, no barrier. A thread makes ROWS rows x 4*NV columns; the 8 threads of a workgroup
// stand side by side along the columns, so that all read the same of A: as a subgroup of 8 they share the reading.
// Generated: TA, TB, ROWS, NV, ROW_SUM, a4/a1/b4/b1 (four or one element from (major, minor) of the stored matrix), store_four, tile_of, FOLDED, and
// src/kernels/gemm/direct.rs: ready (what is found before the first term), terms (four terms of every sum), all_sums, all_row_sums.
// Sizes: m, n, k, matrices, of a and b offset, pitch and batch (from one matrix to the next), of each extra offset and steps, of each output the
// offset, and that of the row sums.

// Four columns of B at rows k to k + 3.
fn b_block(batch: u32, k: u32, col: u32, n: u32) -> mat4x4<f32> {
    if (TB) {
        let p = b4(batch, min(col, n - 1u), k);
        let q = b4(batch, min(col + 1u, n - 1u), k);
        let r = b4(batch, min(col + 2u, n - 1u), k);
        let s = b4(batch, min(col + 3u, n - 1u), k);
        return mat4x4<f32>(vec4<f32>(p.x, q.x, r.x, s.x), vec4<f32>(p.y, q.y, r.y, s.y), vec4<f32>(p.z, q.z, r.z, s.z), vec4<f32>(p.w, q.w, r.w, s.w));
    }
    return mat4x4<f32>(b4(batch, k, col), b4(batch, k + 1u, col), b4(batch, k + 2u, col), b4(batch, k + 3u, col));
}

// Four rows of A at k to k + 3: one vector along k for each.
fn a_block(batch: u32, k: u32, row: u32, m: u32) -> mat4x4<f32> {
    if (TA) {
        return transpose(mat4x4<f32>(a4(batch, k, row), a4(batch, k + 1u, row), a4(batch, k + 2u, row), a4(batch, k + 3u, row)));
    }
    let last = m - 1u;
    return mat4x4<f32>(
        a4(batch, min(row, last), k), a4(batch, min(row + 1u, last), k), a4(batch, min(row + 2u, last), k), a4(batch, min(row + 3u, last), k));
}

// The sum with four more terms, in order.
fn four(sum: vec4<f32>, a: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    return fma(vec4<f32>(a.w), b[3], fma(vec4<f32>(a.z), b[2], fma(vec4<f32>(a.y), b[1], fma(vec4<f32>(a.x), b[0], sum))));
}

fn row_four(sum: f32, a: vec4<f32>) -> f32 {
    return (((sum + a.x) + a.y) + a.z) + a.w;
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) place: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = tile_of(place);
    if (FOLDED && group.z >= d.matrices) { return; }
    let m = d.m;
    let n = d.n;
    let k_all = d.k;
    let batch = group.z;
    let row0 = group.y * ROWS;
    // lanes beyond the last column go along, for their part of A: they store nothing
    let col0 = (group.x * 8u + lane) * 4u * NV;
    let k_main = k_all & ~3u;
    ready(batch, row0, col0, m, lane);
    for (var k = 0u; k < k_main; k += 4u) { terms(batch, k, row0, col0, m, n, lane); }
    var sums = all_sums();
    var row_sum = all_row_sums();
    // a number that no compiler knows: what follows is not worth its unrolling
    let rows = min(ROWS, m - row0);
    for (var k = k_main; k < k_all; k++) {
        for (var i = 0u; i < rows; i++) {
            let row = row0 + i;
            var x: f32;
            if (TA) { x = a1(batch, k, row); } else { x = a1(batch, row, k); }
            if (ROW_SUM) { row_sum[i] += x; }
            for (var v = 0u; v < NV; v++) {
                var y: vec4<f32>;
                for (var j = 0u; j < 4u; j++) {
                    let col = min(col0 + 4u * v + j, n - 1u);
                    if (TB) { y[j] = b1(batch, col, k); } else { y[j] = b1(batch, k, col); }
                }
                sums[NV * i + v] = fma(vec4<f32>(x), y, sums[NV * i + v]);
            }
        }
    }
    for (var i = 0u; i < rows; i++) {
        for (var v = 0u; v < NV; v++) { store_four(batch, row0 + i, col0 + 4u * v, n, sums[NV * i + v]); }
        if (ROW_SUM && col0 == 0u) { store_row_sum(batch, row0 + i, row_sum[i]); }
    }
}
