// gemm on cooperative matrices (tensor cores): f16 operands, sums in f32. A workgroup makes BM x BN of C from slices of BK terms that are staged
// in workgroup memory: a row of A's slice and a column of B's lie there term by term, whatever the order of the operands. While one slice is
// multiplied the next is on its way in registers, and goes to the other half of the memory.
// Generated: BM, BN, BK, SIDE, LANES, ACROSS, TILES_DOWN, TILES_ACROSS, THREADS, ROW_SUM, COLS (vectors of a staged row), PITCH (the same with the
// padding), SCRATCH, store_four, store_row_sum, tile_of, FOLDED, tell (the lanes
// that a subgroup really has, to who asks), and what has a line for each matrix or vector: the sums and the next vectors as
// private variables, prepare, fetch_whole, fetch_part, stash, add_rows, leave_rows, multiply, finish.
// Sizes: m, n, k, matrices, of a and b offset, pitch and batch (from one matrix to the next), of each extra offset and steps, of each output the
// offset, and that of the row sums.
//
// No cooperative operation stands under a branch that lanes could take differently.
const SQUARE = SIDE * SIDE / 4u;

var<workgroup> tile_a: array<vec4<f16>, 2u * BM * PITCH>;
var<workgroup> tile_b: array<vec4<f16>, 2u * BN * PITCH>;
// one matrix for each subgroup, on its way from the accumulator to memory: elements of a cooperative matrix cannot be touched
var<workgroup> scratch: array<vec4<f32>, SCRATCH>;

// The matrix in this subgroup's scratch, to memory: its first element is C's at row, col.
fn drain(own: u32, lane: u32, batch: u32, row: u32, col: u32) {
    workgroupBarrier();
    for (var e = lane; e < SQUARE; e += LANES) {
        let r = row + e / (SIDE / 4u);
        if (r < d.m) { store_four(batch, r, col + e % (SIDE / 4u) * 4u, d.n, scratch[own * SQUARE + e]); }
    }
    workgroupBarrier();
}

// The sums of A's rows, of which COLS threads have left a part each.
fn finish_rows(batch: u32, row0: u32, thread: u32) {
    workgroupBarrier();
    if (thread < BM && row0 + thread < d.m) {
        var sum = vec4<f32>();
        for (var c = 0u; c < COLS / 4u; c++) { sum += scratch[thread * (COLS / 4u) + c]; }
        store_row_sum(batch, row0 + thread, sum.x + sum.y + sum.z + sum.w);
    }
}

// One half is multiplied, the other filled with what was fetched.
fn turn(half: u32, own_a: u32, own_b: u32, thread: u32, sums: bool) {
    multiply(half, own_a, own_b);
    stash(1u - half, thread);
    if (sums) { add_rows(); }
    workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) place: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_size) lanes: u32,
) {
    if (thread == 0u) { tell(lanes); }
    let group = tile_of(place);
    if (FOLDED && group.z >= d.matrices) { return; }
    let row0 = group.y * BM;
    let col0 = group.x * BN;
    // this subgroup's part of the tile
    let own = thread / LANES;
    let row1 = own / ACROSS * TILES_DOWN * SIDE;
    let col1 = own % ACROSS * TILES_ACROSS * SIDE;
    let own_a = row1 * PITCH;
    let own_b = col1 * PITCH;
    let sums = ROW_SUM && group.x == 0u;
    prepare(group.z, row0, col0, thread);
    fetch_part(0u, thread);
    stash(0u, thread);
    if (sums) { add_rows(); }
    workgroupBarrier();
    var half = 0u;
    // the last slice may be no whole one, and nothing in the loop looks for its end
    let whole = d.k / BK;
    if (whole > 1u) {
        // the first products stand before the loop, so that it finds the sums where products leave them: else NVK moves each of them in each turn
        fetch_whole(1u, thread);
        turn(half, own_a, own_b, thread, sums);
        half = 1u - half;
        for (var s = 2u; s < whole; s++) {
            fetch_whole(s, thread);
            turn(half, own_a, own_b, thread, sums);
            half = 1u - half;
        }
    }
    if (d.k > BK && d.k % BK > 0u) {
        fetch_part(whole, thread);
        turn(half, own_a, own_b, thread, sums);
        half = 1u - half;
    }
    multiply(half, own_a, own_b);
    finish(own, thread % LANES, group.z, row0, col0, row0 + row1, col0 + col1);
    if (sums) {
        leave_rows(thread);
        finish_rows(group.z, row0, thread);
    }
}
