//! Files: what is written through links and beside other runs, what is told before the training, what is seen of damage, and what a file
//! from elsewhere may do.

mod checkpoint;
#[path = "../common/mod.rs"]
mod common;
mod elsewhere;
mod recipe;
mod seen;
mod study;

use common::hear::warnings;
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use gradus::train::callbacks::{self, CsvLogger, JsonLines, ModelCheckpoint, TensorBoard};
use gradus::train::{DataSpec, Recipe};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const CHILD: &str = "GRADUS_TEST_CHILD";
const FILE: &str = "GRADUS_TEST_FILE";

/// 13 rows of 3, shifted by so much.
fn rows(shift: f32) -> Dataset {
    let x = HostTensor::f32([13, 3], (0..39).map(|i| (i * 7 % 11) as f32 / 11.0 + shift).collect()).unwrap();
    let y = HostTensor::f32([13, 1], (0..13).map(|i| (i * 5 % 7) as f32 / 7.0).collect()).unwrap();
    Dataset::new(x, y).unwrap()
}

fn model(seed: u64) -> Model {
    let net = Sequential::new().add(Linear::new(8)).add(Tanh).add(Linear::new(1));
    net.compile(Compile::new(Adam::new(0.01), Mse::new()).input([3]).seed(seed).device(Device::cpu_threads(1))).unwrap()
}

fn fit(epochs: usize) -> Fit {
    Fit::new().epochs(epochs).batch_size(4).verbose(0)
}

/// Everything of a model, as bytes.
fn bytes(m: &mut Model) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    m.save(folder.path().join("m")).unwrap();
    std::fs::read(folder.path().join("m")).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut all: Vec<String> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().to_string_lossy().into_owned()).collect();
    all.sort();
    all
}

/// This test binary again, as another program.
fn child(what: &str, path: &Path) -> Command {
    let mut c = Command::new(std::env::current_exe().unwrap());
    c.args(["--exact", "as_a_child", "--nocapture"]).env(CHILD, what).env(FILE, path).stdout(Stdio::piped()).stderr(Stdio::piped());
    c
}

fn ended(c: std::process::Child) -> String {
    let out = c.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{text}");
    text
}

/// Nothing by itself: the part of the children.
#[test]
fn as_a_child() {
    let Ok(what) = std::env::var(CHILD) else { return };
    let path = PathBuf::from(std::env::var_os(FILE).unwrap());
    match what.as_str() {
        "train" => {
            let fit = fit(30).checkpoint(Checkpoint::new(&path).every_steps(1)).resume(Resume::IfPresent);
            model(1).fit(&rows(0.0), fit).unwrap();
        }
        "device" => match Device::best() {
            Ok(d) => println!("\ndevice {}", d.choice()),
            Err(e) => println!("\ndevice {e}"),
        },
        "study" => drop(study::run(&path)),
        "unpack" => println!("\nunpacked {}", gradus::data::read_idx(&path).map(drop).unwrap_err()),
        other => panic!("{other}"),
    }
}

#[cfg(unix)]
#[test]
fn all_writers_follow_links_and_keep_modes() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let text = |p: &Path| p.to_str().unwrap().to_string();
    std::fs::create_dir(at("disk")).unwrap();
    type Writer = Box<dyn Fn(&Path)>;
    let trained = |c: callbacks::CallbackKind| drop(model(1).fit(&rows(0.0), fit(1).callback(c)).unwrap());
    let writers: Vec<(&str, Writer)> = vec![
        ("weights", Box::new(|p| model(1).save_weights(p).unwrap())),
        ("model", Box::new(|p| model(1).save(p).unwrap())),
        ("checkpoint", Box::new(|p| drop(model(1).fit(&rows(0.0), fit(1).checkpoint(Checkpoint::new(p))).unwrap()))),
        ("by hand", Box::new(|p| model(1).trainer(&rows(0.0), fit(1)).unwrap().checkpoint(p).unwrap())),
        ("callback", Box::new(move |p| trained(ModelCheckpoint::new(text(p)).into()))),
        ("csv", Box::new(move |p| trained(CsvLogger::new(p).into()))),
        ("json", Box::new(move |p| trained(JsonLines::new(p).into()))),
    ];
    for (name, write) in writers {
        let (target, link) = (at("disk").join(name), at(name));
        symlink(Path::new("disk").join(name), &link).unwrap();
        write(&link);
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o600)).unwrap();
        let len = std::fs::read(&target).unwrap().len();
        std::fs::write(&target, "old").unwrap();
        write(&link);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink(), "{name}");
        let meta = std::fs::symlink_metadata(&target).unwrap();
        // what tells how long an epoch took has other digits each time
        let near = meta.len().abs_diff(len as u64) < 32;
        assert!(meta.is_file() && near && meta.permissions().mode() & 0o777 == 0o600, "{name}: {meta:?}");
        // a device takes it, and stays one
        let null = at(&format!("{name} to nothing"));
        symlink("/dev/null", &null).unwrap();
        write(&null);
        assert!(std::fs::symlink_metadata(&null).unwrap().is_symlink());
    }
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    assert_eq!(names(&at("disk")).len(), 7, "nothing is left beside them");
    // a pipe is refused at once, before the training
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let e = model(1).save_weights(at("pipe")).unwrap_err();
    assert!(e.code() == "io" && e.to_string().contains("pipe"), "{e}");
    let e = counted(fit(1).checkpoint(Checkpoint::new(at("pipe"))));
    assert!(e.contains("no regular file"), "{e}");
}

