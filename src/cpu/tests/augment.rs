//! What training changes at random, beside torchvision's transforms with the same parameters: `tests/golden/make_augment.py`.

use crate::cpu::gathered;
use crate::graph::augment::{Augmentation, Chance, Corner, Drawable, ImageSize, Touches};
use crate::graph::{Augmented, Field};
use crate::kernels::words::StateWords;
use crate::kernels::{Gather, GatherField};
use crate::tensor::DType;
use serde_json::Value;
use std::sync::Arc;

const GOLDEN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/augment.json"));

/// One number for every row.
fn fixed(v: &Value, of: impl Fn(f64) -> f64) -> Drawable {
    v.as_f64().map_or(Drawable::default(), |v| Drawable { chance: Chance::ALWAYS, low: of(v) as f32, high: of(v) as f32 })
}

#[test]
fn images_are_torchvisions() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let floats = |v: &Value| v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>();
    let whole = |v: &Value| v.as_u64().unwrap() as usize;
    let (high, wide) = (whole(&golden["high"]), whole(&golden["wide"]));
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() > 30);
    for case in cases {
        let (channels, shown) = (whole(&case["channels"]), [whole(&case["shown"][0]), whole(&case["shown"][1])]);
        let same = |v: f64| v;
        let mut by = Augmentation {
            rotate: fixed(&case["degrees"], f64::to_radians),
            shear: fixed(&case["shear"], f64::to_radians),
            scale: fixed(&case["scale"], same),
            translate: [fixed(&case["moved"][0], same), fixed(&case["moved"][1], same)],
            brightness: fixed(&case["brightness"], same),
            saturation: fixed(&case["saturation"], same),
            ..Augmentation::default()
        };
        if let Some(corner) = case["corner"].as_array() {
            let least = [0, 1].map(|i| corner[i].as_i64().unwrap() as i32);
            by.corner = Corner { chance: Chance::ALWAYS, least, ways: [1, 1], fades: false };
        }
        if let Some(mirrored) = case["mirrored"].as_array() {
            by.mirrors = [0, 1].map(|i| if mirrored[i] == true { Chance::ALWAYS } else { Chance::NEVER });
        }
        let x: Vec<u32> = floats(&case["x"]).iter().map(|v| (*v as f32).to_bits()).collect();
        let hole = case["hole"].as_array().map(|h| [0, 1, 2, 3].map(|i| h[i].as_u64().unwrap() as usize));
        let image = ImageSize { stored: [channels, high, wide], shown };
        let augmented = Some(Augmented { by: Arc::new(by), touches: Touches::All });
        let mut field = Field { image: Some(image), augmented, ..Field::new("x", DType::F32, [channels, shown[0], shown[1]]) };
        if let Some([left, top, right, bottom]) = hole {
            // of one size; the row whose hole lies there is looked for
            let size = ((bottom - top) << 16 | (right - left)) as u32;
            let by = Augmentation { erase: Chance::ALWAYS, holes: vec![size; crate::graph::augment::ENTRIES], ..Augmentation::default() };
            let at = |row: usize| by.draw(0, 0, 0, row, shown, [0, 0]).hole.from == [left as i32, top as i32];
            assert!((0..2000).any(at), "no hole lies there");
            field.augmented = Some(Augmented { by: Arc::new(by), touches: Touches::All });
        }
        let rows = hole.map_or(1, |[left, top, ..]| {
            let by = &field.augmented.as_ref().unwrap().by;
            (0..2000).position(|r| by.draw(0, 0, 0, r, shown, [0, 0]).hole.from == [left as i32, top as i32]).unwrap() + 1
        });
        let gather = Gather { batch: rows, listed: false, fields: vec![GatherField { field, output: 0, half: false }], tables: 0 };
        let state = StateWords { rows: rows as u32, ..StateWords::default() }.words();
        let made = gathered(&gather, &state, &[x.repeat(rows)]).unwrap().swap_remove(0);
        let wanted = floats(&case["y"]);
        assert!(made.len() == rows * wanted.len());
        let last = made[(rows - 1) * wanted.len()..].iter().map(|w| f64::from(f32::from_bits(*w)));
        // a bilinear sample of random pixels: a place that is off by 1e-5 moves a value by as much
        // (brightness of floats is not bounded to 1 here, and is there)
        let bounded = |v: f64| if case["brightness"].is_number() || case["saturation"].is_number() { v.clamp(0.0, 1.0) } else { v };
        for (i, (found, wanted)) in last.zip(wanted).enumerate() {
            assert!((bounded(found) - wanted).abs() < 2e-5, "{} {i}: {found} for {wanted}, of {case}", case["name"]);
        }
    }
}
