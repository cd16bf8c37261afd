//! Checkpoints of a server.

use super::*;
use gradus::server::{Event, Flow};
use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex};

/// A full disk is told, ends nothing and leaves the older file as it is; once there is room the run is written again.
#[test]
fn a_full_disk_ends_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let path = at("run.gradus");
    let point = {
        let (path, new) = (path.clone(), at("new"));
        move |to: &Path| {
            symlink(to, &new).unwrap();
            std::fs::rename(&new, &path).unwrap();
        }
    };
    let good = at("good");
    point(&good);
    let server = Server::new(model(&Device::cpu()), Rules::new(1)).unwrap();
    server.checkpoint(Checkpoint::new(&path).every_epochs(0).every_steps(5)).unwrap();
    let seen: Arc<Mutex<Vec<Result<u64, String>>>> = Arc::default();
    let (notes, file) = (seen.clone(), good.clone());
    let mut before = vec![];
    server.watch(move |event| {
        let mut notes = notes.lock().unwrap();
        match event {
            Event::Written { update } if notes.is_empty() => {
                notes.push(Ok(update));
                before = std::fs::read(&file).unwrap();
                point(Path::new("/dev/full"));
            }
            Event::Written { update } => notes.push(Ok(update)),
            Event::NotWritten { error } => {
                notes.push(Err(error.to_string()));
                assert!(std::fs::read(&file).unwrap() == before, "the older file has changed");
                if notes.len() == 3 {
                    point(&file);
                }
            }
            // so that each file has its time
            Event::Update { .. } => std::thread::sleep(Duration::from_millis(4)),
            _ => {}
        }
        Ok(Flow::Go)
    });
    let mut link = server.link();
    model(&Device::cpu_threads(1)).worker(&mut link, Worker::new(0, 1)).run(&data(), &recipe().fit).unwrap();
    server.write().unwrap();
    let seen = seen.lock().unwrap();
    let told: Vec<bool> = seen.iter().map(Result::is_ok).collect();
    assert!(told[..4] == [true, false, false, true], "{seen:?}");
    assert!(seen[1].as_ref().unwrap_err().contains("o space left"), "{seen:?}");
    assert_eq!(server.standing().updates, 78);
    let restored = Server::restore(model(&Device::cpu()), Rules::new(1), &path).unwrap();
    assert_eq!(restored.standing().updates, 78);
    assert!(bits(&restored.into_model().unwrap()) == bits(&server.into_model().unwrap()));
    SUITE.ran(1);
}

/// Every mode goes on from its file to the end; DiLoCo with the velocity of its outer step, to the same bits.
#[test]
fn every_mode_goes_on_from_its_file() {
    use gradus::server::Outer;
    let folder = tempfile::tempdir().unwrap();
    let all = [
        Rules::new(1),
        Rules::new(1).mode(Mode::SemiAsync { staleness: 2 }),
        Rules::new(1).mode(Mode::Async),
        Rules::new(1).mode(Mode::Local { every: 3 }).outer(Outer::diloco()),
    ];
    for rules in all {
        let path = folder.path().join(rules.mode.to_string());
        let new = || Server::new(plain(), rules.clone()).unwrap();
        let run = |server: &Server| {
            let mut link = server.link();
            plain_on(1).worker(&mut link, Worker::new(0, 1)).run(&data(), &recipe().fit).map(drop)
        };
        let whole = new();
        run(&whole).unwrap();
        let cut = new();
        cut.checkpoint(Checkpoint::new(&path).every_epochs(0).every_steps(5)).unwrap();
        let at = cut.clone();
        let mut halves = 0;
        cut.watch(move |event| {
            if let Event::Update { .. } = event {
                halves += 1;
                // so that the files have their time
                std::thread::sleep(Duration::from_millis(10));
            }
            if halves == 12 { Err(gradus::Error::callback("cut")) } else { Ok(Flow::Go) }
        });
        run(&cut).unwrap_err();
        at.write().unwrap_err(); // nothing is written of a run that has failed
        drop(at);
        let began = std::time::Instant::now();
        while !path.exists() && began.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let restored = Server::restore(plain(), rules.clone(), &path).unwrap();
        assert!(restored.standing().updates > 0, "{}", rules.mode);
        run(&restored).unwrap();
        assert_eq!(restored.standing().updates, whole.standing().updates);
        assert!(bits(&restored.into_model().unwrap()) == bits(&whole.into_model().unwrap()), "{}", rules.mode);
    }
    SUITE.ran(1);
}

/// Without what only a worker knows in local mode: an optimizer with state of its own.
fn plain() -> Model {
    plain_on(0)
}

fn plain_on(threads: usize) -> Model {
    let net = Sequential::new().add(Linear::new(24)).add(Relu).add(Linear::new(10));
    let device = if threads == 0 { Device::cpu() } else { Device::cpu_threads(threads) };
    net.compile(Compile::new(Sgd::new(0.05), CrossEntropy::new()).input([784]).seed(3).device(device)).unwrap()
}

/// Files of other runs, and damaged ones, are refused.
#[test]
fn a_file_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.gradus");
    let server = Server::new(plain(), Rules::new(2)).unwrap();
    server.checkpoint(Checkpoint::new(&path)).unwrap();
    server.write().unwrap();
    let refused = |model, rules| Server::restore(model, rules, &path).unwrap_err().to_string();
    assert!(refused(model(&Device::cpu()), Rules::new(2)).contains("the model"));
    let e = refused(plain(), Rules::new(3).mode(Mode::Async));
    assert!(e.contains("mode") && e.contains("workers"), "{e}");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(Server::restore(plain(), Rules::new(2), &path).unwrap_err().code(), "bad-file");
    assert_eq!(Server::restore(plain(), Rules::new(2), folder.path().join("none")).unwrap_err().code(), "io");
    SUITE.ran(1);
}
