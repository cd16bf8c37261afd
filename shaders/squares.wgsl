// squares: partial sums of the squares of all gradients, which the update adds. A loss that is not finite makes them infinite, so that the
// update need not look at it. Where the arena lies in several buffers each shard goes on with the threads' sums of the one before. Generated: WG,
// GROUP, V = vec4<f32>, unscale(), good() (whether the loss is finite), first(thread), begin(thread), leave(thread, lane, squares). Sizes:
// vectors of the arena or of the shard, threads, loss' offset; of a shard also the thread (turn) whose vector is the first.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    var squares = begin(id.x);
    let end = d.vectors;
    let step = d.threads; // read once: a software adapter reads lane by lane, each time
    for (var i = first(id.x); i < end; i += step) {
        let g = gradients[i] * V(unscale());
        squares += dot(g, g);
    }
    leave(id.x, local % GROUP, squares);
}
