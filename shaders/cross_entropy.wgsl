// cross_entropy: the loss of each row, its gradient for the logits, and whether the largest logit is the label's.
// A lane makes a row. Generated: WG, SINGLE (one workgroup makes the means of the whole batch), GRADIENT, target_p(row, c), target_total(row),
// target_class(row), counts(row), counted() (rows that do), store_gradient(row, c, value), store(row, loss, hit).
// Sizes: rows, classes, offsets of logits, labels, losses, hits, gradients and factor (what the gradient's epilogue reads), smoothing, the bits of a
// NaN, the label that does not count and the offset of the number of rows that do.
struct Row { loss: f32, hit: f32 }

// Label smoothing: a part of each target is shared by all classes. At 0 the target itself, to the bit.
fn smoothed(row: u32, c: u32, part: f32) -> f32 { return target_p(row, c) * (1.0 - part) + part / f32(d.classes); }

fn one_row(row: u32) -> Row {
    let n = d.classes;
    if (!counts(row)) {
        if (GRADIENT) { for (var c = 0u; c < n; c++) { store_gradient(row, c, 0.0); } }
        return Row(0.0, 0.0);
    }
    let first = d.logits_offset + row * n;
    var top = f32(logits[first]);
    var best = 0u;
    for (var c = 1u; c < n; c++) {
        if (f32(logits[first + c]) > top) { top = f32(logits[first + c]); best = c; }
    }
    var sum = 0.0;
    for (var c = 0u; c < n; c++) { sum += exp(f32(logits[first + c]) - top); }
    let log_sum = log(sum);
    let part = d.smoothing;
    var loss = 0.0;
    for (var c = 0u; c < n; c++) {
        let p = smoothed(row, c, part);
        // a class of probability 0 adds nothing, even where its logit is -inf
        if (p != 0.0) { loss += p * (log_sum - (f32(logits[first + c]) - top)); }
    }
    if (GRADIENT) {
        let total = target_total(row) * (1.0 - part) + part;
        let rows = counted();
        for (var c = 0u; c < n; c++) {
            store_gradient(row, c, (exp(f32(logits[first + c]) - top) / sum * total - smoothed(row, c, part)) / rows);
        }
    }
    // a label without a class: the loss halts the training
    if (target_class(row) >= n) { loss = bitcast<f32>(d.nan_bits); }
    return Row(loss, select(0.0, 1.0, best == target_class(row)));
}

@compute @workgroup_size(WG)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let rows = d.rows;
    if (SINGLE) {
        var loss = 0.0;
        var hits = 0.0;
        // 64 rows at a time: a sum of many in one go errs with each of them
        var some = 0.0;
        var count = 0u;
        for (var row = lane; row < rows; row += WG) {
            let r = one_row(row);
            some += r.loss;
            hits += r.hit;
            count++;
            if (count % 64u == 0u) { loss += some; some = 0.0; }
        }
        loss += some;
        loss = group_sum(loss, lane);
        hits = group_sum(hits, lane);
        if (lane == 0u) { store(0u, loss / counted(), hits / counted()); }
    } else {
        let row = id.y * groups.x * WG + id.x;
        if (row < rows) {
            let r = one_row(row);
            store(row, r.loss, r.hit);
        }
    }
}
