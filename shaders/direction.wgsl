// direction: where a rule goes that needs norms of each tensor, block by block of the arena: its vectors, then the block's part of the
// norms, of the parameters and of the direction. LANES lanes share a block, and a workgroup takes several at a time. What stops keeps no moment.
// Generated: WG, GROUP (lanes that share the guard's sum), LANES, BLOCK, V = vec4<f32>, stopped(lane), turn_to(block), way(i, p, g, keep),
// block_sum(v, local). Sizes: blocks, step (from a workgroup's blocks to its next ones), and the update guard's: partials (sums to add), clip.
const VECTORS = BLOCK / 4u;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let lane = local % LANES;
    let stop = stopped(local % GROUP);
    for (var first = group.x * (WG / LANES); first < d.blocks; first += d.step) {
        let block = first + local / LANES;
        var norms_p = 0.0;
        var norms_u = 0.0;
        if (block < d.blocks) {
            turn_to(block);
            for (var v = lane; v < VECTORS; v += LANES) {
                let i = block * VECTORS + v;
                let p = parameters[i];
                let g = gradients[i];
                let u = way(i, p, g, !stop);
                direction[block * (VECTORS + 1u) + v] = u;
                norms_p += dot(p, p);
                norms_u += dot(u, u);
            }
        }
        let norms = block_sum(vec2<f32>(norms_p, norms_u), local);
        if (lane == 0u && block < d.blocks) { direction[block * (VECTORS + 1u) + VECTORS] = V(norms, 0.0, 0.0); }
    }
}
