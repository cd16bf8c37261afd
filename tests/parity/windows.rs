//! Pools, changes of size, depthwise convolutions, forward and backward: every option, by fours and channel by channel, alone and between formulas.

use crate::make::{Case, Make};
use gradus::graph::{Convolution, Interpolation, Pooling, Var};

/// Images `[N, C, H, W]`.
type Shape = [usize; 4];
type Pool = fn(&Var) -> Var;

const POOLS: &[(&str, Shape, Pool)] = &[
    ("one by one", [1, 1, 1, 1], |x| x.max_pool2d(1)),
    ("of 2 x 2", [3, 5, 9, 8], |x| x.max_pool2d(2)),
    ("of fours", [2, 8, 6, 10], |x| x.max_pool2d(2)),
    ("overlapping", [2, 4, 9, 7], |x| x.max_pool2d(Pooling::new(3).stride(2).padding(1))),
    ("overlapping, odd channels", [1, 7, 6, 5], |x| x.max_pool2d(Pooling::new([2, 3]).stride(1))),
    ("dilated", [2, 3, 11, 9], |x| x.max_pool2d(Pooling::new(3).stride(2).dilation([2, 3]).padding([2, 1]).ceil_mode(true))),
    ("dilated, rows out of order", [1, 16, 12, 6], |x| x.max_pool2d(Pooling::new([3, 2]).stride([3, 2]).dilation([2, 1]))),
    ("past the window", [1, 4, 9, 9], |x| x.max_pool2d(Pooling::new(2).stride(3))),
    ("along one axis", [2, 4, 1, 33], |x| x.squeeze(2).max_pool1d(Pooling::new(3).stride(2).padding(1))),
];

const SUMS: &[(&str, Shape, Pool)] = &[
    ("means of 2 x 2", [3, 5, 9, 8], |x| x.avg_pool2d(2)),
    ("means of fours", [2, 8, 6, 10], |x| x.avg_pool2d(2)),
    ("overlapping means", [2, 4, 9, 7], |x| x.avg_pool2d(Pooling::new([3, 2]).stride([2, 1]).padding(1))),
    ("means to the end", [1, 3, 8, 7], |x| x.avg_pool2d(Pooling::new(3).stride(2).padding(1).ceil_mode(true))),
    ("means of what is there", [1, 4, 8, 7], |x| {
        x.avg_pool2d(Pooling::new(3).stride(2).padding(1).ceil_mode(true).count_include_pad(false))
    }),
    ("means of large windows", [1, 4, 20, 19], |x| x.avg_pool2d(Pooling::new([12, 9]).stride(2))),
    ("means along one axis", [2, 4, 1, 33], |x| x.squeeze(2).avg_pool1d(3)),
    ("bins", [2, 3, 7, 10], |x| x.adaptive_avg_pool2d([3, 4])),
    ("one bin", [2, 3, 7, 10], |x| x.adaptive_avg_pool2d(1)),
    ("one mean", [2, 3, 7, 10], |x| x.global_avg_pool2d()),
    ("nearest, twice as large", [2, 4, 5, 3], |x| x.interpolate([10, 6], Interpolation::Nearest, false)),
    ("nearest, of any size", [1, 3, 7, 5], |x| x.interpolate([5, 13], Interpolation::Nearest, false)),
    ("bilinear, twice as large", [2, 4, 5, 3], |x| x.interpolate([10, 6], Interpolation::Bilinear, false)),
    ("bilinear, of any size", [1, 3, 7, 5], |x| x.interpolate([4, 13], Interpolation::Bilinear, false)),
    ("bilinear by corners", [1, 4, 3, 5], |x| x.interpolate([7, 9], Interpolation::Bilinear, true)),
    ("bilinear, eight times as large", [1, 3, 3, 4], |x| x.interpolate([24, 32], Interpolation::Bilinear, false)),
];

type How = fn(Convolution) -> Convolution;

/// Images, results for each channel, the window.
const DEPTHWISE: &[(&str, Shape, usize, [usize; 2], How)] = &[
    ("of fours", [2, 8, 6, 5], 1, [3, 3], |c| c.padding(1)),
    ("odd channels", [1, 3, 7, 9], 1, [2, 3], |c| c.stride(2)),
    ("two for each", [2, 4, 5, 6], 2, [3, 3], |c| c.stride([2, 1]).padding(1)),
    ("dilated", [1, 4, 9, 8], 1, [3, 2], |c| c.dilation([2, 3]).padding([[1, 2], [0, 1]])),
    ("of many positions", [3, 4, 33, 30], 1, [3, 3], |c| c.padding(1)),
    ("of few positions", [67, 4, 5, 6], 1, [3, 3], |c| c.padding(1)),
];

fn depthwise(m: &Make, x: &Var, each: usize, [height, width]: [usize; 2], how: How) -> Var {
    let channels = x.shape()[1];
    let w = m.drawn([channels * each, 1, height, width], |u| 1.2 * u - 0.6);
    x.conv2d(&w, how(Convolution::new().groups(channels)))
}

