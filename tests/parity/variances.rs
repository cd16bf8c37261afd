//! Variances, with the mean beside them or alone.

use crate::make::Case;

/// Narrow and wide, one row, one column; columns one by one, by fours, shared and in pieces; rows that are too few to be gone along in one launch, by fours
/// and in pieces.
pub fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    let shapes: [(&[usize], usize); 13] = [
        (&[20, 17_000], 1),
        (&[7, 33], 0),
        (&[7, 33], 1),
        (&[1, 33], 0),
        (&[300, 1], 0),
        (&[300, 64], 0),
        (&[1030, 255], 0),
        (&[4, 70, 5], 1),
        (&[5000, 3], 0),
        (&[4100, 12], 0),
        (&[3, 1500], 1),
        (&[3, 5003], 1),
        (&[3, 5004], 1),
    ];
    for (shape, axis) in shapes {
        out.push(Case::new(format!("variance of {shape:?} over {axis}"), move |m| {
            m.weigh(&(m.p(shape) * 2.0 - 0.5).variance_keep(&[axis]))
        }));
    }
    // far from 0 and close together; a first one that is far from all others
    for (shape, axis) in [(&[300, 12][..], 0), (&[4100, 5], 0), (&[3, 5004], 1)] {
        out.push(Case::predict(format!("statistics of {shape:?} far away over {axis}"), move |m| {
            let x = m.drawn(shape, |u| 1000.0 + 0.1 * u);
            m.output("mean", &x.mean_from_first(&[axis]));
            m.output("variance", &x.variance_keep(&[axis]));
        }));
        out.push(Case::predict(format!("variance of {shape:?} with an outlier over {axis}"), move |m| {
            let at = std::cell::Cell::new(0);
            let first = if axis == 0 { shape[1] } else { 1 };
            let x = m.drawn(shape, |u| if at.replace(at.get() + 1) < first { 300.0 } else { u });
            m.output("variance", &x.variance_keep(&[axis]));
        }));
    }
    out.push(Case::new("variance over two axes that are apart", |m| m.weigh(&m.p([3, 5, 31]).variance_keep(&[0, 2]))));
    out.push(Case::new("variance over two neighbours", |m| m.weigh(&m.p([5, 3, 11]).variance_keep(&[1, 2]))));
    out.push(Case::new("variance over no axis", |m| m.weigh(&(m.p([7, 3]).variance_keep(&[]) + m.p([7, 3])))));
    // two means that nobody reads, and lanes of four: as much as lanes may hold
    out.push(Case::new("two variances of [300, 64]", |m| {
        let x = m.p([300, 64]);
        m.weigh(&(x.variance_keep(&[0]) * (&x * 2.0).variance_keep(&[0])))
    }));
    // seven operands, of which a variance leaves no room for its mean
    out.push(Case::new("variance of seven operands", |m| {
        let sum = (0..7).map(|_| m.p([30, 6])).reduce(|a, b| a + b);
        sum.map_or_else(|| m.p([]), |sum| m.weigh(&sum.variance_keep(&[0])))
    }));
    out.push(Case::predict("variance far beyond", |m| {
        let x = m.drawn([300, 12], |u| 1e18 * u);
        m.output("variance", &x.variance_keep(&[0]));
    }));
    out.push(Case::new("two variances and a sum", |m| {
        let x = m.p([70, 9]);
        let y = x.variance_keep(&[0]) * x.sum_keep(&[0]) + (&x * 2.0).variance_keep(&[0]);
        m.weigh(&y)
    }));
    out
}
