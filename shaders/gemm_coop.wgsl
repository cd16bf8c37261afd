// gemm on cooperative matrices (tensor cores): f16 operands, sums in f32. A workgroup makes BM x BN of C from slices of BK terms that are staged
// in workgroup memory in the operands' own order; which of coopLoad (columns) and coopLoadT (rows) reads them does the transposing. While one
// slice is multiplied the next is on its way in registers, and goes to the other half of the memory.
// Generated: TA, TB, BM, BN, BK, SIDE, LANES, ACROSS, THREADS, ROW_SUM, A_COLS, B_COLS (of a slice, in vectors), A_PITCH, B_PITCH (the same with the
// padding), A_SIZE, B_SIZE (of a slice with it), a4/b4 (four elements from (major, minor) of the stored matrix, zeros past its ends), store, tile_of, FOLDED, and
// what has a line for each matrix or vector: the sums and the next vectors as private variables, fetch, stash, multiply, finish.
// Sizes: m, n, k, matrices, of a and b offset, pitch and batch (from one matrix to the next), of each extra offset and steps, of each output the
// offset, and that of the row sums.
//
// No cooperative operation stands under a branch that lanes could take differently.

var<workgroup> tile_a: array<vec4<f16>, 2u * A_SIZE>;
var<workgroup> tile_b: array<vec4<f16>, 2u * B_SIZE>;
// one matrix for each subgroup, on its way from the accumulator to memory: elements of a cooperative matrix cannot be touched
var<workgroup> scratch: array<f32, THREADS / LANES * SIDE * SIDE>;

// Vector i of A's slice from term k on.
fn fetch_a(batch: u32, row0: u32, k: u32, i: u32) -> vec4<f16> {
    let major = i / A_COLS;
    let minor = i % A_COLS * 4u;
    if (TA) { return a4(batch, k + major, row0 + minor); }
    return a4(batch, row0 + major, k + minor);
}

fn fetch_b(batch: u32, col0: u32, k: u32, i: u32) -> vec4<f16> {
    let major = i / B_COLS;
    let minor = i % B_COLS * 4u;
    if (TB) { return b4(batch, col0 + major, k + minor); }
    return b4(batch, k + major, col0 + minor);
}

// Where vector i lies in that half of the workgroup memory.
fn place_a(half: u32, i: u32) -> u32 {
    return half * A_SIZE + i / A_COLS * A_PITCH + i % A_COLS;
}

fn place_b(half: u32, i: u32) -> u32 {
    return half * B_SIZE + i / B_COLS * B_PITCH + i % B_COLS;
}

// The sum of a row of A's slice, with those of earlier slices.
fn row_sum_of(half: u32, row: u32, before: f32) -> f32 {
    var sum = before;
    for (var k = 0u; k < BK; k++) {
        if (TA) {
            sum += f32(tile_a[half * A_SIZE + k * A_PITCH + row / 4u][row % 4u]);
        } else {
            sum += f32(tile_a[half * A_SIZE + row * A_PITCH + k / 4u][k % 4u]);
        }
    }
    return sum;
}

// The matrix in this subgroup's scratch, to memory: its first element is C's at row, col.
fn drain(own: u32, lane: u32, batch: u32, row: u32, col: u32) {
    workgroupBarrier();
    for (var e = lane; e < SIDE * SIDE; e += LANES) {
        let r = row + e / SIDE;
        let c = col + e % SIDE;
        if (r < d.m && c < d.n) { store(batch, r, c, scratch[own * (SIDE * SIDE) + e]); }
    }
    workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) place: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let group = tile_of(place);
    if (FOLDED && group.z >= d.matrices) { return; }
    let k_all = d.k;
    let batch = group.z;
    let row0 = group.y * BM;
    let col0 = group.x * BN;
    // this subgroup's part of the tile
    let own = thread / LANES;
    let row1 = own / ACROSS * TILES_DOWN * SIDE;
    let col1 = own % ACROSS * TILES_ACROSS * SIDE;
    var half = 0u;
    var row_sum = 0.0;
    fetch(batch, row0, col0, 0u, thread);
    stash(half, thread);
    workgroupBarrier();
    for (var k = 0u; k < k_all; k += BK) {
        fetch(batch, row0, col0, k + BK, thread);
        multiply(half, row1, col1);
        if (ROW_SUM) {
            if (group.x == 0u && thread < BM) { row_sum = row_sum_of(half, thread, row_sum); }
        }
        half = 1u - half;
        stash(half, thread);
        workgroupBarrier();
    }
    finish(own, thread % LANES, batch, row0 + row1, col0 + col1);
    if (ROW_SUM) {
        if (group.x == 0u && thread < BM && row0 + thread < d.m) { store_row_sum(row0 + thread, row_sum); }
    }
}
