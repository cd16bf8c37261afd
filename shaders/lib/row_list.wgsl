// Rows by a list; the twin of `listed_row` in src/graph/row_list.rs. The list has the number of classes, the seed's two words, for a drawn order where
// each class begins and where the last one ends, and then the stored rows.
fn listed_row(at: u32, permuted: u32) -> u32 {
    let classes = rows[0];
    if (classes == 0u) { return rows[3u + permuted]; }
    let words = philox(vec4<u32>(at, state_word(STATE_EPOCH), 0x62616c61u, 0x6e636564u), vec2<u32>(rows[1], rows[2]));
    let chosen = 3u + mul_high(words.x, classes);
    let begin = rows[chosen];
    return rows[4u + classes + begin + mul_high(words.y, rows[chosen + 1u] - begin)];
}
