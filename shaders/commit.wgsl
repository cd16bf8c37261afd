// commit: new values of state that is not trained, from their slot to their arena. A step that the tick has
// halted or skipped leaves everything as it is. Generated: WG.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    if (state_word(STATE_HALT) != 0u || state_word(STATE_SKIP) != 0u) { return; }
    var rest = id.y * groups.x * WG + id.x;
    for (var part = 0u; part < dim(0u); part++) {
        let len = dim(1u + 3u * part);
        if (rest < len) {
            buffers[dim(3u + 3u * part) + rest] = values[dim(2u + 3u * part) + rest];
            return;
        }
        rest -= len;
    }
}
