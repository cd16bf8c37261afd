//! Recipes: every setting is in them, version 1 is read, named models, seeds apart, and a run by recipe is the run by hand.

use super::fit;
use gradus::nn::{Penalty, loss, metric};
use gradus::optim::LossScale;
use gradus::prelude::*;
use gradus::tensor::DType;
use gradus::train::callbacks::{EarlyStopping, on_epoch_end};
use gradus::train::{Budget, DataOp, DataSpec, Diagnostics, HeldOut, ModelSpec, Recipe, Registry, Seeds};
use std::collections::BTreeMap;
use std::fmt::Debug;

const VERSION_1: &str = include_str!("recipes/version-1.toml");
const VERSION_1_RICH: &str = include_str!("recipes/version-1-rich.toml");

fn net() -> Sequential {
    Sequential::new().add(Linear::new(4)).add(Softmax)
}

fn plain() -> Compile {
    Compile::new(Adam::new(1e-3), CrossEntropy::new()).input([784])
}

/// The fields of a struct, with what `Debug` shows of each: it leaves none out, whatever serde is told.
fn fields(of: &impl Debug) -> BTreeMap<String, String> {
    let text = format!("{of:#?}");
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        let inner = line.strip_prefix("    ").filter(|l| l.starts_with(|c: char| c.is_ascii_lowercase()));
        if let Some((field, value)) = inner.and_then(|l| l.split_once(": ")) {
            name = field.into();
            all.insert(name.clone(), value.into());
        } else if let Some(value) = all.get_mut(&name) {
            value.push_str(line);
        }
    }
    all
}

/// Fails unless these settings together change every field of the default ones but those that a recipe has elsewhere.
#[track_caller]
fn change_every_field(default: &impl Debug, changed: &[&impl Debug], elsewhere: &[&str]) {
    let default = fields(default);
    assert!(default.len() > 10, "{default:?}");
    let changed: Vec<_> = changed.iter().map(fields).collect();
    for (name, value) in default.iter().filter(|(n, _)| !elsewhere.contains(&n.as_str())) {
        assert!(changed.iter().any(|c| c[name] != *value), "the field `{name}` is new: give it a value here that is not its default");
    }
}

fn in_toml_and_json(recipe: &Recipe) {
    let json = Recipe::from_json(&recipe.to_json()).unwrap();
    let text = toml::to_string(recipe).unwrap();
    let toml: Recipe = toml::from_str(&text).unwrap();
    assert_eq!((&json, &toml), (recipe, recipe), "{text}");
}

/// Every field of `Compile` and of `Fit` comes back from a file: one that is added to either and not carried along is noticed here.
#[test]
fn every_setting_is_in_a_recipe() {
    let compile = |by_norm: bool| {
        let c = Compile::new(AdamW::new(3e-4), CrossEntropy::new()).input([3]).input_dtype(DType::U32).metric(Accuracy::new());
        let c = c.ema(0.99).penalty("*.weight", Penalty::l2(1e-4)).precision(Precision::mixed()).loss_scale(LossScale::Fixed(64.0));
        let c = c.seed(7).order_seed(8).device(Device::cpu());
        if by_norm { c.clip_norm(1.0) } else { c.clip_value(0.5) }
    };
    let named = Compile::step(Sgd::new(0.1)).input([3]).input_named("mask", [3]);
    let budget = Budget::epochs(2.5).or(Budget::updates(7)).or(Budget::rows(70)).or(Budget::seconds(60));
    let all = Fit::new().epochs(3).budget(budget).batch_size(7).accumulate(2).shuffle(false).verbose(0).ctrl_c(false).steps_per_submit(5);
    let all = all.snapshot_every(3.0).detect_anomaly(true).diagnostics(Diagnostics::per_layer(10)).loss_spike(4.0);
    let all = all.callback(EarlyStopping::new("loss").patience(2)).checkpoint(Checkpoint::new("run.gradus")).resume(Resume::IfPresent);
    change_every_field(&plain(), &[&compile(true), &compile(false), &named], &[]);
    change_every_field(&Fit::new(), &[&all], &["validation"]);

    let data = DataSpec::new("mnist")
        .take(100)
        .flatten()
        .scale(0.5)
        .shift(0.25)
        .one_hot(4)
        .op(DataOp::integers().on("mask"))
        .op(DataOp::skip(3))
        .op(DataOp::sample_stratified(7));
    let data = data.memory_budget(1 << 20).validation(HeldOut::Share(0.25)).test(HeldOut::Rows(3));
    for settings in [compile(true), compile(false)] {
        let mut recipe = Recipe::new(&net(), &settings, &all, data.clone()).unwrap();
        assert_eq!(recipe.settings().device(Device::cpu()), settings);
        assert_eq!(recipe.fit, all);
        in_toml_and_json(&recipe);
        recipe.seeds = Seeds::new(1).init(2).order(3).augment(4).split(5);
        recipe.data.validation = Some(HeldOut::Source("other".into()));
        in_toml_and_json(&recipe);
    }
    let registry = Registry::new().with_step("masked", |(): ()| {
        step(|s, batch| {
            let y = s.at("fc").call(&Linear::new(1), &(&batch["x"] * &batch["mask"]));
            StepOut::new((&y - &batch["y"]).square().mean()).output("y", &y)
        })
    });
    let recipe = Recipe::named("masked", (), &registry, &named, &all, data).unwrap();
    assert_eq!(recipe.settings(), named);
    in_toml_and_json(&recipe);
}

