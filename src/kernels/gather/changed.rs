//! The text for fields whose values come from other places than their own: a part of an image, what training changes at random, rows that are mixed. Their
//! functions work on one element; the draws are made once for a row (`shaders/lib/augment.wgsl`).

use super::{Gather, GatherField, Source};
use crate::graph::augment::{Augmentation, HEAD, ImageSize, NOISE, ROW, Touches};
use crate::graph::{Augmented, Field};
use crate::kernels::lib::dims::Dims;
use crate::kernels::lib::halves::rounded;
use crate::kernels::lib::source::{AUGMENT, RANDOM};
use crate::rng::{split, stream};
use crate::tensor::DType;

/// `prepare(row)`: what is drawn for a row and for the one that it is mixed with.
pub(super) fn draws(s: &mut Source, k: &Gather) {
    let Some(a) = k.augmentation() else {
        s.line("fn prepare(row: u32) {}");
        return;
    };
    flags(s, a);
    s.file(RANDOM).line("fn augment_word(i: u32) -> u32 { return tables[d.tables + i]; }").file(AUGMENT);
    s.line("var<private> own: Drawn;\nvar<private> other: Drawn;\nvar<private> partner: Partner;\nvar<private> other_source: u32;");
    s.line("fn prepare(row: u32) {");
    s.line("    let shown = vec2<u32>(d.image_columns, d.image_rows);");
    s.line("    let middle = vec2<i32>(bitcast<i32>(d.left), bitcast<i32>(d.top));");
    s.line("    own = draw_row(row, shown, middle);");
    if a.mixes() {
        s.line("    partner = draw_partner(row, d.rows, shown);");
        s.line("    if (partner.share < 1.0) {\n        other = draw_row(partner.row, shown, middle);\n        other_source = source_of(partner.row);\n    }");
    }
    s.line("}");
}

fn flags(s: &mut Source, a: &Augmentation) {
    s.flag("CORNER", a.corner.chance.is_some()).flag("MIRRORS", a.mirrors.iter().any(|m| m.is_some()));
    s.flag("AFFINE", a.is_affine()).flag("COLOURS", a.is_coloured()).flag("SATURATION", a.saturation.chance.is_some());
    s.flag("NOISE", a.noise.chance.is_some()).flag("ERASE", a.erase.is_some());
    s.flag("MIXUP", a.mixup.is_some()).flag("CUTMIX", a.cutmix.is_some()).flag("FADES", !a.strengths.is_empty());
    let [holes, shares, cuts, strengths, _] = a.table_places().map(|p| HEAD + p);
    s.number("HOLES", holes).number("SHARES", shares).number("CUTS", cuts).number("STRENGTHS", strengths);
    s.number("STRENGTH_COUNT", a.strengths.len().max(1));
    let [lo, hi] = split(stream(ROW));
    s.number("AUGMENT_LO", lo as usize).number("AUGMENT_HI", hi as usize);
}

/// The sizes that such a field's functions read.
pub(super) fn sizes(d: Dims, i: usize, f: &GatherField) -> Dims {
    match f.field.image {
        Some(image @ ImageSize { stored: [_, high, wide], shown: [rows, columns] }) => {
            let [left, top] = image.middle().map(|m| m as u32);
            let d = d.u32(format!("field{i}_wide"), wide).u32(format!("field{i}_high"), high);
            let d = d.u32(format!("field{i}_columns"), columns).u32(format!("field{i}_rows"), rows);
            d.word(format!("field{i}_left"), left).word(format!("field{i}_top"), top)
        }
        None => d,
    }
}