/// The error of a run, which no step has come before.
fn counted(fit: Fit) -> String {
    let steps = Arc::new(AtomicUsize::new(0));
    let seen = steps.clone();
    let count = callbacks::on_epoch_end("count", move |_, _| {
        seen.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let mut m = model(1);
    let before = bytes(&mut m);
    let e = m.fit(&rows(0.0), fit.callback(count)).unwrap_err();
    assert_eq!(steps.load(Ordering::SeqCst), 0, "told after an epoch: {e}");
    assert!(bytes(&mut m) == before, "told after a step: {e}");
    assert_eq!(e.code(), "io", "{e}");
    e.to_string()
}

#[test]
fn told_before_the_training() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("folder")).unwrap();
    std::fs::write(at("file"), "x").unwrap();
    let mut bad = vec![at("folder"), at("file").join("below")];
    if cfg!(unix) {
        bad.push(at(&"n".repeat(256)));
    }
    if cfg!(target_os = "linux") {
        bad.push("/proc/no/run".into()); // nothing can be made there
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::create_dir(at("read-only")).unwrap();
        std::fs::set_permissions(at("read-only"), std::fs::Permissions::from_mode(0o555)).unwrap();
        if std::fs::write(at("read-only/x"), "x").is_err() {
            bad.push(at("read-only/run")); // root may all the same
        }
    }
    for path in bad {
        let text = path.to_str().unwrap();
        let says = [
            counted(fit(1).checkpoint(Checkpoint::new(&path).every_epochs(0))),
            counted(fit(1).callback(CsvLogger::new(&path))),
            counted(fit(1).callback(JsonLines::new(&path))),
            counted(fit(1).callback(ModelCheckpoint::new(text))),
        ];
        assert!(says.iter().all(|s| s.contains(&text[..30.min(text.len())])), "{says:?}");
        if !path.is_dir() {
            counted(fit(1).callback(TensorBoard::new(&path)));
            counted(fit(1).callback(ModelCheckpoint::new(format!("{text}/{{epoch}}-{{loss:.2f}}"))));
        }
    }
    // a table of before is there still: another's fault was told first
    std::fs::write(at("table.csv"), "epoch,loss\n").unwrap();
    counted(fit(1).callback(CsvLogger::new(at("table.csv"))).callback(JsonLines::new(at("folder"))));
    assert_eq!(std::fs::read(at("table.csv")).unwrap(), b"epoch,loss\n");
    // folders are made, and the longest name that there is does
    let long = at("new/folder").join("n".repeat(255));
    model(1).fit(&rows(0.0), fit(1).checkpoint(Checkpoint::new(&long))).unwrap();
    let pattern = at("more/{epoch:02d}/{epoch}-{loss:.3f}.gradus");
    model(1).fit(&rows(0.0), fit(2).callback(ModelCheckpoint::new(pattern.to_str().unwrap()))).unwrap();
    assert_eq!((names(&at("new/folder")).len(), names(&at("more"))), (1, vec!["01".to_string(), "02".into()]));
    model(1).save_weights(at(&"w".repeat(250))).unwrap();
    // a run that is over writes nothing, and can be looked at
    let over = fit(1).checkpoint(Checkpoint::new(&long)).resume(Resume::Required);
    assert_eq!(model(1).fit(&rows(0.0), over).unwrap().epochs(), 1);
}