/// Lengths of schedules that are relative to the run are maps; plain numbers stay updates.
#[test]
fn relative_lengths() {
    use gradus::optim::schedule::Span;
    let with = |rate: Schedule| Recipe::new(&net(), &Compile::new(Adam::new(rate), Mse::new()).input([3]), &fit(1), digits()).unwrap();
    let rate = Schedule::cosine(1e-3, Span::Epochs(2.5)).warmup(Span::Share(0.1));
    let recipe = with(rate.clone());
    in_toml_and_json(&recipe);
    let text = recipe.to_json().split_whitespace().collect::<String>();
    assert!(text.contains(r#""updates":{"share":0.1}"#) && text.contains(r#""t_max":{"epochs":2.5}"#), "{text}");
    assert_eq!(format!("cosine:{}", "2.5epochs").parse::<Schedule>().unwrap().warmup("10%".parse::<Span>().unwrap()), rate);
    for rate in [
        Schedule::step(0.1, Span::Share(0.25), 0.5),
        gradus::optim::schedule::MultiStep::new(0.1, []).milestones([Span::Share(0.5), Span::Epochs(3.0), Span::Updates(7)]).into(),
        Schedule::polynomial(0.1, Span::Share(1.0), 2.0),
        Schedule::cosine_restarts(0.1, Span::Epochs(1.0), 2),
        Schedule::one_cycle(0.1, Span::Share(1.0)),
    ] {
        assert!(rate.is_relative() && rate.at(3).is_nan());
        in_toml_and_json(&with(rate));
    }
    let bad = recipe.to_json().replace("2.5", "-1.0").replace("0.1\n", "1.5\n");
    let e = Recipe::from_json(&bad).unwrap_err().to_string();
    assert!(e.contains("optimizer.lr.t_max") && e.contains("-1 epochs"), "{e}");
    let e = Recipe::from_json(&recipe.to_json().replace("epochs\": 2.5", "weeks\": 2.5")).unwrap_err().to_string();
    assert!(e.contains("weeks"), "{e}");
}

/// What a text cannot hold is named.
#[test]
fn what_no_recipe_holds() {
    let fails = |compile: &Compile, fit: &Fit, says: &[&str]| {
        let e = Recipe::new(&net(), compile, fit, DataSpec::new("mnist")).unwrap_err();
        assert!(e.code() == "unsupported" && says.iter().all(|s| e.to_string().contains(s)), "{e}");
    };
    let closure = || loss::custom("my loss", |y, t| (y - t).square().mean());
    fails(&Compile::new(Sgd::new(0.1), closure()).input([3]), &fit(1), &["my loss", "compile.loss"]);
    fails(&plain().metric(Accuracy::new()).metric(metric::custom("mine", |y, t| (y - t).mean())), &fit(1), &["mine", "compile.metrics[1]"]);
    let schedule = Schedule::custom("zigzag", |t| 1e-3 / (1 + t % 2) as f64);
    fails(&Compile::new(Sgd::new(schedule), Mse::new()).input([3]), &fit(1), &["zigzag", "compile.optimizer.lr"]);
    fails(&plain(), &fit(1).callback(on_epoch_end("tell", |_, _| Ok(()))), &["tell", "fit.callbacks[0]"]);
    fails(&plain(), &fit(1).validation(&super::rows(0.0)), &["fit.validation", "DataSpec::validation"]);
    fails(&plain(), &fit(1).callback(EarlyStopping::new("loss").baseline(f64::NAN)), &["fit"]);
    let own = Sequential::new().add(Linear::new(2)).add(module(|_, x| x.exp()));
    let e = Recipe::new(&own, &plain(), &fit(1), DataSpec::new("mnist")).unwrap_err();
    assert!(e.to_string().contains("Registry"), "{e}");
}

/// Files that version 1 wrote, and what they meant.
#[test]
fn version_1_is_read_and_written_as_2() {
    let layers = Sequential::new().add(Linear::new(64)).add(Relu).add(Linear::new(32)).add(Relu).add(Linear::new(10)).add(Softmax);
    let data = DataSpec::new("mnist").flatten().scale(1.0 / 255.0).one_hot(10).validation(HeldOut::Test).test(HeldOut::Test);
    let article = Recipe::new(&layers, &plain().metric(Accuracy::new()), &Fit::new().epochs(10), data.clone()).unwrap();
    let read: Recipe = toml::from_str(VERSION_1).unwrap();
    assert_eq!(read, article);
    assert!(toml::to_string(&read).unwrap().starts_with("version = 2"));

    let read: Recipe = toml::from_str(VERSION_1_RICH).unwrap();
    assert_eq!((read.version, read.seeds, &read.data), (2, Seeds::new(7), &data));
    let c = read.settings();
    assert_eq!((c.seed, c.order_seed, c.clip_norm, c.ema, c.precision), (7, None, Some(1.0), Some(0.999), Precision::mixed()));
    assert_eq!(*c.optimizer.schedule(), Schedule::from(gradus::optim::schedule::Cosine::new(1e-3, 18_750).eta_min(1e-5)).warmup(500));
    assert_eq!((read.fit.epochs, read.fit.accumulate, read.fit.shuffle, read.fit.callbacks.len()), (3, 2, false, 2));
    assert_eq!(read.model.layers().len(), 8);
    // as JSON, with keys that the command line does not set
    let mut value: serde_json::Value = toml::from_str(VERSION_1_RICH).unwrap();
    value["loss_scale"] = serde_json::to_value(LossScale::Fixed(64.0)).unwrap();
    value["penalties"] = serde_json::json!([{ "pattern": "*.weight", "penalty": { "l1": 0.0, "l2": 1e-4 } }]);
    value["clip_value"] = value.as_object_mut().unwrap().remove("clip_norm").unwrap();
    let with = Recipe::from_json(&value.to_string()).unwrap();
    assert_eq!((with.compile.loss_scale.is_some(), with.compile.penalties.len(), with.compile.clip_value), (true, 1, Some(1.0)));
    in_toml_and_json(&with);

    for (key, found, says) in [
        ("version = 1", "version = 3", "no key `seed`"),
        ("seed = 0\n", "", "missing field `seed`"),
        ("scale = 0.003921569", "test = \"test\"", "no key `data.test`"),
        ("seed = 0", "sead = 0", "sead"),
    ] {
        let e = toml::from_str::<Recipe>(&VERSION_1.replacen(key, found, 1)).unwrap_err();
        assert!(e.to_string().contains(says), "{e}");
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Widths {
    hidden: usize,
}

/// A model of the program's by its name; another structure, or no such name, is told with what there is.
#[test]
fn named_models() {
    let registry = |out: &'static str| {
        let made = move |c: Widths| module(move |s, x| s.at(out).call(&Linear::new(1), &s.at("in").call(&Linear::new(c.hidden), x).tanh()));
        Registry::new().with("mine", made).with("other", |(): ()| Sequential::new().add(Linear::new(1)))
    };
    let settings = Compile::new(Adam::new(0.01), Mse::new()).input([3]);
    let recipe = Recipe::named("mine", Widths { hidden: 5 }, &registry("out"), &settings, &fit(2), DataSpec::new("table")).unwrap();
    in_toml_and_json(&recipe);
    let with_data = registry("out").with_data("table", &super::rows(0.0), None);
    let run = recipe.run(&with_data, &Device::cpu_threads(1)).unwrap();
    assert_eq!((run.model.parameter_count(), run.history.epochs(), run.test.is_none()), (3 * 5 + 5 + 5 + 1, 2, true));
    // the layers are renamed
    let e = recipe.compile(&registry("last"), &Device::cpu()).unwrap_err();
    let says = e.to_string();
    assert!(
        e.code() == "invalid-config" && ["model.named.structure", "last.weight [1, 5]", "`other`"].iter().all(|s| says.contains(s)),
        "{e}"
    );
    let mut unsure = recipe.clone();
    if let ModelSpec::Named { structure, .. } = &mut unsure.model {
        *structure = None;
    }
    unsure.compile(&registry("last"), &Device::cpu()).unwrap();
    // no such name
    let e = recipe.compile(&Registry::new().with("yours", |(): ()| net()), &Device::cpu()).unwrap_err();
    assert!(e.code() == "not-found" && e.to_string().contains("`mine`") && e.to_string().contains("`yours`"), "{e}");
    // settings that the closure does not take
    let text = recipe.to_json().replace("hidden", "depth");
    let e = Recipe::from_json(&text).unwrap().compile(&registry("out"), &Device::cpu()).unwrap_err();
    assert!(e.code() == "bad-recipe" && e.to_string().contains("hidden"), "{e}");
}

fn digits() -> DataSpec {
    DataSpec::new("synthetic:320:100").flatten().scale(1.0 / 255.0).one_hot(10)
}

fn weights(model: &Model) -> Vec<HostTensor> {
    model.parameter_names().map(|n| model.parameter(n).unwrap()).collect()
}

/// The article's network by recipe, and by the same calls in a program.
#[test]
fn a_run_by_recipe_is_the_run_by_hand() {
    let article: Recipe = toml::from_str(VERSION_1).unwrap();
    let mut recipe = article.clone();
    recipe.data.source = "synthetic:320:100".into();
    (recipe.fit.epochs, recipe.fit.verbose) = (2, 0);
    let by_recipe = recipe.run(&Registry::new(), &Device::cpu_threads(1)).unwrap();

    let (train, test) = data::synthetic_digits(0, 320, 100).unwrap();
    let seen = |set: Dataset| set.flatten().scale(1.0 / 255.0).one_hot(10);
    let (train, test) = (seen(train), seen(test));
    let net = Sequential::new().add(Linear::new(64)).add(Relu).add(Linear::new(32)).add(Relu).add(Linear::new(10)).add(Softmax);
    let settings = Compile::new(Adam::new(1e-3), CrossEntropy::new()).input([784]).metric(Accuracy::new()).device(Device::cpu_threads(1));
    let mut model = net.compile(settings).unwrap();
    let history = model.fit(&train, Fit::new().epochs(2).batch_size(32).validation(&test).verbose(0)).unwrap();
    assert_eq!(weights(&by_recipe.model), weights(&model));
    assert_eq!(by_recipe.history, history);
    assert_eq!(by_recipe.test.unwrap(), model.evaluate(&test, 100).unwrap());
}

/// Each seed moves what it is for and nothing else.
#[test]
fn seeds_apart() {
    let settings = Compile::new(Adam::new(1e-3), CrossEntropy::new()).input([784]);
    let net = Sequential::new().add(Linear::new(8)).add(Relu).add(Dropout::new(0.2)).add(Linear::new(10)).add(Softmax);
    let recipe = Recipe::new(&net, &settings, &fit(1), digits()).unwrap();
    let with = |seeds: Seeds| {
        let mut r = recipe.clone();
        r.seeds = seeds;
        r
    };
    let start = |seeds: Seeds| weights(&with(seeds).compile(&Registry::new(), &Device::cpu()).unwrap());
    let end = |seeds: Seeds| weights(&with(seeds).run(&Registry::new(), &Device::cpu_threads(1)).unwrap().model);
    assert_eq!(start(Seeds::new(5)), start(Seeds::new(5).order(6)));
    assert_eq!(start(Seeds::new(5)), start(Seeds::new(9).init(5)));
    assert_ne!(start(Seeds::new(5)), start(Seeds::new(5).init(6)));
    // all seeds named are one seed for all, in training too
    assert_eq!(end(Seeds::new(5)), end(Seeds::new(9).init(5).order(5)));
    assert_ne!(end(Seeds::new(5)), end(Seeds::new(5).order(6)));
    // a seed of the order in the settings themselves is the recipe's
    let apart = Recipe::new(&net, &settings.seed(5).order_seed(6), &fit(1), digits()).unwrap();
    assert_eq!(apart.seeds, Seeds::new(5).order(6));
    let mut wrong = recipe.clone();
    wrong.compile.seed = 3;
    assert!(wrong.checked().unwrap_err().to_string().contains("compile.seed"));
}

/// What is held out at random, and what training draws, by the seeds of the run.
#[test]
fn drawn_rows_follow_the_seeds() {
    let text = r#"{"source": "synthetic:120:10", "validation": {"split": {"share": 0.25, "stratified": true}}, "pipeline": [{"op": "balanced"}, {"op": "flatten"}]}"#;
    let spec: DataSpec = serde_json::from_str(text).unwrap();
    let held = HeldOut::Split { share: 0.25, stratified: true };
    assert_eq!(spec, DataSpec::new("synthetic:120:10").op(DataOp::balanced()).flatten().validation(held));
    assert_eq!(serde_json::from_str::<DataSpec>(&serde_json::to_string(&spec).unwrap()).unwrap(), spec);
    let load = |seeds: Seeds| spec.load_seeded(&Registry::new(), &seeds).unwrap();
    let sets = load(Seeds::new(1).split(5).order(8));
    let (train, val) = (sets.train, sets.validation.unwrap());
    assert_eq!((train.len(), val.len(), train.balance(), val.balance()), (90, 30, Some(8), None));
    let of = |seeds: Seeds| load(seeds).validation.unwrap().rows().clone();
    assert_eq!(&of(Seeds::new(5)), val.rows());
    assert_ne!(&of(Seeds::new(5).split(1)), val.rows());
    // the file says all: the same run again
    let net = Sequential::new().add(Linear::new(10));
    let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([784]);
    let mut recipe = Recipe::new(&net, &settings, &Fit::new().verbose(0), spec.clone()).unwrap();
    recipe.seeds = Seeds::new(1).split(5).order(8);
    let run = |r: &Recipe| r.run(&Registry::new(), &Device::cpu()).unwrap().history;
    let again = Recipe::from_json(&recipe.to_json()).unwrap();
    assert_eq!(run(&recipe), run(&again));
    for share in [0.0, 1.0, f64::NAN] {
        let wrong = DataSpec::new("mnist").test(HeldOut::Split { share, stratified: false });
        let e = Recipe::new(&net, &settings, &Fit::new(), wrong).unwrap().checked().unwrap_err().to_string();
        assert!(e.contains("data.test") && e.contains("above 0 and below 1"), "{e}");
    }
}

/// What the pipeline makes of a source, and what is held out.
#[test]
fn data_as_a_list() {
    let mine = super::rows(0.0);
    let registry = Registry::new().with_data("mine", &mine, None).with_data("other", &super::rows(1.0), Some(&mine));
    let load = |spec: DataSpec| spec.load(&registry);
    let of = |set: &Dataset| (set.rows().clone(), set.fields()[0].scale);
    let rows = |range: std::ops::Range<usize>| gradus::data::Rows::Range(range);
    let sets =
        load(DataSpec::new("mine").op(DataOp::skip(2)).take(10).scale(0.5).validation(HeldOut::Rows(3)).test(HeldOut::Share(0.2))).unwrap();
    assert_eq!(
        [&sets.train, &sets.validation.unwrap(), &sets.test.unwrap()].map(of),
        [(rows(2..7), 0.5), (rows(7..10), 0.5), (rows(10..12), 0.5)]
    );
    // rows are chosen for training alone
    let sets = load(DataSpec::new("other").take(5).scale(0.5).validation(HeldOut::Test).test(HeldOut::Source("mine".into()))).unwrap();
    assert_eq!(
        [&sets.train, &sets.validation.unwrap(), &sets.test.unwrap()].map(of),
        [(rows(0..5), 0.5), (rows(0..13), 0.5), (rows(0..13), 0.5)]
    );

    let fails = |spec: DataSpec, says: &str| {
        let e = load(spec).unwrap_err().to_string();
        assert!(e.contains(says), "{e}");
    };
    fails(DataSpec::new("mine").test(HeldOut::Test), "`mine` has no test set");
    fails(DataSpec::new("mine").validation(HeldOut::Rows(13)), "13 of 13 training rows");
    fails(DataSpec::new("nowhere"), "`mine`, `other`, `mnist`");
    let bad = DataSpec::new("").scale(f32::INFINITY).take(0).validation(HeldOut::Share(1.0)).test(HeldOut::Rows(0));
    let e = Recipe::new(&net(), &plain(), &fit(1), bad).unwrap().checked().unwrap_err();
    assert!(e.to_string().starts_with("5 settings"), "{e}");
    let shift = |pixels| DataOp::augment(gradus::data::Augment::new().shift(pixels));
    let checked = |spec: DataSpec| Recipe::new(&net(), &plain(), &fit(1), spec).unwrap().checked();
    assert!(checked(DataSpec::new("mine").op(shift(1))).is_ok());
    let e = checked(DataSpec::new("mine").op(shift(1)).scale(0.5).op(shift(2))).unwrap_err().to_string();
    assert!(
        e.contains("data.pipeline") && e.contains("`augment` stands in it 2 times") && e.contains("put all transforms into one"),
        "{e}"
    );
}

/// Settings as models and checkpoints held them before there was a seed of the order.
#[test]
fn settings_of_older_files() {
    let text =
        r#"{"optimizer": {"name": "sgd", "lr": 0.1}, "loss": {"name": "mse"}, "input": [3], "metrics": [], "device": null, "seed": 7}"#;
    let read: Compile = serde_json::from_str(text).unwrap();
    assert_eq!(read, Compile::new(Sgd::new(0.1), Mse::new()).input([3]).seed(7));
}
