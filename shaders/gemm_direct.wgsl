// gemm for software adapters: no workgroup memory, no barrier. A thread makes ROWS (8 or 16) rows x 4*NV columns; the 8 threads of a workgroup
// stand side by side along the columns, so that a row's address is the same for all of them.
// Generated: TA, TB, ROWS, NV, ROW_SUM, a4/a1/b4/b1 (four or one element from (major, minor) of the stored matrix), store.
//
// Sums have names of their own, and their four terms of a turn are added before the next sum's: where a loop over an array of them is
// not unrolled (a long epilogue is enough for that) they lie in memory and the kernel takes four times as long.

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
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m = dim(0u);
    let n = dim(1u);
    let k_all = dim(2u);
    let batch = group.z;
    let row0 = group.y * ROWS;
    let col0 = (group.x * 8u + lane) * 4u * NV;
    if (col0 >= n) { return; }
    var c0_0 = vec4<f32>();
    var c1_0 = vec4<f32>();
    var c2_0 = vec4<f32>();
    var c3_0 = vec4<f32>();
    var c4_0 = vec4<f32>();
    var c5_0 = vec4<f32>();
    var c6_0 = vec4<f32>();
    var c7_0 = vec4<f32>();
    var c8_0 = vec4<f32>();
    var c9_0 = vec4<f32>();
    var c10_0 = vec4<f32>();
    var c11_0 = vec4<f32>();
    var c12_0 = vec4<f32>();
    var c13_0 = vec4<f32>();
    var c14_0 = vec4<f32>();
    var c15_0 = vec4<f32>();
    var c0_1 = vec4<f32>();
    var c1_1 = vec4<f32>();
    var c2_1 = vec4<f32>();
    var c3_1 = vec4<f32>();
    var c4_1 = vec4<f32>();
    var c5_1 = vec4<f32>();
    var c6_1 = vec4<f32>();
    var c7_1 = vec4<f32>();
    var c8_1 = vec4<f32>();
    var c9_1 = vec4<f32>();
    var c10_1 = vec4<f32>();
    var c11_1 = vec4<f32>();
    var c12_1 = vec4<f32>();
    var c13_1 = vec4<f32>();
    var c14_1 = vec4<f32>();
    var c15_1 = vec4<f32>();
    var s0 = 0.0;
    var s1 = 0.0;
    var s2 = 0.0;
    var s3 = 0.0;
    var s4 = 0.0;
    var s5 = 0.0;
    var s6 = 0.0;
    var s7 = 0.0;
    var s8 = 0.0;
    var s9 = 0.0;
    var s10 = 0.0;
    var s11 = 0.0;
    var s12 = 0.0;
    var s13 = 0.0;
    var s14 = 0.0;
    var s15 = 0.0;
    let k_main = k_all & ~3u;
    for (var k = 0u; k < k_main; k += 4u) {
        let b_0 = b_block(batch, k, col0, n);
        var b_1: mat4x4<f32>;
        if (NV == 2u) { b_1 = b_block(batch, k, col0 + 4u, n); }
        let a_0 = a_block(batch, k, row0, m);
        c0_0 = four(c0_0, a_0[0], b_0);
        c1_0 = four(c1_0, a_0[1], b_0);
        c2_0 = four(c2_0, a_0[2], b_0);
        c3_0 = four(c3_0, a_0[3], b_0);
        if (NV == 2u) {
            c0_1 = four(c0_1, a_0[0], b_1);
            c1_1 = four(c1_1, a_0[1], b_1);
            c2_1 = four(c2_1, a_0[2], b_1);
            c3_1 = four(c3_1, a_0[3], b_1);
        }
        if (ROW_SUM) {
            s0 = row_four(s0, a_0[0]);
            s1 = row_four(s1, a_0[1]);
            s2 = row_four(s2, a_0[2]);
            s3 = row_four(s3, a_0[3]);
        }
        let a_1 = a_block(batch, k, row0 + 4u, m);
        c4_0 = four(c4_0, a_1[0], b_0);
        c5_0 = four(c5_0, a_1[1], b_0);
        c6_0 = four(c6_0, a_1[2], b_0);
        c7_0 = four(c7_0, a_1[3], b_0);
        if (NV == 2u) {
            c4_1 = four(c4_1, a_1[0], b_1);
            c5_1 = four(c5_1, a_1[1], b_1);
            c6_1 = four(c6_1, a_1[2], b_1);
            c7_1 = four(c7_1, a_1[3], b_1);
        }
        if (ROW_SUM) {
            s4 = row_four(s4, a_1[0]);
            s5 = row_four(s5, a_1[1]);
            s6 = row_four(s6, a_1[2]);
            s7 = row_four(s7, a_1[3]);
        }
        if (ROWS == 16u) {
            let a_2 = a_block(batch, k, row0 + 8u, m);
            c8_0 = four(c8_0, a_2[0], b_0);
            c9_0 = four(c9_0, a_2[1], b_0);
            c10_0 = four(c10_0, a_2[2], b_0);
            c11_0 = four(c11_0, a_2[3], b_0);
            if (NV == 2u) {
                c8_1 = four(c8_1, a_2[0], b_1);
                c9_1 = four(c9_1, a_2[1], b_1);
                c10_1 = four(c10_1, a_2[2], b_1);
                c11_1 = four(c11_1, a_2[3], b_1);
            }
            if (ROW_SUM) {
                s8 = row_four(s8, a_2[0]);
                s9 = row_four(s9, a_2[1]);
                s10 = row_four(s10, a_2[2]);
                s11 = row_four(s11, a_2[3]);
            }
            let a_3 = a_block(batch, k, row0 + 12u, m);
            c12_0 = four(c12_0, a_3[0], b_0);
            c13_0 = four(c13_0, a_3[1], b_0);
            c14_0 = four(c14_0, a_3[2], b_0);
            c15_0 = four(c15_0, a_3[3], b_0);
            if (NV == 2u) {
                c12_1 = four(c12_1, a_3[0], b_1);
                c13_1 = four(c13_1, a_3[1], b_1);
                c14_1 = four(c14_1, a_3[2], b_1);
                c15_1 = four(c15_1, a_3[3], b_1);
            }
            if (ROW_SUM) {
                s12 = row_four(s12, a_3[0]);
                s13 = row_four(s13, a_3[1]);
                s14 = row_four(s14, a_3[2]);
                s15 = row_four(s15, a_3[3]);
            }
        }
    }
    var sums = array<vec4<f32>, 32>(
        c0_0, c0_1, c1_0, c1_1, c2_0, c2_1, c3_0, c3_1,
        c4_0, c4_1, c5_0, c5_1, c6_0, c6_1, c7_0, c7_1,
        c8_0, c8_1, c9_0, c9_1, c10_0, c10_1, c11_0, c11_1,
        c12_0, c12_1, c13_0, c13_1, c14_0, c14_1, c15_0, c15_1);
    var row_sum = array<f32, 16>(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15);
    for (var k = k_main; k < k_all; k++) {
        for (var i = 0u; i < ROWS; i++) {
            let row = min(row0 + i, m - 1u);
            var x: f32;
            if (TA) { x = a1(batch, k, row); } else { x = a1(batch, row, k); }
            if (ROW_SUM) { row_sum[i] += x; }
            for (var v = 0u; v < NV; v++) {
                var y: vec4<f32>;
                for (var j = 0u; j < 4u; j++) {
                    let col = min(col0 + 4u * v + j, n - 1u);
                    if (TB) { y[j] = b1(batch, col, k); } else { y[j] = b1(batch, k, col); }
                }
                sums[2u * i + v] = fma(vec4<f32>(x), y, sums[2u * i + v]);
            }
        }
    }
    for (var i = 0u; i < ROWS; i++) {
        let row = row0 + i;
        if (row < m) {
            for (var v = 0u; v < NV; v++) {
                for (var j = 0u; j < 4u; j++) {
                    let col = col0 + 4u * v + j;
                    if (col < n) { store(batch, row, col, sums[2u * i + v][j]); }
                }
            }
            if (ROW_SUM && col0 == 0u) { store_row_sum(row, row_sum[i]); }
        }
    }
}
