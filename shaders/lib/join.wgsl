// What GROUP lanes that lie side by side in a workgroup of WG hold, joined in a fixed order; each of them gets it. `local` is the lane's number
// in the workgroup. Call it in uniform control flow. Generated: Joined, join(a, b).
var<workgroup> joining: array<Joined, WG>;

fn group_join(v: Joined, local: u32) -> Joined {
    joining[local] = v;
    workgroupBarrier();
    for (var half = GROUP / 2u; half > 0u; half = half / 2u) {
        if (local % GROUP < half) { joining[local] = join(joining[local], joining[local + half]); }
        workgroupBarrier();
    }
    let all = joining[local / GROUP * GROUP];
    workgroupBarrier();
    return all;
}