pub fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for &(name, shape, pool) in POOLS {
        out.push(Case::new(format!("a max pool {name}"), move |m| m.weigh(&pool(&m.p(shape)))));
    }
    // whole numbers: of equal ones the first gets the gradient
    out.push(Case::new("a max pool of equal ones", |m| {
        let x = m.drawn([2, 3, 9, 8], |u| (3.0 * u).floor());
        m.weigh(&x.max_pool2d(Pooling::new(3).stride(2).padding(1))) + m.weigh(&x.max_pool2d(2))
    }));
    out.push(Case::predict("a max pool of NaN", |m| {
        let x = m.drawn([3, 4, 8, 8], |u| if u > 0.95 { f64::NAN } else { u });
        m.output("where", &x.max_pool2d(2).reshape([3, 4, 16]).argmax(2));
    }));
    out.push(Case::new("a max pool behind relu", |m| {
        let x = m.p([2, 4, 6, 7]).conv2d(&m.p([8, 4, 3, 3]), Convolution::new().padding(1)) * 0.2;
        m.weigh(&x.relu().max_pool2d(2))
    }));
    for &(name, shape, f) in SUMS {
        out.push(Case::new(name, move |m| m.weigh(&f(&m.p(shape)))));
    }
    out.push(Case::predict("a pool of more workgroups than one axis takes", |m| {
        m.output("large", &m.p([1, 1, 1025, 1025]).interpolate([2050, 2050], Interpolation::Nearest, false));
    }));
    for &(name, shape, each, window, how) in DEPTHWISE {
        out.push(Case::new(format!("a depthwise convolution {name}"), move |m| m.weigh(&depthwise(m, &m.p(shape), each, window, how))));
    }
    out.push(Case::new("a depthwise convolution with bias and relu, between two others", |m| {
        let one = |x: &Var, o: usize| x.conv2d(&m.drawn([o, x.shape()[1], 1, 1], |u| u - 0.5), Convolution::new());
        let h = (one(&m.p([2, 3, 6, 5]), 8) + m.p([8, 1, 1])).relu();
        let h = (depthwise(m, &h, 1, [3, 3], |c| c.padding(1)) + m.p([8, 1, 1])).relu();
        m.weigh(&one(&h, 4))
    }));
    out
}

/// The same between two products, where values are stored as f16.
pub fn mixed() -> Vec<Case> {
    let mut out = Vec::new();
    let case = |name: &str, channels: usize, f: fn(&Make, &Var) -> Var| {
        let name = format!("f16 {name}, {channels} channels");
        Case::new(name, move |m| {
            let conv = |x: &Var, o: usize| x.conv2d(&m.drawn([o, x.shape()[1], 1, 1], |u| 0.8 * u - 0.4), Convolution::new());
            let y = f(m, &conv(&m.p([2, 3, 6, 7]), channels));
            m.weigh(&conv(&y, 3))
        })
        .mixed()
    };
    for channels in [5, 8] {
        out.push(case("max pool", channels, |_, x| x.max_pool2d(Pooling::new(3).stride(2).padding(1))));
        out.push(case("means", channels, |_, x| x.avg_pool2d(2)));
        out.push(case("bilinear, eight times as large", channels, |_, x| x.interpolate([48, 56], Interpolation::Bilinear, false)));
        out.push(case("depthwise convolution", channels, |m, x| {
            (depthwise(m, x, 1, [3, 3], |c| c.padding(1)) + m.p([x.shape()[1], 1, 1])).relu()
        }));
    }
    // images of fewer than four channels are padded
    for channels in [1, 2] {
        out.push(
            Case::new(format!("f16 convolution of {channels} channels in"), move |m| {
                let w = |m: &Make, o: usize, c: usize| m.drawn([o, c, 3, 3], |u| 0.8 * u - 0.4);
                let x = m.p([2, channels, 6, 7]).conv2d(&w(m, 8, channels), Convolution::new().padding(1)).relu();
                m.weigh(&x.conv2d(&w(m, 3, 8), Convolution::new()))
            })
            .mixed(),
        );
    }
    // rows of a gradient that lie apart, in f16 and, of a parameter, in f32
    out.push(
        Case::new("f16 strided convolution of a parameter", |m| {
            let w = |m: &Make| m.drawn([8, 8, 1, 1], |u| 0.8 * u - 0.4);
            m.weigh(&m.p([2, 8, 6, 7]).conv2d(&w(m), Convolution::new().stride(2)).conv2d(&w(m), Convolution::new()))
        })
        .mixed(),
    );
    out.push(case("strided convolution", 8, |m, x| {
        x.conv2d(&m.drawn([8, 8, 3, 3], |u| 0.4 * u - 0.2), Convolution::new().stride(2).padding(1))
    }));
    out
}
