//! What training changes at random, against plain loops in f64: crops and flips, the affine map, colours, holes, mixed rows, noise, normalised channels, windows
//! that overlap. The loops take a row's numbers from `Augmentation::draw`, whose distributions `tests/run/augment.rs` checks.

use crate::make::{Case, Make, Order, Stored, field};
use gradus::graph::augment::{Augmentation, Chance, Corner, Drawable, Drawn, ENTRIES, ImageSize, Touches};
use gradus::graph::{Augmented, Channels, Field};
use gradus::reference::{Data, draw};
use gradus::tensor::DType;
use std::sync::Arc;

/// What the gather should give for a field.
pub fn gathered(own: &Stored, fields: &[Stored], order: &Order, batch: u32) -> Data<f64> {
    let f = &own.field;
    let image = fields.iter().find_map(|s| s.field.image);
    let shown = image.map_or([1, 1], |i| i.shown);
    let middle = image.map_or([0, 0], |i| middle(&i));
    let by = f.augmented.as_ref().map(|a| &*a.by);
    let still = Drawn::nothing(f.image.map_or([0, 0], |i| self::middle(&i)));
    let touched = |t: Touches| f.augmented.as_ref().is_some_and(|a| a.touches == t);
    let drawn = |row: usize| match by {
        Some(a) if !touched(Touches::Mixing) => a.draw(order.seed, batch, order.epoch, row, shown, middle),
        _ => still,
    };
    let width = f.row.size() * f.one_hot.unwrap_or(1);
    let noise = by.filter(|a| touched(Touches::All) && a.noise.chance.is_some()).map(|_| {
        let wide = width.next_multiple_of(4);
        let draws = gradus::graph::Draws {
            distribution: gradus::graph::Distribution::Normal,
            shape: [order.batch * wide].into(),
            stream: "augment.noise".into(),
        };
        (draw::<f64>(&draws, order.seed, batch).to_f64(), wide)
    });
    let mut all = Vec::new();
    for row in 0..order.batch {
        let mine = drawn(row);
        let partner = by.and_then(|a| a.partner(order.seed, batch, order.epoch, row, order.batch, shown)).filter(|p| p.share < 1.0);
        for e in 0..width {
            let value = |row: usize, r: &Drawn| match f.one_hot {
                Some(_) => f64::from(u8::from(own.row(order.source(row))[0] == e as f64)),
                None => shown_value(f, own.row(order.source(row)), r, by, e),
            };
            let mut v = value(row, &mine);
            if let Some(p) = partner {
                let theirs = value(p.row, &drawn(p.row));
                let inside = p.cut.filter(|_| f.image.is_some() && !touched(Touches::Mixing)).map(|c| {
                    let [rows, columns] = f.image.unwrap().shown;
                    let (x, y) = ((e % columns) as i32, (e / columns % rows) as i32);
                    (c.from[0]..c.to[0]).contains(&x) && (c.from[1]..c.to[1]).contains(&y)
                });
                v = match inside {
                    Some(true) => theirs,
                    Some(false) => v,
                    None => f64::from(p.share) * v + (1.0 - f64::from(p.share)) * theirs,
                };
            }
            if let Some((noise, wide)) = &noise {
                v += f64::from(mine.noise) * noise[row * wide + e];
            }
            all.push(v);
        }
    }
    if f.keep_integer { Data::Integer(all.into_iter().map(|v| v as u32).collect()) } else { Data::Real(all) }
}

fn middle(i: &ImageSize) -> [i32; 2] {
    let half = |stored: usize, shown: usize| (stored as f64 - shown as f64).div_euclid(2.0) as i32;
    [half(i.stored[2], i.shown[1]), half(i.stored[1], i.shown[0])]
}

