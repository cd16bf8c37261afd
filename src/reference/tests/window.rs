//! Pools and changes of size: by hand, and by finite differences in mid-graph, of every part and option.

use super::gradients::{parameter, pass};
use super::{close, one, reals};
use crate::error::{Error, Result};
use crate::graph::op::{Conv, ConvPart, MaxPool, PoolPart, Resample};
use crate::graph::{Builder, Convolution, Interpolation, Pooling, Sampling, SamplingRule, Var};

const N: f64 = f64::NAN;

/// Of equal ones the first in row order, of NaN the last: as PyTorch has it.
#[test]
fn largest_by_hand() -> Result<()> {
    let window = Pooling::new(2).stride(1).window([3, 3]).unwrap();
    let pool = |part| MaxPool { window, part };
    let x = || (&[1, 3, 3, 1][..], reals(&[2., 2., 0., 2., 1., 0., -1., -1., -1.]));
    let y = || (&[1, 2, 2, 1][..], reals(&[1., 10., 100., 1000.]));
    close(&one(pool(PoolPart::Largest), &[x()])?[0], &[2., 2., 2., 1.]);
    close(&one(pool(PoolPart::Back), &[x(), y()])?[0], &[1., 10., 0., 100., 1000., 0., 0., 0., 0.]);
    let places = (&[1, 3, 3, 1][..], reals(&[0., 1., 2., 3., 4., 5., 6., 7., 8.]));
    close(&one(pool(PoolPart::Picked), &[x(), places])?[0], &[0., 1., 3., 4.]);
    let nan = (&[1, 3, 3, 1][..], reals(&[N, 2., 0., 5., N, 0., -1., f64::NEG_INFINITY, 7.]));
    close(&one(pool(PoolPart::Back), &[nan, y()])?[0], &[0., 0., 0., 0., 1111., 0., 0., 0., 0.]);
    // nothing but the least there is: the first
    let least = (&[1, 2, 2, 1][..], reals(&[f64::NEG_INFINITY; 4]));
    let window = Pooling::new(2).window([2, 2]).unwrap();
    close(&one(MaxPool { window, part: PoolPart::Back }, &[least, (&[1, 1, 1, 1], reals(&[3.]))])?[0], &[3., 0., 0., 0.]);
    Ok(())
}

fn along(from: usize, to: usize, rule: SamplingRule) -> Sampling {
    Sampling::new(from, to, rule)
}

#[test]
fn sums_by_hand() -> Result<()> {
    let row = |s: Sampling, x: &[f64]| {
        let same = along(1, 1, SamplingRule::Nearest);
        Ok::<_, Error>(one(Resample([same, s]), &[(&[1, 1, x.len(), 1], reals(x))])?.remove(0))
    };
    let mean = |counted| SamplingRule::Mean { kernel: 2, stride: 2, padding: [1, 0], counted };
    close(&row(along(4, 2, mean(true)), &[2., 4., 6., 8.])?, &[1., 5.]);
    close(&row(along(4, 3, mean(true)), &[2., 4., 6., 8.])?, &[1., 5., 8.]);
    close(&row(along(4, 3, mean(false)), &[2., 4., 6., 8.])?, &[2., 5., 8.]);
    close(&row(along(5, 3, SamplingRule::Bins), &[1., 2., 3., 4., 5.])?, &[1.5, 3., 4.5]);
    close(&row(along(2, 5, SamplingRule::Nearest), &[1., 2.])?, &[1., 1., 1., 2., 2.]);
    close(&row(along(2, 4, SamplingRule::Linear { corners: false }), &[0., 4.])?, &[0., 1., 3., 4.]);
    close(&row(along(2, 4, SamplingRule::Linear { corners: true }), &[0., 3.])?, &[0., 1., 2., 3.]);
    // the other way round: what each place gave
    close(&row(along(2, 4, SamplingRule::Linear { corners: false }).turned(), &[1., 1., 1., 1.])?, &[2., 2.]);
    close(&row(along(4, 3, mean(true)).turned(), &[2., 4., 6.])?, &[1., 2., 2., 6.]);
    Ok(())
}