#[test]
fn two_processes_with_one_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.gradus");
    for _ in 0..3 {
        let all = [0; 4].map(|_| child("train", &path).spawn().unwrap());
        // meanwhile what is there is always whole
        for _ in 0..200 {
            if path.exists() {
                Model::load_on(&path, Device::cpu_threads(1)).unwrap();
            }
        }
        all.into_iter().for_each(|c| drop(ended(c)));
        assert_eq!(names(folder.path()), ["run.gradus"]);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn two_threads_with_one_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    model(9).save_weights(&path).unwrap();
    let known: Vec<Vec<f32>> = [1, 2, 9].map(|s| model(s).parameter("0.weight").unwrap().as_f32().unwrap().to_vec()).into();
    std::thread::scope(|s| {
        let writers = [1, 2].map(|seed| {
            let path = &path;
            s.spawn(move || {
                let m = model(seed);
                (0..100).for_each(|_| m.save_weights(path).unwrap());
            })
        });
        let mut reader = model(3);
        while writers.iter().any(|w| !w.is_finished()) {
            reader.load_weights(&path, Load::new()).unwrap();
            let got = reader.parameter("0.weight").unwrap();
            assert!(known.iter().any(|k| k == got.as_f32().unwrap()), "a file of two");
        }
    });
    assert_eq!(names(folder.path()).len(), 1);
}

#[test]
fn leftovers_of_killed_runs_go() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("runs")).unwrap();
    let left = ["03-0.512.gradus.0123456789abcdef.tmp", "04-0.5.gradus.00000000deadbeef.tmp", "best.gradus.0123456789abcdef.tmp"];
    for name in left.into_iter().chain(["notes.0123456789abcdef.tmp", "03-x.gradus.0123456789abcdef.tmp"]) {
        std::fs::write(at("runs").join(name), "half").unwrap();
    }
    std::fs::write(at("w.0123456789abcdef.tmp"), "half").unwrap();
    let pattern = |p: &str| ModelCheckpoint::new(at(p).to_str().unwrap());
    model(1).fit(&rows(0.0), fit(1).callback(pattern("runs/{epoch:02d}-{loss:.3f}.gradus")).callback(pattern("runs/best.gradus"))).unwrap();
    let all = names(&at("runs"));
    assert!(all.len() == 4 && all.iter().all(|n| !left.contains(&n.as_str())), "{all:?}");
    model(1).save_weights(at("w")).unwrap();
    assert_eq!(names(folder.path()), ["runs", "w"]);
}

#[cfg(target_os = "linux")]
#[test]
fn paths_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &[u8]| folder.path().join(std::ffi::OsStr::from_bytes(name));
    let path = at(b"run\xff.gradus");
    let with = |epochs| {
        let board = TensorBoard::new(at(b"board\xff"));
        fit(epochs).callback(CsvLogger::new(at(b"\xfe.csv"))).callback(board).checkpoint(Checkpoint::new(&path).every_steps(1))
    };
    model(1).fit(&rows(0.0), with(1)).unwrap();
    assert_eq!(model(1).fit(&rows(0.0), with(2).resume(Resume::Required)).unwrap().epochs(), 2);
    model(1).save(&path).unwrap();
    Model::load_on(&path, Device::cpu()).unwrap();
    let net = Sequential::new().add(Linear::new(1));
    let e = Recipe::new(&net, &Compile::new(Adam::new(0.01), Mse::new()).input([3]), &with(1), DataSpec::new("mnist")).unwrap_err();
    assert!(e.to_string().contains("no text"), "{e}");
}

/// A folder that can be written but not read, as an ordinary user has it; root reads it all the same.
#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_synced() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let dark = folder.path().join("dark");
    std::fs::create_dir(&dark).unwrap();
    std::fs::set_permissions(&dark, std::fs::Permissions::from_mode(0o333)).unwrap();
    let all = warnings(|| drop(model(1).fit(&rows(0.0), fit(1).checkpoint(Checkpoint::new(dark.join("run.gradus")))).unwrap()));
    let root = std::fs::read_dir(&dark).is_ok();
    std::fs::set_permissions(&dark, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(root || all.iter().any(|w| w.contains("cannot be synced")), "{all:?}");
    Model::load_on(dark.join("run.gradus"), Device::cpu()).unwrap();
}
