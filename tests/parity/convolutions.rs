//! Convolutions, forward and both gradients: every option, by fours and element by element, alone and with what rides on them.

use crate::make::{Case, Make, Order};
use gradus::graph::{Convolution, Padding, Var};

type How = fn(Convolution) -> Convolution;

/// Images `[N, C, H, W]`, weights `[O, C / groups, kh, kw]`, how the window moves.
const CASES: &[(&str, [usize; 4], [usize; 4], How)] = &[
    ("one by one", [1, 1, 1, 1], [1, 1, 1, 1], |c| c),
    ("digits", [3, 1, 9, 8], [5, 1, 3, 3], |c| c),
    ("colours", [2, 3, 9, 7], [8, 3, 3, 3], |c| c.padding(1)),
    ("fours", [2, 8, 7, 6], [12, 8, 3, 3], |c| c.padding(1)),
    ("odd channels", [1, 7, 5, 6], [9, 7, 2, 3], |c| c),
    ("strided", [2, 4, 9, 8], [6, 4, 3, 3], |c| c.stride(2).padding(1)),
    ("strided past the kernel", [2, 8, 7, 7], [16, 8, 1, 1], |c| c.stride(2)),
    ("of 7 x 7", [1, 3, 13, 14], [4, 3, 7, 7], |c| c.stride(2).padding(3)),
    ("dilated", [1, 4, 11, 9], [4, 4, 3, 2], |c| c.dilation([2, 3]).padding(Padding::Same)),
    ("dilated and strided", [1, 2, 12, 11], [3, 2, 3, 3], |c| c.dilation(2).stride([2, 3]).padding([3, 0])),
    ("padded on one side", [1, 4, 6, 5], [8, 4, 2, 2], |c| c.padding([[1, 0], [0, 2]])),
    ("in groups", [2, 8, 5, 6], [12, 4, 3, 3], |c| c.groups(2).padding(1)),
    ("in odd groups", [1, 6, 5, 4], [9, 2, 2, 2], |c| c.groups(3).stride(2)),
    ("wide", [1, 20, 6, 5], [70, 20, 3, 3], |c| c.padding(1)),
    ("between widths of tiles", [1, 34, 6, 5], [18, 34, 3, 3], |c| c.padding(1)),
    ("of three vectors", [2, 48, 5, 5], [48, 48, 3, 3], |c| c.padding(1)),
    ("of two channels to many", [3, 2, 9, 8], [40, 2, 3, 3], |c| c),
    ("of a tile's edges", [1, 16, 17, 15], [33, 16, 3, 3], |c| c.padding(1)),
    // gradients of single places, some of which nobody saw
    ("that leaves places over", [2, 16, 7, 7], [16, 16, 2, 2], |c| c.stride(2)),
    ("of one place, padded behind", [2, 16, 5, 6], [16, 16, 1, 1], |c| c.padding([[0, 1], [0, 2]])),
    ("of rows that are cut", [1, 2, 3, 150], [3, 2, 3, 3], |c| c.padding(1)),
];

fn small(m: &Make, shape: [usize; 4]) -> Var {
    let bound = 2.0 / ((shape[1] * shape[2] * shape[3]) as f64).sqrt();
    m.drawn(shape, move |u| bound * (2.0 * u - 1.0))
}

pub fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for &(name, x, w, how) in CASES {
        let body = move |m: &Make| m.weigh(&m.p(x).conv2d(&small(m, w), how(Convolution::new())));
        out.push(Case::new(format!("a convolution {name}"), body));
    }
    // many positions: the weights' sums are cut
    for (x, w) in [([5, 2, 40, 41], [6, 2, 3, 3]), ([3, 8, 33, 32], [8, 8, 3, 3])] {
        let body = move |m: &Make| m.weigh(&m.p(x).conv2d(&small(m, w), Convolution::new().padding(1)));
        out.push(Case::new(format!("a convolution of many positions {x:?}"), body));
    }
    for (name, x, w, how, more) in [
        ("", [2, 4, 4, 5], [4, 8, 2, 2], (|c| c.stride(2)) as How, 0),
        (" padded, in groups", [1, 4, 5, 3], [4, 3, 3, 3], |c| c.stride(2).padding(1).groups(2), 1),
    ] {
        let body = move |m: &Make| m.weigh(&m.p(x).conv_transpose2d(&small(m, w), how(Convolution::new()), more));
        out.push(Case::new(format!("a transposed convolution{name}"), body));
    }
    out.push(Case::new("a convolution along one axis", |m| {
        let w = small(m, [6, 4, 1, 5]).reshape([6, 4, 5]);
        m.weigh(&m.p([2, 4, 19]).conv1d(&w, Convolution::new().stride(2).padding(2)))
    }));
    // tiles of four vectors of a tap's channels, and more taps than a word has bits
    out.push(Case::new("a convolution of 64 channels", |m| {
        m.weigh(&m.p([1, 64, 5, 5]).conv2d(&small(m, [17, 64, 3, 3]), Convolution::new().padding(1)))
    }));
    out.push(Case::new("a convolution of 49 taps", |m| {
        m.weigh(&m.p([1, 16, 9, 8]).conv2d(&small(m, [5, 16, 7, 7]), Convolution::new().padding(2)))
    }));
    out.extend(riding());
    out
}

/// Bias, activation, residual, and what else stands between convolutions: its moves cancel.
fn riding() -> Vec<Case> {
    let mut out = Vec::new();
    for channels in [5, 8] {
        out.push(Case::new(format!("a convolution with bias and relu, {channels} channels"), move |m| {
            let y = m.p([2, channels, 6, 5]).conv2d(&small(m, [channels + 1, channels, 3, 3]), Convolution::new().padding(1));
            m.weigh(&(y + m.p([channels + 1, 1, 1])).relu())
        }));
        out.push(Case::new(format!("a residual of convolutions, {channels} channels"), move |m| {
            let conv = |x: &Var, groups: usize| {
                x.conv2d(&small(m, [channels, channels / groups, 3, 3]), Convolution::new().padding(1).groups(groups))
            };
            let x = conv(&m.p([2, channels, 6, 5]), 1);
            let h = conv(&(&x + m.p([channels, 1, 1])).relu(), if channels == 8 { 2 } else { 1 });
            m.weigh(&(h * m.p([2, channels, 1, 1]) + x).tanh())
        }));
    }
    out.push(
        Case::new("convolutions over a batch", |m| {
            let conv = |x: &Var, o: usize, i: usize| x.conv2d(&small(m, [o, i, 3, 3]), Convolution::new().padding(1));
            let x = conv(&m.batch([3, 6, 6]), 8, 3).relu();
            let parts = x.concat(&[&conv(&x, 4, 8).relu()], 1);
            let pooled = conv(&parts, 8, 12).slice(2, 1..5).pad(&[(0, 0), (0, 0), (1, 0), (0, 1)], 0.25).mean_axes(&[2, 3]);
            m.weigh(&pooled.matmul(&m.p([8, 5])))
        })
        .over(Order::all(5)),
    );
    out.push(
        Case::new("convolutions with batch normalisation", |m| {
            let x = m.batch([4, 6, 5]).conv2d(&small(m, [8, 4, 3, 3]), Convolution::new().padding(1)) + 3.0;
            let (mean, variance) = (x.mean_from_first(&[0, 2, 3]), x.variance_keep(&[0, 2, 3]));
            let x = ((&x - mean) / (variance + 1e-5).sqrt() * m.p([8, 1, 1]) + m.p([8, 1, 1])).relu();
            m.weigh(&x.flatten().matmul(&m.p([240, 3])))
        })
        .over(Order::all(4)),
    );
    out
}
