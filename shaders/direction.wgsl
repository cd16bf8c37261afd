// direction: where a rule goes that needs norms of each tensor, block by block of the arena: its vectors, then the block's part of the
// norms, of the parameters and of the direction. GROUP lanes share a block. What stops keeps no moment. Generated: WG, GROUP, BLOCK,
// V = vec4<f32>, place_of(group, local), stopped(lane), turn_to(block), way(i, p, g, keep). Sizes: blocks, groups of lanes, and the
// update guard's: partials (sums to add), clip.
const VECTORS = BLOCK / 4u;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let lane = local % GROUP;
    let place = place_of(group.x, local);
    let stop = stopped(lane);
    for (var block = place; block < d.blocks; block += d.groups) {
        turn_to(block);
        var norms_p = 0.0;
        var norms_u = 0.0;
        for (var v = lane; v < VECTORS; v += GROUP) {
            let i = block * VECTORS + v;
            let p = parameters[i];
            let g = gradients[i];
            let u = way(i, p, g, !stop);
            direction[block * (VECTORS + 1u) + v] = u;
            norms_p += dot(p, p);
            norms_u += dot(u, u);
        }
        norms_p = group_sum(norms_p, lane);
        norms_u = group_sum(norms_u, lane);
        if (lane == 0u) { direction[block * (VECTORS + 1u) + VECTORS] = V(norms_p, norms_u, 0.0, 0.0); }
    }
}
