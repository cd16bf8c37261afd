//! What `fit` says on stderr, and how it listens: children of this program are looked at from outside.

use gradus::prelude::*;
use gradus::tensor::HostTensor;
use gradus::train::callbacks;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const CHILD: &str = "GRADUS_TEST_CHILD";

fn data() -> Dataset {
    let x = HostTensor::f32([64, 2], (0..128).map(|i| (i % 7) as f32 / 7.0).collect()).unwrap();
    Dataset::new(x, HostTensor::f32([64, 1], (0..64).map(|i| (i % 5) as f32 / 5.0).collect()).unwrap()).unwrap()
}

fn model() -> Model {
    let settings = Compile::new(Sgd::new(0.01), Mse::new()).input([2]).device(Device::cpu_threads(1));
    Sequential::new().add(Linear::new(1)).compile(settings).unwrap()
}

fn fit(epochs: usize) -> Fit {
    Fit::new().epochs(epochs).batch_size(4)
}

/// Takes every event and counts warnings.
struct Counts;
static WARNED: AtomicUsize = AtomicUsize::new(0);

impl tracing::Subscriber for Counts {
    fn enabled(&self, m: &tracing::Metadata<'_>) -> bool {
        *m.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        WARNED.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// After 80 steps the weights are thrown far off: the loss jumps.
fn jumping(verbose: u8) {
    let throw = callbacks::on_steps_end("throw", 80, |run, logs| {
        let far = HostTensor::f32([1, 2], vec![300.0; 2])?;
        if logs.step == 80 { run.model().set_parameter("0.weight", &far) } else { Ok(()) }
    });
    model().fit(&data(), fit(9).verbose(verbose).callback(throw)).unwrap();
}

/// Nothing by itself: the part of the children.
#[test]
fn as_a_child() {
    let Ok(what) = std::env::var(CHILD) else { return };
    let file = std::env::var("GRADUS_TEST_FILE").unwrap_or_default();
    let tell = || {
        callbacks::on_epoch_end("tell", |_, logs| {
            println!("\nepoch {}", logs.epoch);
            Ok(())
        })
    };
    match what.as_str() {
        "quiet" => jumping(0),
        "jumps" => jumping(1),
        "heard" => {
            tracing::subscriber::set_global_default(Counts).unwrap();
            jumping(1);
            println!("\nwarned {}", WARNED.load(Ordering::Relaxed));
        }
        "twice" => {
            (0..2).for_each(|_| drop(model().fit(&data(), fit(1)).unwrap()));
            // a banner of one's own
            println!("\n{}", Device::cpu_threads(2).announcement());
            let net = Sequential::new().add(Linear::new(1));
            let settings = Compile::new(Sgd::new(0.01), Mse::new()).input([2]).device(Device::cpu_threads(2));
            net.compile(settings).unwrap().fit(&data(), fit(1)).unwrap();
        }
        "threads" => {
            let many = Device::cpu_threads(5000);
            assert!(many.name().contains("threads") && !many.name().contains("5000"), "{many}");
            for device in [Device::cpu(), many] {
                // wide enough to be shared out
                let net = Sequential::new().add(Linear::new(512)).add(Relu).add(Linear::new(1));
                let mut model = net.compile(Compile::new(Sgd::new(0.01), Mse::new()).input([2]).device(device)).unwrap();
                model.fit(&data(), Fit::new().epochs(20).batch_size(32).verbose(0)).unwrap();
            }
        }
        "stops" => {
            let stop = EarlyStopping::new("val_loss").patience(2).min_delta(1e9).restore_best_weights(true);
            let history = model().fit(&data(), fit(9).validation(&data()).callback(stop)).unwrap();
            assert_eq!((history.stopped_epoch(), history.restored_epoch(), history.epochs()), (Some(3), Some(1), 3));
            assert!(!history.interrupted());
        }
        "saved" | "unsaved" => {
            let fit = fit(1_000_000).callback(tell());
            let fit = if what == "saved" { fit.checkpoint(Checkpoint::new(&file).every_epochs(0)) } else { fit };
            let history = model().fit(&data(), fit).unwrap();
            assert!(history.interrupted() && history.epochs() < 1_000_000 && history.stopped_epoch().is_none());
            println!("\nended");
            std::thread::sleep(Duration::from_secs(60));
        }
        #[cfg(all(unix, feature = "ctrl-c"))]
        "forks" => {
            for device in [Device::cpu_threads(2), Device::cpu()] {
                let settings = || Compile::new(Sgd::new(0.01), Mse::new()).input([2]).device(device.clone());
                let net = || Sequential::new().add(Linear::new(1)).compile(settings()).unwrap();
                let mut model = net();
                model.fit(&data(), fit(1)).unwrap();
                // SAFETY: the child computes on threads of its own and ends at once.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    let refused =
                        model.fit(&data(), fit(1).verbose(0)).is_err_and(|e| e.code() == "unsupported" && e.to_string().contains("fork"));
                    let anew = net().fit(&data(), fit(1).verbose(0)).is_ok();
                    // SAFETY: as above.
                    unsafe { libc::_exit(i32::from(!refused) + 2 * i32::from(!anew)) };
                }
                let mut status = 0;
                // SAFETY: waits for that child.
                assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 0));
                model.fit(&data(), fit(1)).unwrap();
            }
        }
        "deaf" => drop(model().fit(&data(), fit(1_000_000).ctrl_c(false).verbose(0).callback(tell()))),
        other => panic!("{other}"),
    }
}

