//! Damage, states that cannot be restored, names that no file gives back, and circumstances that are not as they were.

use super::{bytes, fit, model, rows};
use crate::common::hear::warnings;
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use gradus::train::callbacks::{self, Callback, CsvLogger, ModelCheckpoint};

/// The header changed; its length follows. The metadata is given without its sum.
fn edited(bytes: &[u8], change: impl Fn(String) -> String) -> Vec<u8> {
    let n = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + n]).unwrap();
    let meta = header["__metadata__"].as_object_mut().unwrap();
    meta.remove("gradus.sum");
    if let Some(text) = meta.get("gradus").and_then(|t| t.as_str()) {
        let at = text.rfind(",\"sum\":\"").unwrap();
        let text = change(text[..at].to_string() + "}");
        meta.insert("gradus".into(), text.into());
    }
    let mut header = header.to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + n..]].concat()
}

/// A bit in tensors, a bit in counters: in checkpoints, models and weights.
#[test]
fn a_turned_bit_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.gradus");
    let resume = || fit(4).checkpoint(Checkpoint::new(&path)).resume(Resume::Required);
    model(1).fit(&rows(0.0), fit(2).checkpoint(Checkpoint::new(&path))).unwrap();
    let checkpoint = std::fs::read(&path).unwrap();
    let mut m = model(1);
    m.save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    m.save_weights(&path).unwrap();
    let weights = std::fs::read(&path).unwrap();
    let before = bytes(&mut m);
    let mut refused = |of: &str, bytes_of: &[u8]| {
        std::fs::write(&path, bytes_of).unwrap();
        let e = match of {
            "checkpoint" => m.fit(&rows(0.0), resume()).map(drop),
            "model" => Model::load_on(&path, Device::cpu()).map(drop),
            _ => m.load_weights(&path, Load::new().ignore("optimizer.*").ignore("gradus.*")).map(drop),
        };
        let e = e.unwrap_err();
        assert_eq!(e.code(), "bad-file", "{of}: {e}");
        assert!(bytes(&mut m) == before, "{of}: something was changed");
        e.to_string()
    };
    for (of, good) in
        [("checkpoint", &checkpoint), ("model", &whole), ("weights", &weights), ("model", &checkpoint), ("weights", &checkpoint)]
    {
        let data = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        for at in (data..good.len()).step_by((good.len() - data) / 40) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            let text = refused(of, &bad);
            assert!(text.contains("not as it was written"), "{text}");
        }
    }
    // a counter: `"batches":8` to `"batches":9`
    let counter = br#"\"batches\":8"#;
    let at = checkpoint.windows(counter.len()).position(|w| w == counter).unwrap() + counter.len() - 1;
    let mut bad = checkpoint.clone();
    bad[at] ^= 1;
    assert!(refused("checkpoint", &bad).contains("not as it was written"));
    // files of before have no sum, and are read
    let mut whole_run = model(1);
    let history = whole_run.fit(&rows(0.0), fit(4)).unwrap();
    std::fs::write(&path, edited(&checkpoint, |t| t)).unwrap();
    let mut again = model(1);
    assert_eq!(again.fit(&rows(0.0), resume()).unwrap().get("loss"), history.get("loss"));
    assert!(bytes(&mut again) == bytes(&mut whole_run));
    for old in [edited(&whole, |t| t), edited(&weights, |t| t)] {
        std::fs::write(&path, old).unwrap();
        again.load_weights(&path, Load::new().ignore("optimizer.*")).unwrap();
    }
    std::fs::write(&path, edited(&whole, |t| t)).unwrap();
    Model::load_on(&path, Device::cpu()).unwrap();
}

