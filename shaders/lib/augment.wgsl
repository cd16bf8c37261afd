// What training changes at random in a row; the twin of src/graph/augment/draw.rs. The batch's counter and the row's place in it key all draws, so that every
// field of the row sees the same. `augment_word(i)` are the numbers of `Augmentation::words`. Generated: the flags, AUGMENT_LO and _HI, and where the tables begin.
struct Drawn {
    corner: vec2<i32>,
    mirrored: vec2<bool>,
    inverse: vec4<f32>,
    moved: vec2<f32>,
    colours: vec3<f32>,
    noise: f32,
    // first column and row, and those behind the last
    hole: vec4<i32>,
}

// The row that another is mixed with, and what is kept of the other. A box is empty where they are blended.
struct Partner {
    row: u32,
    share: f32,
    cut: vec4<i32>,
}

const CORNER_AT = 0u;
const MIRRORS_AT = 6u;
const ERASE_AT = 8u;
const MIXUP_AT = 9u;
const CUTMIX_AT = 10u;
const MEAN_AT = 11u;
const ROTATE_AT = 12u;
const TRANSLATE_AT = 15u;
const SCALE_AT = 21u;
const SHEAR_AT = 24u;
const BRIGHTNESS_AT = 27u;
const CONTRAST_AT = 30u;
const SATURATION_AT = 33u;
const NOISE_AT = 36u;
const SALT_AT = 39u;
// the tables' entries, by the top bits of a word
const ENTRY_BITS = 10u;

fn augment_number(i: u32) -> f32 { return bitcast<f32>(augment_word(i)); }

// Blocks of four words for a row: each word has one meaning.
fn augment_words(row: u32, block: u32) -> vec4<u32> {
    return draw_words(row * 8u + block, AUGMENT_LO ^ augment_word(SALT_AT), AUGMENT_HI ^ augment_word(SALT_AT + 1u));
}

// How strong it is in this epoch, of 2^16.
fn strength() -> u32 {
    if (!FADES) { return 65536u; }
    return augment_word(STRENGTHS + min(state_word(STATE_EPOCH), STRENGTH_COUNT - 1u));
}

fn falls(word: u32, chance: u32) -> bool { return chance == 0xffffffffu || word < chance; }

fn falls_weakened(word: u32, chance: u32, s: u32) -> bool {
    if (s >= 65536u) { return falls(word, chance); }
    return word < (chance >> 16u) * s;
}

// A number about `neutral`, which it is where the coin falls otherwise.
fn drawn_number(coin: u32, word: u32, at: u32, neutral: f32, s: u32) -> f32 {
    if (!falls(coin, augment_word(at))) { return neutral; }
    let low = augment_number(at + 1u);
    let drawn = low + (augment_number(at + 2u) - low) * (f32(word >> 8u) * 5.9604644775390625e-8);
    return neutral + (drawn - neutral) * (f32(s) * 1.52587890625e-5);
}

// Sine and cosine of at most pi: by polynomials of a quarter of the angle, since WGSL's own may be off by 2^-11.
fn turn(angle: f32) -> vec2<f32> {
    let t = angle * 0.25;
    let z = t * t;
    var s = t + t * z * (-1.6666667e-1 + z * (8.333333e-3 + z * (-1.984127e-4 + z * 2.755732e-6)));
    var v = z * (0.5 + z * (-4.1666668e-2 + z * (1.3888889e-3 - z * 2.4801587e-5)));
    for (var i = 0u; i < 2u; i++) {
        let c = 1.0 - v;
        v = 2.0 * s * s;
        s = 2.0 * s * c;
    }
    return vec2<f32>(s, 1.0 - v);
}

// The column (axis 0) or row where an image begins.
fn begins(axis: u32, word: u32, s: u32) -> i32 {
    let least = bitcast<i32>(augment_word(CORNER_AT + 2u + axis));
    let ways = augment_word(CORNER_AT + 4u + axis);
    if (augment_word(CORNER_AT + 1u) == 0u) { return least + i32(mul_high(word, ways)); }
    let most = ways / 2u;
    let each = (most * s + 32768u) >> 16u;
    return least + i32(most - each) + i32(mul_high(word, 2u * each + 1u));
}

