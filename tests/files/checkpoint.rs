//! Checkpoints: a run that goes on from one ends with the same bits, whenever and however it was cut.

use crate::common::need::Suite;
use gradus::nn::{Conv2d, ConvTranspose2d, GaussianNoise, Penalty};
use gradus::prelude::*;
use gradus::rng::Philox;
use gradus::tensor::HostTensor;
use gradus::train::callbacks::{self, Callback, CsvLogger, JsonLines, Logs, ReduceLROnPlateau, TensorBoard};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

static SUITE: Suite = Suite::new("checkpoint", 17);

const CHILD: &str = "GRADUS_TEST_CHILD";
/// Steps of an epoch of [`fit`]: of two batches each, the ragged one too.
const STEPS: usize = 11;

/// 10 batches of 32 and a ragged one.
fn digits() -> (Dataset, Dataset) {
    let (train, test) = data::synthetic_digits(3, 331, 70).unwrap();
    (train.flatten().scale(1.0 / 255.0), test.flatten().scale(1.0 / 255.0))
}

/// All that a run can be made of: whatever a model gains is a line here.
fn compiled(device: &Device) -> Model {
    let net = Sequential::new()
        .add(Linear::new(24))
        .add(BatchNorm1d::new())
        .add(Relu)
        .add(Dropout::new(0.2))
        .add(GaussianNoise::new(0.01))
        .add(Linear::new(10));
    let rate = Schedule::cosine(4e-3, 60).warmup(8);
    let optimizer = AdamW::new(rate).amsgrad(true).group("0.bias", Group::new().frozen()).group("*.bias", Group::new().weight_decay(0.0));
    let settings = Compile::new(optimizer, CrossEntropy::new().label_smoothing(0.1)).input([784]).metric(Accuracy::new()).seed(5);
    let settings = settings.clip_norm(1.0).ema(0.97).penalty("*.weight", Penalty::l2(1e-4));
    net.compile(settings.device(device.clone())).unwrap()
}

/// A run of few parts: its file is looked at.
fn simple(device: &Device) -> Model {
    let net = Sequential::new().add(Linear::new(24)).add(Relu).add(Linear::new(10));
    let optimizer = AdamW::new(2e-3).group("0.bias", Group::new().frozen());
    let settings = Compile::new(optimizer, CrossEntropy::new().label_smoothing(0.1)).input([784]).metric(Accuracy::new()).seed(5);
    net.compile(settings.device(device.clone())).unwrap()
}

/// And of a loop.
fn fit(epochs: usize, per_submit: usize) -> Fit {
    Fit::new()
        .epochs(epochs)
        .batch_size(16)
        .accumulate(2)
        .verbose(0)
        .steps_per_submit(per_submit)
        .validation(&digits().1)
        .callback(EarlyStopping::new("val_loss").patience(2).min_delta(0.3).restore_best_weights(true))
        .callback(ReduceLROnPlateau::new("val_accuracy").patience(1).min_delta(2.0).factor(0.7))
}

/// Ends the run after so many steps of it.
struct StopAt(usize);
impl Callback for StopAt {
    fn on_steps_end(&mut self, run: &mut Trainer<'_>, _: &Logs) -> gradus::Result<()> {
        if run.steps_done() == self.0 {
            run.stop();
        }
        Ok(())
    }
    fn every_steps(&self) -> usize {
        self.0
    }
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
    c.args(["--exact", "checkpoint::as_a_child", "--nocapture"]);
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
        // the same, from where it was killed
        "tiny" => {
            let (mut model, history) = tiny(Some(Path::new(&path)));
            println!("\nhash {}", hash(&mut model, &history));
        }
        // until Ctrl-C; it is deaf for a while in each epoch if told so
        "interrupted" => {
            let mut model = compiled(&device);
            let deaf = words[0] as u64;
            let tell = callbacks::on_epoch_end("tell", move |_, logs| {
                println!("\nepoch {}", logs.epoch);
                std::thread::sleep(Duration::from_secs(deaf));
                Ok(())
            });
            let fit = Fit::new().epochs(1_000_000).batch_size(32).verbose(0).callback(tell);
            let history = model.fit(&digits().0, fit.checkpoint(Checkpoint::new(&path).every_epochs(0))).unwrap();
            println!("\nhash {}", history.epochs());
            // outside `fit` it kills as ever
            if words[1] == 1 {
                println!("outside");
                std::thread::sleep(Duration::from_secs(60));
            }
        }
        other => panic!("{other}"),
    }
}

