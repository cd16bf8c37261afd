//! Each twin against the reference in f64. Tolerance: DESIGN's 1e-6 sqrt(K) for sums and 1e-5 for formulas, relative to the largest value.

use super::harness::{Model, bits, check, check_within, close, field};
use crate::expr::Activation;
use crate::graph::{Field, Var};
use crate::kernels::Target;
use crate::kernels::words::{STATE_SHUFFLE, STATE_WORDS};
use crate::plan::{Blocking, BufferId, Session, StateSet};
use crate::reference::Data;
use crate::rng::Permutation;
use crate::tensor::DType;

#[test]
fn maps() {
    for n in [1, 3, 255, 256, 257, 1000, 60_001] {
        check(&format!("flat {n}"), 1, |m| {
            let (x, y) = (m.parameter(&[n]), m.parameter(&[n]));
            let z = &x * &y;
            vec![&z + 0.5, z.tanh(), x.sigmoid() / (y.square() + 1.0)]
        });
    }
    for a in Activation::ALL {
        check(a.name(), 1, |m| vec![m.parameter(&[300]).activation(*a)]);
    }
}

#[test]
fn maps_broadcast() {
    for (a, b) in [
        (&[4, 1, 300][..], &[5, 1][..]),
        (&[7, 3], &[3]),
        (&[7, 3], &[7, 1]),
        (&[1, 9], &[9, 1]),
        (&[2, 3, 4, 5], &[3, 1, 5]),
        (&[300], &[1]),
        (&[2, 1, 2, 1, 2], &[1, 300, 1, 3, 1]),
    ] {
        check(&format!("{a:?} {b:?}"), 1, |m| vec![m.parameter(a) - m.parameter(b) * 2.0]);
    }
    check("broadcast_to", 1, |m| vec![m.parameter(&[3, 1]).broadcast_to([4, 3, 70])]);
}

#[test]
fn reductions() {
    let shapes: &[(&[usize], &[usize])] = &[
        (&[1], &[0]),
        (&[257], &[0]),
        (&[1025], &[0]),
        (&[100_003], &[0]),
        (&[300, 3], &[0]),
        (&[3, 300], &[0]),
        (&[5, 700], &[0]),
        (&[1000, 10], &[1]),
        (&[10, 1000], &[1]),
        (&[3, 5000], &[1]),
        (&[7, 129], &[1]),
        (&[4, 70, 300], &[1]),
        (&[4, 70, 3], &[1]),
        (&[4, 5, 6, 7], &[1, 2]),
        (&[4, 5, 6, 7], &[0, 2]),
        (&[2000, 33], &[0, 1]),
    ];
    for (shape, axes) in shapes {
        let terms = axes.iter().map(|&a| shape[a]).product();
        check(&format!("{shape:?} {axes:?}"), terms, |m| {
            let (x, y) = (m.parameter(shape), m.parameter(shape));
            vec![x.sum_axes(axes), (&x * &y).mean_axes(axes), (&x + 3.0).mean()]
        });
    }
}

/// A sum of numbers of one sign, where a plain f32 loop drifts.
#[test]
fn long_sums_do_not_drift() {
    for (shape, axis) in [(&[1_000_000][..], 0), (&[100_000, 3], 0), (&[16, 300_000], 1)] {
        check_within(&format!("{shape:?}"), 3e-7, |m| vec![(m.parameter(shape) * 1e-3 + 1.1).mean_axes(&[axis])]);
    }
}

fn operand(m: &Model, batch: usize, rows: usize, columns: usize, turned: bool) -> Var {
    let [r, c] = if turned { [columns, rows] } else { [rows, columns] };
    if batch == 1 { m.parameter(&[r, c]) } else { m.parameter(&[batch, r, c]) }
}

#[test]
fn products() {
    for [b, m, n, k] in [
        [1, 1, 1, 1],
        [1, 3, 5, 1],
        [1, 3, 5, 2],
        [1, 1, 70, 33],
        [1, 70, 1, 33],
        [1, 17, 10, 300],
        [1, 33, 70, 801],
        [1, 64, 200, 64],
        [1, 257, 129, 65],
        [5, 3, 4, 7],
        [3, 33, 17, 257],
    ] {
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            check(&format!("{b}x{m}x{n}x{k} {ta} {tb}"), k, |g| {
                let (x, y) = (operand(g, b, m, k, ta), operand(g, b, k, n, tb));
                let z = x.matmul_with(&y, ta, tb);
                let h = (&z + g.parameter(&[n])).relu();
                let rows = &h * g.parameter(&[m, 1]) + operand(g, b, m, n, false);
                vec![rows, z]
            });
            check(&format!("{b}x{m}x{n}x{k} {ta} {tb} planes"), k, |g| {
                let (x, y) = (operand(g, b, m, k, ta), operand(g, b, k, n, tb));
                vec![x.matmul_with(&y, ta, tb) - operand(g, b, m, 1, false) + operand(g, b, 1, n, false)]
            });
        }
    }
}

#[test]
fn softmax_rows() {
    for (rows, width) in [(1, 1), (3, 10), (65, 257), (700, 30)] {
        check(&format!("{rows}x{width}"), 1, |m| vec![(m.parameter(&[rows, width]) * 9.0).softmax()]);
    }
}

