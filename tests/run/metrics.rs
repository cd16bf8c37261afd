//! Losses and metrics as a user meets them: by `fit` and `evaluate`, with their errors; wide lines of the log.

use crate::common::need::Suite;
use gradus::nn::{
    Auc, Average, BinaryAccuracy, ConfusionMatrix, F1, FocalLoss, KlDivergence, LogCosh, Loss, Metric, Nll, PrecisionScore, R2, Recall,
    Rmse, TopKAccuracy,
};
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use gradus::train::{StepOut, step};

static SUITE: Suite = Suite::new("metrics", 13);

fn says<T: std::fmt::Debug>(r: gradus::Result<T>, code: &str, parts: &[&str]) {
    let e = r.unwrap_err();
    assert!(e.code() == code && parts.iter().all(|p| e.to_string().contains(p)), "{e}");
}

/// Rows whose first value tells the class.
fn rows(n: usize, classes: usize) -> Dataset {
    let class = |i: usize| (i * 7 + i / 3) % classes;
    let x = (0..n).flat_map(|i| (0..4).map(move |k| if k == 0 { class(i) as f32 / classes as f32 } else { ((i * k) % 5) as f32 * 0.1 }));
    let y = (0..n).map(|i| class(i) as u32).collect();
    Dataset::new(HostTensor::f32([n, 4], x.collect()).unwrap(), HostTensor::u32([n], y).unwrap()).unwrap()
}

fn net(outputs: usize) -> Sequential {
    Sequential::new().add(Linear::new(16)).add(Tanh).add(Linear::new(outputs))
}

/// One output node, integer labels, and every metric of two classes in training and evaluation; the history has numbers alone.
#[test]
fn one_output_node_learns_two_classes() {
    for device in SUITE.devices() {
        let settings = Compile::new(Adam::new(0.02), BinaryCrossEntropy::new()).input([4]).metric(BinaryAccuracy::new());
        let settings = settings
            .metric(PrecisionScore::new())
            .metric(Recall::new())
            .metric(F1::new())
            .metric(Auc::new())
            .metric(ConfusionMatrix::new(2));
        let data = rows(90, 2);
        let mut model = net(1).add(Sigmoid).compile(settings.device(device.clone())).unwrap();
        let history = model.fit(&data, Fit::new().epochs(30).batch_size(32).verbose(0).validation(&data)).unwrap();
        let names: Vec<&str> = history.names().collect();
        assert_eq!(names[..6], ["loss", "binary_accuracy", "precision", "recall", "f1", "auc"]);
        assert_eq!(names.len(), 12, "{names:?}");
        let seen = model.evaluate(&data, 32).unwrap();
        assert!(seen["binary_accuracy"] > 0.99 && seen["f1"] > 0.99 && seen["auc"] > 0.99, "{seen}");
        let confusion = seen.matrix("confusion").unwrap();
        assert_eq!((confusion.size(), confusion.values().iter().sum::<f64>()), ([2, 2], 90.0));
        assert_eq!(confusion.at(0, 0) + confusion.at(1, 1), 90.0 * seen["binary_accuracy"]);
        assert_eq!((history.last("val_loss"), seen.matrix("loss")), (Some(model.evaluate(&data, 90).unwrap()["loss"]), None));
        let on_batch = model.test_on_batch(&data).unwrap();
        assert!((on_batch["auc"] - seen["auc"]).abs() < 1e-6 && on_batch.matrix("confusion") == seen.matrix("confusion"));
        SUITE.ran(1);
    }
}

