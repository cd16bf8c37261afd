// The sum over GROUP lanes that lie side by side in a workgroup of WG, in a fixed order; each of them gets it. `local` is the lane's number in
// the workgroup. Call it in uniform control flow.
var<workgroup> tree: array<f32, WG>;

fn group_sum(v: f32, local: u32) -> f32 {
    tree[local] = v;
    workgroupBarrier();
    for (var half = GROUP / 2u; half > 0u; half = half / 2u) {
        if (local % GROUP < half) { tree[local] = tree[local] + tree[local + half]; }
        workgroupBarrier();
    }
    let sum = tree[local / GROUP * GROUP];
    workgroupBarrier();
    return sum;
}