fn child(what: &str, file: &str) -> Child {
    let mut c = Command::new(std::env::current_exe().unwrap());
    c.args(["--exact", "terminal::as_a_child", "--nocapture"]).env(CHILD, what).env("GRADUS_TEST_FILE", file).env_remove("COLUMNS");
    c.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a child that ends well printed on stdout and stderr.
fn said(what: &str) -> (String, String) {
    let out = child(what, "").wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert!(out.status.success(), "{what}: {}{}", text(&out.stdout), text(&out.stderr));
    (text(&out.stdout), text(&out.stderr))
}

fn count(text: &str, part: &str) -> usize {
    text.lines().filter(|l| l.contains(part)).count()
}

#[test]
fn the_device_is_told_once() {
    let (out, err) = said("twice");
    assert_eq!((count(&err, "device   CPU, 1 thread ("), count(&err, "epoch  1/1 ")), (1, 3), "{err}");
    // what was asked for is not told again
    assert_eq!((count(&out, "device   CPU, 2 threads ("), count(&err, "2 threads")), (1, 0), "{out}{err}");
}

/// Warnings are seen once: by a subscriber where there is one, else on stderr. `verbose(0)` says nothing.
#[test]
fn warnings_are_seen_once() {
    let (_, err) = said("jumps");
    assert_eq!(count(&err, "warning: the loss jumped"), 1, "{err}");
    assert!(err.contains("(step ") && err.contains(", mean "), "{err}");
    let (out, err) = said("heard");
    assert_eq!((count(&out, "warned 1"), count(&err, "jumped")), (1, 0), "{out}{err}");
    assert_eq!(said("quiet").1, "");
}

#[test]
fn early_stopping_says_so() {
    let err = said("stops").1;
    assert_eq!(count(&err, "early stopping after epoch 3: val_loss was best in epoch 1, "), 1, "{err}");
    assert_eq!(count(&err, "the model has the weights of epoch 1, its best"), 1, "{err}");
}

/// In a child of `fork` a model of the parent's is an `Err`, where it waited for ever, and one of its own trains.
#[cfg(all(unix, feature = "ctrl-c"))]
#[test]
fn a_fork_is_an_error() {
    said("forks");
}

/// Thousands of threads on few cores: it ends, as soon as with few.
#[test]
fn many_threads() {
    let began = std::time::Instant::now();
    let mut run = Command::new(std::env::current_exe().unwrap());
    run.args(["--exact", "terminal::as_a_child", "--nocapture"]).env(CHILD, "threads").env("RAYON_NUM_THREADS", "5000");
    let out = run.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[cfg(all(unix, feature = "ctrl-c"))]
mod signals {
    use super::*;
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::process::ExitStatusExt;
    use std::process::ChildStdout;

    fn send(signal: &str, to: &Child) {
        assert!(Command::new("kill").args([signal, &to.id().to_string()]).status().unwrap().success());
    }

    fn until(lines: &mut BufReader<ChildStdout>, word: &str) {
        let mut line = String::new();
        while lines.read_line(&mut line).unwrap() > 0 {
            if line.starts_with(word) {
                return;
            }
            line.clear();
        }
        panic!("no `{word}`");
    }

    /// The first ends `fit` in good order and is told, with and without a checkpoint; behind `fit` it kills as ever.
    #[test]
    fn an_end_in_good_order_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.gradus");
        let file = path.to_str().unwrap();
        let told = format!("; checkpoint {file}");
        for (signal, number) in [("-INT", 2), ("-TERM", 15)] {
            for (what, told) in [("saved", told.as_str()), ("unsaved", "; no checkpoint (`Fit::checkpoint`)")] {
                let mut run = child(what, file);
                let (mut lines, mut text) = (BufReader::new(run.stdout.take().unwrap()), String::new());
                until(&mut lines, "epoch ");
                send(signal, &run);
                until(&mut lines, "ended");
                assert!(run.try_wait().unwrap().is_none());
                send(signal, &run);
                assert_eq!(run.wait().unwrap().signal(), Some(number), "{what}");
                run.stderr.take().unwrap().read_to_string(&mut text).unwrap();
                let line = text.lines().find(|l| l.contains("interrupted in epoch ")).unwrap_or_else(|| panic!("{text}"));
                assert!(line.ends_with(told), "{line}");
                assert_eq!(std::fs::remove_file(&path).is_ok(), what == "saved");
            }
        }
    }

    /// `ctrl_c(false)` leaves both alone.
    #[test]
    fn a_program_may_keep_them() {
        for (signal, number) in [("-INT", 2), ("-TERM", 15)] {
            let mut run = child("deaf", "");
            let mut lines = BufReader::new(run.stdout.take().unwrap());
            until(&mut lines, "epoch ");
            send(signal, &run);
            assert_eq!(run.wait().unwrap().signal(), Some(number));
        }
    }
}
