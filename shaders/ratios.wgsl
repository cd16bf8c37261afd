// ratios: for each tensor the norm of its parameters over that of its direction; 1 where one of them is 0. GROUP lanes share a tensor.
// Generated: WG, GROUP, VECTORS of a block, V = vec4<f32>.
@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let lane = local % GROUP;
    let tensor = (group.y * dim(3u) + group.x) * (WG / GROUP) + local / GROUP;
    var first = 0u;
    var end = 0u;
    if (tensor < dim(0u)) {
        first = rates[dim(1u) + tensor];
        end = min(rates[dim(1u) + tensor + 1u], dim(2u));
    }
    var p = 0.0;
    var u = 0.0;
    for (var block = first + lane; block < end; block += GROUP) {
        let norms = direction[block * (VECTORS + 1u) + VECTORS];
        p += norms.x;
        u += norms.y;
    }
    p = group_sum(p, lane);
    u = group_sum(u, lane);
    if (lane == 0u && tensor < dim(0u)) { ratios[tensor] = select(1.0, sqrt(p) / sqrt(u), p > 0.0 && u > 0.0); }
}
