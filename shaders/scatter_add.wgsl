// scatter_add: out[r, c] = the sum of values[i, c] over the places i whose index is r, in their order. The first place of a chain walks
// it; rows without one were zeroed before. Generated: WG, FIRST, LAST.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let e = id.y * groups.x * WG + id.x;
    if (e >= dim(0u)) { return; }
    let width = dim(1u);
    let c = e % width;
    var i = e / width;
    var link = links[i];
    if ((link & FIRST) == 0u) { return; }
    let row = indices[dim(3u) + i];
    var sum = values[dim(2u) + i * width + c];
    // a link always points forward
    while ((link & LAST) != LAST) {
        i = link & LAST;
        sum += values[dim(2u) + i * width + c];
        link = links[i];
    }
    out[dim(4u) + row * width + c] = sum;
}