#[test]
fn what_does_not_fit() {
    let window = Pooling::new(2).window([4, 4]).unwrap();
    for (part, shapes) in [
        (PoolPart::Largest, vec![vec![1, 4, 5, 2]]),
        (PoolPart::Largest, vec![vec![4, 4]]),
        (PoolPart::Back, vec![vec![1, 4, 4, 2], vec![1, 4, 4, 2]]),
    ] {
        let operands: Vec<(&[usize], _)> = shapes.iter().map(|s: &Vec<usize>| (&s[..], reals(&vec![0.; s.iter().product()]))).collect();
        assert!(matches!(one(MaxPool { window, part }, &operands), Err(Error::ShapeMismatch { .. })), "{shapes:?}");
    }
    let build = |f: fn(&Var) -> Var| {
        let b = Builder::new();
        let y = f(&parameter(&b, "x", &[1, 2, 4, 4]));
        assert!(y.value().is_none());
        assert!(matches!(b.finish(), Err(Error::ShapeMismatch { .. })));
    };
    build(|x| x.max_pool2d(5));
    build(|x| x.max_pool2d(Pooling::new(2).padding(2)));
    build(|x| x.avg_pool2d(0));
    build(|x| x.avg_pool2d(Pooling::new(2).dilation(2)));
    build(|x| x.adaptive_avg_pool2d(0));
    build(|x| x.interpolate([0, 3], Interpolation::Bilinear, false));
    build(|x| x.interpolate(8, Interpolation::Nearest, true));
    build(|x| x.max_pool1d(2));
    build(|x| x.sum().global_avg_pool2d());
}

fn images(b: &Builder) -> Var {
    parameter(b, "x", &[2, 3, 5, 7])
}

#[test]
fn gradients() {
    pass("2 x 2", |b| images(b).max_pool2d(2));
    pass("overlapping", |b| images(b).max_pool2d(Pooling::new(3).stride([2, 1]).padding(1)));
    pass("dilated, to the end", |b| images(b).max_pool2d(Pooling::new(2).dilation([2, 3]).stride(2).ceil_mode(true)));
    pass("means", |b| images(b).avg_pool2d(2));
    pass("overlapping means", |b| images(b).avg_pool2d(Pooling::new([3, 2]).stride([2, 1]).padding(1)));
    pass("means of what is there", |b| images(b).avg_pool2d(Pooling::new(3).stride(2).padding(1).ceil_mode(true).count_include_pad(false)));
    pass("bins", |b| images(b).adaptive_avg_pool2d([2, 9]));
    pass("one bin", |b| images(b).adaptive_avg_pool2d(1));
    pass("one mean", |b| images(b).global_avg_pool2d());
    pass("nearest", |b| images(b).interpolate([10, 3], Interpolation::Nearest, false));
    pass("bilinear", |b| images(b).interpolate([10, 3], Interpolation::Bilinear, false));
    pass("bilinear by corners", |b| images(b).interpolate([8, 1], Interpolation::Bilinear, true));
    pass("along one axis", |b| parameter(b, "x", &[2, 3, 9]).max_pool1d(Pooling::new(3).stride(2).padding(1)));
    pass("means along one axis", |b| parameter(b, "x", &[2, 3, 9]).avg_pool1d(Pooling::new(3).padding(1)));
}

/// A second derivative, of every part.
#[test]
fn gradients_have_gradients() {
    let window = Pooling::new(3).stride(2).padding(1).window([5, 4]).unwrap();
    let [height, width] = window.positions;
    let (x, y): ([usize; 4], [usize; 4]) = ([2, 5, 4, 2], [2, height, width, 2]);
    for (part, second) in [(PoolPart::Back, y), (PoolPart::Picked, x)] {
        pass(&format!("{part:?}"), |b| parameter(b, "v", &x).detach().op(MaxPool { window, part }, &[&parameter(b, "w2", &second)]));
    }
    let by = [along(5, 3, SamplingRule::Bins).turned(), along(4, 9, SamplingRule::Linear { corners: false }).turned()];
    pass("turned", |b| parameter(b, "x", &[2, 3, 9, 2]).op(Resample(by), &[]));
}

/// Several results of each channel; with a reference that knows nothing of depthwise convolution.
#[test]
fn depthwise() -> Result<()> {
    let window = Convolution::new().padding(1).window([1, 2], [3, 3]).unwrap();
    let (x, w) = (reals(&[1., 2., 3., 4.]), (0..36).map(f64::from).collect::<Vec<_>>());
    let y = one(Conv { window, groups: 2, part: ConvPart::Forward }, &[(&[1, 1, 2, 2], x), (&[4, 3, 3, 1], reals(&w))])?;
    // x[.., 0] = [1, 3], x[.., 1] = [2, 4]; the middle row of each window
    close(
        &y[0],
        &[4. + 15., 13. + 42., 2. * 22. + 4. * 23., 2. * 31. + 4. * 32., 3. + 12., 12. + 39., 2. * 21. + 4. * 22., 2. * 30. + 4. * 31.],
    );
    Ok(())
}
