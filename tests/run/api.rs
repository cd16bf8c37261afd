//! The five programs of the public face.
#![allow(dead_code)]

use gradus::prelude::*;
use gradus::tensor::HostTensor;

// (a) the article's program, line by line: softmax as the last layer, one-hot labels
fn article() -> gradus::Result<()> {
    let (train, test) = data::mnist()?; // cache, GRADUS_DATA, or download
    let train = train.flatten().scale(1.0 / 255.0).one_hot(10); // described here, done in the gather on the device
    let test = test.flatten().scale(1.0 / 255.0).one_hot(10);
    let net = Sequential::new().add(Linear::new(64)).add(Relu).add(Linear::new(32)).add(Relu).add(Linear::new(10)).add(Softmax);
    let mut model = net
        .compile(Compile::new(Adam::default(), CrossEntropy::new()).input([784]).metric(Accuracy::new()).device(Device::best()?).seed(0))?;
    let history = model.fit(&train, Fit::new().epochs(10).batch_size(32))?;
    println!("{:?} {}", history.last("accuracy"), model.evaluate(&test, 256)?);
    Ok(())
}

// (b) a residual model and a loss of one's own
struct Block {
    width: usize,
}
impl Module for Block {
    fn forward(&self, s: &Scope, x: &Var) -> Var {
        // no Result: the first error wins, at compile
        let h = s.at("fc1").call(&Linear::new(self.width), x).gelu();
        x + s.at("fc2").call(&Linear::new(self.width), &h) * s.param("scale", [1], Init::Constant(0.1))
    }
}
fn custom() -> gradus::Result<Model> {
    let net = module(|s, x| {
        // a closure is a Module
        let h = s.at("stem").call(&Linear::new(128), x);
        let h = (0..4).fold(h, |h, i| s.at(format!("blocks.{i}")).call(&Block { width: 128 }, &h));
        s.at("head").call(&Linear::new(1), &h)
    });
    let loss = loss::custom("charbonnier", |y, t| ((y - t).square() + 1e-6).sqrt().mean());
    net.compile(Compile::new(AdamW::new(3e-4), loss).input([7]).device(Device::best()?))
}

// (c) a loop of one's own: own schedule, own logging
fn own_loop(model: &mut Model, train: &Dataset, val: &Dataset) -> gradus::Result<()> {
    let mut run = model.trainer(train, Fit::new().epochs(5).batch_size(64))?; // borrows the model
    while let Some(r) = run.steps(50)? {
        // at most 50, one read-back; stops at an epoch's end
        run.set_learning_rate(1e-3 / (1.0 + r.step as f32 / 500.0))?; // goes into the next rate table, no recompile
        println!("{} {:.4} {:.3}", r.step, r.loss, r.grad_norm);
        if r.epoch_ended && run.evaluate(val, 256)?["loss"] < 0.05 {
            break;
        }
    }
    Ok(())
}

// (d) PyTorch weights, frozen trunk
fn fine_tune(train: &Dataset) -> gradus::Result<()> {
    let opt = AdamW::new(1e-3).group("layer?.*", Group::new().frozen()).group("*.bias", Group::new().weight_decay(0.0));
    let mut m = models::resnet18(5).compile(Compile::new(opt, CrossEntropy::new()).input([3, 64, 64]))?;
    let report = m.load_weights("resnet18.safetensors", Load::new().rename("module.", "").allow_missing("fc.*").ignore("fc.*"))?;
    println!("{report}"); // 120 loaded, 2 fresh (fc.weight, fc.bias), 2 ignored
    m.fit(train, Fit::new().epochs(3).batch_size(32))?;
    m.save_weights("tuned.safetensors")
}

// (e) mixed precision, augmentation, resume
fn robust(net: impl Module, train: &Dataset, val: &Dataset) -> gradus::Result<History> {
    let train = train.clone().augment(Augment::new().random_crop(32, 4).horizontal_flip(0.5));
    let rate = Schedule::cosine(1e-3, 20_000).warmup(500);
    let mut m = net.compile(
        Compile::new(AdamW::new(rate), CrossEntropy::new().label_smoothing(0.1))
            .input([3, 32, 32])
            .precision(Precision::mixed().keep_f32("head.*"))
            .clip_norm(1.0),
    )?;
    m.fit(
        &train,
        Fit::new()
            .epochs(30)
            .batch_size(128)
            .validation(val)
            .callback(EarlyStopping::new("val_loss").patience(3).restore_best_weights(true))
            .checkpoint(Checkpoint::new("run.gradus").every_steps(500))
            .resume(Resume::IfPresent),
    )
}