/// `fieldN(chunk, row, source, lane)`: this lane's elements of a row, four at a time where the batch is written so. The field's channels have their scales and
/// shifts at this place of the table.
pub(super) fn field(s: &mut Source, i: usize, f: &GatherField, channels: usize) {
    let field = &f.field;
    let noisy = field.augmented.as_ref().is_some_and(|a| a.touches == Touches::All && a.by.noise.chance.is_some());
    let whole = moves_whole(f);
    if whole {
        four_of(s, i);
    } else if field.one_hot.is_some() {
        stored(s, i, field);
    } else {
        stored(s, i, field);
        if field.image.is_some() {
            sample(s, i, field);
        }
        shown(s, i, field, channels);
        seen(s, i, field);
        let kind = if field.keep_integer { "u32" } else { "f32" };
        s.line(format!("fn at{i}(source: u32, e: u32) -> {kind} {{"));
        place(s, i, field, "e");
        s.line(format!("    return seen{i}(source, e, channel, x, y);\n}}"));
    }
    s.line(format!("fn field{i}(chunk: u32, row: u32, source: u32, lane: u32) {{"));
    s.line(format!("    let items = d.field{i}_items;\n    let to = d.batch{i}_offset;"));
    s.line("    for (var item = 0u; item < ITEMS; item++) {\n        let w = chunk * (WG * ITEMS) + item * WG + lane;\n        if (w >= items) { return; }");
    let [lo, hi] = split(stream(NOISE));
    let normals = |block: &str| format!("normals(draw_words({block}, {lo}u ^ augment_word(SALT_AT), {hi}u ^ augment_word(SALT_AT + 1u)))");
    if field.one_hot.is_some() {
        let classes = format!("d.field{i}_classes");
        let own = format!("select(0.0, 1.0, c == stored{i}(source, 0u))");
        let mixed = format!("between(select(0.0, 1.0, c == stored{i}(other_source, 0u)), {own}, partner.share)");
        s.line(format!("        for (var c = 0u; c < {classes}; c++) {{"));
        s.line(format!("            var value = {own};"));
        if mixes(field) {
            s.line(format!("            if (partner.share < 1.0) {{ value = {mixed}; }}"));
        }
        s.line(format!(
            "            batch{i}[to + row * {classes} + c] = {};\n        }}\n    }}\n}}",
            rounded(f.half, false, "value".into())
        ));
        return;
    }
    if f.vector() {
        let kind = if field.keep_integer { "u32" } else { "f32" };
        if whole {
            place(s, i, field, "(4u * w)");
            let scaled = if field.shift == 0.0 { format!("* d.field{i}_scale") } else { format!("* d.field{i}_scale + d.field{i}_shift") };
            s.line(format!("        var value = four_of{i}(own, source, channel, x, y) {scaled};"));
        } else if field.image.is_none_or(|i| i.shown[1].is_multiple_of(4)) {
            place(s, i, field, "(4u * w)");
            four(s, kind, &format!("seen{i}(source, 4u * w + j, channel, x + j, y)"));
        } else {
            four(s, kind, &format!("at{i}(source, 4u * w + j)"));
        }
        if noisy {
            s.line(format!("        if (own.noise > 0.0) {{ value += own.noise * {}; }}", normals("row * items + w")));
        }
    } else {
        s.line(format!("        var value = at{i}(source, w);"));
        if noisy {
            s.line(format!(
                "        if (own.noise > 0.0) {{ value += own.noise * {}[w % 4u]; }}",
                normals("row * ((items + 3u) / 4u) + w / 4u")
            ));
        }
    }
    let value = if field.keep_integer { "value".into() } else { rounded(f.half, f.vector(), "value".into()) };
    s.line(format!("        batch{i}[to + row * items + w] = {value};\n    }}\n}}"));
}

/// `value`, four elements of this kind, the j-th by this call. A loop: compilers put a call's text in its place, and four of these are too much for some.
fn four(s: &mut Source, kind: &str, call: &str) {
    s.line(format!("        var value = vec4<{kind}>();\n        for (var j = 0u; j < 4u; j++) {{ value[j] = {call}; }}"));
}

fn touches(f: &Field, what: impl Fn(Touches, &Augmentation) -> bool) -> bool {
    f.augmented.as_ref().is_some_and(|Augmented { by, touches }| what(*touches, by))
}

fn mixes(f: &Field) -> bool {
    touches(f, |_, by| by.mixes())
}

/// `storedN(source, at)`: an element of a stored row, as it is.
fn stored(s: &mut Source, i: usize, f: &Field) {
    let word = |at: &str| format!("data{i}[source * d.field{i}_pitch + {at}]");
    s.line(format!("fn stored{i}(source: u32, at: u32) -> u32 {{"));
    s.line(match f.stored {
        DType::U8 => format!("    return ({} >> (8u * (at & 3u))) & 255u;\n}}", word("(at >> 2u)")),
        _ => format!("    return {};\n}}", word("at")),
    });
    let number = if f.stored == DType::F32 { "bitcast<f32>(v)" } else { "f32(v)" };
    s.line(format!("fn number{i}(v: u32) -> f32 {{ return {number}; }}"));
}

