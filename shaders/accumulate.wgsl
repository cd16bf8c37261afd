// accumulate: a batch's gradient times its rows or its weight, added to those of the update's other batches. Generated: WG, V = vec4<f32>,
// weight(), put(i, g). Sizes: vectors of the arena, threads across the grid's first axis, the batch's rows or where its weight stands.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * d.across + id.x;
    if (i >= d.vectors || state_word(STATE_HALT) != 0u) { return; }
    put(i, gradients[i] * V(weight()));
}
