// What GROUP lanes of a workgroup of WG hold, joined in a fixed order; each of them gets it. They stand STEP apart. `local` is the lane's number
// in the workgroup. Call it in uniform control flow. Generated: Joined, join(a, b).
var<workgroup> joining: array<Joined, WG>;

fn group_join(v: Joined, local: u32) -> Joined {
    let lane = local / STEP % GROUP;
    joining[local] = v;
    workgroupBarrier();
    for (var half = GROUP / 2u; half > 0u; half = half / 2u) {
        if (lane < half) { joining[local] = join(joining[local], joining[local + half * STEP]); }
        workgroupBarrier();
    }
    let all = joining[local - lane * STEP];
    workgroupBarrier();
    return all;
}
