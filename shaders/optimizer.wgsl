// optimizer: the rule at every parameter of the arena. What stops leaves everything as it is: a loss or a norm that is not finite, or an
// earlier one. Generated: WG, GROUP, V = vec4<f32>, stopped(lane), begin(), gradient(i), update(i, g).
// Sizes: vectors of the arena, threads, and the update guard's: partials (sums to add), clip.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    if (stopped(local % GROUP)) { return; }
    begin();
    let end = d.vectors;
    let step = d.threads; // read once: a software adapter reads lane by lane, each time
    for (var i = id.x; i < end; i += step) { update(i, gradient(i)); }
}