/// What cannot be restored changes nothing: a callback's state is looked at before the weights are written.
#[test]
fn restored_whole_or_not_at_all() {
    /// Refuses what it saved.
    struct Refuses;
    impl Callback for Refuses {
        fn state(&self) -> serde_json::Value {
            7.into()
        }
        fn restore(&mut self, _: &mut Trainer<'_>, _: &serde_json::Value) -> gradus::Result<()> {
            Err(gradus::Error::Unsupported { what: "my state".into(), at: "here".into(), help: "none".into() })
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.gradus");
    let with = |epochs| {
        let stop = EarlyStopping::new("loss").patience(9);
        let table = CsvLogger::new(path.with_extension("csv"));
        let kept = ModelCheckpoint::new(path.with_extension("kept").to_str().unwrap());
        fit(epochs).callback(table).callback(kept).callback(stop).checkpoint(Checkpoint::new(&path))
    };
    model(1).fit(&rows(0.0), with(2)).unwrap();
    let good = std::fs::read(&path).unwrap();
    let table = std::fs::read(path.with_extension("csv")).unwrap();
    for (from, to) in [(r#""wait":"#, r#""weit":"#), (r#""files":"#, r#""f":"#), (r#""csv_logger","state":"#, r#""csv_logger","state":-"#)]
    {
        let bad = edited(&good, |t| {
            assert!(t.contains(from), "no {from} in {t}");
            t.replacen(from, to, 1)
        });
        std::fs::write(&path, bad).unwrap();
        let mut m = model(1);
        let before = bytes(&mut m);
        let e = m.fit(&rows(0.0), with(3).resume(Resume::Required)).unwrap_err();
        assert!(e.code() == "bad-file" && e.to_string().contains("run.gradus"), "{e}");
        assert!(bytes(&mut m) == before, "changed by {to}");
        assert_eq!(std::fs::read(path.with_extension("csv")).unwrap(), table);
    }
    // one's own that refuses when all was written: it is taken back
    let own = |epochs| fit(epochs).checkpoint(Checkpoint::new(&path)).callback(callbacks::custom("refuses", Refuses));
    model(1).fit(&rows(0.0), own(2)).unwrap();
    let mut m = model(1);
    m.fit(&rows(0.0), fit(1)).unwrap();
    let before = bytes(&mut m);
    let e = m.fit(&rows(0.0), own(3).resume(Resume::Required)).unwrap_err();
    assert!(e.code() == "unsupported" && bytes(&mut m) == before, "{e}");
    m.fit(&rows(0.0), fit(1)).unwrap();
}

#[test]
fn names_that_files_own_are_refused() {
    let compile = |name: &'static str, below: bool| {
        let net = module(move |s, x| {
            let s = if below { s.at(name) } else { s.clone() };
            x * s.param(if below { "scale" } else { name }, [3], Init::Ones)
        });
        net.compile(Compile::new(Adam::new(0.1), Mse::new()).input([3]).device(Device::cpu()))
    };
    for (name, below) in [("optimizer", false), ("optimizer", true), ("gradus", false), ("gradus", true), ("__metadata__", false)] {
        let e = compile(name, below).unwrap_err();
        assert!(e.code() == "invalid-config" && e.to_string().contains(name), "{e}");
    }
    // names that only look like it come back, moments and all
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    let y = HostTensor::f32([4, 3], vec![0.5; 12]).unwrap();
    let data = Dataset::new(HostTensor::f32([4, 3], vec![1.5; 12]).unwrap(), y).unwrap();
    for name in ["optimizers", "gradus2", "moment:", "metadata", "x.optimizer.moment0"] {
        let net = || module(move |s, x| x * s.at(name).param("scale", [3], Init::Ones));
        let mut m = net().compile(Compile::new(Adam::new(0.1), Mse::new()).input([3]).device(Device::cpu())).unwrap();
        m.fit(&data, fit(2)).unwrap();
        m.save(&path).unwrap();
        let mut again = Model::load_with(net(), &path, Device::cpu()).unwrap();
        m.fit(&data, fit(1)).unwrap();
        again.fit(&data, fit(1)).unwrap();
        assert!(bytes(&mut again) == bytes(&mut m), "{name}");
    }
}

#[test]
fn another_machine_and_other_data_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.gradus");
    model(1).fit(&rows(0.0), fit(1).checkpoint(Checkpoint::new(&path))).unwrap();
    let good = std::fs::read(&path).unwrap();
    let resumed = |data: &Dataset, device: Device, bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let net = Sequential::new().add(Linear::new(8)).add(Tanh).add(Linear::new(1));
        let mut m = net.compile(Compile::new(Adam::new(0.01), Mse::new()).input([3]).seed(1).device(device)).unwrap();
        let resume = fit(2).checkpoint(Checkpoint::new(&path).every_epochs(0)).resume(Resume::Required);
        warnings(|| drop(m.fit(data, resume).unwrap()))
    };
    // neither the number of threads nor another copy of the same data
    assert_eq!(resumed(&rows(0.0), Device::cpu_threads(2), &good), Vec::<String>::new());
    let all = resumed(&rows(1e-3), Device::cpu(), &good);
    assert!(all.len() == 1 && all[0].contains("first rows of the data") && all[0].contains("field=\"x\""), "{all:?}");
    let other = edited(&good, |t| t.replacen("\"machine\":\"cpu ", "\"machine\":\"gpu ", 1));
    let all = resumed(&rows(0.0), Device::cpu(), &other);
    assert!(all.len() == 1 && all[0].contains("another machine") && all[0].contains("gpu "), "{all:?}");
    if let Ok(software) = Device::select("software") {
        let all = resumed(&rows(0.0), software, &good);
        assert!(all.len() == 1 && all[0].contains("another machine") && all[0].contains("cpu "), "{all:?}");
    }
    // files of before say nothing of it
    let at = |t: &str| (t.find(",\"circumstances\":").unwrap(), t.find(",\"run\":").unwrap());
    let old = edited(&good, |t| t[..at(&t).0].to_string() + &t[at(&t).1..]);
    assert_eq!(resumed(&rows(1e-3), Device::cpu(), &old), Vec::<String>::new());
}
