//! A loss that is not finite is traced to the operation that it comes from.

use crate::common::need::Suite;
use gradus::prelude::*;
use gradus::tensor::HostTensor;

static SUITE: Suite = Suite::new("anomaly", 10);

const ROWS: usize = 50;
const BAD: usize = 37;

/// One row is so large that its exponential overflows.
fn rows() -> Dataset {
    let x = (0..ROWS).map(|i| if i == BAD { 400.0 } else { (i % 7) as f32 * 0.1 }).collect();
    Dataset::new(HostTensor::f32([ROWS, 1], x).unwrap(), HostTensor::f32([ROWS, 1], vec![1.0; ROWS]).unwrap()).unwrap()
}

fn model(device: &Device) -> Model {
    let net = module(|s, x| {
        let h = s.at("fc").call(&Linear::new(4), x);
        let grown = s.at("grow").call(&module(|_, h| h.exp()), &h);
        s.at("head").call(&Linear::new(1), &grown)
    });
    let mut model = net.compile(Compile::new(Sgd::new(0.0), Mse::new()).input([1]).device(device.clone())).unwrap();
    model.set_parameter("fc.weight", &HostTensor::f32([4, 1], vec![1.0, -1.0, 0.5, 0.1]).unwrap()).unwrap();
    model.set_parameter("fc.bias", &HostTensor::f32([4], vec![0.0; 4]).unwrap()).unwrap();
    model
}

fn cause(e: gradus::Error) -> (u64, gradus::error::Culprit) {
    let text = e.to_string();
    let gradus::Error::NonFiniteLoss { step, cause: Some(c), .. } = e else { panic!("no cause in: {text}") };
    assert!(text.contains(&c.to_string()), "{text}");
    (step, *c)
}

/// In the order of a shuffled epoch, however many steps a submit has.
#[test]
fn the_operation_and_its_operands_are_named() {
    for device in SUITE.devices() {
        for shuffle in [true, false] {
            let fit = Fit::new().epochs(3).batch_size(8).shuffle(shuffle).verbose(0).detect_anomaly(true).steps_per_submit(3);
            let (step, c) = cause(model(&device).fit(&rows(), fit).unwrap_err());
            if !shuffle {
                assert_eq!(step, BAD as u64 / 8 + 1);
            }
            assert_eq!((c.op.as_str(), c.layer.as_str(), c.bad), ("exp", "grow", 2), "{c}"); // exp(400), exp(200)
            assert_eq!((c.operands.len(), c.operands[0].least, c.operands[0].largest), (1, -400.0, 400.0), "{c}");
            assert!(c.operands[0].name.ends_with("in fc") && c.place.contains("tests/tools/anomaly.rs"), "{c}");
        }
        SUITE.ran(1);
    }
}

/// The reference draws what the device drew: a value is only too large where dropout has kept and doubled it.
#[test]
fn draws_are_those_of_the_bad_step() {
    for device in SUITE.devices() {
        let net = module(|s, x| {
            let h = s.at("drop").call(&Dropout::new(0.5), &(x * s.param("w", [1], Init::Ones)));
            let kept = s.at("norm").call(&BatchNorm1d::new(), &h) * 0.0 + &h;
            s.at("grow").call(&module(|_, h| h.exp()), &kept)
        });
        let mut model = net.compile(Compile::new(Sgd::new(0.0), Mse::new()).input([1]).seed(4).device(device.clone())).unwrap();
        let data = Dataset::new(HostTensor::f32([8, 1], vec![60.0; 8]).unwrap(), HostTensor::f32([8, 1], vec![0.0; 8]).unwrap()).unwrap();
        // exp(120) overflows, exp(0) does not: of 4 rows the step fails once one was kept
        let fit = Fit::new().epochs(100).batch_size(4).verbose(0).detect_anomaly(true);
        let (_, c) = cause(model.fit(&data, fit).unwrap_err());
        assert_eq!((c.op.as_str(), c.operands[0].largest), ("exp", 120.0), "{c}");
        SUITE.ran(1);
    }
}

/// State that is not trained stands still when the norm of the gradients halts the step, as when the loss does.
#[test]
fn buffers_stand_still() {
    for device in SUITE.devices() {
        let net = module(|s, x| {
            let seen = s.buffer("seen", [1], Init::Zeros);
            if s.training() {
                s.update(&seen, &(&seen + 1.0));
            }
            x * s.param("w", [1], Init::Ones)
        });
        let loss = loss::custom("mean", |y, _| y.mean());
        let mut model = net.compile(Compile::new(Sgd::new(0.0), loss).input([1]).clip_norm(1.0).device(device.clone())).unwrap();
        let rows =
            |x: f32| Dataset::new(HostTensor::f32([2, 1], vec![x; 2]).unwrap(), HostTensor::f32([2, 1], vec![0.0; 2]).unwrap()).unwrap();
        model.fit(&rows(1.0), Fit::new().epochs(3).verbose(0)).unwrap();
        let e = model.fit(&rows(1e30), Fit::new().verbose(0)).unwrap_err(); // its square is infinite
        assert_eq!(e.code(), "non-finite-gradient");
        assert_eq!(model.buffer("seen").unwrap().as_f32(), Some(&[3.0][..]), "{device}");
        SUITE.ran(1);
    }
}

/// What was bad before the step began is named itself.
#[test]
fn a_parameter_that_is_not_finite() {
    for device in SUITE.devices() {
        let mut model = model(&device);
        model.set_parameter("head.bias", &HostTensor::f32([1], vec![f32::NAN]).unwrap()).unwrap();
        let c = model.find_non_finite(&rows().take(4)).unwrap().unwrap();
        assert_eq!((c.what.as_str(), c.bad, c.size, c.operands.len()), ("head.bias", 1, 1, 0));
        SUITE.ran(1);
    }
}

/// Off, the error has no cause; where all is finite none is found.
#[test]
fn nothing_to_tell() {
    for device in SUITE.devices() {
        let e = model(&device).fit(&rows(), Fit::new().batch_size(8).verbose(0)).unwrap_err();
        assert!(matches!(e, gradus::Error::NonFiniteLoss { cause: None, .. }) && e.to_string().contains("detect_anomaly"), "{e}");
        assert_eq!(model(&device).find_non_finite(&rows().take(8)).unwrap(), None);
        SUITE.ran(1);
    }
}
