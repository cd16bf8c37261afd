// gemm for software adapters: no workgroup memory, no barrier. A thread makes 8 rows x 4*NV columns; the 8 threads of a workgroup
// stand side by side along the columns, so that a row's address is the same for all of them.
// Generated: TA, TB, NV, ROW_SUM, a4/a1/b4/b1 (four or one element from (major, minor) of the stored matrix), store.
@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m = dim(0u);
    let n = dim(1u);
    let k_all = dim(2u);
    let batch = group.z;
    let row0 = group.y * 8u;
    let col0 = (group.x * 8u + lane) * 4u * NV;
    if (col0 >= n) { return; }
    var acc: array<vec4<f32>, 16>;
    var row_sum: array<f32, 8>;
    var a: array<vec4<f32>, 8>;
    var b: array<vec4<f32>, 8>;
    let k_main = k_all & ~3u;
    for (var k = 0u; k < k_main; k += 4u) {
        if (TA) {
            for (var u = 0u; u < 4u; u++) {
                a[2u * u] = a4(batch, k + u, row0);
                a[2u * u + 1u] = a4(batch, k + u, row0 + 4u);
            }
        } else {
            for (var i = 0u; i < 8u; i++) { a[i] = a4(batch, min(row0 + i, m - 1u), k); }
        }
        for (var v = 0u; v < NV; v++) {
            if (TB) {
                let c = col0 + 4u * v;
                let p = b4(batch, min(c, n - 1u), k);
                let q = b4(batch, min(c + 1u, n - 1u), k);
                let r = b4(batch, min(c + 2u, n - 1u), k);
                let s = b4(batch, min(c + 3u, n - 1u), k);
                b[v] = vec4<f32>(p.x, q.x, r.x, s.x);
                b[2u + v] = vec4<f32>(p.y, q.y, r.y, s.y);
                b[4u + v] = vec4<f32>(p.z, q.z, r.z, s.z);
                b[6u + v] = vec4<f32>(p.w, q.w, r.w, s.w);
            } else {
                for (var u = 0u; u < 4u; u++) { b[2u * u + v] = b4(batch, k + u, col0 + 4u * v); }
            }
        }
        for (var u = 0u; u < 4u; u++) {
            for (var i = 0u; i < 8u; i++) {
                var x: f32;
                if (TA) { x = a[2u * u + i / 4u][i % 4u]; } else { x = a[i][u]; }
                for (var v = 0u; v < NV; v++) { acc[2u * i + v] = fma(vec4<f32>(x), b[2u * u + v], acc[2u * i + v]); }
                if (ROW_SUM) { row_sum[i] += x; }
            }
        }
    }
    for (var k = k_main; k < k_all; k++) {
        for (var i = 0u; i < 8u; i++) {
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
                acc[2u * i + v] = fma(vec4<f32>(x), y, acc[2u * i + v]);
            }
        }
    }
    for (var i = 0u; i < 8u; i++) {
        let row = row0 + i;
        if (row < m) {
            for (var v = 0u; v < NV; v++) {
                for (var j = 0u; j < 4u; j++) {
                    let col = col0 + 4u * v + j;
                    if (col < n) { store(batch, row, col, acc[2u * i + v][j]); }
                }
            }
            if (ROW_SUM && col0 == 0u) { store_row_sum(row, row_sum[i]); }
        }
    }
}
