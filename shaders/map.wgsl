// map: a formula at every element. Generated: WG, V, element(e).
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let e = id.y * groups.x * WG + id.x;
    if (e < dim(0u)) { element(e); }
}