/// Lines of 14,641 columns: 64 of them in the ring, 16 steps a submit at most, and the memory is told beforehand.
#[test]
fn wide_lines() {
    for device in SUITE.devices() {
        let settings =
            Compile::new(Sgd::new(0.01), CrossEntropy::new()).input([4]).metric(Accuracy::new()).metric(ConfusionMatrix::new(121));
        let data = rows(1000, 121);
        let mut model = net(121).compile(settings.device(device.clone())).unwrap();
        let program = model.prepare(&data, 9).unwrap();
        assert_eq!((program.log().rows, program.log().most_steps()), (64, 16));
        let held = 1000 * (4 * 4 + 4);
        let slots = |p: &gradus::plan::Program| p.slots.iter().sum::<usize>() as u64;
        // the ragged batch has a program of its own, whose launches have sizes
        assert!(model.device_bytes() <= program.peak_bytes() + held + 256 * program.launches.len() as u64 + slots(&program));
        let before = model.device_bytes();
        let mut run = model.trainer(&data, Fit::new().batch_size(9).steps_per_submit(1000)).unwrap();
        let report = run.steps(usize::MAX).unwrap().unwrap();
        assert_eq!((report.losses.len(), report.rows), (112, 1000));
        let confusion = report.metrics.matrix("confusion").unwrap();
        let per_class: Vec<f64> = (0..121).map(|c| confusion.row(c).iter().sum()).collect();
        let mut want = vec![0.0; 121];
        data.labels().unwrap().as_u32().unwrap().iter().for_each(|&c| want[c as usize] += 1.0);
        assert_eq!(per_class, want, "{device}");
        let hits: f64 = (0..121).map(|c| confusion.at(c, c)).sum();
        assert!((hits / 1000.0 - report.metrics["accuracy"]).abs() < 1e-6);
        assert_eq!(model.device_bytes(), before, "{device}");
        let seen = model.evaluate(&data, 9).unwrap();
        assert_eq!(seen.matrix("confusion").unwrap().values().iter().sum::<f64>(), 1000.0);
        SUITE.ran(1);
    }
}

/// The article's step has the launches that it had; a metric of one value that nothing else reads adds those that make it, and no copy. Means of one
/// value share a launch, up to four of them.
#[test]
fn launches() {
    let (train, _) = data::synthetic_digits(0, 100, 30).unwrap();
    let train = train.flatten();
    let count = |metrics: &[Metric]| {
        let net = Sequential::new().add(Linear::new(64)).add(Relu).add(Linear::new(32)).add(Relu).add(Linear::new(10));
        let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).device(Device::cpu());
        let settings = metrics.iter().fold(settings, |s, m| s.metric(m.clone()));
        net.compile(settings).unwrap().prepare(&train, 32).unwrap().launches.len()
    };
    let own = count(&[]);
    assert_eq!(own, count(&[Accuracy::new().into()]));
    let losses = |n: usize| (0..n).map(|i| metric::custom(format!("m{i}"), move |y, _| (y * (1.0 + i as f64)).mean())).collect::<Vec<_>>();
    // what they scale is stored by the product that makes it: each mean scales as it goes
    assert_eq!(count(&losses(4)) - own, 1);
    assert_eq!(count(&losses(9)) - own, 3);
    let top: Vec<usize> = [TopKAccuracy::new(3).into(), ConfusionMatrix::new(10).into(), F1::new().average(Average::Macro).into()]
        .iter()
        .map(|m: &Metric| count(std::slice::from_ref(m)) - own)
        .collect();
    assert_eq!(top, [5, 8, 9]);
    SUITE.ran(1);
}

