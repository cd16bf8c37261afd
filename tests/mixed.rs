//! Mixed precision: what is stored as f16, on both machines alike; memory; settings; resume.

#[path = "common/need.rs"]
mod need;

use gradus::prelude::*;
use gradus::tensor::HostTensor;
use need::Suite;

static SUITE: Suite = Suite::new("mixed", 2);

fn digits() -> Dataset {
    data::synthetic_digits(3, 1003, 10).unwrap().0.flatten().scale(1.0 / 255.0)
}

fn article(device: &Device, precision: Precision) -> Model {
    let net = Sequential::new().add(Linear::new(64)).add(Relu).add(Linear::new(32)).add(Relu).add(Linear::new(10));
    let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).metric(Accuracy::new()).seed(5);
    net.compile(settings.precision(precision).device(device.clone())).unwrap()
}

/// The losses of so many steps.
fn losses(model: &mut Model, data: &Dataset, batch: usize, steps: usize) -> Vec<f32> {
    let mut run = model.trainer(data, Fit::new().epochs(1000).batch_size(batch)).unwrap();
    let mut out = Vec::new();
    while out.len() < steps {
        out.extend(run.steps(steps - out.len()).unwrap().unwrap().losses);
    }
    out
}

#[test]
fn the_article_learns() {
    for device in SUITE.devices() {
        let mut model = article(&device, Precision::mixed());
        println!("{}", model.prepare(&digits(), 32).unwrap().explain());
        let l = losses(&mut model, &digits(), 32, 100);
        println!("{device}: {} .. {}", l[0], l[99]);
        assert!(l[99] < 0.5 * l[0]);
        let e = model.evaluate(&digits(), 100).unwrap();
        println!("{e}");
        let _ = HostTensor::f32([1], vec![0.0]);
        SUITE.ran(1);
    }
}
