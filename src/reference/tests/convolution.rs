//! Convolutions: by hand, and by finite differences in mid-graph, of every part and option.

use super::gradients::{parameter, pass};
use super::{close, one, reals};
use crate::error::{Error, Result};
use crate::graph::op::{Conv, ConvPart};
use crate::graph::{Builder, Convolution, Padding};

#[test]
fn by_hand() -> Result<()> {
    let window = Convolution::new().window([3, 3], [2, 2]).unwrap();
    let conv = |part| Conv { window, groups: 1, part };
    let image: Vec<f64> = (1..=9).map(f64::from).collect();
    let (x, w, y) = (
        (&[1, 3, 3, 1][..], reals(&image)),
        (&[1, 2, 2, 1][..], reals(&[1., 10., 100., 1000.])),
        (&[1, 2, 2, 1][..], reals(&[1., 2., 3., 4.])),
    );
    close(&one(conv(ConvPart::Forward), &[x.clone(), w.clone()])?[0], &[5421., 6532., 8754., 9865.]);
    close(&one(conv(ConvPart::Data), &[y.clone(), w])?[0], &[1., 12., 20., 103., 1234., 2040., 300., 3400., 4000.]);
    close(&one(conv(ConvPart::Weights), &[x, y])?[0], &[37., 47., 67., 77.]);
    Ok(())
}

#[test]
fn what_does_not_fit() {
    let window = Convolution::new().window([3, 3], [2, 2]).unwrap();
    let nine = || (&[1, 3, 3, 2][..], reals(&[0.; 18]));
    for (groups, shape) in [(1, vec![1, 2, 2, 1]), (2, vec![1, 2, 2, 1]), (0, vec![1, 2, 2, 2]), (1, vec![1, 2, 3, 2]), (1, vec![2, 2, 2])]
    {
        let size = shape.iter().product();
        let op = Conv { window, groups, part: ConvPart::Forward };
        assert!(matches!(one(op, &[nine(), (&shape, reals(&vec![0.; size]))]), Err(Error::ShapeMismatch { .. })), "{groups} {shape:?}");
    }
}

type Case = (&'static str, [usize; 4], [usize; 4], fn(Convolution) -> Convolution);

/// Images, weights, and how the window moves.
const CASES: [Case; 8] = [
    ("plain", [2, 2, 4, 5], [3, 2, 2, 3], |c| c),
    ("padded", [1, 2, 4, 3], [2, 2, 3, 3], |c| c.padding(1)),
    ("strided", [1, 2, 5, 6], [2, 2, 3, 3], |c| c.stride([2, 3]).padding([1, 0])),
    ("strided past the kernel", [1, 1, 5, 5], [2, 1, 1, 1], |c| c.stride(2)),
    ("dilated", [1, 1, 6, 5], [2, 1, 2, 2], |c| c.dilation([2, 3])),
    ("dilated and strided", [1, 1, 7, 7], [1, 1, 3, 2], |c| c.dilation(2).stride(2).padding(1)),
    ("in groups", [1, 4, 3, 3], [6, 2, 2, 2], |c| c.groups(2).padding(Padding::Same)),
    ("depthwise, one side", [1, 3, 3, 4], [3, 1, 2, 2], |c| c.groups(3).padding([[1, 0], [0, 2]])),
];

#[test]
fn gradients() {
    for (name, x, w, how) in CASES {
        pass(name, |b| parameter(b, "x", &x).conv2d(&parameter(b, "k", &w), how(Convolution::new())));
    }
}

#[test]
fn transposed() {
    pass("transposed", |b| {
        parameter(b, "x", &[1, 2, 3, 3]).conv_transpose2d(&parameter(b, "k", &[2, 3, 2, 2]), Convolution::new().stride(2), 0)
    });
    let how = Convolution::new().stride(2).padding(1).groups(2);
    pass("transposed in groups", |b| parameter(b, "x", &[1, 2, 3, 2]).conv_transpose2d(&parameter(b, "k", &[2, 2, 3, 3]), how, 1));
    pass("along one axis", |b| {
        parameter(b, "x", &[2, 2, 6]).conv1d(&parameter(b, "k", &[3, 2, 3]), Convolution::new().stride(2).padding(1))
    });
}

/// A second derivative: of a gradient of the loss for the images, and of one for the weights.
#[test]
fn every_part_has_both_gradients() {
    let window = Convolution::new().stride(2).padding(1).window([4, 5], [3, 2]).unwrap();
    let [height, width] = window.positions;
    for part in [ConvPart::Forward, ConvPart::Data, ConvPart::Weights] {
        let (x, w, y): ([usize; 4], [usize; 4], [usize; 4]) = ([2, 4, 5, 2], [3, 3, 2, 2], [2, height, width, 3]);
        let (a, b) = match part {
            ConvPart::Forward => (x, w),
            ConvPart::Data => (y, w),
            ConvPart::Weights => (x, y),
        };
        pass(&format!("{part:?}"), |builder: &Builder| {
            parameter(builder, "a", &a).op(Conv { window, groups: 1, part }, &[&parameter(builder, "b", &b)])
        });
    }
}