/// `sampleN(r, source, channel, x, y)`: what of the stored image stands at a place of the shown one; 0 stands beside it.
fn sample(s: &mut Source, i: usize, f: &Field) {
    let kind = if f.keep_integer { "u32" } else { "f32" };
    let made = if f.keep_integer { format!("stored{i}(source, at)") } else { format!("number{i}(stored{i}(source, at))") };
    let places = touches(f, |touches, _| touches != Touches::Mixing);
    s.line(format!("fn tap{i}(source: u32, channel: u32, p: vec2<i32>) -> {kind} {{"));
    s.line(format!("    if (p.x < 0 || p.y < 0 || p.x >= i32(d.field{i}_wide) || p.y >= i32(d.field{i}_high)) {{ return {kind}(0); }}"));
    s.line(format!("    let at = (channel * d.field{i}_high + u32(p.y)) * d.field{i}_wide + u32(p.x);\n    return {made};\n}}"));
    if !places {
        // the middle of it
        s.line(format!("fn sample{i}(source: u32, channel: u32, x: u32, y: u32) -> {kind} {{"));
        s.line(format!("    return tap{i}(source, channel, vec2<i32>(i32(x) + bitcast<i32>(d.field{i}_left), i32(y) + bitcast<i32>(d.field{i}_top)));\n}}"));
        return;
    }
    s.line(format!("fn sample{i}(r: Drawn, source: u32, channel: u32, x: u32, y: u32) -> {kind} {{"));
    s.line(format!("    let turned = vec2<i32>(i32(d.field{i}_columns - 1u - x), i32(d.field{i}_rows - 1u - y));"));
    s.line("    let p = r.corner + select(vec2<i32>(i32(x), i32(y)), turned, r.mirrored);");
    if !touches(f, |_, by| by.is_affine()) {
        s.line(format!("    return tap{i}(source, channel, p);\n}}"));
        return;
    }
    s.line(format!("    let middle = 0.5 * vec2<f32>(f32(d.field{i}_wide - 1u), f32(d.field{i}_high - 1u));"));
    s.line("    let q = vec2<f32>(p) - middle - r.moved;");
    s.line("    let place = vec2<f32>(dot(r.inverse.xy, q), dot(r.inverse.zw, q)) + middle;");
    if f.keep_integer {
        s.line(format!("    return tap{i}(source, channel, vec2<i32>(floor(place + 0.5)));\n}}"));
        return;
    }
    s.line("    let first = floor(place);\n    let t = place - first;\n    let at = vec2<i32>(first);");
    let tap = |x: i32, y: i32| format!("tap{i}(source, channel, at + vec2<i32>({x}, {y}))");
    s.line(format!("    return between(between({}, {}, t.x), between({}, {}, t.x), t.y);\n}}", tap(0, 0), tap(1, 0), tap(0, 1), tap(1, 1)));
}

/// `shownN(r, source, e, channel, x, y)`: an element of a row as the model would see it, before rows are mixed.
fn shown(s: &mut Source, i: usize, f: &Field, channels: usize) {
    let kind = if f.keep_integer { "u32" } else { "f32" };
    let drawn = f.augmented.is_some();
    let places = touches(f, |touches, _| touches != Touches::Mixing);
    let all = |what: fn(&Augmentation) -> bool| touches(f, |touches, by| touches == Touches::All && what(by));
    let r = if places { "r, " } else { "" };
    let sampled = |channel: &str| match f.image {
        Some(_) => format!("sample{i}({r}source, {channel}, x, y)"),
        None if f.keep_integer => format!("stored{i}(source, e)"),
        None => format!("number{i}(stored{i}(source, e))"),
    };
    let coloured = f.image.is_some() && all(Augmentation::is_coloured);
    let bounded = |v: &str| if f.stored == DType::U8 { format!("clamp({v}, 0.0, 255.0)") } else { v.into() };
    if coloured {
        s.line(format!("fn coloured{i}(r: Drawn, v: f32) -> f32 {{"));
        s.line(format!("    var out = v;\n    if (r.colours.x != 1.0) {{ out = {}; }}", bounded("out * r.colours.x")));
        s.line("    let mean = augment_number(MEAN_AT);");
        s.line(format!("    if (r.colours.y != 1.0) {{ out = {}; }}\n    return out;\n}}", bounded("mean + (out - mean) * r.colours.y")));
    }
    let r_type = if drawn { "r: Drawn, " } else { "" };
    s.line(format!("fn shown{i}({r_type}source: u32, e: u32, channel: u32, x: u32, y: u32) -> {kind} {{"));
    s.line(format!("    var v = {};", sampled("channel")));
    if f.keep_integer {
        s.line("    return v;\n}");
        return;
    }
    if coloured {
        s.line(format!("    v = coloured{i}(r, v);"));
        if all(|by| by.saturation.chance.is_some()) {
            let of = |c: &str| format!("coloured{i}(r, {})", sampled(c));
            s.line("    if (r.colours.z != 1.0) {");
            s.line(format!("        let grey = 0.2989 * {} + 0.587 * {} + 0.114 * {};", of("0u"), of("1u"), of("2u")));
            s.line(format!("        v = {};\n    }}", bounded("grey + (v - grey) * r.colours.z")));
        }
    }
    s.line(match &f.channels {
        Some(c) => {
            let (n, each, first) = (c.scale.len(), c.each, channels);
            format!("    let own_scale = d.tables + {first}u + e / {each}u % {n}u;\n    v = v * bitcast<f32>(tables[own_scale]) + bitcast<f32>(tables[own_scale + {n}u]);")
        }
        None if f.shift == 0.0 => format!("    v = v * d.field{i}_scale;"),
        None => format!("    v = v * d.field{i}_scale + d.field{i}_shift;"),
    });
    if f.image.is_some() && all(|by| by.erase.is_some()) {
        s.line("    if (in_box(r.hole, i32(x), i32(y))) { v = 0.0; }");
    }
    s.line("    return v;\n}");
}