/// (e) as far as its parts exist: without augmentation, on flat digits.
fn robust_so_far(net: impl Module, train: &Dataset, val: &Dataset, file: &std::path::Path) -> gradus::Result<History> {
    let rate = Schedule::cosine(1e-3, 20_000).warmup(500);
    let mut m = net.compile(
        Compile::new(AdamW::new(rate), CrossEntropy::new().label_smoothing(0.1))
            .input([784])
            .precision(Precision::mixed().keep_f32("head.*"))
            .device(Device::cpu())
            .clip_norm(1.0),
    )?;
    m.fit(
        train,
        Fit::new()
            .epochs(2)
            .batch_size(128)
            .validation(val)
            .verbose(0)
            .callback(EarlyStopping::new("val_loss").patience(3).restore_best_weights(true))
            .checkpoint(Checkpoint::new(file).every_steps(500))
            .resume(Resume::IfPresent),
    )
}

#[test]
fn program_e_so_far() {
    let (train, val) = digits();
    let folder = tempfile::tempdir().unwrap();
    let net = || {
        module(|s, x| {
            let trunk = Sequential::new().add(Linear::new(16)).add(BatchNorm1d::new()).add(Relu).add(Dropout::new(0.1));
            s.at("head").call(&Linear::new(10), &s.at("trunk").call(&trunk, x))
        })
    };
    let first = robust_so_far(net(), &train, &val, &folder.path().join("run.gradus")).unwrap();
    assert_eq!(robust_so_far(net(), &train, &val, &folder.path().join("run.gradus")).unwrap(), first); // it is over
}

fn digits() -> (Dataset, Dataset) {
    let (train, test) = data::synthetic_digits(0, 2000, 500).unwrap();
    (train.flatten().scale(1.0 / 255.0), test.flatten().scale(1.0 / 255.0))
}

/// (a) runs where there is data; the line that `tests/run/training.rs` ends with tells whether there was.
#[test]
fn program_a() {
    if std::env::var_os("GRADUS_DATA").is_some() {
        article().unwrap();
    }
}

/// Rows of 7 numbers; a smooth function of them with a few gross errors, which the loss of (b) is made for.
fn seven(rows: usize, seed: u64) -> Dataset {
    let mut draw = gradus::rng::Philox::new(seed, "seven");
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let row: Vec<f32> = (0..7).map(|_| draw.normal() as f32).collect();
        let clean = row[0] * row[1] + (2.0 * row[2]).sin() + 0.5 * row[3] - row[4].abs() + 0.1 * row[5] * row[6];
        y.push(if draw.uniform() < 0.02 { clean + 20.0 } else { clean });
        x.extend(row);
    }
    Dataset::new(HostTensor::f32([rows, 7], x).unwrap(), HostTensor::f32([rows], y).unwrap()).unwrap()
}

#[test]
fn program_b() {
    let (train, test) = (seven(4000, 1), seven(1000, 2));
    let mut model = custom().unwrap();
    assert!(model.parameter_names().any(|n| n == "blocks.2.fc1.weight"));
    let before = model.evaluate(&test, 256).unwrap()["loss"];
    let history = model.fit(&train, Fit::new().epochs(15).verbose(0)).unwrap();
    let after = model.evaluate(&test, 256).unwrap()["loss"];
    // the errors alone, 2 % of 20, make 0.4
    assert!(before > 1.3 && after < 0.65, "{before} {after} {:?}", history.get("loss"));
    // what the closure says, by hand; the labels are [rows], the outputs [rows, 1]
    let y = model.predict(&test, 256).unwrap().to_f64();
    let t = test.labels().unwrap().to_f64();
    let hand = y.iter().zip(&t).map(|(y, t)| ((y - t).powi(2) + 1e-6).sqrt()).sum::<f64>() / 1000.0;
    assert!((after - hand).abs() < 1e-4 * hand, "{after} {hand}");
}

#[test]
fn metrics_of_ones_own() {
    let test = seven(500, 3);
    let settings = || Compile::new(Adam::default(), Mse::new()).input([7]).device(Device::cpu());
    let near = metric::custom("near", |y, t| (y - t).abs().less(&y.number(1.0)).mean());
    let worst = metric::custom("bias", |y, t| (y - t).mean());
    let net = || Sequential::new().add(Linear::new(1));
    let model = net().compile(settings().metric(near.clone()).metric(worst)).unwrap();
    let found = model.evaluate(&test, 128).unwrap();
    let y = model.predict(&test, 128).unwrap().to_f64();
    let off: Vec<f64> = y.iter().zip(test.labels().unwrap().to_f64()).map(|(y, t)| y - t).collect();
    let near_by_hand = off.iter().filter(|d| d.abs() < 1.0).count() as f64 / 500.0;
    assert!((found["near"] - near_by_hand).abs() < 1e-6, "{found} {near_by_hand}");
    assert!((found["bias"] - off.iter().sum::<f64>() / 500.0).abs() < 1e-5, "{found}");
    // one name, one metric
    let e = net().compile(settings().metric(near.clone()).metric(near)).unwrap_err();
    assert!(e.to_string().contains("compile.metrics: the name `near` is taken"), "{e}");
}

