// commit: new values of state that is not trained, from their slot to their arena. A step that the tick has
// halted or skipped leaves everything as it is. Generated: WG. Sizes: parts, and of each its length, where it begins in the slot (sources) and where
// in the arena (targets); a list holds four of them in a vector.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    if (state_word(STATE_HALT) != 0u || state_word(STATE_SKIP) != 0u) { return; }
    var rest = id.y * groups.x * WG + id.x;
    for (var part = 0u; part < d.parts; part++) {
        let i = part / 4u;
        let j = part % 4u;
        let len = d.lengths[i][j];
        if (rest < len) {
            buffers[d.targets[i][j] + rest] = values[d.sources[i][j] + rest];
            return;
        }
        rest -= len;
    }
}