/// An element of a row before rows are mixed.
fn shown_value(f: &Field, stored: &[f64], r: &Drawn, by: Option<&Augmentation>, e: usize) -> f64 {
    let touched = f.augmented.as_ref().map(|a| a.touches);
    let all = touched == Some(Touches::All);
    let Some(image) = f.image else { return scaled(f, stored[e], e) };
    let [rows, columns] = image.shown;
    let (x, y, channel) = (e % columns, e / columns % rows, e / columns / rows);
    let coloured = |channel: usize| {
        let mut v = sampled(f, &image, stored, r, [x, y, channel]);
        let bound = |v: f64| if f.stored == DType::U8 { v.clamp(0.0, 255.0) } else { v };
        if all {
            v = bound(v * f64::from(r.colours[0]));
            let mean = f64::from(by.map_or(0.0, |a| a.mean));
            v = bound(mean + (v - mean) * f64::from(r.colours[1]));
        }
        v
    };
    let mut v = coloured(channel);
    if all && r.colours[2] != 1.0 {
        let grey = 0.2989 * coloured(0) + 0.587 * coloured(1) + 0.114 * coloured(2);
        v = grey + (v - grey) * f64::from(r.colours[2]);
        v = if f.stored == DType::U8 { v.clamp(0.0, 255.0) } else { v };
    }
    if f.keep_integer {
        return v;
    }
    let hole = (r.hole.from[0]..r.hole.to[0]).contains(&(x as i32)) && (r.hole.from[1]..r.hole.to[1]).contains(&(y as i32));
    if all && hole { 0.0 } else { scaled(f, v, e) }
}

fn scaled(f: &Field, v: f64, e: usize) -> f64 {
    if f.keep_integer {
        return v;
    }
    let (scale, shift) = match &f.channels {
        Some(c) => {
            let i = e / c.each % c.scale.len();
            (c.scale[i], c.shift[i])
        }
        None => (f.scale, f.shift),
    };
    v * f64::from(scale) + f64::from(shift)
}

/// What stands at a place: of the nearest one for integers, else between four.
fn sampled(f: &Field, image: &ImageSize, stored: &[f64], r: &Drawn, [x, y, channel]: [usize; 3]) -> f64 {
    let [_, high, wide] = image.stored;
    let at = |x: f64, y: f64| {
        let inside = x >= 0.0 && y >= 0.0 && x < wide as f64 && y < high as f64;
        if inside { stored[(channel * high + y as usize) * wide + x as usize] } else { 0.0 }
    };
    let x = if r.mirrored[0] { image.shown[1] - 1 - x } else { x } as f64 + f64::from(r.corner[0]);
    let y = if r.mirrored[1] { image.shown[0] - 1 - y } else { y } as f64 + f64::from(r.corner[1]);
    let [mx, my] = [(wide as f64 - 1.0) / 2.0, (high as f64 - 1.0) / 2.0];
    let (qx, qy) = (x - mx - f64::from(r.moved[0]), y - my - f64::from(r.moved[1]));
    let [a, b, c, d] = r.inverse.map(f64::from);
    let (px, py) = (a * qx + b * qy + mx, c * qx + d * qy + my);
    if f.keep_integer {
        return at((px + 0.5).floor(), (py + 0.5).floor());
    }
    let (fx, fy) = (px.floor(), py.floor());
    let (tx, ty) = (px - fx, py - fy);
    let line = |y: f64| at(fx, y) * (1.0 - tx) + at(fx + 1.0, y) * tx;
    line(fy) * (1.0 - ty) + line(fy + 1.0) * ty
}

const ALWAYS: Chance = Chance::ALWAYS;

fn half() -> Chance {
    Chance::of(0.5)
}

fn evenly(chance: Chance, low: f32, high: f32) -> Drawable {
    Drawable { chance, low, high }
}

fn shift(most: u32, chance: Chance) -> Corner {
    Corner { chance, least: [-(most as i32); 2], ways: [2 * most + 1; 2], fades: true }
}

/// A table of sizes from 1 to these, and one of shares.
fn sizes(rows: u32, columns: u32) -> Vec<u32> {
    (0..ENTRIES as u32).map(|i| (1 + i % rows) << 16 | (1 + i / 7 % columns)).collect()
}

fn shares() -> Vec<u32> {
    (0..ENTRIES).map(|i| (i as f32 / (ENTRIES - 1) as f32).to_bits()).collect()
}

