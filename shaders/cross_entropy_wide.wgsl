// cross_entropy_wide: as cross_entropy, of long rows, a workgroup each: their lanes go along a row side by side, once for its largest logit and the sum
// of exponentials, once for loss and gradient. Generated: WG, CLASSES (labels are class numbers), GRADIENT, target_p(row, c), target_class(row),
// counts(row), counted(), store_gradient(row, c, value), store(row, loss, hit). Sizes: as there.

// A number below all but -inf: where a lane has seen no other, what is masked by -inf has an exponential of 0.
const LEAST = -0x1.fffffep+127f;

fn logit(row: u32, c: u32) -> f32 { return f32(logits[d.logits_offset + row * d.classes + c]); }

// What a lane has seen of a row: the largest, its place, and the sum of exponentials with that taken off.
struct Seen { top: f32, best: u32, sum: f32 }

fn look(row: u32, lane: u32) -> Seen {
    let n = d.classes;
    let whole = n / (4u * WG) * (4u * WG);
    var s = Seen(LEAST, lane, 0.0);
    var c = lane;
    for (; c < whole; c += 4u * WG) {
        let v = vec4<f32>(logit(row, c), logit(row, c + WG), logit(row, c + 2u * WG), logit(row, c + 3u * WG));
        let most = max(max(v.x, v.y), max(v.z, v.w));
        if (most > s.top) {
            let which = select(select(select(3u, 2u, v.z == most), 1u, v.y == most), 0u, v.x == most);
            s = Seen(most, c + which * WG, s.sum * exp(s.top - most));
        }
        let e = exp(v - vec4<f32>(s.top));
        s.sum += (e.x + e.y) + (e.z + e.w);
    }
    for (; c < n; c += WG) {
        let v = logit(row, c);
        if (v > s.top) { s = Seen(v, c, s.sum * exp(s.top - v)); }
        s.sum += exp(v - s.top);
    }
    return s;
}

// What a row's labels add up to, and the class of the largest.
struct Target { total: f32, class_number: u32 }

fn target_of(row: u32, lane: u32) -> Target {
    if (CLASSES) { return Target(1.0, target_class(row)); }
    var total = 0.0;
    var best = lane;
    var top = 0u;
    for (var c = lane; c < d.classes; c += WG) {
        let p = target_p(row, c);
        total += p;
        // a NaN is the largest where it comes first
        let r = rank(p, select(0u, 0xffffffffu, c == 0u));
        if (r > top) { top = r; best = c; }
    }
    return Target(group_sum(total, lane), group_first(top, best, lane));
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let row = group.y * groups.x + group.x;
    if (row >= d.rows) { return; }
    let n = d.classes;
    if (!counts(row)) {
        if (GRADIENT) { for (var c = lane; c < n; c += WG) { store_gradient(row, c, 0.0); } }
        if (lane == 0u) { store(row, 0.0, 0.0); }
        return;
    }
    let own = look(row, lane);
    let best = group_first(rank(own.top, 0u), own.best, lane);
    let top = logit(row, best);
    let sum = group_sum(own.sum * exp(own.top - top), lane);
    let log_sum = log(sum);
    let goal = target_of(row, lane);
    let part = d.smoothing;
    let share = (goal.total * (1.0 - part) + part) / sum;
    let rows = counted();
    var loss = 0.0;
    for (var c = lane; c < n; c += WG) {
        let p = target_p(row, c) * (1.0 - part) + part / f32(n);
        let x = logit(row, c) - top;
        // a class of probability 0 adds nothing, even where its logit is -inf
        if (p != 0.0) { loss += p * (log_sum - x); }
        if (GRADIENT) { store_gradient(row, c, (exp(x) * share - p) / rows); }
    }
    loss = group_sum(loss, lane);
    // a label without a class: the loss halts the training
    if (CLASSES && goal.class_number >= n) { loss = bitcast<f32>(d.nan_bits); }
    if (lane == 0u) { store(row, loss, select(0.0, 1.0, best == goal.class_number)); }
}
