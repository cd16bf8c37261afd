// accuracy: 1 for each row whose largest score is the label's. Generated: WG, GROUP (lanes that share a row), CLASSES (labels are class numbers),
// target_p(row, c), target_class(row), counts(row). Sizes: rows, classes, offsets of logits, labels and hits, the label that does not count.

// The highest rank among what a lane has seen, and its place. A NaN is the largest where it comes first.
struct Seen { top: u32, best: u32 }

fn see(s: Seen, v: f32, c: u32) -> Seen {
    let r = rank(v, select(0u, 0xffffffffu, c == 0u));
    if (r > s.top) { return Seen(r, c); }
    return s;
}

@compute @workgroup_size(WG)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let lane = local % GROUP;
    let row = (id.y * groups.x * WG + id.x) / GROUP;
    let live = row < d.rows;
    let n = select(0u, d.classes, live);
    let first = d.logits_offset + row * d.classes;
    var seen = Seen(0u, lane);
    for (var c = lane; c < n; c += GROUP) { seen = see(seen, f32(logits[first + c]), c); }
    let best = group_first(seen.top, seen.best, local);
    var label = 0u;
    if (CLASSES) {
        if (live) { label = target_class(row); }
    } else {
        seen = Seen(0u, lane);
        for (var c = lane; c < n; c += GROUP) { seen = see(seen, target_p(row, c), c); }
        label = group_first(seen.top, seen.best, local);
    }
    if (live && lane == 0u) { hits[d.hits_offset + row] = select(0.0, 1.0, best == label && counts(row)); }
}
