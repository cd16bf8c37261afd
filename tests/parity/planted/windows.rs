//! Faults in pools, changes of size and depthwise convolutions.

use super::shaders::Line;
use gradus::kernels::Target::Software as S;

pub const WINDOW: &[Line] = &[
    ("a stale tail", S, &[("e >= d.size", "e + 1u >= d.size")], &["a max pool of fours", "bins"]),
    ("groups beyond one axis dropped", S, &[("id.y * groups.x * WG + id.x", "id.x")], &["a pool of more workgroups than one axis takes"]),
    ("the first row for all", S, &[("d.down + at.row", "d.down")], &["a max pool of 2 x 2"]),
    ("the first column for all", S, &[("d.across + at.column", "d.across")], &["a max pool of 2 x 2"]),
    ("the first image for all", S, &[("Place(row / d.out_rows,", "Place(0u,")], &["means of fours"]),
    ("a dropped last row", S, &[("i < down_end", "i + 2u < down_end")], &["a max pool of 2 x 2"]),
    ("a dropped last column", S, &[("j < across_end", "j + 2u < across_end")], &["a max pool of 2 x 2"]),
    ("a row's weight beside", S, &[("let a = tables[i + 1u]", "let a = tables[down_end - 1u]")], &["bilinear, of any size"]),
    ("columns without weights", S, &[("(bitcast<f32>(a) * bitcast<f32>(b))", "bitcast<f32>(a)")], &["bilinear, of any size"]),
    ("an operand's columns for the result's", S, &[("+ row) * d.x_columns", "+ row) * d.out_columns")], &["means of fours"]),
    ("the smallest", S, &[("(rank > s.rank) | (rank == U(0xffffffffu))", "(rank < s.rank) | (s.rank == U(0u))")], &["a max pool of fours"]),
    ("the last of equals", S, &[("(B(earlier) != nan)", "(B(!earlier) != nan)")], &["a max pool of equal ones"]),
    ("all of equals", S, &[("| ((rank == s.rank) & (B(earlier) != nan))", "")], &["a max pool of equal ones"]),
    (
        "one window for all",
        S,
        &[("d.window_down + r + 1u", "d.window_down + 1u"), ("= tables[d.window_down + r];", "= tables[d.window_down];")],
        &["a max pool of fours"],
    ),
    (
        "a gradient of the last window alone",
        S,
        &[("s.value += select(V(0.0), y_at", "s.value = select(V(0.0), y_at")],
        &["a max pool overlapping"],
    ),
    (
        "a NaN below all",
        S,
        &[("select(turned, U(0xffffffffu), size > U(0x7f800000u))", "select(turned, U(1u), size > U(0x7f800000u))")],
        &["a max pool of NaN"],
    ),
    ("negative numbers above", S, &[("U(0x80000000u) - size", "U(0x80000000u) + size")], &["a max pool of fours"]),
    (
        "another tap",
        S,
        &[("a * d.y_columns + b", "b * d.y_columns + a")],
        &["a depthwise convolution of fours", "a depthwise convolution odd channels"],
    ),
    ("a channel's weight for four", S, &[("(4u * channel + 1u)", "(4u * channel + 0u)")], &["a depthwise convolution of fours"]),
    ("a channel's neighbour", S, &[("at.channel / d.each", "at.channel % 2u")], &["a depthwise convolution two for each"]),
    ("the first of several results", S, &[("k < first + d.each", "k < first + 1u")], &["a depthwise convolution two for each"]),
    (
        "images left out",
        S,
        &[("(at.image + 1u) * d.together", "at.image * d.together + 1u")],
        &["a depthwise convolution of few positions"],
    ),
    ("images beyond the last", S, &[("n = at.image * d.together", "n = 0u")], &["a depthwise convolution of few positions"]),
];