fn draw_row(row: u32, shown: vec2<u32>, middle: vec2<i32>) -> Drawn {
    var r = Drawn(middle, vec2<bool>(false), vec4<f32>(1.0, 0.0, 0.0, 1.0), vec2<f32>(0.0), vec3<f32>(1.0), 0.0, vec4<i32>(0));
    let s = strength();
    if (CORNER || MIRRORS) {
        let places = augment_words(row, 0u);
        if (CORNER) {
            let chance = augment_word(CORNER_AT);
            if (chance == 0xffffffffu || augment_words(row, 1u).x < chance) {
                r.corner = vec2<i32>(begins(0u, places.x, s), begins(1u, places.y, s));
            }
        }
        if (MIRRORS) {
            r.mirrored.x = falls_weakened(places.z, augment_word(MIRRORS_AT), s);
            r.mirrored.y = falls_weakened(places.w, augment_word(MIRRORS_AT + 1u), s);
        }
    }
    if (AFFINE) {
        let a = augment_words(row, 1u);
        let b = augment_words(row, 2u);
        let c = augment_words(row, 3u);
        let turned = turn(drawn_number(a.z, a.w, ROTATE_AT, 0.0, s));
        r.moved = vec2<f32>(drawn_number(b.x, b.y, TRANSLATE_AT, 0.0, s), drawn_number(b.x, b.z, TRANSLATE_AT + 3u, 0.0, s));
        let larger = drawn_number(b.w, c.x, SCALE_AT, 1.0, s);
        let sheared = turn(drawn_number(c.y, c.z, SHEAR_AT, 0.0, s));
        let tangent = sheared.x / sheared.y;
        r.inverse = vec4<f32>(turned.y - turned.x * tangent, turned.y * tangent + turned.x, -turned.x, turned.y) / larger;
    }
    if (COLOURS) {
        let a = augment_words(row, 3u);
        let b = augment_words(row, 4u);
        r.colours.x = drawn_number(a.w, b.x, BRIGHTNESS_AT, 1.0, s);
        r.colours.y = drawn_number(b.y, b.z, CONTRAST_AT, 1.0, s);
        if (SATURATION) { r.colours.z = drawn_number(b.w, augment_words(row, 5u).x, SATURATION_AT, 1.0, s); }
    }
    if (NOISE) {
        var coin = 0u;
        if (augment_word(NOISE_AT) != 0xffffffffu) { coin = augment_words(row, 1u).y; }
        r.noise = drawn_number(coin, 0u, NOISE_AT, 0.0, s);
    }
    if (ERASE) {
        let a = augment_words(row, 5u);
        if (falls_weakened(a.y, augment_word(ERASE_AT), s)) {
            let b = augment_words(row, 6u);
            let size = augment_word(HOLES + (a.z >> (32u - ENTRY_BITS)));
            let wide = min(size & 0xffffu, shown.x);
            let high = min(size >> 16u, shown.y);
            let x = mul_high(b.x, shown.x + 1u - wide);
            let y = mul_high(b.y, shown.y + 1u - high);
            r.hole = vec4<i32>(vec4<u32>(x, y, x + wide, y + high));
        }
    }
    return r;
}

fn draw_partner(row: u32, rows: u32, shown: vec2<u32>) -> Partner {
    var p = Partner(row, 1.0, vec4<i32>(0));
    if (rows < 2u) { return p; }
    let s = strength();
    let a = augment_words(row, 6u);
    let b = augment_words(row, 7u);
    let other = (row + 1u + mul_high(a.w, rows - 1u)) % rows;
    if (MIXUP && falls_weakened(a.z, augment_word(MIXUP_AT), s)) {
        p.row = other;
        p.share = augment_number(SHARES + (b.x >> (32u - ENTRY_BITS)));
    } else if (CUTMIX && falls_weakened(b.y, augment_word(CUTMIX_AT), s)) {
        let size = augment_word(CUTS + (b.x >> (32u - ENTRY_BITS)));
        let wide = i32(size & 0xffffu);
        let high = i32(size >> 16u);
        let start = vec2<i32>(i32(mul_high(b.z, shown.x)) - wide / 2, i32(mul_high(b.w, shown.y)) - high / 2);
        let end = min(start + vec2<i32>(wide, high), vec2<i32>(shown));
        p.cut = vec4<i32>(max(start, vec2<i32>(0)), end);
        p.row = other;
        p.share = 1.0 - f32((p.cut.z - p.cut.x) * (p.cut.w - p.cut.y)) / f32(shown.x * shown.y);
    }
    return p;
}

// At once: by a chain of `&&` Chromium's software compiler never comes back from some texts.
fn in_box(b: vec4<i32>, x: i32, y: i32) -> bool {
    let p = vec2<i32>(x, y);
    return all((p >= b.xy) & (p < b.zw));
}

fn between(a: f32, b: f32, part: f32) -> f32 { return a + (b - a) * part; }