#[test]
fn wrong_settings_and_shapes() {
    let compile = |loss: Loss, metrics: &[Metric], outputs: usize| {
        let settings = Compile::new(Sgd::new(0.1), loss).input([4]).device(Device::cpu());
        net(outputs).compile(metrics.iter().fold(settings, |s, m| s.metric(m.clone())))
    };
    let all =
        [TopKAccuracy::new(0).into(), Auc::new().num_thresholds(1).into(), ConfusionMatrix::new(1).into(), F1::new().threshold(1.0).into()];
    let keys = ["metric.k", "metric.num_thresholds", "metric.classes", "metric.threshold", "loss.delta"];
    says(compile(Huber::new().delta(0.0).into(), &all, 1), "invalid-config", &keys);
    says(compile(CrossEntropy::new().class_weights([1.0, -1.0]).into(), &[], 2), "invalid-config", &["loss.class_weights"]);
    says(compile(BinaryCrossEntropy::new().pos_weight([0.0]).into(), &[], 1), "invalid-config", &["loss.pos_weight"]);
    says(compile(FocalLoss::binary().alpha([2.0]).gamma(-1.0).into(), &[], 1), "invalid-config", &["loss.alpha", "loss.gamma"]);
    let two = [PrecisionScore::new().into(), PrecisionScore::new().average(Average::Macro).into()];
    says(compile(Mse::new().into(), &two, 1), "invalid-config", &["precision"]);
    let mut m = compile(Mse::new().into(), &[PrecisionScore::new().into(), PrecisionScore::new().named("other").into()], 1).unwrap();
    says(m.fit(&rows(8, 3), Fit::new().verbose(0)), "dtype-mismatch", &["u32"]);

    let fit = |loss: Loss, metrics: &[Metric], outputs: usize, data: &Dataset| {
        compile(loss, metrics, outputs).unwrap().fit(data, Fit::new().verbose(0))
    };
    let three = rows(8, 3);
    let real = |width: usize| {
        let y = HostTensor::f32([8, width], vec![0.5; 8 * width]).unwrap();
        Dataset::new(HostTensor::f32([8, 4], vec![0.5; 32]).unwrap(), y).unwrap()
    };
    for loss in [Loss::from(BinaryCrossEntropy::new()), FocalLoss::binary().into()] {
        says(fit(loss.clone(), &[], 1, &three), "label-out-of-range", &["2 outputs"]);
        says(fit(loss, &[], 3, &three), "shape-mismatch", &["[8, 3]", "[8]"]);
    }
    for loss in [Loss::from(Mae::new()), Huber::new().into(), LogCosh::new().into(), KlDivergence::new().into(), Mse::new().into()] {
        says(fit(loss, &[], 3, &real(2)), "shape-mismatch", &["[8, 3]", "[8, 2]"]);
    }
    for loss in [Loss::from(Nll::new()), FocalLoss::new().into(), CrossEntropy::new().class_weights([1.0, 2.0]).into()] {
        says(fit(loss.clone(), &[], 2, &three), "label-out-of-range", &["2 outputs"]);
        says(fit(loss, &[], 2, &real(3)), "shape-mismatch", &["[8, 2]", "[8, 3]"]);
    }
    says(fit(CrossEntropy::new().class_weights([1.0]).into(), &[], 3, &three), "shape-mismatch", &["1 class weights", "[8, 3]"]);
    says(fit(BinaryCrossEntropy::new().pos_weight([1.0, 2.0]).into(), &[], 3, &real(3)), "shape-mismatch", &["2 weights", "[8, 3]"]);
    let cross = || Loss::from(CrossEntropy::new());
    says(fit(cross(), &[ConfusionMatrix::new(4).into()], 3, &three), "shape-mismatch", &["4 classes", "[8, 3]"]);
    says(fit(cross(), &[Auc::new().into()], 3, &three), "shape-mismatch", &["auc", "[8, 3]"]);
    says(
        fit(cross(), &[ConfusionMatrix::new(130).into()], 130, &rows(8, 3)),
        "unsupported",
        &["16900 values", "confusion (16900)", "127 classes"],
    );

    let weighed = three.clone().weights(HostTensor::f32([8], vec![1.0; 8]).unwrap()).unwrap();
    let own = loss::custom("own", |y, _| y.square().mean());
    says(fit(own, &[], 3, &weighed), "unsupported", &["own", "general step"]);
    for bad in [vec![1.0; 7], vec![f32::NAN; 8], vec![-1.0; 8]] {
        let weights = HostTensor::f32([bad.len()], bad).unwrap();
        says(three.clone().weights(weights), "shape-mismatch", &["Dataset::weights"]);
    }
    says(weighed.clone().weights(HostTensor::f32([8], vec![1.0; 8]).unwrap()), "shape-mismatch", &["already"]);
    SUITE.ran(1);
}

/// A step whose metrics differ in width from batch size to batch size is refused.
#[test]
fn widths_do_not_depend_on_the_batch() {
    let net = step(|s, batch| {
        let y = s.at("fc").call(&Linear::new(1), &batch["x"]);
        StepOut::new(y.square().mean()).output("y", &y).metric_sums("rows", &y, |s| s[0])
    });
    let mut model = net.compile(Compile::step(Sgd::new(0.1)).input([4]).device(Device::cpu())).unwrap();
    says(model.fit(&rows(8, 3), Fit::new().batch_size(5).verbose(0)), "inconsistent-model", &["rows [5]", "rows [3]"]);
    SUITE.ran(1);
}

