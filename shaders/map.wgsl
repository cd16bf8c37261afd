// map: a formula at every element. Generated: WG, V, element(e). Sizes: size (elements, or vectors of four), the output's extents, of each input
// offset and strides (a pad box's first indices, extents and fill), of each draw its stream and bound, of each output the offset.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let e = id.y * groups.x * WG + id.x;
    if (e < d.size) { element(e); }
}
