//! Every mistake gives an `Err` that says what, where and what to do.

#[path = "common/need.rs"]
mod need;

use gradus::Error;
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use need::Suite;
use std::path::Path;

static SUITE: Suite = Suite::new("errors", 14);

fn settings() -> Compile {
    Compile::new(Sgd::new(0.1), Mse::new()).input([3]).device(Device::cpu())
}

fn xy(rows: usize, value: f32) -> Dataset {
    Dataset::new(HostTensor::f32([rows, 3], vec![value; rows * 3]).unwrap(), HostTensor::f32([rows, 1], vec![1.0; rows]).unwrap()).unwrap()
}

/// The message has every one of these, a place and a way out.
fn says<T: std::fmt::Debug>(r: gradus::Result<T>, code: &str, parts: &[&str]) -> Error {
    let e = r.expect_err(code);
    let text = e.to_string();
    assert_eq!(e.code(), code, "{text}");
    for part in parts.iter().chain(&["where:", "help:"]) {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    e
}

#[test]
fn a_shape_that_does_not_fit_names_the_users_line() {
    let line = line!() + 3;
    let net = module(|s, x| {
        let h = s.at("fc1").call(&Linear::new(4), x);
        &h + s.param("gate", [5], Init::Zeros)
    });
    let at = format!("tests/errors.rs:{line}");
    says(net.compile(settings()), "shape-mismatch", &["add", "[2, 4]", "[5]", &at]);
    // only the first mistake is told, and later calls on its result do no harm
    let net = module(|_, x| (x.reshape([7, 7]).softmax() + 1.0).mean());
    says(net.compile(settings()), "shape-mismatch", &["reshape", "[7, 7]", "6"]);
    says(Sequential::new().add(Linear::new(0)).compile(settings()), "shape-mismatch", &["0.weight", "[0, 3]"]);
    SUITE.ran(1);
}

#[test]
fn names_are_taken_once_and_shared_by_name() {
    let net = module(|s, x| s.at("fc").call(&Linear::new(3), &s.at("fc").call(&Linear::new(3), x)));
    says(net.compile(settings()), "duplicate-name", &["fc.weight", "shared"]);
    let net = module(|s, x| x * s.shared("nothing"));
    says(net.compile(settings()), "not-found", &["nothing"]);
    SUITE.ran(1);
}

#[test]
fn settings_tell_all_their_faults_at_once() {
    let bad = Compile::new(Adam::new(f64::NAN).betas(0.9, 1.0), Mse::new()).device(Device::cpu());
    says(Sequential::new().add(Linear::new(1)).compile(bad), "invalid-config", &["compile.input", "optimizer.lr", "optimizer.betas"]);
    for s in [1.0, -0.1, f64::NAN] {
        let bad = Compile::new(Sgd::new(0.1), CrossEntropy::new().label_smoothing(s)).input([3]).device(Device::cpu());
        says(Sequential::new().add(Linear::new(2)).compile(bad), "invalid-config", &["loss.label_smoothing"]);
    }
    let fan = Init::kaiming_normal(gradus::nn::Fan::In, gradus::nn::Gain::Relu);
    let bias = Sequential::new().add(Linear::new(2).bias_init(fan)).compile(settings());
    says(bias, "invalid-config", &["0.bias", "KaimingNormal", "[out, in]"]);
    let weight = Sequential::new().add(Linear::new(2).weight_init(Init::Normal(-1.0))).compile(settings());
    says(weight, "invalid-config", &["0.weight", "Normal(-1.0)"]);
    let mut m = Sequential::new().add(Linear::new(1)).compile(settings()).unwrap();
    says(m.fit(&xy(4, 1.0), Fit::new().epochs(0).batch_size(0)), "invalid-config", &["fit.epochs", "fit.batch_size"]);
    SUITE.ran(1);
}

#[test]
fn words_that_are_no_choice_list_the_choices() {
    says("loud".parse::<gradus::train::DeviceChoice>(), "unknown-choice", &["`loud`", "software", "cpu"]);
    says("adamax".parse::<Optimizer>(), "unknown-choice", &["adamax", "adamw"]);
    says("relux".parse::<gradus::expr::Activation>(), "unknown-choice", &["relux", "gelu"]);
    SUITE.ran(1);
}

#[test]
fn recipes_refuse_unknown_keys_and_newer_versions() {
    use gradus::train::{DataSource, Recipe};
    let net = Sequential::new().add(Linear::new(10)).add(Softmax);
    let recipe =
        Recipe::new(&net, &Compile::new(Adam::default(), CrossEntropy::new()).input([784]), &Fit::new(), DataSource::new("mnist")).unwrap();
    let text = recipe.to_json();
    assert_eq!(Recipe::from_json(&text).unwrap(), recipe);
    says(Recipe::from_json(&text.replace("\"epochs\"", "\"epoch\"")), "bad-recipe", &["epoch", "line"]);
    says(Recipe::from_json(&text.replace("\"layer\": \"softmax\"", "\"layer\": \"softmax\", \"axis\": 1")), "bad-recipe", &["axis"]);
    says(Recipe::from_json(&text.replace("\"lr\"", "\"learning\"")), "bad-recipe", &["learning"]);
    says(Recipe::from_json(&text.replace("\"version\": 1", "\"version\": 99")), "bad-recipe", &["99", "newer"]);
    // settings of every kind are checked in one round
    let bad = text.replace("\"epochs\": 1", "\"epochs\": 0").replace("784", "0").replace("\"lr\": 0.001", "\"lr\": -1.0");
    says(Recipe::from_json(&bad), "invalid-config", &["3 settings", "fit.epochs", "compile.input", "optimizer.lr"]);
    SUITE.ran(1);
}

#[test]
fn data_that_does_not_fit_the_model() {
    let mut m = Sequential::new().add(Linear::new(2)).compile(settings()).unwrap();
    says(m.fit(&xy(4, 1.0), Fit::new()), "shape-mismatch", &["mse", "[4, 2]", "[4, 1]"]);
    let wide = Dataset::new(HostTensor::f32([4, 5], vec![0.0; 20]).unwrap(), HostTensor::f32([4, 1], vec![0.0; 4]).unwrap()).unwrap();
    says(m.fit(&wide, Fit::new()), "shape-mismatch", &["[5]", "[3]", "input"]);
    let bare = Dataset::unlabelled(HostTensor::f32([4, 3], vec![0.0; 12]).unwrap()).unwrap();
    says(m.fit(&bare, Fit::new()), "unsupported", &["labels"]);
    says(
        Dataset::new(HostTensor::f32([4, 3], vec![0.0; 12]).unwrap(), HostTensor::u8([3], vec![0; 3]).unwrap()),
        "shape-mismatch",
        &["[4, 3]", "[3]"],
    );
    SUITE.ran(1);
}

#[test]
fn labels_out_of_range_name_the_row() {
    let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([3]).device(Device::cpu());
    let mut m = Sequential::new().add(Linear::new(4)).compile(settings).unwrap();
    let x = || HostTensor::f32([3, 3], vec![0.0; 9]).unwrap();
    let data = Dataset::new(x(), HostTensor::u8([3], vec![0, 3, 4]).unwrap()).unwrap();
    says(m.fit(&data, Fit::new()), "label-out-of-range", &["label 4", "row 2", "4 outputs"]);
    says(m.fit(&data.one_hot(4), Fit::new()), "label-out-of-range", &["label 4"]);
    SUITE.ran(1);
}

/// The mistakes of a first day: what is said is what was written, and what to write.
#[test]
fn labels_of_the_wrong_kind_say_what_to_use() {
    let x = || HostTensor::f32([4, 3], vec![0.0; 12]).unwrap();
    let fit = |loss: gradus::nn::Loss, outputs: usize, metric: bool, y: HostTensor| {
        let settings = Compile::new(Sgd::new(0.1), loss).input([3]).device(Device::cpu());
        let settings = if metric { settings.metric(Accuracy::new()) } else { settings };
        let mut m = Sequential::new().add(Linear::new(outputs)).compile(settings).unwrap();
        m.fit(&Dataset::new(x(), y).unwrap(), Fit::new().verbose(0))
    };
    let reals = || HostTensor::f32([4], vec![0.0, 1.0, 2.0, 1.0]).unwrap();
    let classes = || HostTensor::u32([4], vec![0, 1, 0, 1]).unwrap();
    let cross = || CrossEntropy::new();
    says(fit(cross().into(), 3, false, reals()), "shape-mismatch", &["labels [4] that are f32", "HostTensor::u32"]);
    says(fit(cross().class_weights([1.0; 3]).into(), 3, false, reals()), "shape-mismatch", &["labels [4] that are f32", "HostTensor::u32"]);
    says(fit(Mse::new().into(), 1, false, classes()), "dtype-mismatch", &["mse", "u32", "CrossEntropy"]);
    says(fit(Mae::new().into(), 1, false, classes()), "dtype-mismatch", &["mae", "u32", "CrossEntropy"]);
    says(fit(BinaryCrossEntropy::new().into(), 1, true, classes()), "shape-mismatch", &["accuracy", "[4, 1]", "BinaryAccuracy"]);
    let ones = HostTensor::f32([4, 1], vec![1.0; 4]).unwrap();
    says(fit(BinaryCrossEntropy::new().into(), 1, true, ones), "shape-mismatch", &["accuracy", "BinaryAccuracy"]);
    let from_1 = HostTensor::u32([4], vec![1, 2, 3, 1]).unwrap();
    says(fit(cross().into(), 3, false, from_1), "label-out-of-range", &["label 3 of row 2", "classes count from 0"]);
    SUITE.ran(1);
}

fn weights(path: &Path, tensors: &[(&str, &[usize])]) {
    use safetensors::tensor::{Dtype, TensorView};
    let bytes = vec![0u8; 4096];
    let views = tensors
        .iter()
        .map(|(n, s)| (n.to_string(), TensorView::new(Dtype::F32, s.to_vec(), &bytes[..4 * s.iter().product::<usize>()]).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn weights_that_do_not_fit_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let mut m = Sequential::new().add(Linear::new(2)).compile(settings()).unwrap();
    let before = m.parameter("0.weight").unwrap();
    weights(&path, &[("0.weight", &[2, 4]), ("extra", &[1])]);
    says(m.load_weights(&path, Load::new()), "weight-mismatch", &["missing: 0.bias", "unexpected: extra", "0.weight", "[2, 3]", "[2, 4]"]);
    assert_eq!(m.parameter("0.weight").unwrap(), before);
    weights(&path, &[("module.0.weight", &[2, 3]), ("extra", &[1])]);
    let report = m.load_weights(&path, Load::new().rename("module.", "").allow_missing("*.bias").ignore("ex*")).unwrap();
    assert_eq!(report.to_string(), "1 loaded, 1 fresh (0.bias), 1 ignored");
    assert_eq!(m.parameter("0.weight").unwrap().as_f32().unwrap(), [0.0; 6]);
    std::fs::write(&path, b"PK\x03\x04not tensors").unwrap();
    says(m.load_weights(&path, Load::new()), "bad-file", &["torch.load"]);
    says(m.load_weights(folder.path().join("none"), Load::new()), "io", &["none"]);
    says(m.save_weights(folder.path().join("no/such/folder")), "io", &["no/such"]);
    says(Model::load_on(&path, Device::cpu()), "bad-file", &[]);
    SUITE.ran(1);
}

/// In a process of its own, in which no Vulkan driver is found.
#[test]
fn no_adapter_says_what_to_install() {
    const CHILD: &str = "GRADUS_TEST_NO_ADAPTER";
    if std::env::var_os(CHILD).is_some() {
        for choice in ["gpu", "software", "gpu:0", "gpu:radeon"] {
            says(Device::select(choice), "no-device", &[choice, "mesa-vulkan-drivers", "cpu"]);
        }
        let device = Device::select("auto").unwrap();
        assert_eq!(device.kind(), "cpu");
        assert!(device.note().contains("no Vulkan driver"), "{}", device.note());
        assert!(Device::list().contains("mesa-vulkan-drivers"));
        return;
    }
    let out = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "no_adapter_says_what_to_install"])
        .env(CHILD, "1")
        .env("VK_DRIVER_FILES", "/nonexistent.json")
        .env("VK_ICD_FILENAMES", "/nonexistent.json")
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    SUITE.ran(1);
}

/// Where every adapter is a GPU in software, `gpu` is an error that lists them, and `auto` is the CPU and says why.
#[test]
fn a_gpu_in_software_is_none() {
    // a machine with a real GPU, or with none at all, has nothing to show here
    let Ok(software) = Device::select("software") else { return SUITE.ran(1) };
    if Device::select("gpu").is_ok() {
        return SUITE.ran(1);
    }
    says(Device::select("gpu"), "no-device", &["`gpu`", "software", &software.name(), "cpu"]);
    says(Device::select("gpu:no such card"), "no-device", &["`gpu:no such card`", &software.name()]);
    says(Device::select("gpu:4711"), "no-device", &["gpu:4711", &software.name()]);
    let auto = Device::select("auto").unwrap();
    assert_eq!(auto.kind(), "cpu");
    assert!(auto.note().contains("only software adapters"), "{}", auto.note());
    assert!(Device::list().contains(&software.name()), "{}", Device::list());
    SUITE.ran(1);
}

/// Rows 0 to 9 are good, the tenth makes an infinite loss: two steps of five count, the third is named, nothing after it moves.
#[test]
fn a_loss_that_is_not_finite_names_its_step() {
    let rows = 30;
    let mut x = vec![0.5f32; rows * 3];
    x[11 * 3] = f32::NAN;
    let data = Dataset::new(HostTensor::f32([rows, 3], x).unwrap(), HostTensor::f32([rows, 1], vec![1.0; rows]).unwrap()).unwrap();
    let fit = || Fit::new().epochs(4).batch_size(5).shuffle(false).verbose(0);
    for device in SUITE.devices() {
        for k in [1, 3, 64] {
            let make = || Sequential::new().add(Linear::new(1)).compile(settings().device(device.clone())).unwrap();
            let mut good = make();
            good.trainer(&data, fit()).unwrap().steps(2).unwrap();
            let mut bad = make();
            let e = says(bad.fit(&data, fit().steps_per_submit(k)), "non-finite-loss", &["step 3", "epoch 1", "NaN"]);
            assert!(matches!(e, Error::NonFiniteLoss { step: 3, epoch: 1, .. }));
            assert_eq!(bad.parameter("0.weight").unwrap(), good.parameter("0.weight").unwrap(), "K = {k} on {device}");
            // and training goes on from there on better data
            let report = bad.trainer(&xy(10, 0.5), Fit::new().batch_size(5)).unwrap().steps(1).unwrap().unwrap();
            assert_eq!(report.step, 3);
            assert!(report.loss.is_finite());
        }
        SUITE.ran(1);
    }
}

#[test]
fn errors_travel() {
    fn travels<T: Send + Sync + std::error::Error + 'static>() {}
    travels::<Error>();
    fn sends<T: Send>() {}
    sends::<Model>();
    SUITE.ran(1);
}
