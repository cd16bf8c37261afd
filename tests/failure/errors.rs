//! Every mistake gives an `Err` that says what, where and what to do.

use crate::common::need::Suite;
use gradus::Error;
use gradus::prelude::*;
use gradus::tensor::{HostTensor, Order};
use std::path::Path;

static SUITE: Suite = Suite::new("errors", 19);

fn settings() -> Compile {
    Compile::new(Sgd::new(0.1), Mse::new()).input([3]).device(Device::cpu())
}

fn xy(rows: usize, value: f32) -> Dataset {
    Dataset::new(HostTensor::f32([rows, 3], vec![value; rows * 3]).unwrap(), HostTensor::f32([rows, 1], vec![1.0; rows]).unwrap()).unwrap()
}

/// The message has every one of these, a place that is not gradus' own source, and a way out.
fn says<T: std::fmt::Debug>(r: gradus::Result<T>, code: &str, parts: &[&str]) -> Error {
    let e = r.expect_err(code);
    let text = e.to_string();
    assert_eq!(e.code(), code, "{text}");
    for part in parts.iter().chain(&["where:", "help:"]) {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    assert!(!text.contains("src/") && !text.contains("within gradus"), "a line of gradus' own helps nobody:\n{text}");
    e
}

#[test]
fn a_shape_that_does_not_fit_names_the_users_line() {
    let line = line!() + 3;
    let net = module(|s, x| {
        let h = s.at("fc1").call(&Linear::new(4), x);
        &h + s.param("gate", [5], Init::Zeros)
    });
    let at = format!("tests/failure/errors.rs:{line}");
    says(net.compile(settings()), "shape-mismatch", &["add", "[2, 4]", "[5]", &at]);
    // only the first mistake is told, and later calls on its result do no harm
    let net = module(|_, x| (x.reshape([7, 7]).softmax() + 1.0).mean());
    says(net.compile(settings()), "shape-mismatch", &["reshape", "[7, 7]", "6"]);
    says(Sequential::new().add(Linear::new(0)).compile(settings()), "shape-mismatch", &["0.weight", "[0, 3]"]);
    for axes in [vec![0], vec![1, 1], vec![0, 2]] {
        let line = line!() + 1;
        let net = module(move |s, x| x * s.ordered_param("gate", [1, 3], Init::Zeros, Order::of(axes.clone())).sum());
        says(net.compile(settings()), "shape-mismatch", &["ordered_param", "`gate` [1, 3]", &format!("errors.rs:{line}")]);
    }
    SUITE.ran(1);
}

#[test]
fn names_are_taken_once_and_shared_by_name() {
    let line = line!() + 2;
    let net = module(|s, x| {
        let h = s.at("fc").call(&Linear::new(3), x);
        s.at("fc").call(&Linear::new(3), &h)
    });
    // both lines are the user's, the first first
    let [first, again] = [line, line + 1].map(|l| format!("tests/failure/errors.rs:{l}"));
    let e = says(net.compile(settings()), "duplicate-name", &["fc.weight", "shared", &format!("first {first}"), &format!("again {again}")]);
    assert!(matches!(e, Error::DuplicateName { .. }));
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
    use gradus::train::{DataSpec, Recipe};
    let net = Sequential::new().add(Linear::new(10)).add(Softmax);
    let recipe =
        Recipe::new(&net, &Compile::new(Adam::default(), CrossEntropy::new()).input([784]), &Fit::new(), DataSpec::new("mnist")).unwrap();
    let text = recipe.to_json();
    assert_eq!(Recipe::from_json(&text).unwrap(), recipe);
    says(Recipe::from_json(&text.replace("\"epochs\"", "\"epoch\"")), "bad-recipe", &["epoch", "line"]);
    says(Recipe::from_json(&text.replace("\"layer\": \"softmax\"", "\"layer\": \"softmax\", \"axis\": 1")), "bad-recipe", &["axis"]);
    says(Recipe::from_json(&text.replace("\"lr\"", "\"learning\"")), "bad-recipe", &["learning"]);
    says(Recipe::from_json(&text.replace("\"version\": 2", "\"version\": 99")), "bad-recipe", &["99", "newer"]);
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

/// Mistakes that gradus' own layers, losses and metrics find: the place is the user's line that made the layer, or the loss or metric and
/// the labels that it got.
#[test]
fn places_are_the_users() {
    use gradus::nn::{Auc, ConfusionMatrix, F1, FocalLoss, GroupNorm, KlDivergence, LogCosh, Metric, Nll, R2};
    let reals = |shape: &[usize]| HostTensor::f32(shape, vec![0.5; shape.iter().product()]).unwrap();
    let [classes, real, five, one] = [
        Dataset::new(reals(&[8, 3]), HostTensor::u32([8], vec![1; 8]).unwrap()).unwrap(),
        Dataset::new(reals(&[8, 3]), reals(&[8])).unwrap(),
        Dataset::new(reals(&[8, 3]), HostTensor::u32([8], vec![1; 8]).unwrap()).unwrap().one_hot(5),
        Dataset::new(reals(&[8, 3]), reals(&[8, 1])).unwrap(),
    ];
    let refused = |outputs: usize, loss: gradus::nn::Loss, metric: Option<Metric>, data: &Dataset, parts: &[&str]| {
        let c = Compile::new(Sgd::new(0.1), loss).input([3]).device(Device::cpu());
        let c = if let Some(m) = metric { c.metric(m) } else { c };
        let mut m = Sequential::new().add(Linear::new(outputs)).compile(c).unwrap();
        let e = m.fit(data, Fit::new().verbose(0)).unwrap_err();
        let code = e.code();
        says::<()>(Err(e), code, parts);
    };
    let ce = || gradus::nn::Loss::from(CrossEntropy::new());
    refused(3, ce(), None, &real, &["where: the loss `cross_entropy` of the output, f32 [8, 3], and the labels `y`, f32 [8]"]);
    refused(3, ce(), None, &five, &["the loss `cross_entropy`", "[8, 5]"]);
    refused(3, CrossEntropy::new().class_weights([1.0, 2.0]).into(), None, &classes, &["the loss `cross_entropy`"]);
    refused(1, Mse::new().into(), None, &classes, &["the loss `mse` of", "the labels `y`, u32 [8]"]);
    refused(3, Mae::new().into(), None, &one, &["the loss `mae`"]);
    refused(3, Huber::new().into(), None, &one, &["the loss `huber`"]);
    refused(3, LogCosh::new().into(), None, &one, &["the loss `log_cosh`"]);
    refused(3, BinaryCrossEntropy::new().into(), None, &classes, &["the loss `binary_cross_entropy`"]);
    refused(3, FocalLoss::new().into(), None, &five, &["the loss `focal_loss`"]);
    refused(3, Nll::new().into(), None, &five, &["the loss `nll`"]);
    refused(3, KlDivergence::new().into(), None, &classes, &["the loss `kl_divergence`"]);
    let with = |metric: Metric, parts: &[&str]| refused(3, ce(), Some(metric), &classes, parts);
    with(ConfusionMatrix::new(5).into(), &["the metric `confusion"]);
    with(R2::new().into(), &["the metric `r2`"]);
    with(Auc::new().into(), &["the metric `auc`"]);
    with(F1::new().into(), &["the metric `f1`"]);
    let bce = || gradus::nn::Loss::from(BinaryCrossEntropy::new());
    refused(1, bce(), Some(Accuracy::new().into()), &real, &["the metric `accuracy`"]);

    // layers: the line that made them, in a sequence or in a module of one's own
    let line = line!() + 1;
    let net = Sequential::new().add(Linear::new(6)).add(GroupNorm::new(4));
    says(net.compile(settings()), "invalid-config", &["1: GroupNorm.num_groups"]);
    let net = Sequential::new().add(Embedding::new(4, 2));
    says(net.compile(settings()), "dtype-mismatch", &["layer `0`", &format!("tests/failure/errors.rs:{}", line + 2)]);
    let net = module(|s, x| s.at("table").call(&Embedding::new(4, 2), x));
    says(net.compile(settings()), "dtype-mismatch", &["layer `table`", &format!("tests/failure/errors.rs:{}", line + 4)]);
    let net = Sequential::new().add(module(|_, x| x.sum()));
    says(net.compile(settings()), "shape-mismatch", &["the output `output`", &format!("tests/failure/errors.rs:{}", line + 6)]);

    // batches by hand
    let mut m = Sequential::new().add(Linear::new(1)).compile(settings()).unwrap();
    let at = format!("tests/failure/errors.rs:{}", line!() + 1);
    says(m.train_on_batch((&reals(&[4, 3]), &reals(&[3, 1]))), "shape-mismatch", &["[4, 3]", "[3, 1]", &at]);
    says(m.activation("0", &reals(&[])), "shape-mismatch", &["tests/failure/errors.rs"]);

    // a model from a file knows no line of the user's
    let folder = tempfile::tempdir().unwrap();
    m.save(folder.path().join("m.gradus")).unwrap();
    let mut m = Model::load_on(folder.path().join("m.gradus"), Device::cpu()).unwrap();
    says(m.fit(&classes, Fit::new()), "dtype-mismatch", &["the loss `mse`"]);
    let table = Sequential::new().add(Embedding::new(4, 2)).add(Flatten).add(Linear::new(1));
    let indices = settings().input_dtype(gradus::tensor::DType::U32);
    table.compile(indices).unwrap().save(folder.path().join("t.gradus")).unwrap();
    let m = Model::load_on(folder.path().join("t.gradus"), Device::cpu()).unwrap();
    let nine = HostTensor::u32([1, 3], vec![0, 9, 1]).unwrap();
    says(m.predict_on_batch(&nine), "index-out-of-range", &["layer `0`; the field `x`"]);
    SUITE.ran(1);
}

/// A path stands once, and the help is for what was tried.
#[test]
fn files_that_the_system_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let mut m = Sequential::new().add(Linear::new(1)).compile(settings()).unwrap();
    let (none, deep) = (folder.path().join("none.safetensors"), folder.path().join("no/such/folder.gradus"));
    let read = [m.load_weights(&none, Load::new()).unwrap_err(), Model::load_on(&none, Device::cpu()).unwrap_err()];
    let write = [m.save(&deep).unwrap_err(), m.save_weights(&deep).unwrap_err()];
    for (e, help) in read.into_iter().map(|e| (e, "working directory")).chain(write.into_iter().map(|e| (e, "folder exists"))) {
        let text = says::<()>(Err(e), "io", &[help]).to_string();
        assert_eq!(text.matches(folder.path().to_str().unwrap()).count(), 1, "{text}");
        assert_eq!(text.contains("disk"), help == "folder exists", "{text}");
    }
    SUITE.ran(1);
}

/// NaN in the data is told by row and column, of the data set and not of the batch.
#[test]
fn a_number_in_the_data_that_is_none() {
    let mut x = vec![0.5f32; 90];
    (x[17 * 3 + 1], x[17 * 3 + 2]) = (f32::NAN, f32::INFINITY);
    let data = Dataset::new(HostTensor::f32([30, 3], x).unwrap(), HostTensor::f32([30, 1], vec![1.0; 30]).unwrap()).unwrap();
    let part = data.split_at(10).unwrap().1;
    let mut m = Sequential::new().add(Linear::new(1)).compile(settings()).unwrap();
    for (set, row) in [(&data, 17), (&part, 7)] {
        for shuffle in [true, false] {
            let fit = Fit::new().batch_size(4).shuffle(shuffle).detect_anomaly(true).verbose(0);
            let wants = format!("the field `x` has 2 of 12 elements that are not finite, the first in row {row}, element 1 of the row");
            says(m.fit(set, fit), "non-finite-loss", &[&wants]);
        }
        assert_eq!(m.find_non_finite(set).unwrap().unwrap().element, Some((row, 1)));
    }
    SUITE.ran(1);
}

/// A message begins with the call that the user made, and calls a data set what the user used it for.
#[test]
fn a_message_names_the_call() {
    let model = || Sequential::new().add(Linear::new(1)).compile(settings()).unwrap();
    let reals = |shape: &[usize]| HostTensor::f32(shape, vec![0.5; shape.iter().product()]).unwrap();
    let wide = Dataset::new(reals(&[4, 5]), reals(&[4, 1])).unwrap().named("wide");
    let begins = |e: Error, with: &str, parts: &[&str]| {
        let text = e.to_string();
        assert!(text.starts_with(with), "{text}");
        says::<()>(Err(e), "shape-mismatch", parts);
    };
    let mut m = model();
    begins(m.fit(&wide, Fit::new()).unwrap_err(), "fit: a row of `wide` is [5]", &["where: the data set `wide`"]);
    begins(m.trainer(&wide, Fit::new()).unwrap_err(), "trainer: ", &[]);
    begins(m.evaluate(&wide, 4).unwrap_err(), "evaluate: ", &[]);
    begins(m.predict(&wide, 4).unwrap_err(), "predict: ", &[]);
    begins(m.predict_named(&wide, 4).unwrap_err(), "predict_named: ", &[]);
    begins(m.predict_on_batch(&wide).unwrap_err(), "predict_on_batch: ", &[]);
    begins(m.test_on_batch(&wide).unwrap_err(), "test_on_batch: ", &[]);
    begins(m.train_on_batch(&wide).unwrap_err(), "train_on_batch: ", &[]);
    begins(m.prepare(&wide, 4).unwrap_err(), "prepare: ", &[]);
    begins(m.prepare_evaluation(&wide, 4).unwrap_err(), "prepare_evaluation: ", &[]);
    begins(m.profile(&wide, 4).unwrap_err(), "profile: ", &[]);
    begins(m.bisect(&wide, 4).unwrap_err(), "bisect: ", &[]);
    begins(m.find_non_finite(&wide).unwrap_err(), "find_non_finite: ", &[]);
    begins(m.activation("0", &reals(&[4, 5])).unwrap_err(), "activation: ", &[]);
    // a setting of the call that was made
    let (good, none) = (xy(4, 1.0), "invalid-config");
    says(m.evaluate(&good, 0), none, &["evaluate.batch_size: 0"]);
    says(m.predict(&good, 0), none, &["predict.batch_size: 0"]);
    says(m.prepare(&good, 0), none, &["prepare.batch_size: 0"]);
    says(m.activation_over("0", &good, 0), none, &["activation_over.batch_size: 0"]);
    says(m.fit(&good, Fit::new().batch_size(0)), none, &["fit.batch_size: 0"]);
    // one row, and the axis of rows forgotten
    let row = reals(&[3]);
    begins(m.predict_on_batch(&row).unwrap_err(), "predict_on_batch: ", &["one row of `x` is [1, 3]"]);
    begins(m.predict(&Dataset::unlabelled(row).unwrap(), 1).unwrap_err(), "predict: ", &["one row of `x` is [1, 3]"]);
    SUITE.ran(1);
}

/// A validation set that cannot be is found before anything is trained, and is called so.
#[test]
fn a_wrong_validation_set() {
    let reals = |shape: &[usize]| HostTensor::f32(shape, vec![0.5; shape.iter().product()]).unwrap();
    let wide = Dataset::new(reals(&[4, 5]), reals(&[4, 1])).unwrap();
    let bare = Dataset::unlabelled(reals(&[4, 3])).unwrap();
    for (set, code) in [(wide, "shape-mismatch"), (bare, "unsupported")] {
        let mut m = Sequential::new().add(Linear::new(1)).compile(settings()).unwrap();
        let before = m.parameter("0.weight").unwrap();
        says(m.fit(&xy(4, 1.0), Fit::new().validation(&set).verbose(0)), code, &["the validation set `data`"]);
        assert_eq!(m.parameter("0.weight").unwrap(), before);
    }
    let classes = |labels: Vec<u32>| Dataset::new(reals(&[labels.len(), 3]), HostTensor::u32([labels.len()], labels).unwrap()).unwrap();
    let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([3]).device(Device::cpu());
    let mut m = Sequential::new().add(Linear::new(2)).compile(settings).unwrap();
    let bad = m.fit(&classes(vec![0, 1]), Fit::new().validation(&classes(vec![1, 2])).verbose(0));
    says(bad, "label-out-of-range", &["label 2 of row 1", "the validation set `data`"]);
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
        .args(["--exact", "errors::no_adapter_says_what_to_install"])
        .env(CHILD, "1")
        .env("VK_DRIVER_FILES", "/nonexistent.json")
        .env("VK_ICD_FILENAMES", "/nonexistent.json")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && said.contains("1 passed"), "{said}");
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
    fn sends<T: Send + Sync>() {}
    sends::<Model>();
    SUITE.ran(1);
}
