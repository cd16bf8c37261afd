// ratios: for each tensor the norm of its parameters over that of its direction; 1 where one of them is 0. GROUP lanes share a tensor.
// Generated: WG, GROUP, VECTORS of a block, V = vec4<f32>, first_block(), first_tensor(): those of the shard, where the arena lies in several
// buffers. Sizes: tensors, starts (where the first blocks of all stand among the rates), blocks, groups along the grid's first axis.

// A block's parts of both norms; 0 past the end.
fn norms(block: u32, end: u32) -> vec2<f32> {
    if (block >= end) { return vec2<f32>(); }
    return direction[block * (VECTORS + 1u) + VECTORS].xy;
}

// Eight blocks, in their order: written out, as a loop over them would count as turns of its own.
fn four(sum: vec2<f32>, block: u32, end: u32) -> vec2<f32> {
    return (((sum + norms(block, end)) + norms(block + GROUP, end)) + norms(block + 2u * GROUP, end)) + norms(block + 3u * GROUP, end);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let lane = local % GROUP;
    let tensor = (group.y * d.groups + group.x) * (WG / GROUP) + local / GROUP;
    var first = 0u;
    var end = 0u;
    if (tensor < d.tensors) {
        let place = d.starts + first_tensor() + tensor;
        first = rates[place] - first_block();
        end = min(rates[place + 1u] - first_block(), d.blocks);
    }
    var sum = vec2<f32>();
    for (var block = first + lane; block < end; block += 8u * GROUP) {
        sum = four(four(sum, block, end), block + 4u * GROUP, end);
    }
    var p = sum.x;
    var u = sum.y;
    p = group_sum(p, lane);
    u = group_sum(u, lane);
    if (lane == 0u && tensor < d.tensors) { ratios[first_tensor() + tensor] = select(1.0, sqrt(p) / sqrt(u), p > 0.0 && u > 0.0); }
}
