// scatter_add: out[r, c] = the sum of values[i, c] over the places i whose index is r, in their order. The first place of a chain walks
// it; rows without one were zeroed before. Generated: WG, FIRST, LAST, LONG (16 links a turn). Sizes: size (of all values), width,
// offsets of values, indices and out.
struct Chain { i: u32, link: u32, sum: f32 }

fn value(i: u32, c: u32) -> f32 { return values[d.values_offset + i * d.width + c]; }

// One link further, if there is one: it always points forward.
fn walk(at: Chain, c: u32) -> Chain {
    if ((at.link & LAST) == LAST) { return at; }
    let i = at.link & LAST;
    return Chain(i, links[i], at.sum + value(i, c));
}
fn four(at: Chain, c: u32) -> Chain { return walk(walk(walk(walk(at, c), c), c), c); }

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let e = id.y * groups.x * WG + id.x;
    if (e >= d.size) { return; }
    let width = d.width;
    let c = e % width;
    let i = e / width;
    if ((links[i] & FIRST) == 0u) { return; }
    let row = indices[d.indices_offset + i];
    var at = Chain(i, links[i], value(i, c));
    while ((at.link & LAST) != LAST) {
        // written out, as a loop over them would count as turns of its own
        if (LONG) { at = four(four(four(four(at, c), c), c), c); } else { at = walk(at, c); }
    }
    out[d.out_offset + row * width + c] = at.sum;
}
