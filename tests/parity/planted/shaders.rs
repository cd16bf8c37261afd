//! Errors in WGSL, file by file. `S`: the kernels for software adapters; `L`: those whose lanes share; `G`: those for GPUs.

use super::{Edits, Text};
use gradus::kernels::Target::{self, Gpu as G, Lanes8 as L, Software as S};

pub(super) type Line = (&'static str, Target, Edits, &'static [&'static str]);

const GATHER: &[Line] = &[
    ("the cursor ignored", S, &[("state_word(STATE_CURSOR) + row", "row")], &["floats, from the middle"]),
    ("rows beyond one axis of the grid dropped", S, &[("group.y + group.z * d.fold", "group.y")], &["32,769 rows"]),
    ("a last row that is stale", S, &[("row >= d.rows", "row + 1u >= d.rows")], &["floats, all in order"]),
    ("never shuffled", S, &[("state_word(STATE_SHUFFLE) != 0u", "false")], &["floats, shuffled"]),
    ("the epoch ignored", S, &[("state_word(STATE_EPOCH)", "0u")], &["floats, shuffled"]),
    ("half of the seed", S, &[("state_word(STATE_SEED_HI),", "0u,")], &["floats, shuffled"]),
    ("a wrong stride of the stored rows", S, &[("source * d.field0_pitch + w", "source * width + w")], &["bytes, shuffled"]),
    ("a wrong stride of the batch", S, &[("row * width + e", "row * words + e")], &["bytes, shuffled"]),
    ("chunks beyond the first dropped", S, &[("chunk * (WG * ITEMS) + item", "item")], &["rows of 1025 floats"]),
    ("a stale tail", S, &[("if (w >= words)", "if (w + 1u >= words)")], &["rows of 257 floats"]),
    ("items of a lane dropped", S, &[("item < ITEMS", "item + 1u < ITEMS")], &["rows of 257 floats"]),
    ("bytes the wrong way round", S, &[("(8u * j)", "(8u * (3u - j))")], &["bytes, shuffled"]),
    ("the shift dropped", S, &[("* scale + shift", "* scale")], &["bytes, scaled and shifted, shuffled"]),
    ("one class beside", S, &[("c == value", "c == value + 1u")], &["bytes, one-hot, shuffled"]),
    ("a second field's chunk", S, &[("field1(chunk - d.field1_first", "field1(chunk")], &["three fields of several chunks"]),
];

const ROW_LIST: &[Line] = &[
    ("the list's head read as rows", S, &[("rows[3u + permuted]", "rows[2u + permuted]")], &["floats by a list, shuffled"]),
    ("rows not permuted", S, &[("rows[3u + permuted]", "rows[3u + at]")], &["floats by a list, shuffled"]),
    ("a draw of the permuted place", S, &[("vec4<u32>(at, ", "vec4<u32>(permuted, ")], &["floats of four classes, shuffled"]),
    ("every epoch alike", S, &[("state_word(STATE_EPOCH), 0x62616c61u", "0u, 0x62616c61u")], &["floats of four classes, shuffled"]),
    ("half of the draws' seed", S, &[("vec2<u32>(rows[1], rows[2])", "vec2<u32>(rows[1], 0u)")], &["floats of four classes, shuffled"]),
    ("the first class alone", S, &[("3u + mul_high(words.x, classes)", "3u")], &["floats of four classes, shuffled"]),
    (
        "as many rows of each class as of all",
        S,
        &[("rows[chosen + 1u] - begin", "rows[3u + classes] - begin")],
        &["floats of four classes, shuffled"],
    ),
    ("rows one beside", S, &[("rows[4u + classes + begin", "rows[5u + classes + begin")], &["floats of four classes, shuffled"]),
];

const ORDER: &[Line] = &[
    ("a round dropped", S, &[("round < 6u", "round < 5u")], &["floats, shuffled"]),
    ("a wrong constant", S, &[("0x846ca68bu", "0x846ca68du")], &["floats, shuffled"]),
    ("rounds with one key", S, &[("k0 + round * (k1 | 1u)", "k0 + (k1 | 1u)")], &["floats, shuffled"]),
    ("never walked to below n", S, &[("if (x < n) { break; }", "break;")], &["floats, shuffled"]),
    ("few rows: one word for all", S, &[("words[k % 4u]", "words.x")], &["12 rows, shuffled"]),
    ("few rows: the first words for all", S, &[("vec4<u32>(k / 4u, epoch", "vec4<u32>(0u, epoch")], &["12 rows, shuffled"]),
    ("few rows: the epoch ignored", S, &[("vec4<u32>(k / 4u, epoch", "vec4<u32>(k / 4u, 0u")], &["5 rows, shuffled"]),
    ("few rows: one beside", S, &[("mul_high(words[k % 4u], k + 1u)", "mul_high(words[k % 4u], k)")], &["3 rows, shuffled"]),
    ("few rows: followed halfway", S, &[(" else if (x == j) { x = k; }", "")], &["7 rows, shuffled"]),
    ("few rows: by the network", S, &[("n <= 12u", "n < 12u")], &["12 rows, shuffled"]),
];

const MAP: &[Line] = &[
    ("a stale tail", S, &[("e < d.size", "e + 1u < d.size")], &["relu [33]", "relu [256]"]),
    ("groups beyond one axis dropped", S, &[("id.y * groups.x * WG + id.x", "id.x")], &["more workgroups than one axis takes"]),
    ("a wrong stride of an operand", S, &[("c1 * d.in1_stride1", "c1 * d.in1_stride0")], &["[7, 33] * [33]"]),
    ("an operand's offset dropped", S, &[("in1[d.in1_offset + e]", "in1[e]")], &["[257] * [257]"]),
    ("an output's offset dropped", S, &[("out0[d.out0_offset + e]", "out0[e]")], &["[257] * [257]"]),
    (
        "a window that begins one late",
        S,
        &[("c0 - d.in0_before0 < d.in0_size0", "c0 - d.in0_before0 - 1u < d.in0_size0")],
        &["pad [255] by [(0, 2)]"],
    ),
    ("a window that never ends", S, &[("c0 - d.in0_before0 < d.in0_size0", "c0 >= d.in0_before0")], &["pad [255] by [(0, 2)]"]),
    ("read from the frame's corner on", S, &[("(c0 - d.in0_before0) * d.in0_stride0", "c0 * d.in0_stride0")], &["pad [1] by [(3, 0)]"]),
    ("one draw for four elements", S, &[("[e % 4u]", "[0u]")], &["uniform [257]"]),
    ("each thread the first block", S, &[("draw_words(e / 4u", "draw_words(0u")], &["uniform [257]"]),
    ("a frame of zeros", S, &[("bitcast<f32>(d.in0_fill)", "0.0")], &["pad [1] by [(3, 0)]"]),
];

const PHILOX: &[Line] = &[
    ("a round dropped", S, &[("i < 10u", "i < 9u")], &["uniform [257]"]),
    ("a wrong constant", S, &[("0xbb67ae85u", "0xbb67ae86u")], &["uniform [257]"]),
    ("a carry dropped", S, &[("ah * bh + (t >> 16u) + (m >> 16u)", "ah * bh + (t >> 16u)")], &["uniform [257]"]),
    (
        "words in another order",
        S,
        &[("vec4<u32>(b ^ c.y ^ k.x, 0xcd9e8d57u * c.z, a", "vec4<u32>(0xcd9e8d57u * c.z, b ^ c.y ^ k.x, a")],
        &["uniform [257]"],
    ),
];

const RANDOM: &[Line] = &[
    ("half of the seed", S, &[("state_word(STATE_SEED_HI)", "0u")], &["uniform [257]"]),
    ("half of the stream", S, &[("stream_lo, stream_hi)", "stream_lo, 0u)")], &["uniform [257]"]),
    ("the batch ignored", S, &[("state_word(STATE_BATCH)", "0u")], &["draws of several batches"]),
    (
        "more bits than 24",
        S,
        &[("vec4<f32>(w >> vec4<u32>(8u)) * 5.9604644775390625e-8", "vec4<f32>(w) * 2.3283064e-10")],
        &["uniform [257], stored"],
    ),
    ("heads for tails", S, &[("< vec4<u32>(below)", ">= vec4<u32>(below)")], &["bernoulli [257]"]),
    ("log: a wrong coefficient", S, &[("+ 0.3333333)", "+ 0.3343333)")], &["normal [257]"]),
    ("log: a wrong power of 2", S, &[("select(126.0, 127.0, low)", "126.0")], &["normal [257]"]),
    ("sine: a wrong coefficient", S, &[("-0.16666655", "-0.16766655")], &["normal [257]"]),
    ("cosine: a wrong coefficient", S, &[("0.041666646", "0.042666646")], &["normal [257]"]),
    ("a quarter's sign", S, &[("select(v, -v, turned)", "v")], &["normal [257]"]),
    ("no quarters", S, &[("vec2<f32>(-s, c), odd", "vec2<f32>(c, s), odd")], &["normal [257]"]),
    ("one radius for both pairs", S, &[("normal_pair(u.z, u.w)", "normal_pair(u.x, u.w)")], &["normal [257]"]),
];

const MATH: &[Line] = &[
    ("erf: a wrong coefficient", S, &[("V(1.1283791)", "V(1.1284791)")], &["gelu [*"]),
    ("erf: cut off too early", S, &[("3.743921", "2.543921")], &["gelu [*"]),
    ("tanh: cut off too early", S, &[("V(10.0)", "V(3.0)"), ("V(-10.0)", "V(-3.0)")], &["tanh [*"]),
    ("maximum for minimum", S, &[("select(x, y, x > y)", "select(x, y, x < y)")], &["minimum [257] [257]"]),
    ("minimum for maximum", S, &[("select(x, y, x < y)", "select(x, y, x > y)")], &["maximum [257] [257]"]),
    ("sign: of zero, too", S, &[("x > V(0.0)) - select", "x >= V(0.0)) - select")], &["sign [*"]),
    ("expm1: a wrong coefficient", S, &[("V(0.16666667)", "V(0.17666667)")], &["expm1 [*"]),
    ("softplus: a wrong coefficient", S, &[("V(1.0) - e * (V(0.5)", "V(1.0) - e * (V(0.9)")], &["softplus of small ones [*"]),
    ("sine: a wrong coefficient", S, &[("V(8.332161e-3)", "V(8.432161e-3)")], &["sin [*"]),
    ("cosine: a wrong coefficient", S, &[("V(0.041666646)", "V(0.042666646)")], &["sin [*"]),
    ("sine: a quarter's sign", S, &[("select(v, -v, turned >= V(2.0))", "v")], &["sin [*"]),
    ("sine: pi in two parts", S, &[(" - j * V(4.837513e-4)", "")], &["sin of thousands [*"]),
    ("pow: the sign of odd powers", S, &[("select(size, -size, odd)", "size")], &["pow 9 of both signs [*", "pow 7 [*"]),
];

const TREE: &[Line] = &[
    ("a barrier dropped before the tree", G, &[("tree[local] = v;\n    workgroupBarrier();", "tree[local] = v;")], LANES),
    ("no barrier within the tree", G, &[("+ tree[local + half]; }\n        workgroupBarrier();", "+ tree[local + half]; }")], LANES),
    ("half of the lanes dropped", G, &[("var half = GROUP / 2u", "var half = GROUP / 4u")], LANES),
    ("the last step dropped", G, &[("half > 0u", "half > 1u")], LANES),
];

/// Norms of several lanes, which the tree adds.
const LANES: &[&str] = &["lamb [257] [300]"];

const JOIN: &[Line] = &[
    (
        "a barrier dropped before the tree",
        G,
        &[("joining[local] = v;\n    workgroupBarrier();", "joining[local] = v;")],
        &["Mean of [5, 257] over [1]"],
    ),
    (
        "no barrier within the tree",
        G,
        &[("joining[local + half * STEP]); }\n        workgroupBarrier();", "joining[local + half * STEP]); }")],
        &["Mean of [5, 257] over [1]"],
    ),
    ("half of the lanes dropped", G, &[("var half = GROUP / 2u", "var half = GROUP / 4u")], &["Mean of [5, 257] over [1]"]),
    ("the last step dropped", G, &[("half > 0u", "half > 1u")], &["Mean of [5, 257] over [1]"]),
];

const SERIAL: &[Line] = &[("a lane's sum dropped", S, &[("return v;", "return 0.0;")], LANES)];

const FINITE: &[Line] = &[
    (
        "moments below the normal range",
        S,
        &[("bitcast<vec4<f32>>(select(bits, bits & vec4<u32>(0x80000000u), below))", "x")],
        &["moments below*"],
    ),
    ("every loss is finite", S, &[("!= 0x7f800000u", "!= 0xff800000u")], &["a loss of NaN halts"]),
    (
        "NaN by comparison: infinity passes",
        S,
        &[("(bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u", "x == x")],
        &["a loss of infinity halts"],
    ),
];

const REDUCE: &[Line] = &[
    ("a dropped last term", S, &[("r < last", "r + 1u < last")], &["Sum of [7, 33] over [1]"]),
    ("a dropped last term", G, &[("r < last", "r + 1u < last")], &["Mean of [5, 257] over [1]"]),
    ("a dropped first term", S, &[("r = first + lane", "r = first + lane + 1u")], &["Sum of [7, 33] over [1]"]),
    ("a wrong stride of the lanes", G, &[("r += GROUP", "r += 2u * GROUP")], &["Mean of [5, 257] over [1]"]),
    ("a last piece that runs on", S, &[("min(first + d.piece, length)", "first + d.piece")], &["Mean of [3, 5003] over [1]"]),
    ("a last piece that runs on", G, &[("min(first + d.piece, length)", "first + d.piece")], &["Mean of [2, 20003] over [1]"]),
    ("a wrong row of a piece", S, &[("item / inner / pieces * inner", "item / inner * inner")], &["Mean of [3, 5003] over [1]"]),
    ("every piece the first", S, &[("(item / inner % pieces) * d.piece", "0u")], &["Mean of [3, 5003] over [1]"]),
    ("the division dropped", S, &[(" / d.count", "")], &["Mean of [7, 33] over [1]"]),
    ("the largest from 0", S, &[("if (OPENED && live && length > 0u)", "if (false)")], &["the largest of negative columns"]),
    ("every row of workgroups the first", S, &[("id.y * groups.x * WG + ", "")], &["4,194,305 sums of two"]),
    ("the inner step dropped", S, &[(" + i * d.in0_inner", "")], &["Sum of [7, 33] over [0]"]),
    ("the outer step dropped", S, &[(" + o * d.in0_outer", "")], &["Sum of [7, 33] over [1]"]),
    ("the result's offset dropped", S, &[("out0[d.out0_offset + item]", "out0[item]")], &["[7, 33] + [33]"]),
    ("the smallest", S, &[("safe_max(a.v0, b.v0)", "safe_min(a.v0, b.v0)")], &["the largest of negative columns"]),
    ("a sum for the largest", S, &[("safe_max(a.v0, b.v0)", "a.v0 + b.v0")], &["the largest of negative columns"]),
    ("a partial sum dropped", S, &[("p15 = join(p15, ", "p15 = join(p14, ")], &["Sum of [1000, 3] over [0]"]),
    ("a partial sum dropped", G, &[("p3 = join(p3, ", "p3 = join(p2, ")], &["sum of columns [70000, 3]"]),
    ("partial sums that are not joined", S, &[("all = parted();", "")], &["Sum of [1000, 3] over [0]"]),
    ("two of four terms", S, &[("let half = join(all, Joined(all.v0.zwxy))", "let half = all")], &["Sum of [5, 64] over [1]"]),
    ("every second of four terms", S, &[("let sum = join(half, Joined(half.v0.yxwz))", "let sum = half")], &["Sum of [5, 64] over [1]"]),
    (
        "what partial sums leave dropped",
        S,
        &[("r < last; r += GROUP", "r < select(last, 0u, PARTS > 1u); r += GROUP")],
        &["Sum of [1000, 3] over [0]"],
    ),
    ("lanes that stand together", G, &[("local / STEP % GROUP", "local % GROUP")], &["Sum of [1000, 3] over [0]"]),
    ("columns of another group", G, &[("local / (STEP * GROUP) * STEP + local % STEP", "local % STEP")], &["Mean of [5, 256] over [1]"]),
    ("a first term that does not come back", S, &[("opening.v0 + sum.v0", "sum.v0")], &["mean from the first of [7, 33]"]),
    ("means that never lie apart", S, &[("+ apart(a.v0, a.n, b.v0, b.n)", "")], &["variance of [7, 33] over 0"]),
    ("lanes whose means never lie apart", G, &[("+ apart(a.v0, a.n, b.v0, b.n)", "")], &["variance of [300, 64] over 0"]),
    ("pieces of one term", S, &[("t.v1 * weight(r, r + 1u), weight(r, r + 1u)", "t.v1, 1.0")], &["variance of [5000, 3] over 0"]),
    ("pieces without their own variance", S, &[("t.v1 * weight(r, r + 1u)", "V(0.0)")], &["variance of [5000, 3] over 0"]),
    ("a mean that is a sum", S, &[("sum.v0 / max(weight(first, last), 1.0)", "sum.v0")], &["mean from the first of [7, 33]"]),
    (
        "a second result dropped",
        S,
        &[("[d.out1_offset + item] = ", "[d.out1_offset + item] = 0.0 * ")],
        &["several sums of [7, 33] over 0"],
    ),
    ("a second result like the first", G, &[("sum.v1", "sum.v0")], &["several sums of [257, 64] over 0"]),
    ("columns cut as rows are", S, &[("item / inner % pieces", "item % pieces")], &["sum of columns [70000, 3]"]),
];

const COMMIT: &[Line] = &[
    ("a halt ignored", S, &[("state_word(STATE_HALT) != 0u", "false")], &["a loss of NaN leaves buffers"]),
    ("a halt ignored", S, &[("state_word(STATE_HALT) != 0u", "false")], &["a loss of infinity leaves buffers"]),
    ("a skip ignored", S, &[(" || state_word(STATE_SKIP) != 0u", "")], &["a skipped step leaves buffers"]),
    ("every part to the first one's place", S, &[("d.targets[i][j]", "d.targets[0][0]")], &["buffers of [33]"]),
    ("every part from the first one's place", S, &[("d.sources[i][j]", "d.sources[0][0]")], &["buffers of [33]"]),
    ("every part as long as the first", S, &[("d.lengths[i][j]", "d.lengths[0][0]")], &["more buffers than one launch takes"]),
    ("parts before it not counted", S, &[("rest -= len;", "")], &["buffers of [33]"]),
    ("a last part that is stale", S, &[("part < d.parts", "part + 1u < d.parts")], &["buffers of [33]"]),
];

const CUMSUM: &[Line] = &[
    (
        "one late",
        S,
        &[("sum += x[first + c];\n        out[to + c] = sum;", "out[to + c] = sum;\n        sum += x[first + c];")],
        &["cumsum of [7, 33] along 1"],
    ),
    ("the gradient from the wrong end", S, &[("select(i, begin + (end - 1u - i), REVERSE)", "i")], &["cumsum of [7, 33] along 1"]),
    ("a dropped last value", S, &[("i < end", "i + 1u < end")], &["cumsum of [7, 33] along 1"]),
    ("a wrong stride", S, &[("d.x_offset + row * n", "d.x_offset")], &["cumsum of [7, 33] along 1"]),
    ("a last row that is stale", S, &[("row >= d.rows", "row + 1u >= d.rows")], &["cumsum of [7, 33] along 1"]),
    ("pieces that start from 0", S, &[("sum = start(item - 1u)", "sum = 0.0")], &["cumsum of [2, 70000], known"]),
    ("pieces that start from 0 at the end", S, &[("sum = start(item + 1u)", "sum = 0.0")], &["cumsum of [2, 70000], known"]),
    ("every piece the first", S, &[("min(piece * d.piece, n)", "0u")], &["cumsum of [2, 70000], known"]),
];

const ARGMAX: &[Line] = &[
    ("the last of equals", S, &[("r > top", "r >= top")], &["argmax of [7, 33] along 1"]),
    ("a dropped last term", S, &[("c < end", "c + 1u < end")], &["the last is the largest"]),
    ("lanes that all see the same", G, &[("c = start + lane", "c = start")], &["argmax of [5, 300] along 1"]),
    ("lanes that stand together", G, &[("local / STEP % GROUP", "local % GROUP")], &["argmax of [300, 3] along 0"]),
    ("columns of another group", G, &[("local / (STEP * GROUP) * STEP + local % STEP", "local % STEP")], &["argmax of [5, 300] along 1"]),
    ("a NaN below all", S, &[("0xffffffffu", "0u")], &["argmax with NaN"]),
    ("the inner step dropped", S, &[("at * inner", "at")], &["argmax of [3, 5, 31] along 1"]),
    ("the outer step dropped", S, &[("o * d.length * inner + ", "")], &["argmax of [3, 5, 31] along 1"]),
    ("a last result that is stale", S, &[("item < d.items", "item + 1u < d.items")], &["argmax of [7, 33] along 1"]),
    ("every piece the first", S, &[("item / inner % pieces * d.piece", "0u")], &["argmax of [2, 70000], known"]),
    (
        "a candidate's number for its place",
        S,
        &[("return candidates[(o * d.choices + c) * d.inner + i]", "return c")],
        &["argmax of [2, 70000], known"],
    ),
];

const ROW: &[Line] = &[
    ("a wrong stride", S, &[("row * d.in0_step + c", "row * (d.in0_step - 1u) + c")], &["softmax [65, 10]"]),
    ("a wrong stride of the result", S, &[("row * d.width + c", "row * (d.width - 1u) + c")], &["softmax [65, 10]"]),
    ("a last row that is stale", S, &[("item < d.rows", "item + 1u < d.rows")], &["softmax [65, 10]"]),
    ("a dropped first term", S, &[("var c = local % GROUP;", "var c = local % GROUP + 1u;")], &["softmax [65, 10]"]),
    ("a dropped last term", S, &[("c < places; c += GROUP) { sum", "c + 1u < places; c += GROUP) { sum")], &["softmax [65, 10]"]),
    ("the first terms of each lane alone", G, &[("c += GROUP) { sum", "c += places) { sum")], &["softmax [65, 10]"]),
    ("results of the first lanes alone", G, &[("c += GROUP) { element", "c += places) { element")], &["softmax [65, 10]"]),
    ("the division dropped", S, &[(" / n2;", ";")], &["a softmax alone [65, 10]"]),
    ("the largest not taken off", S, &[(" - n1;", ";")], &["a softmax alone [65, 10]"]),
    ("the smallest for the largest", S, &[("return safe_max(a, b)", "return safe_min(a, b)")], &["softmax of large scores"]),
    ("the largest from 0", S, &[("{ return first; }", "{ return 0.0; }")], &["log-sum-exp of rows [3, 255]"]),
    ("a sum for the mean", S, &[(" / d.count", "")], &["normalised rows [17, 257]"]),
    ("partial sums dropped", S, &[("sum = parts(sum);", "")], &["normalised rows [17, 257]"]),
    ("a partial sum dropped", S, &[("p15 = join(p15, ", "p15 = join(p0, ")], &["normalised rows [17, 257]"]),
    (
        "what partial sums leave dropped",
        S,
        &[("c < places; c += GROUP) { sum", "false; c += GROUP) { sum")],
        &["normalised rows [17, 257]"],
    ),
    ("a first term that does not come back", S, &[(" / d.count + first", " / d.count")], &["rows from their first [3, 33]"]),
    ("one number for all rows", S, &[("row * d.in1_step]", "0u]")], &["rows with numbers and columns [5, 31]"]),
    ("a number of every row in one place", S, &[("_offset + row] =", "_offset] =")], &["log-sum-exp of rows [3, 255]"]),
    ("the lanes of the first row", G, &[("joining[local - lane * STEP]", "joining[0]")], &["softmax [65, 10]"]),
    ("the first row's lanes alone", G, &[("lane < half", "local < half")], &["softmax [65, 10]"]),
    ("two joins exchanged", S, &[("return Joined(a[0] + b[0], ", "return Joined(a[1] + b[0], ")], &["two sums of rows [3, 1000]"]),
];

const CROSS_ENTROPY: &[Line] = &[
    ("the gradient not divided by the rows", S, &[("(row, c, part)) / rows", "(row, c, part))")], &["cross_entropy [32, 10], classes"]),
    ("a sum for the mean loss", S, &[("loss / counted()", "loss")], &["cross_entropy [32, 10], classes, evaluated"]),
    ("a sum for the mean of hits", S, &[("hits / counted()", "hits")], &["cross_entropy [32, 10], classes, evaluated"]),
    ("a dropped first term", S, &[("c = 0u; c < n; c++) { sum", "c = 1u; c < n; c++) { sum")], &["cross_entropy [32, 10], classes"]),
    ("labels that sum to 1 taken for granted", S, &[(" / sum * total", " / sum")], &["cross_entropy with soft labels that sum to 0.7"]),
    ("the label not taken off", S, &[(" * total - smoothed(row, c, part))", " * total)")], &["cross_entropy [32, 10], probabilities"]),
    ("smoothing that only takes", S, &[(" + part / f32(d.classes)", "")], &["cross_entropy [31, 7] smoothed by 0.1"]),
    ("smoothing that only gives", S, &[(" * (1.0 - part) + part / f32", " + part / f32")], &["cross_entropy [31, 7] smoothed by 0.1"]),
    ("a wrong stride of the lanes", G, &[("row += WG", "row += 2u * WG")], &["cross_entropy [257, 10], classes"]),
    ("the lanes' sum dropped", G, &[("loss = group_sum(loss, lane)", "loss = 256.0 * loss")], &["cross_entropy [257, 10], classes"]),
    ("a wrong stride", S, &[("d.logits_offset + row * n", "d.logits_offset + row * (n - 1u)")], &["cross_entropy [257, 65], classes"]),
    ("a last row that is stale", G, &[("if (row < rows)", "if (row + 1u < rows)")], &["cross_entropy [600, 33], classes"]),
    (
        "the largest not taken off",
        S,
        &[
            ("exp(f32(logits[first + c]) - top)", "exp(f32(logits[first + c]))"),
            ("log_sum - (f32(logits[first + c]) - top)", "log_sum - f32(logits[first + c])"),
        ],
        &["cross_entropy of large scores, classes"],
    ),
    ("a masked class counted", S, &[("if (p != 0.0)", "if (p >= 0.0)")], &["cross_entropy with a masked class, probabilities"]),
    ("the last of equals", S, &[("> top) {", ">= top) {")], &["cross_entropy with equal scores, classes"]),
    ("a gradient without its scale", S, &[("factor[d.factor_offset]", "1.0")], &["cross_entropy [31, 7], scaled"]),
    (
        "a gradient with another's scale",
        S,
        &[("factor[d.factor_offset]", "factor[d.factor_offset - 1u]")],
        &["cross_entropy [32, 10], scaled"],
    ),
    ("a label's row dropped", S, &[("labels[d.labels_offset + row]", "labels[d.labels_offset]")], &["cross_entropy [32, 10], classes"]),
    ("an ignored row counted", S, &[("labels[d.labels_offset + row] != d.ignored", "true")], &["cross_entropy [7, [], 3] ignoring 1"]),
    ("a mean over all rows", S, &[("max(counted_rows[d.counted_offset], 1.0)", "f32(d.rows)")], &["cross_entropy [7, [], 3] ignoring 1"]),
    ("a mean over nothing", S, &[("max(counted_rows[d.counted_offset], 1.0)", "counted_rows[d.counted_offset]")], &["nothing that counts"]),
    (
        "an ignored row's gradient",
        S,
        &[("store_gradient(row, c, 0.0)", "store_gradient(row, c, 1.0)")],
        &["cross_entropy [7, [], 3] ignoring 1"],
    ),
    ("64 rows forgotten", S, &[("loss += some; some = 0.0;", "some = 0.0;")], &["cross_entropy [257, 10], classes"]),
];

const CROSS_ENTROPY_WIDE: &[Line] = &[
    ("fours of classes dropped", G, &[("c += 4u * WG", "c += 8u * WG")], &["cross_entropy [2, 2049], classes"]),
    ("a class of four dropped", G, &[("(e.x + e.y) + (e.z + e.w)", "(e.x + e.y) + e.z")], &["cross_entropy [3, 1000], classes"]),
    ("the last classes dropped", G, &[("for (; c < n;", "for (; c + WG < n;")], &["cross_entropy [5, 257], classes"]),
    ("a sum kept as the largest rises", G, &[("s.sum * exp(s.top - most)", "s.sum")], &["cross_entropy [2, 25000], classes"]),
    ("a sum of lanes kept as it is", G, &[("own.sum * exp(own.top - top)", "own.sum")], &["cross_entropy [5, 257], classes"]),
    ("a last class's sum kept", G, &[("s.sum * exp(s.top - v)", "s.sum")], &["cross_entropy [257, 65], classes"]),
    ("the wrong one of four", G, &[("c + which * WG", "c")], &["wide rows that are their own labels"]),
    (
        "a wrong stride",
        S,
        &[("d.logits_offset + row * d.classes", "d.logits_offset + row * (d.classes - 1u)")],
        &["cross_entropy [2, 25000], classes"],
    ),
    ("a last row that is stale", G, &[("row >= d.rows", "row + 1u >= d.rows")], &["cross_entropy [257, 65], classes"]),
    ("the gradient not divided by the rows", G, &[("* share - p) / rows", "* share - p)")], &["cross_entropy [3, 1000], classes"]),
    (
        "labels that sum to 1 taken for granted",
        S,
        &[("goal.total * (1.0 - part)", "(1.0 - part)")],
        &["cross_entropy [2, 9000], probabilities"],
    ),
    ("the last of the labels' sum dropped", G, &[("total += p;", "total = p;")], &["cross_entropy [2, 9000], probabilities"]),
    ("smoothing that only takes", G, &[(" + part / f32(n)", "")], &["cross_entropy [257, 65] smoothed by 0.2"]),
    (
        "smoothing that only gives",
        G,
        &[("target_p(row, c) * (1.0 - part)", "target_p(row, c)")],
        &["cross_entropy [257, 65] smoothed by 0.2"],
    ),
    ("a masked class counted", G, &[("if (p != 0.0)", "if (p >= 0.0)")], &["wide rows with masked classes, probabilities"]),
    (
        "a lane whose classes are all masked",
        G,
        &[("Seen(LEAST, lane, 0.0)", "Seen(bitcast<f32>((d.nan_bits & 0x7f800000u) | 0x80000000u), lane, 0.0)")],
        &["wide rows with masked classes, classes"],
    ),
    (
        "an ignored row counted",
        G,
        &[("labels[d.labels_offset + row] != d.ignored", "true")],
        &["cross_entropy [31, [5], 255] ignoring 200"],
    ),
    (
        "a mean over all rows",
        G,
        &[("max(counted_rows[d.counted_offset], 1.0)", "f32(d.rows)")],
        &["cross_entropy [3, [7], 257] ignoring 1048576"],
    ),
    (
        "an ignored row's gradient",
        G,
        &[("store_gradient(row, c, 0.0)", "store_gradient(row, c, 1.0)")],
        &["cross_entropy [3, [7], 257] ignoring 1048576"],
    ),
    ("an ignored row's loss", G, &[("store(row, 0.0, 0.0)", "store(row, 1.0, 0.0)")], &["cross_entropy [3, [7], 257] ignoring 1048576"]),
    ("the lanes' sum dropped", G, &[("loss = group_sum(loss, lane)", "loss = loss")], &["cross_entropy [5, 257], classes, evaluated"]),
    ("hits and misses swapped", G, &[("select(0.0, 1.0, best", "select(1.0, 0.0, best")], &["wide rows with equal scores, classes"]),
    ("the last of equal labels", G, &[("if (r > top)", "if (r >= top)")], &["wide rows with equal scores, probabilities"]),
];

const TAKE: &[Line] = &[
    ("an element's column for its place", S, &[("e / width]", "e % width]")], &["255 rows of [3, 7]"]),
    ("a wrong stride of the table", S, &[("row * width + e % width", "row * (width - 1u) + e % width")], &["255 rows of [3, 7]"]),
    ("a stale tail", S, &[("e >= d.size", "e + 1u >= d.size")], &["255 rows of [3, 7]"]),
];

const SCATTER_LINKS: &[Line] = &[
    ("the padding row trained", S, &[(" && own != d.padding", "")], &["a row without a gradient"]),
    ("every piece the first of its index", S, &[("first = earlier == 0u", "first = true")], &["255 rows of [3, 7]"]),
    (
        "a later piece that nothing leads to",
        S,
        &[("links[(earlier & LAST) - 1u] = begin | (earlier & FIRST);", "first = false;")],
        &["255 rows of [3, 7]"],
    ),
    ("the first piece forgotten", S, &[("begin | (earlier & FIRST)", "begin")], &["255 rows of [3, 7]"]),
    ("a row's note where others are", S, &[("own * d.width", "own")], &["255 rows of [1000, 4]"]),
    ("the last piece found forgotten", S, &[("(begin + 1u) | select", "1u | select")], &["255 rows of [3, 7]"]),
    ("lower indices passed over", S, &[("f.lower + u32(other < own)", "f.lower")], &["255 rows of [3, 7]"]),
    ("equal ones in one slot", S, &[("f.before + equal * u32(j < lane)", "f.before")], &["255 rows of [3, 7]"]),
    ("four of sixteen passed over", S, &[("j + 12u, own, lane)", "j + 8u, own, lane)")], &["255 rows of [3, 7]"]),
    ("another's length", S, &[("(f.equal << 16u)", "(f.before << 16u)")], &["255 rows of [3, 7]"]),
    (
        "a stale tail",
        S,
        &[("base + lane < count", "base + lane + 1u < count")],
        &["255 rows of [3, 7]", "3 rows of [255, 1]", "1 rows of [1, 1]"],
    ),
    ("a second piece dropped", G, &[("base < count", "base < min(count, WG)")], &["2000 rows of [1000, 7]"]),
];

const SCATTER_ADD: &[Line] = &[
    ("further values dropped", S, &[("sum += value(slot, c)", "sum += 0.0 * value(slot, c)")], &["255 rows of [3, 7]"]),
    ("a row's second half dropped", S, &[("out[at + 2u] = sum[2]", "out[at + 2u] = sum[1]")], &["1000 rows of [255, 4]"]),
    ("further values of four dropped", G, &[("sum + value(min(slot, end - 1u), c)", "sum")], &["2000 rows of [1000, 7]"]),
    ("values behind the segment", G, &[("c), slot < end)", "c), true)")], &["2000 rows of [1000, 7]"]),
    (
        "four of sixteen dropped",
        S,
        &[(
            "four(four(four(four(sum, slot, end, c), slot + 4u, end, c), slot + 8u, end, c), slot + 12u, end, c)",
            "four(four(four(sum, slot, end, c), slot + 4u, end, c), slot + 8u, end, c)",
        )],
        &["80000 places of one index"],
    ),
    ("the first value dropped", S, &[("var sum = value(slot, c)", "var sum = 0.0")], &["255 rows of [3, 7]"]),
    ("later pieces not walked", S, &[("if ((link & LAST) == LAST) { break; }", "if (slot > 0u) { break; }")], &["255 rows of [3, 7]"]),
    ("places of the first piece", S, &[("slot / PIECE * PIECE + ", "")], &["255 rows of [3, 7]"]),
    ("a wrong stride of the values", S, &[("* d.width + c); }", "* d.width); }")], &["255 rows of [3, 7]"]),
    ("a wrong stride of the result", S, &[("row * d.width + c, sum", "row * (d.width - 1u) + c, sum")], &["255 rows of [3, 7]"]),
];

const ACCURACY: &[Line] = &[
    ("the last of equals", S, &[("if (r > s.top)", "if (r >= s.top)")], &["accuracy with equal scores, classes"]),
    (
        "a class never looked at",
        S,
        &[(
            "var c = lane; c < n; c += GROUP) { seen = see(seen, f32(logits",
            "var c = lane + 1u; c < n; c += GROUP) { seen = see(seen, f32(logits",
        )],
        &["accuracy [257, 10], classes"],
    ),
    (
        "a dropped last class",
        S,
        &[("c < n; c += GROUP) { seen = see(seen, f32(logits", "c + 1u < n; c += GROUP) { seen = see(seen, f32(logits")],
        &["accuracy [1000, 10], classes"],
    ),
    (
        "a wrong stride",
        S,
        &[("d.logits_offset + row * d.classes", "d.logits_offset + row * (d.classes - 1u)")],
        &["accuracy [257, 10], classes"],
    ),
    (
        "a last row that is stale",
        S,
        &[("row < d.rows", "row + 1u < d.rows")],
        &["accuracy [1, 2]*", "accuracy [3, 7], classes", "accuracy [3, 7], probabilities"],
    ),
    ("lanes that all see the same", G, &[("let lane = local % GROUP;", "let lane = 0u;")], &["wide rows with equal scores, classes"]),
    ("hits and misses swapped", S, &[("select(0.0, 1.0, best", "select(1.0, 0.0, best")], &["accuracy [257, 10], probabilities"]),
];

const RANK: &[Line] = &[
    ("negative numbers the wrong way round", S, &[("0x80000000u - size", "0x80000000u + size")], &["accuracy [257, 10], classes"]),
    ("any of equal ranks", G, &[(" || (b.x == a.x && b.y < a.y)", "")], &["wide rows with equal scores, classes"]),
    ("the lower of two lanes", G, &[("b.x > a.x", "b.x < a.x")], &["wide rows with equal scores, classes"]),
];

const GEMM_DIRECT: &[Line] = &[
    ("a dropped last term", S, &[("k < k_all; k++", "k + 1u < k_all; k++")], &["nn 3 x 7 x 5"]),
    ("a stale tail", S, &[("k < k_all; k++", "k < k_main; k++")], &["nn 7 x 31 x 4", "nt 33 x 65 x 31"]),
    ("fours of terms dropped", S, &[("k < k_main; k += 4u", "k + 4u < k_main; k += 4u")], &["nn 7 x 31 x 4"]),
    ("a dropped accumulation", S, &[("b[0], sum)", "b[0], vec4<f32>(0.0))")], &["nn 8 x 32 x 16"]),
    ("the tail does not accumulate", S, &[("y, sums[NV * i + v])", "y, vec4<f32>(0.0))")], &["nn 3 x 7 x 5"]),
    ("a wrong column of B transposed", S, &[("min(col + 1u, n - 1u)", "min(col, n - 1u)")], &["nt 8 x 32 x 16"]),
    ("a wrong row of A transposed", S, &[("a4(batch, k + 1u, row),", "a4(batch, k, row),")], &["tn 8 x 32 x 16"]),
    ("a wrong half of A", S, &[("a_block(batch, k, row0 + 4u, m)", "a_block(batch, k, row0, m)")], &["tn 8 x 32 x 16", "nn 8 x 32 x 16"]),
    ("a wrong quarter of A", S, &[("a_block(batch, k, row0 + 12u, m)", "a_block(batch, k, row0 + 8u, m)")], &["nt 33 x 65 x 31"]),
    ("rows of another tile", S, &[("group.y * ROWS", "group.y * 8u")], &["nt 33 x 65 x 31"]),
    ("a wrong half of B", S, &[("b_block(batch, k, col0 + 4u, n)", "b_block(batch, k, col0, n)")], &["nt 33 x 65 x 31"]),
    ("a term at another's place", S, &[("fma(vec4<f32>(a.z), b[2]", "fma(vec4<f32>(a.z), b[1]")], &["nn 8 x 32 x 16"]),
    ("A's rows and columns swapped in the tail", S, &[("x = a1(batch, row, k)", "x = a1(batch, k, row)")], &["nn 9 x 36 x 15"]),
    ("every batch the first, of A", S, &[("d.a_offset + batch * d.a_batch", "d.a_offset")], &["nn of rank 3"]),
    ("rows of a larger tensor without its gaps", S, &[("row * d.out0_pitch", "row * d.n")], &["a product into rows of 12"]),
    ("taps outside of the image", S, &[("((tables[row.y + tap / 32u] >> (tap % 32u)) & 1u) == 1u", "true")], &["a convolution colours"]),
    ("taps outside, by fours", S, &[("((tables[row.y + told.y / 32u] >> (told.y % 32u)) & 1u) == 1u", "true")], &["a convolution fours"]),
    ("a row of patches found in another's place", S, &[("min(row0 + 3u, m - 1u)", "min(row0 + 2u, m - 1u)")], &["a convolution fours"]),
    ("a lane's rows of patches found twice", L, &[("min(row0 + 8u + lane, m - 1u)", "min(row0 + lane, m - 1u)")], &["a convolution fours"]),
    ("one position for all terms", S, &[("spot + vec2<u32>(0u, d.words)", "spot")], &["a convolution fours"]),
    ("positions past their image", S, &[("next.y >= d.starts + d.positions * d.words", "false")], &["a convolution fours"]),
    ("columns of the first taps", S, &[("b_told(col0 + 4u)", "b_told(col0)")], &["a convolution wide"]),
    ("the first taps for the last", S, &[("tap / 32u]", "0u]")], &["a convolution of 7 x 7"]),
    ("the first image's patches for all", S, &[("image * d.image", "0u")], &["a convolution strided"]),
    ("all rests in one place", S, &[("tables[d.out_starts + row % d.out_positions]", "0u")], &["a convolution strided"]),
    ("one draw for four columns", S, &[("[at % 4u]", "[0u]")], &["uniform on a product of 33 columns"]),
    ("vectors of draws of the first row", S, &[("draw_words(at / 4u", "draw_words(col / 4u")], &["uniform on a product of 32 columns"]),
    (
        "a mask of the inner axis for the outer one",
        S,
        &[("batch / d.matrices_inner * d.extra0_batch_outer", "batch % d.matrices_inner * d.extra0_batch_outer")],
        &["a product with one mask of the outer batch axis"],
    ),
    ("every batch the first, of B", S, &[("d.b_offset + batch * d.b_batch", "d.b_offset")], &["nn of rank 4"]),
    ("every batch the first, of the result", S, &[("(batch * d.m + row) * d.n", "row * d.n")], &["tt of rank 3"]),
    ("a wrong pitch of A", S, &[("major * d.a_pitch", "major * d.b_pitch")], &["nn 9 x 36 x 15"]),
    ("a wrong stride of the result", S, &[("row) * d.n + col", "row) * d.k + col")], &["nn 9 x 36 x 15"]),
    ("matrices beyond one axis of the grid dropped", S, &[("i / across / down", "min(i / across / down, 65533u)")], &["65,540 matrices"]),
    ("columns of other lanes", S, &[("group.x * 8u + lane", "group.x * 4u + lane")], &["nn 2 x 1000 x 3"]),
    ("columns that are stale", S, &[("if (col < n)", "if (col + 4u < n)")], &["nn 9 x 36 x 15"]),
    ("columns that are stale, one by one", S, &[("if (col + j < n)", "if (col + j + 1u < n)")], &["nt 33 x 65 x 31"]),
    ("rows that are stale", S, &[("min(ROWS, m - row0)", "min(ROWS, m - row0 - 1u)")], &["nn 9 x 36 x 15"]),
    ("no edge of the rows", S, &[("min(ROWS, m - row0)", "ROWS")], &["rows beyond the edge"]),
    ("no edge of the columns", S, &[("if (col + j < n)", "if (true)")], &["nn 33 x 65 x 31"]),
    ("the epilogue's column dropped", S, &[(" + col * d.extra0_column", "")], &["a product with one row"]),
    ("the epilogue's row dropped", S, &[(" + row * d.extra0_row", "")], &["a product with one column"]),
    (
        "the epilogue's batch dropped",
        S,
        &[(" + batch * d.extra0_batch", "")],
        &["a product with one batch of one", "a product with one element of a batch"],
    ),
    ("a lane's part of A's rows by another", L, &[("subgroupBroadcast(x0, 5u)", "subgroupBroadcast(x0, 4u)")], &["nn 8 x 32 x 16"]),
    ("a lane's part of A's terms by another", L, &[("subgroupBroadcast(x0, 5u)", "subgroupBroadcast(x0, 4u)")], &["tn 8 x 32 x 16"]),
    ("A's rows held twice", L, &[("(8u + lane)", "(0u + lane)")], &["nt 33 x 65 x 31"]),
    ("A's terms held twice", L, &[("(8u + lane) /", "(0u + lane) /")], &["tn 9 x 33 x 200"]),
    ("row sums where the product is", S, &[("d.row_sum_offset + batch", "d.out0_offset + batch")], &["layers with relu"]),
    ("the row sum's tail dropped", S, &[("if (ROW_SUM) { row_sum[i] += x; }\n            for", "for")], &["layers with relu"]),
    ("the row sum's fours dropped", S, &[("(((sum + a.x) + a.y) + a.z) + a.w", "sum")], &["layers with relu"]),
];

const GEMM_TILE: &[Line] = &[
    ("one number for all rows", G, &[("a[d.a_offset + major * d.a_pitch]", "a[d.a_offset]")], &["1000 rows of [7, 7]"]),
    ("a padding row that counts", G, &[("i == d.a_nothing", "false")], &["a row without a gradient"]),
    ("a stale tail", G, &[("k0 < k_all; k0 += BK", "k0 + BK <= k_all; k0 += BK")], &["nn 9 x 36 x 15", "nn 33 x 65 x 31"]),
    ("a dropped last term of a slice", G, &[("k < BK; k++", "k + 1u < BK; k++")], &["nn 8 x 32 x 16"]),
    ("a dropped accumulation", G, &[("fma(vec4<f32>(a[i]), b[v], acc[at])", "vec4<f32>(a[i]) * b[v]")], &["nn 33 x 65 x 31"]),
    (
        "no barrier before the tile is read",
        G,
        &[("        workgroupBarrier();\n        // the next slice", "        // the next slice")],
        &["nn 33 x 65 x 31"],
    ),
    (
        "no barrier before the tile is written",
        G,
        &[("            }\n        }\n        workgroupBarrier();", "            }\n        }")],
        &["nn 33 x 65 x 31"],
    ),
    (
        "half of the tile of A loaded",
        G,
        &[("tile_a[own.y * PITCH_A + own.x / 4u] = x", "tile_a[own.y * PITCH_A] = x")],
        &["tn 33 x 65 x 31"],
    ),
    (
        "half of the tile of B loaded",
        G,
        &[("tile_b[own.y * PITCH_B + own.x / 4u] = x", "tile_b[own.y * PITCH_B] = x")],
        &["nn 33 x 65 x 31"],
    ),
    (
        "A's terms in another order",
        G,
        &[("PITCH_A + own.x / 4u][own.x % 4u] = x[j]", "PITCH_A + own.x / 4u][own.x % 4u] = x[3u - j]")],
        &["nn 3 x 7 x 5"],
    ),
    (
        "B's terms in another order",
        G,
        &[("PITCH_B + own.x / 4u][own.x % 4u] = x[j]", "PITCH_B + own.x / 4u][own.x % 4u] = x[3u - j]")],
        &["nt 33 x 65 x 31"],
    ),
    ("the first slice again", G, &[("at_a[v] = a_on(at_a[v], ", "let lost = a_on(at_a[v], ")], &["nn 33 x 65 x 31"]),
    ("a slice too far", G, &[("b_step(BK)", "b_step(BK + BK)")], &["nn 33 x 65 x 31"]),
    ("the terms counted from the first slice", G, &[("k_all - k0 - BK, !TA", "k_all, !TA")], &["nn 33 x 65 x 31"]),
    ("no edge of the terms along a vector", G, &[("< vec4<u32>(end)", "< vec4<u32>(end + 1u)")], &["nn 3 x 7 x 5"]),
    ("no edge of the terms", G, &[("return term < end;", "return true;")], &["tn 33 x 65 x 31"]),
    (
        "no edge of the first slice",
        G,
        &[
            ("a_there(at_a[v], own.y, k_all)", "a_there(at_a[v], own.y, 4096u)"),
            ("b_there(at_b[v], own.y, k_all)", "b_there(at_b[v], own.y, 4096u)"),
        ],
        &["nn 3 x 7 x 5"],
    ),
    ("a row of A too few", G, &[("let own = min(row, d.m - 1u)", "let own = min(row, d.m - 2u)")], &["nn 8 x 32 x 16"]),
    ("columns of B beyond the edge", G, &[("min(vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(place.y))", "vec4<u32>()")], &["nn 3 x 7 x 5"]),
    ("a wrong pitch of the tile", G, &[("let a = tile_a[k * PITCH_A", "let a = tile_a[k * (PITCH_A - 1u)")], &["nn 8 x 32 x 16"]),
    ("a thread's second rows as its first", G, &[("PITCH_A + ty + u * TY", "PITCH_A + ty")], &["nn 130 x 129 x 33"]),
    ("a thread's second columns as its first", G, &[("PITCH_B + tx + v * TX", "PITCH_B + tx")], &["nn 2049 x 1025 x 9"]),
    ("every batch the first, of A", G, &[("d.a_offset + batch * d.a_batch", "d.a_offset")], &["nn of rank 3"]),
    ("every batch the first, of the result", G, &[("(batch * d.m + row) * d.n", "row * d.n")], &["nn of rank 3"]),
    ("columns that are stale", G, &[("if (col + j < n)", "if (col + j + 1u < n)")], &["nn 3 x 7 x 5"]),
    ("rows that are stale", G, &[("if (row < m)", "if (row + 1u < m)")], &["nn 3 x 7 x 5"]),
    ("no edge of the rows", G, &[("if (row < m)", "if (true)")], &["rows beyond the edge"]),
    ("no edge of the columns", G, &[("if (col + j < n)", "if (true)")], &["nn 33 x 65 x 31"]),
    ("the row sum of the last terms alone", G, &[("row_sum[v % SUMS] += x", "row_sum[v % SUMS] = x")], &["layers with relu"]),
    ("patches that never come to the next image", G, &[("next.z >= all", "next.z >= all + 4096u")], &["a convolution strided"]),
    ("taps outside of the image, of columns", G, &[("(place[1].y & place[0].w) != 0u", "true")], &["a convolution strided"]),
    ("taps outside of the image, of rows", G, &[("((place[1].z >> place[1].y) & 1u) == 1u", "true")], &["a convolution fours"]),
    ("the row sums of other rows", G, &[("lane / 4u][lane % 4u]", "lane / 4u][0u]")], &["layers with relu"]),
    ("the row sum of one thread's terms", G, &[("k < BK * SUMS / NA", "k < 1u")], &["layers with relu"]),
];

const GEMM_SPLIT: &[Line] = &[
    ("a slice that is left out", G, &[("s < SLICES; s++) { sum", "s + 1u < SLICES; s++) { sum")], &["nn 3 x 2 x 1000"]),
    ("slices that overlap", G, &[("k_all; k += AT_ONCE * STEP", "k_all; k += STEP")], &["nn 3 x 2 x 1000"]),
    ("the last terms left out", G, &[("    if (k < k_all) {", "    if (false) {")], &["nn 3 x 2 x 1000"]),
    ("a step's vectors twice", G, &[("i / 4u * STEP + select(0u, i % 4u, TA)", "select(0u, i % 4u, TA)")], &["nn 3 x 2 x 1000"]),
    (
        "no barrier before the parts are read",
        G,
        &[("    workgroupBarrier();\n    // an element", "    // an element")],
        &["nn 3 x 2 x 1000"],
    ),
    ("another cell's rows", G, &[("row0 + cell / 4u * 4u", "row0")], &["nn 257 x 3 x 255"]),
    ("another cell's columns", G, &[("r / 4u * 4u + c / 4u, r % 4u", "r / 4u * 4u, r % 4u")], &["tn 9 x 33 x 200"]),
    ("a row within its vector", G, &[("c / 4u, r % 4u)", "c / 4u, 0u)")], &["nn 3 x 2 x 1000"]),
    ("two parts in one place", G, &[("(cell ^ (slice", "(cell | (slice")], &["nn 257 x 3 x 255"]),
    ("A not turned", G, &[("if (!TA) { a = transpose(a); }", "")], &["nn 3 x 2 x 1000"]),
    ("B not turned", G, &[("if (TB) { b = transpose(b); }", "")], &["nt 9 x 33 x 200"]),
    ("A stands still", G, &[("at_a[j] = a_on(at_a[j], step_a)", "let lost = a_on(at_a[j], step_a)")], &["nn 3 x 2 x 1000"]),
    ("every batch the first, of B", G, &[("d.b_offset + batch * d.b_batch", "d.b_offset")], &["a long product of rank 3"]),
    ("rows that are stale", G, &[("row0 + r < m && col0", "row0 + r + 1u < m && col0")], &["nn 257 x 3 x 255"]),
    ("columns that are stale", G, &[("col0 + c < n)", "col0 + c + 1u < n)")], &["nn 257 x 3 x 255"]),
    ("the row sum of the last slice alone", G, &[("total += parts", "total = parts")], &["a long row sum"]),
    (
        "the row sum before the parts are read",
        G,
        &[("    if (ROW_SUM) {\n        workgroupBarrier();", "    if (ROW_SUM) {")],
        &["a long row sum"],
    ),
];

const GEMM_JOIN: &[Line] = &[
    ("a piece left out", S, &[("p += AT_ONCE", "p += AT_ONCE + 1u")], &["a product of 66000 terms with an ending"]),
    ("every piece the first", G, &[("parts[min(p + j, pieces - 1u) * d.size + e]", "parts[e]")], &["a product in pieces*"]),
    ("the last piece again", G, &[("select(V(), x[j], p + j < pieces)", "x[j]")], &["a product in pieces*"]),
    ("a stale tail", G, &[("if (e < d.size)", "if (e + 1u < d.size)")], &["a product in pieces*"]),
    ("every row the first", S, &[("row % d.m", "0u")], &["a product of 66000 terms with an ending"]),
    ("every column the first", G, &[("FOURS * e % n", "0u")], &["a product in pieces*"]),
    ("the row sum of the last piece alone", G, &[("sum += part_of_row", "sum = part_of_row")], &["a product in pieces*"]),
    ("row sums where the results lie", G, &[("pieces * d.size * FOURS + p", "p")], &["a product in pieces*"]),
    ("row sums that are stale", G, &[("e < d.m)", "e + 1u < d.m)")], &["a product in pieces*"]),
];

const OPTIMIZER: &[Line] = &[
    ("rates of another shard", S, &[("d.first_block + block", "block")], &["in shards, adamw with all [257] [300]"]),
    ("a stale tail", S, &[("i < end", "i + 1u < end")], &["adam [128]"]),
    ("one pass alone", S, &[("i += step", "i = end")], &["sgd [5000]"]),
    ("one pass alone", G, &[("i += step", "i = end")], &["sgd [1058432]"]),
    ("the halt ignored", S, &[("state_word(STATE_HALT) != 0u", "false")], &["a loss of NaN halts"]),
    ("the first row of rates", S, &[("(state_word(STATE_UPDATE) % RATE_ROWS)", "0u")], &["sgd [128]"]),
    ("rates by the batch's counter", S, &[("state_word(STATE_UPDATE)", "state_word(STATE_BATCH)")], &["sgd [128]"]),
    ("no ring of rates", S, &[(" % RATE_ROWS", "")], &["sgd [128]"]),
    ("a moment that is not kept", S, &[("    moment0[i] = ", "    let lost = ")], &["momentum [128]"]),
    ("a moment that is not kept", S, &[("    moment1[i] = ", "    let lost = ")], &["adam [128]"]),
    (
        "a norm that halts nothing",
        S,
        &[("|| !is_finite(squares)", "")],
        &["a loss of NaN halts", "a norm that is infinite halts an average", "a norm that is infinite halts where nothing is clipped"],
    ),
    (
        "the clipped norm of a lane",
        G,
        &[("squares = group_sum(squares, lane);\n    let share", "let share")],
        &["sgd, clipped [5000] [129]"],
    ),
    ("partial sums of the norm dropped", S, &[("k < d.partials; k += GROUP", "k < 1u; k += GROUP")], &["sgd, clipped [5000] [129]"]),
    ("scaled up to the norm", S, &[("select(share, 1.0, share > 1.0)", "share")], &["sgd, hardly clipped [257] [300]"]),
    ("the scale left in the gradient", S, &[("return unscale();", "return 1.0;")], &["a scale that moves"]),
    ("half a scale taken off", S, &[("2130706432u - ", "2122317824u - ")], &["a fixed scale"]),
    ("a bad batch ignored", S, &[(" || state_word(STATE_SKIP) == 1u", "")], &["a bad batch of an update, scaled"]),
    ("the first group for all", S, &[("rate_row += (owner >> 24u) * RATE_WIDTH", "rate_row += 0u")], &["adamw in groups [257] [300]"]),
    ("a group's rates beside", S, &[("* GROUPS * RATE_WIDTH;", "* RATE_WIDTH;")], &["adamw in groups [257] [300]"]),
    ("the first tensor's ratio for all", S, &[("return ratios[tensor]", "return ratios[0]")], &["lamb [257] [300]"]),
    ("norms taken for directions", S, &[("i + i / (BLOCK / 4u)", "i")], &["lamb [257] [300]"]),
];

const SQUARES: &[Line] = &[
    ("a stale tail", S, &[("i < end", "i + 1u < end")], &["sgd, clipped [1] [128]"]),
    ("one pass alone", S, &[("i += step", "i = end")], &["sgd, clipped [5000] [129]"]),
    ("squares of the last pass alone", S, &[("squares += dot(g, g)", "squares = dot(g, g)")], &["sgd, clipped [5000] [129]"]),
    (
        "a bad loss ignored",
        S,
        &[("is_finite(loss[d.loss_offset])", "true")],
        &["a loss of NaN with good gradients halts where norms are clipped"],
    ),
    (
        "a loss where there is none",
        S,
        &[("fn good() -> bool { return true; }", "fn good() -> bool { return false; }")],
        &["a worker by hand, momentum"],
    ),
    ("the scale left in the norm", S, &[(" * V(unscale())", "")], &["a scale that moves", "a scale that moves, clipped"]),
    ("a partial sum of another group", G, &[("partials[thread / GROUP]", "partials[thread / GROUP / 2u]")], &["sgd, clipped [5000] [129]"]),
    ("a shard that begins anew", S, &[("return underway[thread];", "return 0.0;")], &["in shards, sgd, clipped [257] [300]"]),
];

const ACCUMULATE: &[Line] = &[
    ("a stale tail", S, &[("i >= d.vectors", "i + 1u >= d.vectors")], &["3 batches an update [128]"]),
    ("batches of one weight", S, &[("* V(weight())", "")], &["3 batches an update [257]"]),
    ("the last update's sum added", S, &[("state_word(STATE_MICRO) == 0u", "false")], &["3 batches an update [257]"]),
    ("the last batch alone but one", S, &[("sums[i] = sums[i] + g", "sums[i] = g")], &["3 batches an update [257]"]),
    ("a sum for a mean", S, &[("* V(scale())", "")], &["3 batches an update [257]"]),
    ("the rows of the last batch alone", S, &[("f32(state_word(STATE_SUMMED)) + ", "")], &["3 batches an update [257]"]),
];

const BLOCKS: &[Line] = &[
    (
        "the norms of one lane alone",
        G,
        &[("block_tree[local] += block_tree[local + half]", "block_tree[local] += vec2<f32>()")],
        &["lamb [257] [300]"],
    ),
    ("norms of a workgroup's first block alone", G, &[("local % LANES < half", "local < half")], &["lamb [257] [300]"]),
];

const DIRECTION: &[Line] = &[
    ("a block too few", S, &[("block < d.blocks", "block + 1u < d.blocks")], &["lamb [1] [128]"]),
    ("the norm of the gradient for the direction's", S, &[("norms_u += dot(u, u)", "norms_u += dot(g, g)")], &["lamb [257] [300]"]),
    ("the norm of the last vector alone", S, &[("norms_p += dot(p, p)", "norms_p = dot(p, p)")], &["lamb [257] [300]"]),
    ("the norm of the last vector alone", S, &[("norms_u += dot(u, u)", "norms_u = dot(u, u)")], &["lamb [257] [300]"]),
    ("the first block for all of a workgroup", G, &[("first + local / LANES", "first")], &["lamb [257] [300]"]),
    ("vectors dropped", S, &[("v < VECTORS; v += LANES", "v < VECTORS - 1u; v += LANES")], &["lamb [1] [128]"]),
    (
        "moments that move after a halt",
        S,
        &[("way(i, p, g, !stop)", "way(i, p, g, true)")],
        &["a loss of NaN halts where tensors have norms"],
    ),
    ("rates of the first block", S, &[("turn_to(block);", "turn_to(0u);")], &["lamb in groups [257] [300]"]),
    ("rates of another shard", S, &[("d.first_block + block", "block")], &["in shards, lamb with all [257] [300]"]),
];

const RATIOS: &[Line] = &[
    ("the first block alone", S, &[("min(rates[place + 1u] - first_block(), d.blocks)", "first + 1u")], &["lamb [257] [300]"]),
    ("a second block dropped", S, &[(" + norms(block + GROUP, end)", "")], &["lamb [257] [300]"]),
    ("the first block left out", S, &[("var block = first + lane;", "var block = first + lane + 1u;")], &["lamb [257] [300]"]),
    ("every tensor from the first block on", S, &[("first = rates[place] - first_block();", "first = 0u;")], &["lamb [257] [300]"]),
    ("the ratio of squares", S, &[("sqrt(p) / sqrt(u)", "p / u")], &["lamb [257] [300]"]),
    ("a ratio of 0", S, &[("p > 0.0 && u > 0.0", "u > 0.0")], &["lamb from zeros [257] [300]"]),
    ("the norm of one lane alone", G, &[("p = group_sum(p, lane);", "")], &["lamb [257] [300]"]),
    ("the norm of one lane alone", G, &[("u = group_sum(u, lane);", "")], &["lamb [257] [300]"]),
    ("a tensor too few", S, &[("lane == 0u && tensor < d.tensors", "lane == 0u && tensor + 1u < d.tensors")], &["lamb [257] [300]"]),
    ("blocks of another shard", S, &[("return d.first_block;", "return 0u;")], &["in shards, lamb with all [257] [300]"]),
    ("tensors of another shard", S, &[("return d.first_tensor;", "return 0u;")], &["in shards, lamb with all [257] [300]"]),
];

const TICK: &[Line] = &[
    ("a norm that halts nothing", S, &[(" || !is_finite(squares)", "")], &["a norm that is infinite halts"]),
    ("an update alone that moves in the epoch", S, &[("d.rows > 0u && ", "")], &["a worker by hand, momentum"]),
    ("an update alone that judges nothing", S, &[("if (JUDGES) {", "if (false) {")], &["an update alone halts at a gradient of NaN"]),
    (
        "an update counted for each batch of it",
        S,
        &[("if (UPDATES && !skip) { state[STATE_UPDATE]", "if (TRAIN) { state[STATE_UPDATE]")],
        &["3 batches an update [257]"],
    ),
    ("batches of an update not counted", S, &[("select(state[STATE_MICRO] + 1u, 0u, UPDATES)", "0u")], &["3 batches an update [257]"]),
    (
        "batches of an update counted on",
        S,
        &[("select(state[STATE_MICRO] + 1u, 0u, UPDATES)", "state[STATE_MICRO] + 1u")],
        &["3 batches an update [257]"],
    ),
    ("the cursor does not move", S, &[("state[STATE_CURSOR] = cursor;", "")], &["sgd [128]"]),
    ("the cursor by one row", S, &[("state[STATE_CURSOR] + d.rows", "state[STATE_CURSOR] + 1u")], &["3 epochs of 7 rows by 3, shuffled"]),
    ("an epoch a row too long", S, &[("cursor >= state[STATE_ROWS]", "cursor > state[STATE_ROWS]")], &["sgd [128]"]),
    ("an epoch that does not begin anew", S, &[("state[STATE_CURSOR] = 0u;", "")], &["3 epochs of 7 rows by 3, in order"]),
    ("the epoch does not move", S, &[("state[STATE_EPOCH] + 1u", "state[STATE_EPOCH]")], &["3 epochs of 7 rows by 3, shuffled"]),
    ("the batch does not move", S, &[("batch + 1u;", "batch;")], &["sgd [128]"]),
    ("the update does not move", S, &[("state[STATE_UPDATE] + 1u", "state[STATE_UPDATE]")], &["sgd [128]"]),
    (
        "an update counted in evaluation",
        S,
        &[("if (UPDATES && !skip) { state[STATE_UPDATE]", "if (true) { state[STATE_UPDATE]")],
        &["an evaluation does not halt"],
    ),
    ("the halt not kept", S, &[("state[STATE_HALT] = 1u;", "")], &["a loss of infinity halts"]),
    ("the halt ignored", S, &[("state[STATE_HALT] != 0u", "false")], &["a loss of infinity halts"]),
    (
        "counters move in the step that halts",
        S,
        &[("        return;\n    }\n    state[STATE_BATCH]", "    }\n    state[STATE_BATCH]")],
        &["a loss of minus infinity halts"],
    ),
    ("evaluation halts", S, &[("TRAIN && (!is_finite(loss)", "(!is_finite(loss)")], &["an evaluation does not halt"]),
    ("the halt not logged", S, &[("select(0u, LOG_HALTED, halt)", "0u")], &["a loss of NaN halts"]),
    ("no ring of lines", S, &[("(batch % LOG_ROWS)", "batch")], &["sgd [128]"]),
    ("the square of the norm", S, &[("sqrt(squares)", "squares")], &["sgd [128]"]),
    ("partial sums dropped", G, &[("i < d.partials; i += GROUP", "i < 1u; i += GROUP")], &["sgd [5000]"]),
    ("partial sums dropped", S, &[("i < d.partials; i += GROUP", "i < 1u; i += GROUP")], &["sgd [5000]"]),
    ("rows of an update's batches not summed", S, &[("state[STATE_SUMMED] + d.rows", "d.rows")], &["3 batches an update [257]"]),
    ("a skipped update counted", S, &[("UPDATES && !skip", "UPDATES")], &["a scale that moves"]),
    ("a scale that does not fall", S, &[("bitcast<u32>(scale * d.backoff)", "bitcast<u32>(scale)")], &["a scale that moves"]),
    ("a scale that does not rise", S, &[("bitcast<u32>(scale * d.growth)", "bitcast<u32>(scale)")], &["a scale that moves"]),
    ("a scale that rises an update late", S, &[("count >= d.interval", "count > d.interval")], &["a scale that moves fast [5000]"]),
    ("a scale beyond its top", S, &[("scale * d.growth <= most()", "true")], &["a scale at its top"]),
    (
        "good updates that a skipped one does not end",
        S,
        &[("d.backoff);\n        state[STATE_GROWTH] = 0u;", "d.backoff);")],
        &["a scale that moves, clipped"],
    ),
    ("a fixed scale that forgets", S, &[("select(0u, count, skip)", "0u")], &["a fixed scale that cures nothing"]),
    ("a fixed scale that never forgets", S, &[("select(0u, count, skip)", "count")], &["a fixed scale"]),
    ("a fixed scale's patience", S, &[("+ 1u >= PATIENCE", ">= PATIENCE")], &["a fixed scale that cures nothing"]),
    ("a scale that falls for ever", S, &[("* d.backoff < least()", "* d.backoff < 0.0")], &["a scale that falls to its end"]),
    (
        "a scale that falls to its end and halts early",
        S,
        &[("* d.backoff < least()", "* d.backoff <= least()")],
        &["a scale that falls to its end"],
    ),
    ("a bad batch forgotten", S, &[("|| state[STATE_SKIP] == SKIP_PENDING", "")], &["a bad batch of an update, scaled"]),
    (
        "a bad batch never forgotten",
        S,
        &[("select(SKIP_PENDING, SKIP_DONE, UPDATES)", "SKIP_PENDING")],
        &["a bad batch of an update, scaled"],
    ),
    ("a skip not logged", S, &[("select(0u, LOG_SKIPPED,", "select(0u, 0u,")], &["a scale that moves"]),
    ("a scale not logged", S, &[("(state[STATE_LOSS_SCALE] >> 23u)", "127u")], &["a scale that moves"]),
    ("skipped updates not counted", S, &[("state[STATE_SKIPPED] + 1u", "state[STATE_SKIPPED]")], &["a scale that moves"]),
    ("metrics one word on", S, &[("at + 4u", "at + 5u")], &["accuracy [32, 10], classes"]),
    ("wide metrics one word on", S, &[("LOG_WIDTH + 4u, lane", "LOG_WIDTH + 5u, lane")], &["lines of 300 columns, over the ring's end"]),
    (
        "wide metrics of the first lane alone",
        G,
        &[("log_long((state", "if (lane == 0u) { log_long((state"), ("4u, lane); }", "4u, lane); } }")],
        &["lines of 300 columns, over the ring's end"],
    ),
    (
        "wide lines without a ring",
        G,
        &[("(state[STATE_BATCH] % LOG_ROWS) * LOG_WIDTH + 4u", "state[STATE_BATCH] * LOG_WIDTH + 4u")],
        &["lines of 300 columns, over the ring's end"],
    ),
];

const HALF: &[Line] = &[
    ("rounded to zero", S, &[("(a + U(0xfffu) + ((a >> U(13u)) & U(1u)))", "a")], &["f16 layers [7, 33]"]),
    ("the sign lost", S, &[("r | (bits & U(0x80000000u))", "r")], &["f16 chain [7, 33]"]),
    (
        "not rounded",
        G,
        &[("return select(bitcast<V>(r | (bits & U(0x80000000u))), x, a > U(0x7f800000u));", "return x;")],
        &["f16 layers [7, 33]"],
    ),
];

const ALL: &[(&str, &[Line])] = &[
    ("gather", GATHER),
    ("lib/order", ORDER),
    ("lib/row_list", ROW_LIST),
    ("lib/augment", super::augment::AUGMENT),
    ("map", MAP),
    ("lib/math", MATH),
    ("lib/half", HALF),
    ("lib/philox", PHILOX),
    ("lib/random", RANDOM),
    ("lib/tree", TREE),
    ("lib/join", JOIN),
    ("lib/serial", SERIAL),
    ("lib/blocks", BLOCKS),
    ("lib/finite", FINITE),
    ("reduce", REDUCE),
    ("argmax", ARGMAX),
    ("cumsum", CUMSUM),
    ("window", super::windows::WINDOW),
    ("commit", COMMIT),
    ("row", ROW),
    ("cross_entropy", CROSS_ENTROPY),
    ("cross_entropy_wide", CROSS_ENTROPY_WIDE),
    ("lib/rank", RANK),
    ("accuracy", ACCURACY),
    ("take", TAKE),
    ("scatter_links", SCATTER_LINKS),
    ("scatter_add", SCATTER_ADD),
    ("gemm_direct", GEMM_DIRECT),
    ("gemm_tile", GEMM_TILE),
    ("gemm_split", GEMM_SPLIT),
    ("gemm_join", GEMM_JOIN),
    ("accumulate", ACCUMULATE),
    ("squares", SQUARES),
    ("direction", DIRECTION),
    ("ratios", RATIOS),
    ("optimizer", OPTIMIZER),
    ("tick", TICK),
];

pub fn all() -> Vec<Text> {
    let one = |file, &(error, target, edits, rows): &Line| Text { file, error, target, edits, rows };
    let only = std::env::var("GRADUS_PLANT").unwrap_or_default();
    ALL.iter()
        .filter(|(f, _)| only.is_empty() || only.split(',').any(|o| o == *f))
        .flat_map(|&(file, lines)| lines.iter().map(move |l| one(file, l)))
        .collect()
}
