// scatter_links: one workgroup sorts the places by index, WG of them at a time, and chains the segments of an index. What stands at slot s of the
// sorted piece lies at count + s: its place within the piece, and above it the length of its segment. links[s], where a segment begins, is the slot
// where the next one of the same index begins, or LAST; the bit FIRST says that no earlier piece has the index. An index that the table has not, or of
// its padding row, gets no FIRST: nothing walks its segments. Each row of the table, which is zero, keeps in its first element the slot behind the
// last one found and that one's FIRST; the sums are written over it. Generated: WG, FIRST, LAST. Sizes: count, rows and width of the table, offsets of
// indices and table, padding (rows where there is none).
var<workgroup> keys: array<u32, WG>;

// How many of the piece have a lower index, an equal one before this lane, an equal one.
struct Found { lower: u32, before: u32, equal: u32 }

fn look(f: Found, j: u32, own: u32, lane: u32) -> Found {
    let other = keys[j];
    let equal = u32(other == own);
    return Found(f.lower + u32(other < own), f.before + equal * u32(j < lane), f.equal + equal);
}
// Written out, as a loop over them would count as turns of its own.
fn four(f: Found, j: u32, own: u32, lane: u32) -> Found {
    return look(look(look(look(f, j, own, lane), j + 1u, own, lane), j + 2u, own, lane), j + 3u, own, lane);
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
    let count = d.count;
    for (var base = 0u; base < count; base += WG) {
        let live = base + lane < count;
        // behind the last place: above any index that a table has
        var own = 0xffffffffu;
        if (live) { own = indices[d.indices_offset + base + lane]; }
        keys[lane] = own;
        workgroupBarrier();
        var f = Found(0u, 0u, 0u);
        for (var j = 0u; j < WG; j += 16u) {
            f = four(four(four(four(f, j, own, lane), j + 4u, own, lane), j + 8u, own, lane), j + 12u, own, lane);
        }
        if (live) {
            let begin = base + f.lower;
            var first = false;
            if (f.before == 0u && own < d.rows && own != d.padding) {
                let at = d.table_offset + own * d.width;
                let earlier = table[at];
                first = earlier == 0u;
                if (!first) { links[(earlier & LAST) - 1u] = begin | (earlier & FIRST); }
                table[at] = (begin + 1u) | select(0u, FIRST, first);
            }
            links[begin + f.before] = LAST | select(0u, FIRST, first);
            links[count + begin + f.before] = lane | (f.equal << 16u);
        }
        storageBarrier();
        workgroupBarrier();
    }
}