/// 2N steps at once, against N, a file, a new process, and N more: N inside an epoch, at its end, in the first, in the last.
#[test]
fn goes_on_in_a_new_process_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    for device in SUITE.devices() {
        let mut model = compiled(&device);
        let history = model.fit(&digits().0, fit(6, 0)).unwrap();
        // all of it took part: the rate was reduced, the run was stopped, and not with its last weights
        let rates = history.get("learning_rate");
        assert!(rates.first() > rates.last() && (3..6).contains(&history.epochs()), "{history:?}");
        let whole = hash(&mut model, &history).to_string();
        let last = STEPS * history.epochs();
        for (at, before, after) in [(STEPS + 6, 4, 7), (STEPS, 0, 1), (1, 1, 0), (last - 1, 3, 5), (last, 0, 0)] {
            let path = folder.path().join(format!("{at}.gradus"));
            let fit = fit(6, before).callback(callbacks::custom("stop", StopAt(at))).checkpoint(Checkpoint::new(&path).every_epochs(0));
            compiled(&device).fit(&digits().0, fit).unwrap();
            let got = told(&mut child(&format!("resume 6 {after}"), &device, &path));
            assert_eq!(got, whole, "step {at} on {device}");
        }
        SUITE.ran(1);
    }
}

/// A loop of one's own, cut in mid-epoch; its metrics of the epoch are those of one that was not.
#[test]
fn a_loop_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.gradus");
    for device in SUITE.devices() {
        let mut one = compiled(&device);
        let history = one.fit(&digits().0, Fit::new().epochs(2).batch_size(32).verbose(0)).unwrap();
        let plain = || Fit::new().epochs(2).batch_size(32).steps_per_submit(2);
        let mut model = compiled(&device);
        let mut run = model.trainer(&digits().0, plain()).unwrap();
        for k in [4, 100, 3, 2] {
            run.steps(k).unwrap();
        }
        run.checkpoint(&path).unwrap();
        assert_eq!(run.steps_done(), STEPS + 5);
        // another run in between leaves nothing behind in a model that is used again
        run.steps(3).unwrap();
        let fit = plain().checkpoint(Checkpoint::new(&path)).resume(Resume::Required);
        let mut run = model.trainer(&digits().0, fit).unwrap();
        assert!(run.is_resumed() && run.steps_done() == STEPS + 5 && run.history().epochs() == 1);
        while run.steps(100).unwrap().is_some() {}
        assert_eq!(*run.history(), history);
        assert_eq!(hash(&mut model, &history), hash(&mut one, &history), "{device}");
        SUITE.ran(1);
    }
}

/// Rows that are streamed in blocks: the order goes on inside a block.
#[test]
fn streamed_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stream.gradus");
    let train = digits().0.memory_budget(900_000);
    let whole = {
        let mut m = compiled(&Device::cpu());
        let h = m.fit(&train, fit(2, 0)).unwrap();
        hash(&mut m, &h)
    };
    for at in [3, STEPS - 1, STEPS + 2] {
        let stop = fit(2, 3).callback(callbacks::custom("stop", StopAt(at))).checkpoint(Checkpoint::new(&path).every_epochs(0));
        compiled(&Device::cpu()).fit(&train, stop).unwrap();
        let mut m = compiled(&Device::cpu());
        let h = m.fit(&train, fit(2, 0).checkpoint(Checkpoint::new(&path)).resume(Resume::Required)).unwrap();
        assert_eq!(hash(&mut m, &h), whole, "step {at}");
    }
    SUITE.ran(1);
}