/// Names and what is drawn, for images of 9 rows and 12 columns.
fn augmentations() -> Vec<(&'static str, Augmentation)> {
    let none = Augmentation::default;
    let affine = || Augmentation {
        rotate: evenly(ALWAYS, -3.1, 3.1),
        translate: [evenly(ALWAYS, -3.0, 3.0), evenly(ALWAYS, -2.0, 2.0)],
        scale: evenly(half(), 0.5, 2.0),
        shear: evenly(half(), -0.5, 0.5),
        ..none()
    };
    let colours = || Augmentation { brightness: evenly(ALWAYS, 0.5, 1.5), contrast: evenly(half(), 0.2, 1.8), mean: 77.0, ..none() };
    vec![
        ("shift", Augmentation { corner: shift(3, ALWAYS), ..none() }),
        ("shift of some, far", Augmentation { corner: shift(40, half()), ..none() }),
        ("flips", Augmentation { mirrors: [half(), half()], ..none() }),
        ("shift and flips", Augmentation { corner: shift(2, ALWAYS), mirrors: [half(), ALWAYS], ..none() }),
        ("rotation", Augmentation { rotate: evenly(half(), -0.4, 0.4), ..none() }),
        ("all of the affine map", affine()),
        ("affine, shift and flips", Augmentation { corner: shift(2, half()), mirrors: [half(), half()], ..affine() }),
        ("brightness and contrast", colours()),
        ("holes", Augmentation { erase: half(), holes: sizes(9, 12), ..none() }),
        ("noise", Augmentation { noise: evenly(ALWAYS, 0.3, 0.3), ..none() }),
        ("noise in some", Augmentation { noise: evenly(half(), 0.3, 0.3), ..none() }),
        ("mixup", Augmentation { mixup: half(), shares: shares(), ..none() }),
        ("cutmix", Augmentation { cutmix: half(), cuts: sizes(9, 12), ..none() }),
        (
            "a weaker shift, flips and noise",
            Augmentation {
                corner: shift(4, ALWAYS),
                mirrors: [ALWAYS, half()],
                noise: evenly(ALWAYS, 1.0, 1.0),
                rotate: evenly(ALWAYS, -1.0, 1.0),
                strengths: vec![0, 65536, 20_000],
                ..none()
            },
        ),
        (
            "everything",
            Augmentation {
                corner: shift(2, half()),
                mirrors: [half(), half()],
                erase: half(),
                holes: sizes(9, 12),
                mixup: half(),
                shares: shares(),
                cutmix: half(),
                cuts: sizes(9, 12),
                noise: evenly(half(), 0.1, 0.1),
                brightness: evenly(half(), 0.5, 1.5),
                contrast: evenly(half(), 0.2, 1.8),
                mean: 77.0,
                ..affine()
            },
        ),
    ]
}

/// The cases whose texts Chromium compiles, too. From that of everything at once its software compiler does not come back within two minutes.
pub fn for_browsers() -> Vec<Case> {
    cases().into_iter().filter(|c| !c.name.starts_with("everything") && !c.name.contains("of one row, mixed")).collect()
}

