// row: rows of [rows, width], GROUP lanes a row. Stage after stage goes along the row and joins the terms at its places to numbers; then the
// results are stored: rows, a formula at each place, and numbers, one a row. Generated: WG, GROUP, PARTS (partial sums of a lane: the places
// c, c + PARTS, ..; 1 where there is one), WHOLE (whether results are rows), Joined (the joins of a stage side by side); of the stage that
// at_stage names begin(), the numbers that it begins with, terms(row, c), join(a, b), first_terms(row), start(first), less(v, first) and
// end(sum, first); start_parts(v), turn(row, c, first), parts(v); stages(row, places, local); load(row), element(row, c), store(row).
// Sizes: rows, width, count (the width as a float), of each input offset and step, of each output the offset.
fn stage(number: u32, row: u32, places: u32, local: u32) {
    at_stage = number;
    begin();
    let first = first_terms(row);
    var sum = start(first);
    var c = local % GROUP;
    if (PARTS > 1u) {
        let whole = places / PARTS * PARTS;
        start_parts(sum);
        for (; c < whole; c += PARTS) { turn(row, c, first); }
        sum = parts(sum);
    }
    for (; c < places; c += GROUP) { sum = join(sum, less(terms(row, c), first)); }
    end(group_join(sum, local), first);
}

@compute @workgroup_size(WG)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let item = (id.y * groups.x * WG + id.x) / GROUP;
    let live = item < d.rows;
    // lanes behind the last row meet the others at the barriers, and go along none
    let row = min(item, d.rows - 1u);
    let places = select(0u, d.width, live);
    let lane = local % GROUP;
    load(row);
    stages(row, places, local);
    if (WHOLE) {
        for (var c = lane; c < places; c += GROUP) { element(row, c); }
    }
    if (live && lane == 0u) { store(row); }
}
