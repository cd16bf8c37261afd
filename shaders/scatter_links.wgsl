// scatter_links: chains the indices that are equal. links[i] is the next place with the same index, or LAST; the bit FIRST says that no
// earlier place has it. An index that the table has not, or of its padding row, gets no FIRST: nothing walks its chain. Generated: WG, FIRST, LAST.
@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.y * groups.x * WG + id.x;
    let count = dim(0u);
    if (i >= count) { return; }
    let own = indices[dim(2u) + i];
    var first = own < dim(1u) && own != dim(3u);
    for (var j = 0u; j < i && first; j++) { first = indices[dim(2u) + j] != own; }
    var next = i + 1u;
    while (next < count && indices[dim(2u) + next] != own) { next++; }
    links[i] = select(LAST, next, next < count) | select(0u, FIRST, first);
}