/// What the settings of program (e) of the public face say of this.
#[test]
fn as_the_public_face_has_it() {
    let (_, val) = digits();
    let fit = Fit::new()
        .epochs(30)
        .batch_size(128)
        .validation(&val)
        .callback(EarlyStopping::new("val_loss").patience(3).restore_best_weights(true))
        .checkpoint(Checkpoint::new("run.gradus").every_steps(500))
        .resume(Resume::IfPresent);
    assert_eq!((fit.callbacks.len(), fit.checkpoint.unwrap().every_steps, fit.resume.to_string()), (1, 500, "if-present".into()));
}

/// 7 steps an epoch, 40 epochs; written every second step, and best weights at the end.
fn tiny(path: Option<&Path>) -> (Model, History) {
    let x = HostTensor::f32([13, 3], (0..39).map(|i| (i * 7 % 11) as f32 / 11.0).collect()).unwrap();
    let y = HostTensor::f32([13, 1], (0..13).map(|i| (i * 5 % 7) as f32 / 7.0).collect()).unwrap();
    let data = Dataset::new(x, y).unwrap();
    let net = Sequential::new().add(Linear::new(8)).add(Tanh).add(Linear::new(1));
    let mut model = net.compile(Compile::new(Adam::new(0.01), Mse::new()).input([3]).seed(3).device(Device::cpu_threads(1))).unwrap();
    let mut fit = Fit::new().epochs(40).batch_size(2).verbose(0).validation(&data);
    fit = fit.callback(EarlyStopping::new("val_loss").patience(99).restore_best_weights(true));
    if let Some(path) = path {
        fit =
            fit.callback(CsvLogger::new(path.with_extension("csv"))).callback(JsonLines::new(path.with_extension("jsonl")).every_steps(5));
        fit = fit.checkpoint(Checkpoint::new(path).every_steps(2)).resume(Resume::IfPresent);
    }
    let history = model.fit(&data, fit).unwrap();
    (model, history)
}

#[test]
fn killed_at_a_hundred_moments() {
    const KILLS: usize = 100;
    let began = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let (mut model, history) = tiny(None);
    let whole = hash(&mut model, &history).to_string();
    tiny(Some(&folder.path().join("once.gradus")));
    let logs = |name: &str| ["csv", "jsonl"].map(|e| std::fs::read(folder.path().join(name).with_extension(e)).unwrap());
    let path = folder.path().join("run.gradus");
    let mut draw = Philox::new(7, "kill");
    let (mut kills, mut finished, mut in_mid_write) = (0, 0, 0);
    // a process takes this long to its first step and from there to its end, or less
    let (start, rest) = (Duration::from_millis(10), Duration::from_millis(120));
    loop {
        let kill = kills < KILLS;
        let mut c = child("tiny", &Device::cpu(), &path);
        let mut run = c.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        if kill {
            std::thread::sleep(start + rest.mul_f64(draw.uniform()));
            run.kill().unwrap();
            kills += 1;
        }
        let out = run.wait_with_output().unwrap();
        let leftover = |f: &PathBuf| f.extension().is_some_and(|e| e == "tmp");
        in_mid_write += usize::from(std::fs::read_dir(folder.path()).unwrap().any(|f| leftover(&f.unwrap().path())));
        if out.status.success() {
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            let got = text.lines().find_map(|l| l.strip_prefix("hash ")).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(got, whole, "after {kills} kills");
            assert_eq!(logs("run"), logs("once"), "after {kills} kills");
            finished += 1;
            std::fs::remove_file(&path).unwrap();
        } else if path.exists() {
            // what is there is whole: a model, and all of its run
            Model::load_on(&path, Device::cpu_threads(1)).unwrap();
        }
        if !kill {
            break;
        }
    }
    let left: Vec<String> = std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|f| !f.ends_with(".tmp")), "{left:?}");
    println!(
        "{kills} kills, {in_mid_write} of them in mid-write; {finished} runs came to their end; {:.1} s",
        began.elapsed().as_secs_f64()
    );
    SUITE.ran(1);
}

