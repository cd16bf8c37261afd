//! How close pools and changes of size must come: what they round, and what their operands' tolerances move them by.

use crate::tolerance::{Known, Moved, sum};
use gradus::graph::Type;
use gradus::graph::op::{MaxPool, PoolPart, Resample};

/// Picking a value rounds nothing; where two are too close to call either may be picked.
pub fn max_pool(op: &MaxPool, x: &[(&Known, &Type)], y: &[f64], mixed: bool) -> Vec<f64> {
    let (w, s, values) = (&op.window, &x[0].1.shape, x[0].0);
    let (channels, positions) = (s[3], w.positions[0] * w.positions[1]);
    let mut found: Vec<(usize, f64, Moved)> = y.iter().map(|_| Default::default()).collect();
    for e in 0..s[0] * positions * channels {
        let (image, position) = (e / channels / positions, e / channels % positions);
        let place = |[row, column]: [usize; 2]| ((image * w.image[0] + row) * w.image[1] + column) * channels + e % channels;
        let places: Vec<usize> = (0..w.taps()).filter_map(|tap| w.inside(position, tap)).map(place).collect();
        let best = places.iter().copied().reduce(|a, b| if values.value[b] > values.value[a] { b } else { a }).unwrap();
        let near = |&p: &usize| {
            let both = values.tol[p] + values.tol[best];
            p != best && both > 0.0 && values.value[best] - values.value[p] <= both
        };
        let close: Vec<usize> = places.iter().copied().filter(near).collect();
        match op.part {
            PoolPart::Largest => found[e].2.add(close.iter().chain([&best]).map(|&p| values.tol[p]).fold(0.0, f64::max)),
            PoolPart::Picked => {
                let (v, tol) = (&x[1].0.value, &x[1].0.tol);
                let moved = |&p: &usize| (v[p] - v[best]).abs() + tol[p];
                found[e].2.add(close.iter().map(moved).fold(tol[best], f64::max));
            }
            PoolPart::Back => {
                let (v, tol) = (x[1].0.value[e].abs(), x[1].0.tol[e]);
                let (terms, scale, moved) = &mut found[best];
                (*terms, *scale) = (*terms + 1, scale.max(v));
                moved.add(tol);
                if !close.is_empty() {
                    close.iter().chain([&best]).for_each(|&p| found[p].2.add(v + tol));
                }
            }
        }
    }
    let rounded = |terms: usize, scale: f64, y: f64| if terms > 1 { sum(terms, scale, y) } else { 0.0 };
    found.iter().zip(y).map(|((terms, scale, moved), &y)| rounded(*terms, *scale, y) + moved.total(mixed)).collect()
}

/// A sum of products with the weights of rows and columns.
pub fn resample(op: &Resample, (x, ty): (&Known, &Type), y: &[f64], mixed: bool) -> Vec<f64> {
    let ([down, across], s) = (op.0.map(|s| s.lists()), &ty.shape);
    let element = |(e, &y): (usize, &f64)| {
        let (channel, place) = (e % s[3], e / s[3]);
        let (column, row, image) = (place % across.len(), place / across.len() % down.len(), place / across.len() / down.len());
        let (mut terms, mut scale, mut moved) = (0, 0.0f64, Moved::default());
        for (r, a) in &down[row] {
            for (c, b) in &across[column] {
                let at = ((image * s[1] + r) * s[2] + c) * s[3] + channel;
                (terms, scale) = (terms + 1, scale.max((x.value[at] * a * b).abs()));
                moved.add(x.tol[at] * a * b);
            }
        }
        if terms == 0 { 0.0 } else { sum(terms, scale, y) + moved.total(mixed) }
    };
    y.iter().enumerate().map(element).collect()
}
