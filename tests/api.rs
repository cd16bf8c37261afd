//! The five programs of the public face. Those whose parts come later stand behind a `cfg` that names their issue.
#![allow(dead_code)]

use gradus::prelude::*;

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
#[cfg(gradus_issue = "3")]
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
#[cfg(gradus_issue = "4")]
fn fine_tune(train: &Dataset) -> gradus::Result<()> {
    let opt = AdamW::new(1e-3).group("layer?.*", Group::new().frozen()).group("*.bias", Group::new().weight_decay(0.0));
    let mut m = models::resnet18(5).compile(Compile::new(opt, CrossEntropy::new()).input([3, 64, 64]))?;
    let report = m.load_weights("resnet18.safetensors", Load::new().rename("module.", "").allow_missing("fc.*").ignore("fc.*"))?;
    println!("{report}"); // 120 loaded, 2 fresh (fc.weight, fc.bias), 2 ignored
    m.fit(train, Fit::new().epochs(3).batch_size(32))?;
    m.save_weights("tuned.safetensors")
}

// (e) mixed precision, augmentation, resume
#[cfg(gradus_issue = "6")]
fn robust(net: impl Module, train: &Dataset, val: &Dataset) -> gradus::Result<History> {
    let train = train.augment(Augment::new().random_crop(32, 4).horizontal_flip(0.5));
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

fn digits() -> (Dataset, Dataset) {
    let (train, test) = data::synthetic_digits(0, 2000, 500).unwrap();
    (train.flatten().scale(1.0 / 255.0), test.flatten().scale(1.0 / 255.0))
}

/// (a) runs where there is data; the line that `tests/training.rs` ends with tells whether there was.
#[test]
fn program_a() {
    if std::env::var_os("GRADUS_DATA").is_some() {
        article().unwrap();
    }
}

/// The model of (b) with a loss that exists.
#[test]
fn program_b_trains() {
    let (train, _) = digits();
    let net = module(|s, x| {
        let h = s.at("stem").call(&Linear::new(16), x);
        let h = (0..4).fold(h, |h, i| s.at(format!("blocks.{i}")).call(&Block { width: 16 }, &h));
        s.at("head").call(&Linear::new(10), &h)
    });
    let mut model = net.compile(Compile::new(AdamW::new(3e-3), CrossEntropy::new()).input([784]).device(Device::cpu())).unwrap();
    assert!(model.parameter_names().any(|n| n == "blocks.2.fc1.weight"));
    let history = model.fit(&train, Fit::new().epochs(3).verbose(0)).unwrap();
    assert!(history.get("loss")[2] < 0.5 * history.get("loss")[0], "{:?}", history.get("loss"));
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