#[test]
fn closures_are_given_again() {
    let settings = |l: gradus::nn::Loss| Compile::new(Sgd::new(0.1), l).input([7]).device(Device::cpu());
    let net = || Sequential::new().add(Linear::new(1));
    let own = || loss::custom("own", |y, t| (y - t).abs().mean());
    let (a, b) = (own(), own());
    assert!(a == a.clone() && a != b && format!("{a:?}").contains("own"));

    // a loss of several elements is named, with the line of `custom`
    let e =
        net().compile(settings(loss::custom("rows", |y, t| (y - t).abs()))).unwrap().fit(&seven(64, 1), Fit::new().verbose(0)).unwrap_err();
    let text = e.to_string();
    assert!(e.code() == "shape-mismatch" && text.contains("the loss `rows`, tests/run/api.rs") && text.contains("[32, 1]"), "{text}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("own.gradus");
    let mut model = net().compile(settings(a.clone())).unwrap();
    model.fit(&seven(64, 1), Fit::new().verbose(0)).unwrap();
    model.save(&path).unwrap();
    let e = Model::load_on(&path, Device::cpu()).unwrap_err();
    assert!(e.code() == "bad-file" && e.to_string().contains("`own`, a closure"), "{e}");
    // by the way that the error tells
    let mut again = net().compile(settings(a).seed(1)).unwrap();
    again.load_weights(&path, Load::new().ignore("optimizer.*")).unwrap();
    assert_eq!(again.parameter("0.weight").unwrap(), model.parameter("0.weight").unwrap());

    let json = serde_json::to_string(&b).unwrap();
    assert_eq!(json, r#"{"name":"custom","custom":"own"}"#);
    let e = serde_json::from_str::<gradus::nn::Loss>(&json).unwrap_err().to_string();
    assert!(e.contains("`own` is a closure"), "{e}");
}

/// (d) but for its network and the decay of its biases: weights by other names, a new head, a frozen trunk.
#[test]
fn program_d_loads() {
    let mlp = |s: &Scope, x: &Var, classes: usize| {
        let h = s.at("layer1").call(&Linear::new(16), x).relu();
        let h = s.at("layer2").call(&Linear::new(8), &h).relu();
        s.at("fc").call(&Linear::new(classes), &h)
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mlp.safetensors");
    let cpu = |opt: AdamW| Compile::new(opt, CrossEntropy::new()).input([784]).device(Device::cpu());
    let (train, _) = digits();
    // as PyTorch's DataParallel names them
    let old = module(move |s, x| mlp(&s.at("module"), x, 12)).compile(cpu(AdamW::new(1e-3)).seed(3)).unwrap();
    old.save_weights(&path).unwrap();

    let opt = AdamW::new(1e-3).group("layer?.*", Group::new().frozen());
    let mut m = module(move |s, x| mlp(s, x, 10)).compile(cpu(opt)).unwrap();
    let head = m.parameter("fc.weight").unwrap();
    let strict = m.load_weights(&path, Load::new().rename("module.", "")).unwrap_err();
    assert_eq!(strict.code(), "weight-mismatch");
    let report = m.load_weights(&path, Load::new().rename("module.", "").allow_missing("fc.*").ignore("fc.*")).unwrap();
    assert_eq!(report.to_string(), "4 loaded, 2 fresh (fc.weight, fc.bias), 2 ignored");
    let trunk = old.parameter("module.layer2.weight").unwrap();
    assert_eq!((m.parameter("layer2.weight").unwrap(), m.parameter("fc.weight").unwrap()), (trunk.clone(), head.clone()));
    m.fit(&train, Fit::new().verbose(0)).unwrap();
    assert_eq!(m.parameter("layer2.weight").unwrap(), trunk);
    assert_ne!(m.parameter("fc.weight").unwrap(), head);
    m.save_weights(dir.path().join("tuned.safetensors")).unwrap();
}

#[test]
fn program_c() {
    let (train, test) = digits();
    let net = Sequential::new().add(Linear::new(64)).add(Relu).add(Linear::new(10));
    let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([784]).metric(Accuracy::new()).device(Device::cpu());
    let mut model = net.compile(settings).unwrap();
    own_loop(&mut model, &train, &test).unwrap();
    assert!(model.evaluate(&test, 256).unwrap()["accuracy"] > 0.7);
    assert_eq!(model.predict(&test, 300).unwrap().shape().dims(), [500, 10]);
}

/// A glob of every module beside the prelude: no name means two things, and what `summary` says is the same of a model from a file.
mod globs {
    #![allow(unused_imports)]
    use gradus::data::*;
    use gradus::graph::*;
    use gradus::nn::*;
    use gradus::optim::*;
    use gradus::prelude::*;
    use gradus::tensor::*;
    use gradus::train::callbacks::*;
    use gradus::train::*;

    #[test]
    fn no_name_of_the_prelude_means_two_things() {
        let frozen = Group::new().frozen();
        let optimizer = Adam::default().group("0.*", frozen.clone()).group("3.bias", frozen);
        let settings = Compile::new(optimizer, nn::BinaryCrossEntropy::new()).input([2]).precision(Precision::F32);
        let settings = settings.metric(PrecisionScore::new()).metric(Recall::new()).device(Device::cpu());
        let model = Sequential::new().add(Linear::new(4)).add(Relu).add(Gelu).add(Linear::new(1)).compile(settings).unwrap();
        let x = HostTensor::f32([2, 2], vec![0.0; 4]).unwrap();
        assert_eq!(model.predict_on_batch(&x).unwrap().shape().dims(), [2, 1]);
        let text = model.summary();
        let row =
            |layer: &str| text.lines().find(|l| l.starts_with(layer)).unwrap().split_whitespace().map(String::from).collect::<Vec<_>>();
        assert_eq!((row("0")[1].as_str(), row("0").last().unwrap().as_str()), ("Linear", "no"), "{text}");
        assert_eq!((row("1")[1].as_str(), row("2")[1].as_str(), row("1").last().unwrap().as_str()), ("Relu", "Gelu", "0"), "{text}");
        assert_eq!(row("3").last().unwrap(), "part", "{text}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gradus");
        model.save(&path).unwrap();
        assert_eq!(Model::load_on(&path, Device::cpu()).unwrap().summary(), text);
    }
}

/// Many threads ask one model and get the bits that one gets alone, by `predict` and by hand, while another saves it.
#[test]
fn threads_share_a_model() {
    use std::sync::Arc;
    let data = seven(96, 5);
    for device in std::iter::once(Device::cpu()).chain(Device::select("software").ok()) {
        let net = Sequential::new().add(Linear::new(16)).add(Tanh).add(Linear::new(1));
        let mut model = net.compile(Compile::new(Adam::new(0.01), Mse::new()).input([7]).device(device.clone())).unwrap();
        model.fit(&data, Fit::new().verbose(0)).unwrap();
        let rows: Vec<HostTensor> = (0..4)
            .map(|i| HostTensor::f32([1, 7], data.features().unwrap().as_f32().unwrap()[7 * i..7 * i + 7].to_vec()).unwrap())
            .collect();
        let ones: Vec<HostTensor> = rows.iter().map(|r| model.predict_on_batch(r).unwrap()).collect();
        let (all, loss) = (model.predict(&data, 32).unwrap(), model.evaluate(&data, 32).unwrap());
        let (weight, hidden) = (model.parameter("0.weight").unwrap(), model.activation("1", &rows[0]).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = |i: usize| folder.path().join(format!("{i}.gradus"));
        let model = Arc::new(model);
        std::thread::scope(|s| {
            for (row, one) in rows.iter().zip(&ones) {
                let (model, data, all) = (model.clone(), &data, &all);
                s.spawn(move || {
                    for _ in 0..10 {
                        assert_eq!(model.predict_on_batch(row).unwrap(), *one);
                        assert_eq!(model.predict(data, 32).unwrap(), *all);
                    }
                });
            }
            for i in 0..3 {
                model.save(path(i)).unwrap();
                assert_eq!(model.evaluate(&data, 32).unwrap(), loss);
                assert_eq!(
                    (model.parameter("0.weight").unwrap(), model.activation("1", &rows[0]).unwrap()),
                    (weight.clone(), hidden.clone())
                );
            }
        });
        for i in 0..3 {
            assert_eq!(Model::load_on(path(i), device.clone()).unwrap().predict(&data, 32).unwrap(), all, "{device}");
        }
        // and it can be trained again by who has it alone
        let mut model = Arc::into_inner(model).unwrap();
        model.fit(&data, Fit::new().verbose(0)).unwrap();
        assert_ne!(model.parameter("0.weight").unwrap(), weight);
    }
}