/// Labels of both kinds, batches of one workgroup and larger ones.
#[test]
fn classification() {
    for (rows, classes) in [(1, 2), (5, 3), (32, 10), (900, 10), (33, 1000)] {
        for one_hot in [None, Some(classes)] {
            for target in [Target::Software, Target::Gpu] {
                let name = format!("{rows}x{classes} {one_hot:?} {target:?}");
                let labels: Vec<u32> = (0..rows as u32).map(|i| i * 7919 % classes as u32).collect();
                let m = Model::new();
                let mut f = field("y", DType::U32, &[]);
                f.one_hot = one_hot;
                let y = m.b.batch(rows, f);
                let x = m.parameter(&[rows, classes]) * 5.0;
                let outputs = [x.cross_entropy(&y), x.accuracy(&y), (&x + 1.0).accuracy(&y)];
                let planned = m.finish(None, &outputs, rows, target).unwrap();
                let order = Permutation::new(rows as u32, 42, 0);
                let batch: Vec<u32> = (0..rows as u32).map(|i| labels[order.at(i) as usize]).collect();
                let feed = |_: &Field| match one_hot {
                    None => Data::Integer(batch.clone()),
                    Some(_) => {
                        Data::Real(batch.iter().flat_map(|&l| (0..classes).map(move |c| f64::from(u8::from(c == l as usize)))).collect())
                    }
                };
                for (got, want) in planned.outputs(std::slice::from_ref(&labels), &feed).unwrap() {
                    close(&name, &got, &want, 1e-5);
                }
            }
        }
    }
}

/// The first of equal scores is the largest, a NaN never is, and a class without weight adds nothing, masked or not.
#[test]
fn ties_and_masks() {
    let m = Model::new();
    let y = m.b.batch(4, Field { one_hot: Some(3), ..field("y", DType::U32, &[]) });
    let x = m.parameter(&[4, 3]);
    let p = m.finish(None, &[x.accuracy(&y), x.cross_entropy(&y)], 4, Target::Software).unwrap();
    let run = |scores: [f32; 12], labels: [u32; 4]| {
        let mut s = p.session(1, 4).unwrap();
        let mut state = s.read(BufferId::State(StateSet::Eval), 0, STATE_WORDS).unwrap();
        state[STATE_SHUFFLE] = 0;
        s.write(BufferId::State(StateSet::Eval), 0, &state).unwrap();
        s.write(BufferId::Parameters, 0, &bits(&scores)).unwrap();
        let ids = [s.add_data(&labels).unwrap()];
        let h = s.prepare(&p.program, &ids).unwrap();
        s.queue(h, 1, 0).unwrap();
        let mut get = |i: usize| f32::from_bits(s.read(p.program.outputs[i].buffer, p.program.outputs[i].offset, 1).unwrap()[0]);
        (get(0), get(1))
    };
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let (hits, loss) = run([1., 1., 0., 0., 2., 2., -inf, 3., 3., 5., -inf, 5.], [0, 1, 1, 2]);
    assert!(hits == 0.75 && (loss - 0.75172).abs() < 1e-4, "{hits} {loss}");
    let (hits, loss) = run([1., nan, 0., nan, 2., 2., 1., 3., nan, 9., 1., 5.], [0, 0, 1, 0]);
    assert!(hits == 1.0 && loss.is_nan(), "{hits} {loss}");
}

/// Every kind of field, in the epoch's order.
#[test]
fn fields() {
    let rows = 37;
    let bytes = |width: usize| -> (Vec<u8>, Vec<u32>) {
        let b: Vec<u8> = (0..rows * width).map(|i| (i * 89 % 251) as u8).collect();
        let words = b.chunks(width).flat_map(|r| r.chunks(4).map(|c| c.iter().rev().fold(0, |w, &b| w << 8 | u32::from(b))));
        (b.clone(), words.collect())
    };
    let m = Model::new();
    let (image, image_words) = bytes(11);
    let (label, label_words) = bytes(1);
    let label_words: Vec<u32> = label_words.iter().map(|w| w % 10).collect();
    let reals: Vec<f32> = (0..rows * 3).map(|i| i as f32 * 0.37 - 20.0).collect();
    let fields = [
        Field { scale: 1.0 / 255.0, shift: -0.5, ..field("image", DType::U8, &[11]) },
        Field { keep_integer: true, ..field("label", DType::U8, &[]) },
        Field { one_hot: Some(10), ..field("hot", DType::U8, &[]) },
        Field { scale: 2.0, ..field("real", DType::F32, &[3]) },
        field("index", DType::U32, &[]),
    ];
    let vars = fields.clone().map(|f| m.b.batch(rows, f));
    let planned = m.finish(None, &vars, rows, Target::Software).unwrap();
    let order = Permutation::new(rows as u32, 42, 0);
    let at = |i: usize, w: usize| order.at((i / w) as u32) as usize * w + i % w;
    let feed = |f: &Field| match f.name.as_str() {
        "image" => Data::Real((0..rows * 11).map(|i| f64::from(image[at(i, 11)]) / 255.0 - 0.5).collect()),
        "label" => Data::Integer((0..rows).map(|i| u32::from(label[at(i, 1)]) % 10).collect()),
        "hot" => Data::Real((0..rows * 10).map(|i| f64::from(u8::from(usize::from(label[at(i / 10, 1)]) % 10 == i % 10))).collect()),
        "real" => Data::Real((0..rows * 3).map(|i| f64::from(reals[at(i, 3)]) * 2.0).collect()),
        _ => Data::Integer((0..rows).map(|i| at(i, 1) as u32 + 1_000_000).collect()),
    };
    let index: Vec<u32> = (0..rows as u32).map(|i| i + 1_000_000).collect();
    let real_words = reals.iter().map(|v| v.to_bits()).collect();
    let data = [image_words, label_words.clone(), label_words, real_words, index];
    for (i, (got, want)) in planned.outputs(&data, &feed).unwrap().iter().enumerate() {
        close(&fields[i].name, got, want, 1e-7);
    }
}
