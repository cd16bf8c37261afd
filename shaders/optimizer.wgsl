// optimizer: the rule at every parameter of the arena, and the gradient's squares summed on the way where no launch before did it. What
// stops leaves everything as it is: a loss or a norm that is not finite, or an earlier one. Generated: WG, GROUP, SUMS, V = vec4<f32>,
// stopped(lane), gradient(i), update(i, g), leave(i, sum).
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let lane = local % GROUP;
    let stop = stopped(lane);
    var squares = 0.0;
    for (var i = id.x; i < dim(0u); i += dim(1u)) {
        let g = gradient(i);
        if (SUMS) { squares += dot(g, g); }
        if (!stop) { update(i, g); }
    }
    if (SUMS) {
        let sum = group_sum(squares, lane);
        if (lane == 0u) { leave(id.x / GROUP, sum); }
    }
}
