// gemm for GPUs: a workgroup makes a BM x BN tile from slices of BK staged in workgroup memory, a thread RM x RN of it: vectors of four rows
// and of four columns, a tile's width apart, so that neighbours read neighbours. Each thread carries an equal share of the next slice in registers
// while this one is multiplied.
// Generated: TA, TB, BM, BN, BK, RM, RN, ROW_SUM, ONE_HOT (A is one-hot rows), the loaders of A and B (src/kernels/gemm/load.rs), store_four, store_row_sum, tile_of, FOLDED.
// Sizes: m, n, k, matrices, of a and b what their loaders read, of each extra offset and steps, of each output the offset, and that of the row sums.
const TX = BN / RN;
const TY = BM / RM;
const THREADS = TX * TY;
const FOURS = RM / 4u;
const WIDE = RN / 4u;
const PITCH_A = BM / 4u + 1u;
const PITCH_B = BN / 4u + 1u;
// vectors of a slice for each thread
const NA = BM * BK / 4u / THREADS;
const NB = BN * BK / 4u / THREADS;
// of the sums of A's rows: where A is turned all vectors of a thread are of the same rows
const SUMS = select(NA, 1u, TA);
var<workgroup> tile_a: array<vec4<f32>, PITCH_A * BK>;
var<workgroup> tile_b: array<vec4<f32>, PITCH_B * BK>;

// The first row and the first term of a thread's vector v of a slice of so many rows: of all its vectors one of the two is the same.
fn vector_of(lane: u32, v: u32, rows: u32, along_rows: bool) -> vec2<u32> {
    let side = select(BK, rows, along_rows) / 4u;
    let along = lane % side * 4u;
    let across = lane / side + v * (THREADS / side);
    if (along_rows) { return vec2<u32>(along, across); }
    return vec2<u32>(across, along);
}

// A thread's vector of a slice of A, or what is to lie as one.
fn stash_a(lane: u32, v: u32, x: vec4<f32>) {
    let own = vector_of(lane, v, BM, TA);
    if (TA) {
        tile_a[own.y * PITCH_A + own.x / 4u] = x;
    } else {
        for (var j = 0u; j < 4u; j++) { tile_a[(own.y + j) * PITCH_A + own.x / 4u][own.x % 4u] = x[j]; }
    }
}

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
    var at_a: array<PlaceA, NA>;
    var at_b: array<PlaceB, NB>;
    var next_a: array<ReadA, NA>;
    var next_b: array<ReadB, NB>;
    var there_a: array<ThereA, NA>;
    var there_b: array<ThereB, NB>;
    let step_a = a_step(BK);
    let step_b = b_step(BK);
    let first = !TA || BK < k_all;
    for (var v = 0u; v < NA; v++) {
        let own = vector_of(lane, v, BM, TA);
        at_a[v] = a_start(batch, row0 + own.x, own.y);
        there_a[v] = a_there(at_a[v], own.y, k_all);
        next_a[v] = a_read(at_a[v], there_a[v]);
        at_a[v] = a_on(at_a[v], select(StepA(), step_a, first));
    }
    for (var v = 0u; v < NB; v++) {
        let own = vector_of(lane, v, BN, !TB);
        at_b[v] = b_start(batch, col0 + own.x, own.y);
        there_b[v] = b_there(at_b[v], own.y, k_all);
        next_b[v] = b_read(at_b[v], there_b[v]);
        at_b[v] = b_on(at_b[v], select(StepB(), step_b, first));
    }
    var acc: array<vec4<f32>, RM * WIDE>;
    var row_sum: array<vec4<f32>, SUMS>;
    for (var k0 = 0u; k0 < k_all; k0 += BK) {
        for (var v = 0u; v < NA; v++) {
            let x = a_value(next_a[v], there_a[v]);
            stash_a(lane, v, x);
            if (ROW_SUM) { row_sum[v % SUMS] += x; }
        }
        for (var v = 0u; v < NB; v++) {
            let own = vector_of(lane, v, BN, !TB);
            let x = b_value(next_b[v], there_b[v]);
            if (TB) {
                for (var j = 0u; j < 4u; j++) { tile_b[(own.y + j) * PITCH_B + own.x / 4u][own.x % 4u] = x[j]; }
            } else {
                tile_b[own.y * PITCH_B + own.x / 4u] = x;
            }
        }
        workgroupBarrier();
        // the next slice is on its way while this one is multiplied, and its places are those of the one after it. Where A is turned compilers make less of
        // no question than of an answer: there the last slice is read once more
        let more = k0 + BK < k_all;
        if (TA || more) {
            let left = select(0u, k_all - k0 - BK, !TA || more);
            let further = !TA || k0 + 2u * BK < k_all;
            for (var v = 0u; v < NA; v++) {
                there_a[v] = a_there(at_a[v], vector_of(lane, v, BM, TA).y, left);
                next_a[v] = a_read(at_a[v], there_a[v]);
                at_a[v] = a_on(at_a[v], select(StepA(), step_a, further));
            }
            for (var v = 0u; v < NB; v++) {
                there_b[v] = b_there(at_b[v], vector_of(lane, v, BN, !TB).y, left);
                next_b[v] = b_read(at_b[v], there_b[v]);
                at_b[v] = b_on(at_b[v], select(StepB(), step_b, further));
            }
        }
        for (var k = 0u; k < BK; k++) {
            var b: array<vec4<f32>, WIDE>;
            for (var v = 0u; v < WIDE; v++) { b[v] = tile_b[k * PITCH_B + tx + v * TX]; }
            for (var u = 0u; u < FOURS; u++) {
                let a = tile_a[k * PITCH_A + ty + u * TY];
                for (var i = 0u; i < 4u; i++) {
                    for (var v = 0u; v < WIDE; v++) {
                        let at = (4u * u + i) * WIDE + v;
                        if (ONE_HOT) {
                            // by choice: 0 times what is not finite is not 0
                            acc[at] = select(acc[at], acc[at] + b[v], a[i] != 0.0);
                        } else {
                            acc[at] = fma(vec4<f32>(a[i]), b[v], acc[at]);
                        }
                    }
                }
            }
        }
        workgroupBarrier();
    }
    for (var u = 0u; u < FOURS; u++) {
        for (var i = 0u; i < 4u; i++) {
            let row = row0 + 4u * (ty + u * TY) + i;
            if (row < m) {
                for (var v = 0u; v < WIDE; v++) { store_four(batch, row, col0 + 4u * (tx + v * TX), n, acc[(4u * u + i) * WIDE + v]); }
            }
        }
    }
    if (ROW_SUM && col0 == 0u) {
        // the threads' parts lie as their first vectors of a slice did
        for (var v = 0u; v < SUMS; v++) { stash_a(lane, v, row_sum[v]); }
        workgroupBarrier();
        if (lane < BM && row0 + lane < m) {
            var sum = 0.0;
            for (var k = 0u; k < BK * SUMS / NA; k++) { sum += tile_a[k * PITCH_A + lane / 4u][lane % 4u]; }
            store_row_sum(batch, row0 + lane, sum);
        }
    }
}