#[cfg(all(unix, feature = "ctrl-c"))]
#[test]
fn ctrl_c() {
    use std::os::unix::process::ExitStatusExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.gradus");
    let press = |id: u32| assert!(Command::new("kill").args(["-INT", &id.to_string()]).status().unwrap().success());
    let until = |lines: &mut dyn Iterator<Item = std::io::Result<String>>, word: &str| {
        lines.map(|l| l.unwrap()).find_map(|l| l.strip_prefix(word).map(String::from)).unwrap_or_else(|| panic!("no `{word}`"))
    };
    // the first ends `fit` in good order, with a checkpoint; after `fit` it kills
    let mut run = child("interrupted 0 1", &Device::cpu(), &path).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    until(&mut lines, "epoch ");
    press(run.id());
    let epochs: usize = until(&mut lines, "hash ").parse().unwrap();
    until(&mut lines, "outside");
    press(run.id());
    assert_eq!(run.wait().unwrap().signal(), Some(2));
    // the file is where the run was: a step of some epoch, the same bits as of a run that was asked to go so far
    let plain = || Fit::new().epochs(1_000_000).batch_size(32).verbose(0);
    let mut model = compiled(&Device::cpu());
    let fit = plain().checkpoint(Checkpoint::new(&path)).resume(Resume::Required);
    let run = model.trainer(&digits().0, fit).unwrap();
    let (done, history) = (run.steps_done(), run.history().clone());
    assert!(epochs > 0 && run.epochs_done() == epochs && history.epochs() == epochs);
    let mut other = compiled(&Device::cpu());
    let same = other.fit(&digits().0, plain().callback(callbacks::custom("stop", StopAt(done)))).unwrap();
    assert_eq!(hash(&mut model, &history), hash(&mut other, &same));
    // the second kills at once
    let mut run = child("interrupted 60 0", &Device::cpu(), &path).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    until(&mut lines, "epoch ");
    press(run.id());
    std::thread::sleep(Duration::from_millis(200));
    assert!(run.try_wait().unwrap().is_none(), "the first alone ended it");
    press(run.id());
    assert_eq!(run.wait().unwrap().signal(), Some(2));
    SUITE.ran(1);
}

#[cfg(not(all(unix, feature = "ctrl-c")))]
#[test]
fn ctrl_c() {
    SUITE.skipped(1, "no Ctrl-C here");
}

/// A checkpoint in mid-epoch, as bytes, and what reads it.
fn checkpoint_of(fit: &Fit, path: &Path) -> Vec<u8> {
    let fit = fit.clone().callback(callbacks::custom("stop", StopAt(STEPS + 3))).checkpoint(Checkpoint::new(path).every_epochs(0));
    simple(&Device::cpu()).fit(&digits().0, fit).unwrap();
    std::fs::read(path).unwrap()
}

/// The metadata changed in place; the header's length follows. Without its sum, as files of before have none: what stands behind it is tested.
fn edited(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let n = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + n]).unwrap();
    assert!(header.contains(from), "no {from}");
    let mut header = header.trim_end().replacen(from, to, 1);
    const SUM: &str = r#",\"sum\":\""#;
    if let Some(at) = header.rfind(SUM) {
        header.replace_range(at..at + SUM.len() + 16 + 2, "");
    }
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + n..]].concat()
}