pub fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    let image = |stored: [usize; 3], shown: [usize; 2], dtype: DType| Field {
        image: Some(ImageSize { stored, shown }),
        scale: 2.0 / 255.0,
        shift: -0.25,
        ..field("x", dtype, [stored[0], shown[0], shown[1]])
    };
    let values = |f: &Field| {
        let (stored, classes) = (f.stored, f.one_hot.is_some());
        move |u: f64| match stored {
            _ if classes => (u * 7.0).floor(),
            DType::F32 => 400.0 * u - 100.0,
            _ => (u * 256.0).floor(),
        }
    };
    let with = |f: Field, by: &Arc<Augmentation>, touches: Touches| Field { augmented: Some(Augmented { by: by.clone(), touches }), ..f };
    for (number, (name, by)) in augmentations().into_iter().enumerate() {
        let by = Arc::new(by);
        // rows of vectors, rows of none, more channels, floats, a mask beside it
        let sizes: [(&str, [usize; 3], [usize; 2], DType); 4] = [
            ("bytes", [1, 9, 12], [9, 12], DType::U8),
            ("odd bytes", [1, 9, 11], [9, 11], DType::U8),
            ("colours", [3, 9, 12], [9, 12], DType::U8),
            ("floats", [2, 9, 12], [9, 12], DType::F32),
        ];
        // bytes always, and another kind
        for (kind, stored, shown, dtype) in [sizes[0], sizes[1 + number % 3]] {
            let by = by.clone();
            let body = move |m: &Make| {
                let x = with(image(stored, shown, dtype), &by, Touches::All);
                m.output("x", &m.field(x.clone(), values(&x)));
                let places = Field { scale: 1.0, shift: 0.0, ..image([1, stored[1], stored[2]], shown, DType::U8) };
                let mask = with(Field { name: "mask".into(), ..places.clone() }, &by, Touches::Places);
                m.output("mask", &m.field(mask.clone(), values(&mask)));
                if by.mixes() {
                    let y = with(Field { one_hot: Some(7), ..field("y", DType::U8, []) }, &by, Touches::Mixing);
                    m.output("y", &m.field(y.clone(), values(&y)));
                }
            };
            out.push(Case::predict(format!("{name}: {kind}"), body).over(Order::shuffled(13, 31)));
        }
    }
    let crop = Augmentation {
        corner: Corner { chance: ALWAYS, least: [-2, -2], ways: [7, 6], fades: false },
        mirrors: [half(), Chance::NEVER],
        ..Augmentation::default()
    };
    let saturated = Augmentation { saturation: evenly(ALWAYS, 0.0, 2.0), brightness: evenly(ALWAYS, 0.5, 1.5), ..Augmentation::default() };
    let integers = Augmentation {
        rotate: evenly(ALWAYS, -0.7, 0.7),
        cutmix: half(),
        cuts: self::sizes(9, 12),
        mirrors: [half(); 2],
        ..Augmentation::default()
    };
    let mut one = |name: &str, f: Field, order: Order| {
        let body = move |m: &Make| m.output("x", &m.field(f.clone(), values(&f)));
        out.push(Case::predict(name.to_string(), body).over(order));
    };
    let over = Order::shuffled(9, 20);
    let by = |a: &Augmentation| Arc::new(a.clone());
    one("a crop to 8 x 10", with(image([3, 9, 12], [8, 10], DType::U8), &by(&crop), Touches::All), over);
    one(
        "a crop of a flattened image",
        Field { row: [8 * 10].into(), ..with(image([1, 9, 12], [8, 10], DType::U8), &by(&crop), Touches::All) },
        over,
    );
    one("the middle of bytes", image([2, 9, 12], [4, 8], DType::U8), over);
    one("the middle of floats", image([1, 9, 12], [5, 7], DType::F32), over);
    one("more than the image", image([1, 9, 12], [11, 17], DType::F32), over);
    one("saturation", with(image([3, 9, 12], [9, 12], DType::U8), &by(&saturated), Touches::All), over);
    one(
        "integers of a mask",
        Field { keep_integer: true, ..with(image([1, 9, 12], [9, 12], DType::U8), &by(&integers), Touches::Places) },
        over,
    );
    one(
        "integers in words",
        Field { keep_integer: true, ..with(image([1, 9, 11], [9, 11], DType::U32), &by(&integers), Touches::Places) },
        over,
    );
    one(
        "a batch of one row, mixed",
        with(image([1, 9, 12], [9, 12], DType::U8), &by(&augmentations().pop().unwrap().1), Touches::All),
        Order::shuffled(1, 20),
    );
    let salted = Augmentation { corner: shift(3, ALWAYS), salt: 0x1234_5678_9abc_def0, ..Augmentation::default() };
    one("a shift by a seed of its own", with(image([1, 9, 12], [9, 12], DType::U8), &by(&salted), Touches::All), over);
    let channels = |each: usize, n: usize| {
        let number = |i: usize, by: f32| 0.5 + by * i as f32;
        Some(Arc::new(Channels {
            each,
            scale: (0..n).map(|i| number(i, 0.25)).collect(),
            shift: (0..n).map(|i| number(i, -1.0)).collect(),
        }))
    };
    one("normalised columns", Field { channels: channels(1, 5), ..field("x", DType::F32, [5]) }, over);
    one("normalised planes", Field { channels: channels(108, 3), ..image([3, 9, 12], [9, 12], DType::U8) }, over);
    one("windows", Field { step: Some(3), ..field("x", DType::F32, [5, 3]) }, over);
    one("windows of vectors, normalised", Field { step: Some(8), channels: channels(1, 4), ..field("x", DType::F32, [6, 4]) }, over);
    one("windows far apart", Field { step: Some(100), ..field("x", DType::F32, [8]) }, over);
    let mixed = by(&Augmentation { mixup: half(), shares: shares(), ..Augmentation::default() });
    one("real labels, mixed", with(field("z", DType::F32, [3]), &mixed, Touches::Mixing), over);
    let noise = Augmentation { noise: evenly(ALWAYS, 0.5, 0.5), mixup: half(), shares: shares(), ..Augmentation::default() };
    one("rows of a table with noise and mixup", with(field("x", DType::F32, [7]), &by(&noise), Touches::All), over);
    out
}
