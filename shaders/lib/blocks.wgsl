// The sums over LANES lanes each of a workgroup of WG, in a fixed order, for the first of them. Call it in uniform control flow.
var<workgroup> block_tree: array<vec2<f32>, WG>;

fn block_sum(v: vec2<f32>, local: u32) -> vec2<f32> {
    block_tree[local] = v;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half = half / 2u) {
        if (local % LANES < half) { block_tree[local] += block_tree[local + half]; }
        workgroupBarrier();
    }
    return block_tree[local];
}