#[test]
fn damaged_newer_and_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.gradus");
    let plain = Fit::new().epochs(3).batch_size(32).verbose(0);
    // a loop of one's own calls no callbacks, and reads a run that had some
    let whole = checkpoint_of(&plain.clone().callback(EarlyStopping::new("loss").restore_best_weights(true)), &path);
    let mut model = simple(&Device::cpu());
    let fit = plain.checkpoint(Checkpoint::new(&path)).resume(Resume::Required);
    let mut refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let before = hash(&mut model, &History::default());
        let e = model.fit(&digits().0, fit.clone()).unwrap_err();
        assert_eq!(hash(&mut model, &History::default()), before, "something was changed: {e}");
        assert!(e.to_string().contains("where: ") && e.to_string().contains("help: "), "{e}");
        format!("{} {e}", e.code())
    };
    for cut in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        assert!(refused(&whole[..cut]).starts_with("bad-file"));
    }
    let text = refused(&edited(&whole, r#"{\"format\":2,\"gradus\":\"0.1.0\""#, r#"{\"format\":3,\"gradus\":\"0.9.7\""#));
    assert!(text.contains("format 3, this gradus reads 2") && text.contains("use gradus 0.9.7 or newer"), "{text}");
    for (from, to) in [
        (r#"\"step\":3"#, r#"\"step\":11"#),
        (r#"\"updates\":14"#, r#"\"updates\":18446744073709551615"#),
        (r#"\"updates\":14"#, r#"\"updates\":-1"#),
        (r#"\"fixed\":null"#, r#"\"fixed\":-1.0"#),
        (r#"\"kept\":[\"best0\"]"#, r#"\"kept\":[\"best1\"]"#),
        (r#""optimizer.moment1.2.bias""#, r#""optimizer.moment1.9.bias""#),
        (r#""gradus.state":{"dtype":"U32""#, r#""gradus.state":{"dtype":"F32""#),
        (r#"\"rows\":96,"#, r#"\"rows\":960,"#),
    ] {
        let text = refused(&edited(&whole, from, to));
        assert!(text.starts_with("bad-file"), "{to}: {text}");
    }
    // a model, and weights: no run
    model.save(&path).unwrap();
    let saved = std::fs::read(&path).unwrap();
    model.save_weights(&path).unwrap();
    for bytes in [saved, std::fs::read(&path).unwrap()] {
        std::fs::write(&path, bytes).unwrap();
        let e = model.fit(&digits().0, fit.clone()).unwrap_err();
        assert!(e.code() == "bad-file" && e.to_string().contains("no checkpoint"), "{e}");
    }
    // no file at all
    std::fs::remove_file(&path).unwrap();
    assert_eq!(model.fit(&digits().0, fit.clone()).unwrap_err().code(), "io");
    let mut own = fit.resume(Resume::IfPresent);
    own.callbacks.clear();
    assert!(!model.trainer(&digits().0, own).unwrap().is_resumed());
    // as a model it is read by `load`, and so are files of the format before
    std::fs::write(&path, &whole).unwrap();
    let mut a = Model::load_on(&path, Device::cpu()).unwrap();
    a.load_weights(&path, Load::new().ignore("optimizer.*").ignore("gradus.*")).unwrap();
    a.save(&path).unwrap();
    let old = edited(&std::fs::read(&path).unwrap(), r#"\"format\":2"#, r#"\"format\":1"#);
    std::fs::write(&path, old).unwrap();
    let mut b = Model::load_on(&path, Device::cpu()).unwrap();
    assert_eq!(hash(&mut a, &History::default()), hash(&mut b, &History::default()));
    SUITE.ran(1);
}

/// All that must agree and does not is listed; what may differ does not matter.
#[test]
fn another_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.gradus");
    let plain = || Fit::new().epochs(3).batch_size(32).verbose(0);
    checkpoint_of(&plain(), &path);
    let train = digits().0;
    let resume = |fit: Fit| fit.checkpoint(Checkpoint::new(&path)).resume(Resume::Required);
    let settings = |lr: f64| Compile::new(AdamW::new(lr).group("0.bias", Group::new().frozen()), CrossEntropy::new().label_smoothing(0.1));
    let make = |c: Compile, net: Sequential| net.compile(c.input([784]).metric(Accuracy::new()).device(Device::cpu())).unwrap();
    let net = |width| Sequential::new().add(Linear::new(width)).add(Relu).add(Linear::new(10));
    let refused = |mut m: Model, data: &Dataset, fit: Fit| {
        let e = m.fit(data, resume(fit)).unwrap_err();
        assert_eq!(e.code(), "invalid-config");
        e.to_string()
    };
    let text = refused(make(settings(2e-3).seed(6), net(24)), &train.clone().take(300), plain().batch_size(16).shuffle(false));
    assert!(text.starts_with("4 settings"), "{text}");
    for key in ["compile.seed: 6,", "data, rows: 300,", "fit.batch_size: 16,", "fit.shuffle: false,"] {
        assert!(text.contains(key), "{text}");
    }
    let text = refused(make(settings(2e-3).seed(5), net(25)), &train, plain());
    assert!(text.contains("0.weight: [25, 784], in the checkpoint") && text.contains("it is [24, 784]"), "{text}");
    let other = Sequential::new().add(Linear::new(24)).add(Tanh).add(Linear::new(10));
    let text = refused(make(settings(2e-3).seed(5), other), &train, plain());
    assert!(text.contains("computes something else"), "{text}");
    let sgd = Compile::new(Sgd::new(0.1).group("0.bias", Group::new().frozen()), Mse::new()).seed(5);
    let text = refused(make(sgd, net(24)), &train.clone().one_hot(10), plain());
    assert!(text.contains("compile.optimizer: \"sgd\"") && text.contains("compile.loss") && text.contains("data, fields"), "{text}");
    let text = refused(simple(&Device::cpu()), &train, plain().epochs(1));
    assert!(text.contains("fit.epochs: 1") && text.contains("give at least 2"), "{text}");
    // another rate, more epochs, other callbacks, how often: all of that may change
    let mut m = make(settings(1e-3).seed(5), net(24));
    let history = m.fit(&train, resume(plain().epochs(4).callback(EarlyStopping::new("loss").patience(9)).steps_per_submit(2))).unwrap();
    assert_eq!(history.epochs(), 4);
    SUITE.ran(1);
}

/// A checkpoint reads nothing back but when it is due.
#[test]
fn no_reads_between() {
    let Some(device) = SUITE.devices().into_iter().find(|d| d.gpu().is_some()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let reads = |fit: Fit| {
        let mut m = compiled(&device);
        m.fit(&digits().0, fit.epochs(2).batch_size(32).verbose(0).snapshot_every(0.0)).unwrap();
        m.traffic().reads
    };
    let to = |every| Fit::new().checkpoint(Checkpoint::new(folder.path().join("a")).every_epochs(0).every_steps(every));
    let without = reads(Fit::new());
    let one = reads(to(0)) - without;
    assert!(one > 0);
    assert_eq!(reads(to(10)) - without, 3 * one, "after 10, 20 and 22 steps");
    SUITE.ran(1);
}

/// TensorBoard's own package reads what was written, before and after a run that went on.
#[test]
fn tensorboard_opens_it() {
    let python = std::env::var("GRADUS_PYTHON").unwrap_or("python3".into());
    let there = Command::new(&python).args(["-c", "import tensorboard"]).stderr(Stdio::null()).status();
    if !there.is_ok_and(|s| s.success()) {
        return SUITE.skipped(1, "no tensorboard: pip install tensorboard, and GRADUS_PYTHON names its python");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.gradus");
    let board = folder.path().join("board");
    let fit = |epochs| fit(epochs, 0).callback(TensorBoard::new(&board).every_steps(4));
    let mut model = compiled(&Device::cpu());
    // two epochs and some steps, of which the checkpoint knows one and some: the second is trained again
    let stop = fit(3).callback(callbacks::custom("stop", StopAt(STEPS + 3))).checkpoint(Checkpoint::new(&path).every_epochs(0));
    model.fit(&digits().0, stop).unwrap();
    let checkpoint = std::fs::read(&path).unwrap();
    let resume = |epochs| fit(epochs).checkpoint(Checkpoint::new(&path)).resume(Resume::Required);
    compiled(&Device::cpu()).fit(&digits().0, resume(2)).unwrap();
    std::fs::write(&path, checkpoint).unwrap();
    std::thread::sleep(Duration::from_millis(1100)); // files are read in the order of their seconds
    let history = compiled(&Device::cpu()).fit(&digits().0, resume(3)).unwrap();
    let script = r#"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
out = {}
for run in ("train", "validation", "steps"):
    a = EventAccumulator(sys.argv[1] + "/" + run); a.Reload()
    for tag in a.Tags()["scalars"]:
        out[run + "/" + tag] = [[e.step, e.value] for e in a.Scalars(tag)]
print(json.dumps(out))
"#;
    let out = Command::new(python).args(["-c", script]).arg(&board).stderr(Stdio::inherit()).output().unwrap();
    let read: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    for (tag, column) in [("train/epoch_loss", "loss"), ("train/epoch_accuracy", "accuracy"), ("validation/epoch_loss", "val_loss")] {
        let want: Vec<_> = history.get(column).iter().enumerate().map(|(i, v)| serde_json::json!([i + 1, *v as f32])).collect();
        assert_eq!(read[tag], serde_json::Value::from(want), "{tag} of {read}");
    }
    let steps: Vec<u64> = read["steps/batch_loss"].as_array().unwrap().iter().map(|e| e[0].as_u64().unwrap()).collect();
    assert_eq!(steps, (1..=8).map(|i| 4 * i).collect::<Vec<u64>>());
    SUITE.ran(1);
}

/// `sqrt(|x w|)`: its slope has no value at a row of 0. Rows of four to a batch; the third has such a one.
fn root(device: &Device, rate: f64) -> Model {
    let net = module(|s, x| (x * s.param("w", [1], Init::Ones)).abs().sqrt() + s.param("b", [1], Init::Zeros));
    net.compile(Compile::new(Adam::new(rate), Mse::new()).input([1]).device(device.clone())).unwrap()
}

fn roots(bad: bool) -> Dataset {
    let x = (0..20).map(|i| if bad && i == 9 { 0.0 } else { 1.0 + i as f32 / 7.0 }).collect();
    Dataset::new(HostTensor::f32([20, 1], x).unwrap(), HostTensor::f32([20, 1], vec![0.5; 20]).unwrap()).unwrap()
}

/// A gradient that is not finite leaves the file of the step before it, which goes on with better rows as if nothing had been.
#[test]
fn a_bad_gradient_leaves_the_good_file() {
    for device in SUITE.devices() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let fit = || Fit::new().batch_size(4).shuffle(false).verbose(0);
        let written = || fit().checkpoint(Checkpoint::new(&path).every_steps(1));
        let e = root(&device, 0.01).fit(&roots(true), written()).unwrap_err();
        assert!(matches!(&e, gradus::Error::NonFiniteGradient { step: 3, parameters, .. } if parameters == &["w"]), "{e}");
        let mut model = root(&device, 0.01);
        model.fit(&roots(false), written().resume(Resume::Required)).unwrap();
        let mut whole = root(&device, 0.01);
        whole.fit(&roots(false), fit()).unwrap();
        for name in ["w", "b"] {
            assert_eq!(model.parameter(name).unwrap(), whole.parameter(name).unwrap(), "{device}");
        }
        SUITE.ran(1);
    }
}

/// An update may take a weight beyond f32 though rate and gradient are numbers: no file is written of it.
#[test]
fn weights_that_are_not_finite_replace_no_file() {
    for device in SUITE.devices() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let data = roots(false);
        let mut model = root(&device, 0.01);
        let mut run = model.trainer(&data, Fit::new().batch_size(4)).unwrap();
        run.steps(1).unwrap();
        run.checkpoint(&path).unwrap();
        let good = std::fs::read(&path).unwrap();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            run.model().set_parameter("w", &HostTensor::f32([1], vec![bad]).unwrap()).unwrap();
            let e = run.checkpoint(&path).unwrap_err().to_string();
            assert!(e.contains("`w`") && e.contains("not finite") && std::fs::read(&path).unwrap() == good, "{e}");
        }
        // and the loss that follows says which weight it was
        let e = run.steps(1).unwrap_err();
        assert!(matches!(&e, gradus::Error::NonFiniteLoss { parameter: Some(p), .. } if p == "w"), "{e}");
        assert!(e.to_string().contains("`w` was not finite then"), "{e}");

        let net = module(|s, x| x * s.param("w", [1], Init::Ones));
        let settings = Compile::new(Sgd::new(3e38), Mse::new()).input([1]).device(device.clone());
        let fit = Fit::new().batch_size(4).epochs(2).verbose(0).checkpoint(Checkpoint::new(&path).every_steps(1));
        let e = net.compile(settings).unwrap().fit(&data, fit).unwrap_err();
        assert!(e.code() == "unsupported" && e.to_string().contains("`w`"), "{e}");
        assert_eq!(std::fs::read(&path).unwrap(), good, "{device}");
        SUITE.ran(1);
    }
}

/// Weights that the device stores channels last stand in files in their own order, and so do moments and averages: after one update a first moment of
/// momentum is the gradient, and PyTorch's order is what `Model` gives. What is read from there goes on to the bit.
#[test]
fn weights_of_convolutions_in_their_own_order() {
    let net = || {
        let images = Sequential::new().add(Conv2d::new(4, [2, 3])).add(Relu).add(ConvTranspose2d::new(3, 2)).add(Conv2d::new(2, [1, 2]));
        images.add(Flatten).add(Linear::new(3))
    };
    let numbers = |n: usize| (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) / 100.0).collect::<Vec<_>>();
    let x = HostTensor::f32([4, 3, 5, 6], numbers(360)).unwrap();
    let rows = Dataset::new(x, HostTensor::u32([4], vec![0, 2, 1, 0]).unwrap()).unwrap();
    for device in SUITE.devices() {
        let made = || {
            let optimizer = Sgd::new(0.1).momentum(0.9).group("3.*", Group::new().frozen());
            let settings = Compile::new(optimizer, CrossEntropy::new()).input([3, 5, 6]).ema(0.5).device(device.clone());
            let mut model = net().compile(settings).unwrap();
            model.set_parameter("0.weight", &HostTensor::f32([4, 3, 2, 3], numbers(72)).unwrap()).unwrap();
            model
        };
        let (mut model, folder) = (made(), tempfile::tempdir().unwrap());
        let at = |name: &str| folder.path().join(name);
        assert_eq!(model.parameter("0.weight").unwrap().as_f32(), Some(&numbers(72)[..]));
        let fit = |epochs: usize| Fit::new().epochs(epochs).batch_size(4).verbose(0);
        let kept = |epochs: usize| fit(epochs).checkpoint(Checkpoint::new(at("run.gradus"))).resume(Resume::IfPresent);
        model.fit(&rows, kept(1)).unwrap();
        model.save(at("model.gradus")).unwrap();
        for file in ["run.gradus", "model.gradus"] {
            let bytes = std::fs::read(at(file)).unwrap();
            let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let values = |name: String| {
                let t = file.tensor(&name).unwrap();
                let floats = t.data().chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
                HostTensor::f32(t.shape().to_vec(), floats).unwrap()
            };
            for name in ["0.weight", "2.weight", "5.weight"] {
                assert_eq!(values(format!("optimizer.moment0.{name}")), model.gradient(name).unwrap(), "{name}");
                assert_eq!(values(format!("optimizer.ema.{name}")), model.ema_parameter(name).unwrap(), "{name}");
            }
            for name in ["0.weight", "2.weight", "3.weight", "5.weight"] {
                assert_eq!(values(name.into()), model.parameter(name).unwrap(), "{name}");
            }
        }
        // a file read, written again: the same bytes; and with another optimizer the same function
        let mut read = Model::load_on(at("model.gradus"), device.clone()).unwrap();
        read.save(at("again.gradus")).unwrap();
        assert!(std::fs::read(at("again.gradus")).unwrap() == std::fs::read(at("model.gradus")).unwrap(), "{device}");
        read.recompile(Adam::new(0.1)).unwrap();
        assert_eq!(read.predict(&rows, 4).unwrap(), model.predict(&rows, 4).unwrap());
        // a run that goes on, beside one that was never cut
        let (mut resumed, mut whole) = (made(), made());
        resumed.fit(&rows, kept(3)).unwrap();
        whole.fit(&rows, fit(3)).unwrap();
        for name in ["0.weight", "2.weight", "3.weight", "5.weight"] {
            assert_eq!(resumed.parameter(name).unwrap(), whole.parameter(name).unwrap(), "{name}");
            assert_eq!(resumed.ema_parameter(name).unwrap(), whole.ema_parameter(name).unwrap(), "{name}");
        }
        SUITE.ran(1);
    }
}
