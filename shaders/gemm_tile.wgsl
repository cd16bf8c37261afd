// gemm for GPUs: a workgroup makes a BM x BN tile from slices of BK staged in workgroup memory, a thread RM x RN of it: vectors of four rows
// and of four columns, a tile's width apart, so that neighbours read neighbours.
// Generated: TA, TB, BM, BN, BK, RM, RN, ROW_SUM, a4/b4 (four elements from (major, minor) of the stored matrix), store_four, tile_of, FOLDED; lib/block: a_rows, b_columns.
// Sizes: m, n, k, matrices, of a and b offset, pitch and batch (from one matrix to the next), of each extra offset and steps, of each output the
// offset, and that of the row sums.
const TX = BN / RN;
const TY = BM / RM;
const THREADS = TX * TY;
const FOURS = RM / 4u;
const WIDE = RN / 4u;
const PITCH_A = BM / 4u + 1u;
const PITCH_B = BN / 4u;
var<workgroup> tile_a: array<vec4<f32>, PITCH_A * BK>;
var<workgroup> tile_b: array<vec4<f32>, PITCH_B * BK>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) place: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = tile_of(place);
    if (FOLDED && group.z >= d.matrices) { return; }
    let m = d.m;
    let n = d.n;
    let k_all = d.k;
    let batch = group.z;
    let row0 = group.y * BM;
    let col0 = group.x * BN;
    let tx = lane % TX;
    let ty = lane / TX;
    var acc: array<vec4<f32>, RM * WIDE>;
    var row_sum: array<vec4<f32>, FOURS>;
    for (var k0 = 0u; k0 < k_all; k0 += BK) {
        // blocks of 4 x 4; neighbours read neighbours in memory
        for (var i = lane; i < BM / 4u * (BK / 4u); i += THREADS) {
            let r = select(i / (BK / 4u), i % (BM / 4u), TA);
            let k = select(i % (BK / 4u), i / (BM / 4u), TA);
            let x = a_rows(batch, k0 + 4u * k, row0 + 4u * r);
            for (var j = 0u; j < 4u; j++) { tile_a[(4u * k + j) * PITCH_A + r] = x[j]; }
        }
        for (var i = lane; i < BN / 4u * (BK / 4u); i += THREADS) {
            let c = select(i % (BN / 4u), i / (BK / 4u), TB);
            let k = select(i / (BN / 4u), i % (BK / 4u), TB);
            let x = b_columns(batch, k0 + 4u * k, col0 + 4u * c);
            for (var j = 0u; j < 4u; j++) { tile_b[(4u * k + j) * PITCH_B + c] = x[j]; }
        }
        workgroupBarrier();
        for (var k = 0u; k < BK; k++) {
            var b: array<vec4<f32>, WIDE>;
            for (var v = 0u; v < WIDE; v++) { b[v] = tile_b[k * PITCH_B + tx + v * TX]; }
            for (var u = 0u; u < FOURS; u++) {
                let a = tile_a[k * PITCH_A + ty + u * TY];
                for (var i = 0u; i < 4u; i++) {
                    for (var v = 0u; v < WIDE; v++) {
                        let at = (4u * u + i) * WIDE + v;
                        acc[at] = fma(vec4<f32>(a[i]), b[v], acc[at]);
                    }
                }
                if (ROW_SUM) { row_sum[u] += a; }
            }
        }
        workgroupBarrier();
    }
    for (var u = 0u; u < FOURS; u++) {
        for (var i = 0u; i < 4u; i++) {
            let row = row0 + 4u * (ty + u * TY) + i;
            if (row < m) {
                for (var v = 0u; v < WIDE; v++) { store_four(batch, row, col0 + 4u * (tx + v * TX), n, acc[(4u * u + i) * WIDE + v]); }
                if (ROW_SUM && col0 + tx == 0u) { store_row_sum(row, row_sum[u][i]); }
            }
        }
    }
}