/// Metrics of two classes take the outputs for what the loss takes them for, unless they are told; labels that are no parts of 1 are refused.
#[test]
fn metrics_follow_the_loss() {
    let logits = [2.0f32, 0.3, -0.2, -1.5, 0.4, 0.6, -3.0, 0.1];
    let told = [1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0];
    let data =
        |y: &[f32]| Dataset::new(HostTensor::f32([8, 1], logits.to_vec()).unwrap(), HostTensor::f32([8, 1], y.to_vec()).unwrap()).unwrap();
    let seen = |loss: Loss, sigmoid: bool, metrics: &[Metric]| {
        let settings = Compile::new(Sgd::new(0.1), loss).input([1]).device(Device::cpu());
        let settings = metrics.iter().fold(settings, |s, m| s.metric(m.clone()));
        let net = module(move |s, x| {
            let x = x * s.param("one", [1], Init::Ones);
            if sigmoid { x.sigmoid() } else { x }
        });
        net.compile(settings).unwrap().evaluate(&data(&told), 8).unwrap()
    };
    let all: [Metric; 6] = [
        BinaryAccuracy::new().into(),
        PrecisionScore::new().into(),
        Recall::new().into(),
        F1::new().into(),
        Auc::new().into(),
        ConfusionMatrix::new(2).into(),
    ];
    // above 0 are 2, 0.3, 0.4, 0.6, 0.1: all four that are 1, and one that is not
    for loss in [Loss::from(BinaryCrossEntropy::new()), FocalLoss::binary().into()] {
        for sigmoid in [false, true] {
            let e = seen(loss.clone(), sigmoid, &all);
            let near = |name: &str, want: f64| assert!((e[name] - want).abs() < 1e-6, "{name} of {loss:?}, sigmoid {sigmoid}: {}", e[name]);
            near("binary_accuracy", 0.875);
            near("precision", 0.8);
            near("recall", 1.0);
            near("f1", 8.0 / 9.0);
            // of 16 pairs, 0.4 stands above 0.3 and 0.1
            near("auc", 14.0 / 16.0);
            assert_eq!(e.matrix("confusion").unwrap().values(), [3.0, 1.0, 0.0, 4.0]);
        }
    }
    // told otherwise: above 0.5 are 2 and 0.6
    let told_so = seen(BinaryCrossEntropy::new().into(), false, &[BinaryAccuracy::new().from_logits(false).into()]);
    assert!((told_so["binary_accuracy"] - 0.75).abs() < 1e-6, "{told_so}");
    let others =
        seen(Mse::new().into(), false, &[BinaryAccuracy::new().into(), BinaryAccuracy::new().from_logits(true).named("of_logits").into()]);
    assert!((others["binary_accuracy"] - 0.75).abs() < 1e-6 && (others["of_logits"] - 0.875).abs() < 1e-6, "{others}");
    // a file written before they could follow
    let old: Metric = serde_json::from_str(r#"{"name":"f1","threshold":0.5,"from_logits":false}"#).unwrap();
    assert_eq!(old, F1::new().from_logits(false).into());

    let fit = |y: &[f32]| {
        let settings = Compile::new(Sgd::new(0.1), BinaryCrossEntropy::new()).input([1]).device(Device::cpu());
        let mut m = Sequential::new().add(Linear::new(1)).compile(settings).unwrap();
        m.fit(&data(y), Fit::new().verbose(0)).map(|_| ())
    };
    says(fit(&[1.0, 1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 1.0]), "label-out-of-range", &["label 2 of row 5", "from 0 to 1"]);
    says(fit(&[-1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]), "label-out-of-range", &["label -1 of row 0"]);
    fit(&[0.3, 1.0, 0.0, 0.9, 0.0, 0.2, 0.0, 1.0]).unwrap();
    SUITE.ran(1);
}

/// By name, and through JSON: all of them.
#[test]
fn names_and_files() {
    for name in ["cross_entropy", "mse", "mae", "huber", "log_cosh", "binary_cross_entropy", "nll", "focal_loss", "kl_divergence"] {
        let loss: Loss = name.parse().unwrap();
        let text = serde_json::to_string(&loss).unwrap();
        assert!(text.contains(&format!("\"name\":\"{name}\"")), "{text}");
        assert_eq!(serde_json::from_str::<Loss>(&text).unwrap(), loss);
    }
    for name in ["accuracy", "binary_accuracy", "top_k_accuracy", "precision", "recall", "f1", "auc", "mae", "mse", "rmse", "r2"] {
        let metric: Metric = name.parse().unwrap();
        let text = serde_json::to_string(&metric).unwrap();
        assert!(text.contains(&format!("\"name\":\"{name}\"")), "{text}");
        assert_eq!(serde_json::from_str::<Metric>(&text).unwrap(), metric);
        assert_eq!(metric.name(), if name == "top_k_accuracy" { "top_5_accuracy" } else { name });
    }
    says("hinge".parse::<Loss>(), "unknown-choice", &["binary_cross_entropy"]);
    says("hinge".parse::<Metric>(), "unknown-choice", &["top_k_accuracy"]);
    assert!(serde_json::from_str::<Loss>(r#"{"name":"huber","detla":1}"#).is_err());
    assert!(serde_json::from_str::<Metric>(r#"{"name":"auc","treshold":1}"#).is_err());
    let _ = (Rmse::new(), R2::new());
    SUITE.ran(1);
}

/// Counts are counted: a right row is 1 in 1, whatever f32 makes of 41 / 41, and 858 of 1,000 are 0.858 to the last digit of f64.
#[test]
fn shares_are_counted() {
    for device in SUITE.devices() {
        let same = || gradus::nn::module(|_, x| x * 1.0);
        let settings = || Compile::new(Sgd::new(0.0), Mse::new()).metric(BinaryAccuracy::new()).device(device.clone());
        for (rows, outputs, wrong) in [(41, 1, 0), (47, 3, 0), (1000, 1, 142), (1000, 3, 426)] {
            let ones = HostTensor::f32([rows, outputs], vec![1.0; rows * outputs]).unwrap();
            let labels = (0..rows * outputs).map(|i| f32::from(u8::from(i >= wrong))).collect();
            let data = Dataset::new(ones, HostTensor::f32([rows, outputs], labels).unwrap()).unwrap();
            let model = same().compile(settings().input([outputs])).unwrap();
            for batch in [rows, 7, 333] {
                let seen = model.evaluate(&data, batch).unwrap()["binary_accuracy"];
                assert_eq!(seen, (rows * outputs - wrong) as f64 / (rows * outputs) as f64, "{device} {rows} x {outputs} by {batch}");
            }
            assert_eq!(model.test_on_batch(&data).unwrap()["binary_accuracy"], 1.0 - wrong as f64 / (rows * outputs) as f64);
        }
        // classes, of a loss that counts on the way and of a metric on its own
        let scores: Vec<f32> = (0..1000 * 3).map(|i| f32::from(u8::from(i % 3 == 1))).collect();
        let classes = (0..1000).map(|i| if i < 142 { 0 } else { 1 }).collect();
        let data = Dataset::new(HostTensor::f32([1000, 3], scores).unwrap(), HostTensor::u32([1000], classes).unwrap()).unwrap();
        let settings = Compile::new(Sgd::new(0.0), CrossEntropy::new()).input([3]).metric(Accuracy::new()).metric(TopKAccuracy::new(1));
        let model = same().compile(settings.device(device.clone())).unwrap();
        for batch in [1000, 96, 7] {
            let seen = model.evaluate(&data, batch).unwrap();
            assert_eq!((seen["accuracy"], seen["top_1_accuracy"]), (0.858, 0.858), "{device} by {batch}");
        }
        SUITE.ran(1);
    }
}

/// `1 - 0 / 0` is 0 (sklearn's `r2_score` of labels that do not vary and are missed), or 1 where they are met; and labels far from 0 keep
/// their digits.
#[test]
fn r2_of_labels_that_hardly_vary() {
    for device in SUITE.devices() {
        let r2 = |x: Vec<f32>, t: Vec<f32>, batch: usize| {
            let n = x.len();
            let settings = Compile::new(Sgd::new(0.0), Mse::new()).input([1]).metric(R2::new()).device(device.clone());
            let data = Dataset::new(HostTensor::f32([n, 1], x).unwrap(), HostTensor::f32([n, 1], t).unwrap()).unwrap();
            gradus::nn::module(|_, x| x * 1.0).compile(settings).unwrap().evaluate(&data, batch).unwrap()["r2"]
        };
        for label in [3.25, 0.1, 1234.567, -7e6] {
            for batch in [7, 3, 1] {
                assert_eq!(r2((0..7).map(|i| i as f32).collect(), vec![label; 7], batch), 0.0, "{device} {label} by {batch}");
                assert_eq!(r2(vec![label; 7], vec![label; 7], batch), 1.0, "{device} {label} by {batch}");
            }
        }
        let t: Vec<f32> = (0..100).map(|i| 7.0 + 1e-3 * (i as f32 * 0.7).sin()).collect();
        let y: Vec<f32> = t.iter().enumerate().map(|(i, t)| t + 2e-4 * (i as f32 * 1.3).cos()).collect();
        let mean = t.iter().map(|&v| f64::from(v)).sum::<f64>() / 100.0;
        let squares = |f: &dyn Fn(usize) -> f64| (0..100).map(|i| f(i).powi(2)).sum::<f64>();
        let want = 1.0 - squares(&|i| f64::from(t[i]) - f64::from(y[i])) / squares(&|i| f64::from(t[i]) - mean);
        for batch in [100, 32, 7] {
            let seen = r2(y.clone(), t.clone(), batch);
            assert!((seen - want).abs() < 1e-6, "{device} by {batch}: {seen} for {want}");
        }
        SUITE.ran(1);
    }
}
