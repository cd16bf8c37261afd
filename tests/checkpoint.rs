//! Checkpoints: a run that goes on from one ends with the same bits, whenever and however it was cut.

#[path = "common/need.rs"]
mod need;

use gradus::prelude::*;
use need::Suite;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::{Command, Stdio};

static SUITE: Suite = Suite::new("checkpoint", 4);

const CHILD: &str = "GRADUS_TEST_CHILD";
/// Steps of an epoch, the ragged one too.
const STEPS: usize = 11;

/// 10 batches of 32 and a ragged one.
fn digits() -> (Dataset, Dataset) {
    let (train, test) = data::synthetic_digits(3, 331, 70).unwrap();
    (train.flatten().scale(1.0 / 255.0), test.flatten().scale(1.0 / 255.0))
}

/// All that a run can be made of: whatever a model gains is a line here.
fn compiled(device: &Device) -> Model {
    let net = Sequential::new().add(Linear::new(24)).add(Relu).add(Linear::new(10));
    let optimizer = AdamW::new(2e-3).group("0.bias", Group::new().frozen());
    let settings = Compile::new(optimizer, CrossEntropy::new().label_smoothing(0.1)).input([784]).metric(Accuracy::new()).seed(5);
    net.compile(settings.device(device.clone())).unwrap()
}

/// And of a loop.
fn fit(epochs: usize, per_submit: usize) -> Fit {
    Fit::new().epochs(epochs).batch_size(32).verbose(0).steps_per_submit(per_submit).validation(&digits().1)
}

/// Parameters, moments and counters as the model's file has them, and the history.
fn hash(model: &mut Model, history: &History) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    model.save(&path).unwrap();
    let mut h = DefaultHasher::new();
    std::fs::read(path).unwrap().hash(&mut h);
    for name in history.names() {
        (name, history.get(name).iter().map(|v| v.to_bits()).collect::<Vec<_>>()).hash(&mut h);
    }
    h.finish()
}

/// This test binary again, as another program: `what` it shall do, to this file.
fn child(what: &str, device: &Device, path: &Path) -> Command {
    let mut c = Command::new(std::env::current_exe().unwrap());
    c.args(["--exact", "as_a_child", "--nocapture"]);
    c.env(CHILD, what).env("GRADUS_TEST_DEVICE", device.choice().to_string()).env("GRADUS_TEST_FILE", path);
    c
}

/// What it printed after `hash `.
fn told(c: &mut Command) -> String {
    let out = c.stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.lines().find_map(|l| l.strip_prefix("hash ")).unwrap_or_else(|| panic!("{text}")).to_string()
}

/// Nothing by itself: the part of the children.
#[test]
fn as_a_child() {
    let Ok(what) = std::env::var(CHILD) else { return };
    let device = Device::select(&std::env::var("GRADUS_TEST_DEVICE").unwrap()).unwrap();
    let path = std::env::var("GRADUS_TEST_FILE").unwrap();
    let words: Vec<usize> = what.split(' ').skip(1).map(|w| w.parse().unwrap()).collect();
    match what.split(' ').next().unwrap() {
        // to the end of so many epochs, so many steps a submit
        "resume" => {
            let mut model = compiled(&device);
            let fit = fit(words[0], words[1]).checkpoint(Checkpoint::new(&path).every_steps(3)).resume(Resume::Required);
            let history = model.fit(&digits().0, fit).unwrap();
            println!("\nhash {}", hash(&mut model, &history));
        }
        other => panic!("{other}"),
    }
}

/// 2N steps at once, against N, a file, a new process, and N more: N inside an epoch, at its end, in the first.
#[test]
fn goes_on_in_a_new_process_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    for device in SUITE.devices() {
        let mut model = compiled(&device);
        let history = model.fit(&digits().0, fit(3, 0)).unwrap();
        let whole = hash(&mut model, &history).to_string();
        for (at, before, after) in [(STEPS + 6, 4, 7), (STEPS, 0, 1), (1, 1, 0), (2 * STEPS + 10, 3, 5)] {
            let path = folder.path().join(format!("{at}.gradus"));
            let mut model = compiled(&device);
            let mut run = model.trainer(&digits().0, fit(3, before)).unwrap();
            while run.steps_done() < at {
                run.steps(at - run.steps_done()).unwrap();
            }
            run.checkpoint(&path).unwrap();
            let got = told(&mut child(&format!("resume 3 {after}"), &device, &path));
            assert_eq!(got, whole, "step {at} on {device}");
        }
        SUITE.ran(1);
    }
}
