// The sum over a workgroup of GROUP lanes, in a fixed order; every lane gets it. Call it in uniform control flow.
var<workgroup> tree: array<f32, GROUP>;

fn group_sum(v: f32, lane: u32) -> f32 {
    tree[lane] = v;
    workgroupBarrier();
    for (var half = GROUP / 2u; half > 0u; half = half / 2u) {
        if (lane < half) { tree[lane] = tree[lane] + tree[lane + half]; }
        workgroupBarrier();
    }
    let sum = tree[0];
    workgroupBarrier();
    return sum;
}