/// `seenN(source, e, channel, x, y)`: an element of a row of the batch, but for noise.
fn seen(s: &mut Source, i: usize, f: &Field) {
    let kind = if f.keep_integer { "u32" } else { "f32" };
    s.line(format!("fn seen{i}(source: u32, e: u32, channel: u32, x: u32, y: u32) -> {kind} {{"));
    let call = |drawn: &str, source: &str| {
        let drawn = if f.augmented.is_some() { format!("{drawn}, ") } else { String::new() };
        format!("shown{i}({drawn}{source}, e, channel, x, y)")
    };
    s.line(format!("    let mine = {};", call("own", "source")));
    if mixes(f) {
        let pixels = f.image.is_some() && touches(f, |touches, _| touches != Touches::Mixing);
        s.line(format!("    if (partner.share < 1.0) {{\n        let theirs = {};", call("other", "other_source")));
        if pixels {
            s.line("        let boxed = partner.cut.z > 0;\n        if (boxed) { return select(mine, theirs, in_box(partner.cut, i32(x), i32(y))); }");
        }
        if !f.keep_integer {
            s.line("        return between(theirs, mine, partner.share);");
        }
        s.line("    }");
    }
    s.line("    return mine;\n}");
}

/// The channel, column and row of element `e`, `channel`, `x` and `y`. A division for each axis, so four elements of a line share it.
fn place(s: &mut Source, i: usize, f: &Field, e: &str) {
    s.line(match f.image {
        Some(image) => {
            let channel = if image.stored[0] == 1 { "0u".into() } else { format!("line / d.field{i}_rows") };
            format!(
                "        let line = {e} / d.field{i}_columns;\n        let x = {e} - line * d.field{i}_columns;\n        let channel = {channel};\n        let y = line - channel * d.field{i}_rows;"
            )
        }
        None => "        let channel = 0u;\n        let x = 0u;\n        let y = 0u;".into(),
    });
}

/// Whether four bytes that stand beside each other in the batch do so in what is stored, in one order or the other: rows of pixels that move as a whole.
fn moves_whole(f: &GatherField) -> bool {
    let field = &f.field;
    let still = |by: &Augmentation| !by.is_affine() && !by.is_coloured() && !by.mixes() && !by.erase.is_some();
    let whole = touches(field, |touches, by| touches != Touches::Mixing && still(by));
    let lines = field.image.is_some_and(|i| i.shown[1].is_multiple_of(4));
    field.stored == DType::U8 && !field.keep_integer && f.vector() && whole && lines && field.channels.is_none()
}

/// `four_ofN(r, source, channel, x, y)`: the four bytes from a place of the shown image on, of two stored words; 0 beside the image.
fn four_of(s: &mut Source, i: usize) {
    s.line(format!("fn four_of{i}(r: Drawn, source: u32, channel: u32, x: u32, y: u32) -> vec4<f32> {{"));
    s.line(format!("    let column = select(i32(x), i32(d.field{i}_columns) - 4 - i32(x), r.mirrored.x) + r.corner.x;"));
    s.line(format!("    let line = select(i32(y), i32(d.field{i}_rows) - 1 - i32(y), r.mirrored.y) + r.corner.y;"));
    s.line(format!("    let at = i32(channel * d.field{i}_high * d.field{i}_wide) + line * i32(d.field{i}_wide) + column;"));
    s.line(format!("    let last = i32(d.field{i}_pitch) - 1;\n    let first = source * d.field{i}_pitch;\n    let word = at >> 2u;"));
    s.line(format!(
        "    let low = data{i}[first + u32(clamp(word, 0, last))];\n    let high = data{i}[first + u32(clamp(word + 1, 0, last))];"
    ));
    s.line("    let bits = u32(at & 3) * 8u;\n    let both = select((low >> bits) | (high << ((32u - bits) & 31u)), low, bits == 0u);");
    s.line("    let bytes = vec4<f32>((vec4<u32>(both) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));");
    s.line("    let columns = vec4<i32>(column) + vec4<i32>(0, 1, 2, 3);");
    s.line(format!("    let inside = (columns >= vec4<i32>(0)) & (columns < vec4<i32>(i32(d.field{i}_wide)));"));
    s.line(format!("    let seen = select(vec4<f32>(0.0), bytes, inside & vec4<bool>(line >= 0 && line < i32(d.field{i}_high)));"));
    s.line("    return select(seen, seen.wzyx, r.mirrored.x);\n}");
}
