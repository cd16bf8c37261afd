//! What comes from elsewhere: recipes, files that are something else, the environment.

use super::{CHILD, FILE, child, ended, fit, model, rows};
use gradus::prelude::*;
use gradus::train::callbacks::{CsvLogger, JsonLines, ModelCheckpoint, TensorBoard};
use gradus::train::{DataSpec, Recipe};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn a_recipe_from_elsewhere_stays_inside() {
    let net = Sequential::new().add(Linear::new(1));
    let recipe = |fit: Fit| Recipe::new(&net, &Compile::new(Adam::new(0.01), Mse::new()).input([3]), &fit, DataSpec::new("mnist")).unwrap();
    let all = |p: &str| {
        let fit =
            fit(1).callback(CsvLogger::new(p)).callback(JsonLines::new(p)).callback(ModelCheckpoint::new(p)).callback(TensorBoard::new(p));
        recipe(fit.checkpoint(Checkpoint::new(p)))
    };
    let mut out = vec!["../x", "runs/../../x", "/tmp/x", "./a/../b"];
    if cfg!(windows) {
        out.extend(["C:\\x", "C:x", "\\x", "a\\..\\x"]);
    }
    for p in out {
        let text = all(p).to_json();
        let e = Recipe::from_json(&text).unwrap_err();
        let says = e.to_string();
        assert!(e.code() == "invalid-config" && says.starts_with("5 settings"), "{p}: {e}");
        assert!(["fit.checkpoint.path", "fit.callbacks[2].path", "fit.callbacks[3].log_dir"].iter().all(|k| says.contains(k)), "{e}");
        assert_eq!(Recipe::from_json_anywhere(&text).unwrap(), all(p));
    }
    for p in ["x", "./x", "runs/x", "runs/{epoch:02d}-{loss:.2f}.gradus", "..x", "a..b/c"] {
        assert_eq!(Recipe::from_json(&all(p).to_json()).unwrap(), all(p));
    }
}

#[test]
fn the_device_of_the_environment() {
    let told = |value: &std::ffi::OsStr| {
        let text = ended(child("device", Path::new("")).env("GRADUS_DEVICE", value).spawn().unwrap());
        text.lines().find_map(|l| l.strip_prefix("device ")).unwrap().to_string()
    };
    assert_eq!((told("cpu".as_ref()), told("".as_ref())), ("cpu".to_string(), "auto".into()));
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let text = told(std::ffi::OsStr::from_bytes(b"cp\xff"));
        assert!(text.contains("unknown GRADUS_DEVICE `cp"), "{text}");
    }
}

/// The help of an error says what to do with a checkpoint where weights are asked for.
#[test]
fn a_checkpoint_where_weights_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.gradus");
    model(1).fit(&rows(0.0), fit(1).checkpoint(Checkpoint::new(&path))).unwrap();
    let e = model(2).load_weights(&path, Load::new()).unwrap_err();
    assert_eq!(e.code(), "weight-mismatch");
    let text = e.to_string();
    assert!(text.contains(r#"ignore("optimizer.*").ignore("gradus.*")"#) && text.contains("Fit::resume"), "{e}");
    model(2).load_weights(&path, Load::new().ignore("optimizer.*").ignore("gradus.*")).unwrap();
}

/// No reader opens what is no regular file.
#[cfg(unix)]
#[test]
fn readers_wait_for_no_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let pipe = at("train-images-idx3-ubyte");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for name in ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        std::fs::write(at(name), "x").unwrap();
    }
    let zero = PathBuf::from("/dev/zero");
    for path in [&pipe, &zero] {
        let resume = fit(1).checkpoint(Checkpoint::new(path)).resume(Resume::IfPresent);
        let all = [
            model(1).load_weights(path, Load::new()).map(drop),
            Model::load_on(path, Device::cpu()).map(drop),
            model(1).trainer(&rows(0.0), resume).map(drop),
            data::read_idx(path).map(drop),
            data::open_idx(path, path).map(drop),
            data::open_safetensors(path).map(drop),
            data::idx_folder(folder.path()).map(drop),
        ];
        for result in all {
            let e = result.unwrap_err();
            assert!(e.code() == "io" && e.to_string().contains("no regular file"), "{e}");
        }
    }
}

/// A file that is far too large to be what it should be is read no further than shows it.
#[test]
fn large_files_that_are_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    std::fs::File::create(&path).unwrap().set_len(1 << 42).unwrap();
    let codes = [
        model(1).load_weights(&path, Load::new()).map(drop),
        Model::load_on(&path, Device::cpu()).map(drop),
        data::read_idx(&path).map(drop),
        data::open_safetensors(&path).map(drop),
    ];
    let codes = codes.map(|r| r.unwrap_err().code());
    assert_eq!(codes, ["bad-file", "bad-file", "bad-data", "bad-data"]);
}

/// A data set of 200,000 fields is opened in time that grows with their number.
#[test]
fn many_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.safetensors");
    let count = 200_000;
    let fields = (0..count).map(|i| format!(r#""f{i}":{{"dtype":"U8","shape":[1],"data_offsets":[{i},{}]}}"#, i + 1));
    let header = format!("{{{}}}", fields.collect::<Vec<_>>().join(","));
    std::fs::write(&path, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![1; count]].concat()).unwrap();
    let began = std::time::Instant::now();
    assert_eq!(data::open_safetensors(&path).unwrap().fields().len(), count);
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    let e = model(1).load_weights(&path, Load::new()).unwrap_err();
    assert!(e.code() == "weight-mismatch" && began.elapsed().as_secs() < 90, "{:?}", began.elapsed());
}

/// Memory that runs out while gzip is unpacked is told as that.
#[cfg(all(target_os = "linux", feature = "data-download"))]
#[test]
fn memory_that_runs_out_while_unpacking() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.gz");
    let packed = |bytes: &[u8]| {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        e.write_all(bytes).and_then(|()| e.finish()).unwrap()
    };
    // 512 MiB in members of 8
    let part = packed(&vec![0; 8 << 20]);
    std::fs::write(&path, [packed(&[0, 0, 8, 1, 0x20, 0, 0, 0]), part.repeat(64)].concat()).unwrap();
    let mut c = Command::new("sh");
    c.args(["-c", "ulimit -v 400000; exec \"$0\" --exact as_a_child --nocapture"]).arg(std::env::current_exe().unwrap());
    c.env(CHILD, "unpack").env(FILE, &path).stdout(Stdio::piped()).stderr(Stdio::piped());
    let text = ended(c.spawn().unwrap());
    assert!(text.contains("unpacked unpacking a gzip file in memory needs") && text.contains("open_idx"), "{text}");
}
