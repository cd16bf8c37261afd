// optimizer: the rule at every parameter of the arena, and the gradient's squares summed on the way. A loss that is not finite, or
// an earlier one, leaves everything as it is. Generated: WG, GROUP, V = vec4<f32>, update(i), rate(i).
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let halted = state_word(STATE_HALT) != 0u || !is_finite(loss[dim(2u)]);
    var squares = 0.0;
    for (var i = id.x; i < dim(0u); i += dim(1u)) {
        let g = gradients[i];
        squares += dot(g, g);
        if (!halted) { update(i, g); }
    }
    let lane = local % GROUP;
    let sum = group_sum(squares, lane);
    if (lane == 0u) { partials[id.x / GROUP] = sum; }
}
