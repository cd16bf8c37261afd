//! 20,000 steps without growth. A process of its own: the resident set is the whole process'.
#![cfg(target_os = "linux")]

mod common;

use common::need::Suite;
use gradus::prelude::*;

static SUITE: Suite = Suite::new("memory", 2);

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    4096 * statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
}

#[test]
fn nothing_grows_over_20_000_steps() {
    let (train, _) = data::synthetic_digits(0, 1_005, 2).unwrap();
    let train = train.flatten().scale(1.0 / 255.0);
    for device in SUITE.devices() {
        let net = Sequential::new().add(Linear::new(16)).add(Relu).add(Linear::new(10));
        let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).metric(Accuracy::new());
        let mut model = net.compile(settings.device(device.clone())).unwrap();
        let mut run = model.trainer(&train, Fit::new().epochs(usize::MAX).batch_size(10)).unwrap();
        let mut before = None;
        let mut step = 0;
        while step < 20_000 {
            step = run.steps(50).unwrap().unwrap().step;
            if step >= 202 && before.is_none() {
                before = Some((resident(), run.model().device_bytes()));
            }
        }
        let ((rss, bytes), now) = (before.unwrap(), resident());
        assert_eq!(run.model().device_bytes(), bytes, "{device}");
        assert!(now < rss + (4 << 20), "{device}: the resident set grew from {rss} to {now}");
        println!("{device}: resident {rss} after 202 steps, {now} after {step}; {bytes} on the device");
        SUITE.ran(1);
    }
}
