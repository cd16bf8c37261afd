// gemm for GPUs: a workgroup makes a BM x BN tile from slices of BK staged in workgroup memory, a thread 4 x 4 of it.
// Generated: TA, TB, BM, BN, BK, ROW_SUM, a1/b1 (one element from (major, minor) of the stored matrix), store.
const THREADS = (BM / 4u) * (BN / 4u);
const PITCH = BM + 4u;
var<workgroup> tile_a: array<f32, PITCH * BK>;
var<workgroup> tile_b: array<vec4<f32>, BN / 4u * BK>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let m = dim(0u);
    let n = dim(1u);
    let k_all = dim(2u);
    let batch = group.z;
    let row0 = group.y * BM;
    let col0 = group.x * BN;
    let tx = lane % (BN / 4u);
    let ty = lane / (BN / 4u);
    var acc: array<vec4<f32>, 4>;
    var row_sum: vec4<f32>;
    for (var k0 = 0u; k0 < k_all; k0 += BK) {
        // neighbours read neighbours in memory
        for (var i = lane; i < BM * BK; i += THREADS) {
            let r = select(i / BK, i % BM, TA);
            let k = select(i % BK, i / BM, TA);
            var x = 0.0;
            if (row0 + r < m && k0 + k < k_all) {
                if (TA) { x = a1(batch, k0 + k, row0 + r); } else { x = a1(batch, row0 + r, k0 + k); }
            }
            tile_a[k * PITCH + r] = x;
        }
        for (var i = lane; i < BN * BK; i += THREADS) {
            let c = select(i % BN, i / BK, TB);
            let k = select(i / BN, i % BK, TB);
            var x = 0.0;
            if (col0 + c < n && k0 + k < k_all) {
                if (TB) { x = b1(batch, col0 + c, k0 + k); } else { x = b1(batch, k0 + k, col0 + c); }
            }
            tile_b[k * (BN / 4u) + c / 4u][c % 4u] = x;
        }
        workgroupBarrier();
        for (var k = 0u; k < BK; k++) {
            let at = k * PITCH + ty * 4u;
            let a = vec4<f32>(tile_a[at], tile_a[at + 1u], tile_a[at + 2u], tile_a[at + 3u]);
            let b = tile_b[k * (BN / 4u) + tx];
            for (var i = 0u; i < 4u; i++) { acc[i] = fma(vec4<f32>(a[i]), b, acc[i]); }
            if (ROW_SUM) { row_sum += a; }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        let row = row0 + ty * 4u + i;
        if (row < m) {
            for (var j = 0u; j < 4u; j++) {
                let col = col0 + tx * 4u + j;
                if (col < n) { store(batch, row, col, acc[i][j]); }
            }
            if (ROW_SUM && col0 + tx == 0u) { store_row_sum(row, row_sum[i]); }
        }
    }
}
