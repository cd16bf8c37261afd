//! A loss that is not finite is traced to the operation that it comes from.

#[path = "common/need.rs"]
mod need;

use gradus::prelude::*;
use gradus::tensor::HostTensor;
use need::Suite;

static SUITE: Suite = Suite::new("anomaly", 6);

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
            assert!(c.operands[0].name.ends_with("in fc") && c.place.contains("tests/anomaly.rs"), "{c}");
        }
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
