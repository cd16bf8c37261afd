// squares: partial sums of the squares of all gradients, which the update adds. A loss that is not finite makes them infinite, so that the
// update need not look at it. Generated: WG, GROUP, V = vec4<f32>, unscale(), good() (whether the
// loss is finite). Sizes: vectors of the arena, threads, loss' offset.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    var squares = 0.0;
    let end = d.vectors;
    let step = d.threads; // read once: a software adapter reads lane by lane, each time
    for (var i = id.x; i < end; i += step) {
        let g = gradients[i] * V(unscale());
        squares += dot(g, g);
    }
    let lane = local % GROUP;
    let sum = group_sum(squares, lane);
    if (lane == 0u) { partials[id.x / GROUP] = select(from_bits(0x7f800000u), sum, good()); }
}
