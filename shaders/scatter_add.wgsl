// scatter_add: out[r, c] = the sum of values[i, c] over the places i whose index is r, in their order. The first place of an index walks its segments,
// a lane some neighbouring columns; rows without a place were zeroed before. Generated: PIECE (places that were sorted together), COLUMNS, Sum (so many
// numbers), load(at), store(at, sum), WG, FIRST, LAST, STEP (places a turn: 1, 4 or 16). Sizes: lanes, across (lanes of a row), width, count of places,
// offsets of values, indices and out.
fn place(slot: u32) -> u32 { return slot / PIECE * PIECE + (links[d.count + slot] & 0xffffu); }
fn value(slot: u32, c: u32) -> Sum { return load(d.values_offset + place(slot) * d.width + c); }

// One place further, if the segment reaches so far.
fn more(sum: Sum, slot: u32, end: u32, c: u32) -> Sum { return select(sum, sum + value(min(slot, end - 1u), c), slot < end); }
fn four(sum: Sum, slot: u32, end: u32, c: u32) -> Sum {
    return more(more(more(more(sum, slot, end, c), slot + 1u, end, c), slot + 2u, end, c), slot + 3u, end, c);
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let e = id.y * groups.x * WG + id.x;
    if (e >= d.lanes) { return; }
    let across = d.across;
    let c = e % across * COLUMNS;
    var slot = e / across;
    var link = links[slot];
    if ((link & FIRST) == 0u) { return; }
    let row = indices[d.indices_offset + place(slot)];
    var end = slot + (links[d.count + slot] >> 16u);
    var sum = value(slot, c);
    slot++;
    loop {
        // written out, as a loop over a turn's places would count as turns of its own
        for (; slot < end; slot += STEP) {
            if (STEP == 16u) {
                sum = four(four(four(four(sum, slot, end, c), slot + 4u, end, c), slot + 8u, end, c), slot + 12u, end, c);
            } else if (STEP == 4u) {
                sum = four(sum, slot, end, c);
            } else {
                sum += value(slot, c);
            }
        }
        if ((link & LAST) == LAST) { break; }
        slot = link & LAST;
        link = links[slot];
        end = slot + (links[d.count + slot] >> 16u);
    }
    store(d.out_offset + row * d.width + c, sum);
}
