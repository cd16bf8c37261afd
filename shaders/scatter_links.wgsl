// scatter_links: chains the indices that are equal. links[i] is the next place with the same index, or LAST; the bit FIRST says that no
// earlier place has it. An index that the table has not, or of its padding row, gets no FIRST: nothing walks its chain.
// Generated: WG, FIRST, LAST, LONG (16 places a turn). Sizes: count, rows of the table, indices' offset, padding (rows where there is none).

fn other(j: u32, own: u32) -> bool { return indices[d.indices_offset + j] != own; }

// Whether none of 16 places has the index: written out, as a loop over them would count as turns of its own.
fn four(j: u32, own: u32) -> bool { return other(j, own) & other(j + 1u, own) & other(j + 2u, own) & other(j + 3u, own); }
fn sixteen(j: u32, own: u32) -> bool { return four(j, own) & four(j + 4u, own) & four(j + 8u, own) & four(j + 12u, own); }

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.y * groups.x * WG + id.x;
    let count = d.count;
    if (i >= count) { return; }
    let own = indices[d.indices_offset + i];
    var first = own < d.rows && own != d.padding;
    var j = 0u;
    if (LONG) { for (; j + 16u <= i && first; j += 16u) { first = sixteen(j, own); } }
    for (; j < i && first; j++) { first = other(j, own); }
    var next = i + 1u;
    if (LONG) { while (next + 16u <= count && sixteen(next, own)) { next += 16u; } }
    while (next < count && other(next, own)) { next++; }
    links[i] = select(LAST, next, next < count) | select(0u, FIRST, first);
}
