//! Studies: what each run of one is, that nothing but seconds depends on how it is run, what a table says, and what is refused.

use gradus::prelude::*;
use gradus::study::{Arm, Event, RunOptions, Small, Study, Table};
use gradus::train::{Budget, DataOp, DataSpec, HeldOut, Recipe, Registry, Seeds};
use serde_json::json;

fn recipe() -> Recipe {
    let net = Sequential::new().add(Linear::new(12)).add(Relu).add(Linear::new(10));
    let settings = Compile::new(Adam::new(1e-2), CrossEntropy::new()).input([784]).metric(Accuracy::new());
    let data = DataSpec::new("synthetic:200:80").flatten().scale(1.0 / 255.0).test(HeldOut::Test);
    Recipe::new(&net, &settings, &Fit::new().batch_size(20), data).unwrap()
}

fn validated() -> Recipe {
    let mut r = recipe();
    r.data.validation = Some(HeldOut::Split { share: 0.25, stratified: true });
    r
}

fn short(recipe: Recipe) -> Study {
    Study::new(recipe).seeds([3, 8, 5]).budget(Budget::updates(12))
}

fn one() -> Device {
    Device::cpu_threads(1)
}

/// A study is the runs that its recipes would be by hand, and its table the plain sums over them.
#[test]
fn its_runs_are_those_of_its_recipes() {
    let study = short(recipe()).axis("optimizer.lr", [1e-2, 1e-3]).test("dim", [DataOp::scale(0.5), DataOp::shift(0.1)]);
    let mut told = vec![];
    let table = study
        .run_with(&one(), &RunOptions::new(), |e| {
            told.push(match e {
                Event::Begins { runs, done } => format!("{runs} {done}"),
                Event::Shows(p) => format!("shows {} {:?}", p.len(), p[0].arms),
                Event::Ran(r) => format!("{} {}", r.arms[0], r.seed),
                _ => "other".into(),
            });
        })
        .unwrap();
    let wanted = ["6 0", "0.01 3", "0.01 8", "0.01 5", "shows 2 [\"0.01\"]", "0.001 3", "0.001 8", "0.001 5"];
    assert_eq!(told, wanted);
    let by_hand = |lr: f64, seed: u64| {
        let mut r = recipe();
        r.fit = r.fit.budget(Budget::updates(12)).verbose(0);
        r.seeds.all = seed;
        let mut value = serde_json::to_value(&r).unwrap();
        value["compile"]["optimizer"]["lr"] = json!(lr);
        let r: Recipe = serde_json::from_value(value).unwrap();
        let mut outcome = r.run(&Registry::new(), &one()).unwrap();
        let dim = r.data.clone().scale(0.5).shift(0.1).load(&Registry::new()).unwrap().test.unwrap();
        (outcome.test.take().unwrap()["accuracy"], outcome.model.evaluate(&dim, 80).unwrap()["accuracy"])
    };
    let hand: Vec<Vec<(f64, f64)>> = [1e-2, 1e-3].map(|lr| [3, 8, 5].map(|s| by_hand(lr, s)).to_vec()).to_vec();
    for (row, runs) in table.rows.iter().zip(&hand) {
        let same = |column: &str, values: Vec<f64>| {
            let s = table.value(row, column).unwrap();
            let mean = values.iter().sum::<f64>() / 3.0;
            let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
            assert_eq!((s.n, s.mean), (3, mean), "{column} of {:?}", row.arms);
            assert!((s.deviation.unwrap() - deviation).abs() < 1e-15);
        };
        same("test_accuracy", runs.iter().map(|r| r.0).collect());
        same("test_dim_accuracy", runs.iter().map(|r| r.1).collect());
    }
    // pairs: t(0.975, 2) = 4.30265
    let d: Vec<f64> = hand[1].iter().zip(&hand[0]).map(|(a, b)| a.0 - b.0).collect();
    let mean = d.iter().sum::<f64>() / 3.0;
    let half = 4.302_652_73 * (d.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 2.0).sqrt() / 3f64.sqrt();
    let found = table.value(&table.rows[1], "test_accuracy").unwrap().difference.unwrap();
    let (low, high) = found.interval.unwrap();
    assert_eq!(found.pairs, 3);
    assert!((found.mean - mean).abs() < 1e-15 && (low - mean + half).abs() < 1e-7 && (high - mean - half).abs() < 1e-7, "{found:?}");
    assert!(table.value(&table.rows[0], "test_accuracy").unwrap().difference.is_none());
    assert_eq!(table.shown, ["test_accuracy", "test_dim_accuracy"]);
}

/// But for the seconds.
fn same(a: &Table, b: &Table) {
    let without = |t: &Table| {
        let mut t = t.clone();
        t.rows.iter_mut().for_each(|r| r.seconds = None);
        (t.to_csv(), t.to_markdown(), t.to_json_lines())
    };
    assert_eq!(without(a), without(b));
}

/// Side by side, one after another, from a file's text: one table.
#[test]
fn how_it_is_run_changes_no_value() {
    let arms = [Arm::new("plain"), Arm::new("dropout").set("model.layers+", [json!({ "layer": "dropout", "p": 0.1 })])];
    let study = short(recipe()).arms("technique", arms).axis("batch_size", [20, 10]).against("technique");
    let first = study.run(&one()).unwrap();
    let with = |workers| study.run_with(&Device::cpu(), &RunOptions::new().workers(workers), |_| {}).unwrap();
    same(&first, &with(3));
    same(&first, &with(1));
    let text = toml::to_string(&study).unwrap();
    let read: Study = toml::from_str(&text).unwrap();
    assert_eq!(read, study, "{text}");
    same(&first, &read.run(&one()).unwrap());
    assert_eq!(first.rows.iter().map(|r| r.arms.join(" ")).collect::<Vec<_>>(), ["plain 20", "plain 10", "dropout 20", "dropout 10"]);
    // each against the first arm of its own batch size
    let differs = |arms: &[&str]| first.value(first.row(arms).unwrap(), "test_loss").unwrap().difference.map(|d| d.mean);
    assert_eq!((differs(&["plain", "20"]), differs(&["plain", "10"])), (None, None));
    let mean = |arms: &[&str]| first.value(first.row(arms).unwrap(), "test_loss").unwrap().mean;
    let by_means = mean(&["dropout", "10"]) - mean(&["plain", "10"]);
    assert!((differs(&["dropout", "10"]).unwrap() - by_means).abs() < 1e-12);
}

/// A run that fails is told in its row; the others are whole, and no NaN is in any mean.
#[test]
fn a_run_that_fails_is_a_row() {
    let arms = [Arm::new("plain"), Arm::new("wild").set("compile.optimizer", json!({ "name": "sgd", "lr": 1e30 })).seeds(2)];
    let table = short(recipe()).arms("rate", arms).run(&one()).unwrap();
    let (plain, wild) = (&table.rows[0], &table.rows[1]);
    assert_eq!((plain.runs, plain.failed, wild.runs, wild.failed), (3, 0, 0, 2));
    assert!(wild.error.as_ref().unwrap().contains("not finite"), "{:?}", wild.error);
    assert!(table.value(plain, "test_accuracy").unwrap().mean.is_finite() && table.value(wild, "test_accuracy").is_none());
    let text = table.to_string();
    assert!(text.contains("failed") && text.contains("wild: 2 failed: the loss is not finite"), "{text}");
    assert!(text.lines().take(4).all(|l| !l.contains("NaN")), "{text}");
    assert!(table.to_csv().lines().nth(2).unwrap().starts_with("wild,0,2,,\""), "{}", table.to_csv());
    // a metric without a value is no failure, and does not count: R2 of labels that are all the same
    let x = HostTensor::f32([8, 2], (0..16).map(|i| i as f32 / 16.0).collect()).unwrap();
    let set = Dataset::new(x, HostTensor::f32([8, 1], vec![1.0; 8]).unwrap()).unwrap();
    let net = Sequential::new().add(Linear::new(1));
    let settings = Compile::new(Sgd::new(0.1), Mse::new()).input([2]).metric("r2".parse::<gradus::nn::Metric>().unwrap());
    let r = Recipe::new(&net, &settings, &Fit::new(), DataSpec::new("mine").test(HeldOut::Test)).unwrap();
    let options = RunOptions::new().registry(Registry::new().with_data("mine", &set, Some(&set)));
    let table = Study::new(r).axis("epochs", [1]).run_with(&one(), &options, |_| {}).unwrap();
    assert_eq!((table.rows[0].runs, table.rows[0].failed), (5, 0));
    assert!(table.rows[0].values.iter().flatten().all(|s| s.mean.is_finite()), "{table:?}");
}

/// The data of a study is read once: its file may be gone when the runs begin.
#[test]
fn data_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.safetensors");
    let floats = |n: usize| (0..n).flat_map(|i| (i as f32 / n as f32).to_le_bytes()).collect::<Vec<u8>>();
    let (x, y) = (floats(128), floats(64));
    let view = |bytes, dims: [usize; 2]| safetensors::tensor::TensorView::new(safetensors::Dtype::F32, dims.to_vec(), bytes).unwrap();
    let bytes = safetensors::serialize([("x", view(&x, [64, 2])), ("y", view(&y, [64, 1]))], None).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let settings = Compile::new(Sgd::new(0.1), Mse::new()).input([2]);
    let data = DataSpec::new(path.to_str().unwrap()).validation(HeldOut::Share(0.25));
    let r = Recipe::new(&Sequential::new().add(Linear::new(1)), &settings, &Fit::new(), data).unwrap();
    let study = Study::new(r).axis("optimizer.lr", [0.1, 0.2]);
    let table = study
        .run_with(&one(), &RunOptions::new(), |e| {
            if let Event::Begins { .. } = e {
                std::fs::remove_file(&path).unwrap();
            }
        })
        .unwrap();
    assert!(table.rows.iter().all(|r| (r.runs, r.failed) == (5, 0)), "{table}");
    assert_eq!(study.run(&one()).unwrap_err().code(), "io");
}

/// Other rows under the same name, as many of them, are other data: their runs stand in no one journal.
#[test]
fn a_journal_of_other_rows() {
    let folder = tempfile::tempdir().unwrap();
    let set = |last: f32| {
        let x = HostTensor::f32([8, 2], (0..16).map(|i| if i < 15 { i as f32 / 16.0 } else { last }).collect()).unwrap();
        Dataset::new(x, HostTensor::f32([8, 1], (0..8).map(|i| i as f32).collect()).unwrap()).unwrap()
    };
    let settings = Compile::new(Sgd::new(0.01), Mse::new()).input([2]);
    let data = DataSpec::new("mine").test(HeldOut::Test);
    let r = Recipe::new(&Sequential::new().add(Linear::new(1)), &settings, &Fit::new().epochs(1), data).unwrap();
    let study = Study::new(r).seeds([1]).axis("epochs", [1]);
    let on = |train: &Dataset, test: &Dataset| {
        let registry = Registry::new().with_data("mine", train, Some(test));
        study.run_with(&one(), &RunOptions::new().registry(registry).journal(folder.path().join("journal.jsonl")), |_| {})
    };
    on(&set(1.0), &set(1.0)).unwrap();
    on(&set(1.0), &set(1.0)).unwrap();
    for (train, test) in [(2.0, 1.0), (1.0, 2.0)] {
        let e = on(&set(train), &set(test)).unwrap_err();
        assert!(e.code() == "bad-file" && e.to_string().contains("its data is"), "{e}");
    }
}

/// A choice is made on validation data; until then nobody has looked at the test set, and then only the chosen arm does.
#[test]
fn a_choice_is_made_without_the_test_set() {
    let study = short(validated()).axis("optimizer.lr", [1e-5, 1e-2, 1e-4]).select("val_accuracy");
    let table = study.run(&one()).unwrap();
    assert_eq!((table.chosen, table.best("val_accuracy").unwrap().arms[0].as_str()), (Some(1), "0.01"));
    for (i, row) in table.rows.iter().enumerate() {
        assert_eq!((row.runs, table.value(row, "test_accuracy").is_some()), (3, i == 1), "{:?}", row.arms);
    }
    assert_eq!(table.shown, ["val_accuracy", "test_accuracy"]);
    assert!(table.to_string().contains("0.01 (chosen)"));
    // what the chosen arm says of the test set is what it would have said without a choice
    let all = short(validated()).axis("optimizer.lr", [1e-5, 1e-2, 1e-4]).run(&one()).unwrap();
    let of = |t: &Table| t.value(&t.rows[1], "test_accuracy").unwrap().mean;
    assert_eq!(of(&table), of(&all));
    assert_eq!(all.best("test_accuracy").unwrap_err().code(), "unsupported");
    assert_eq!(all.best("val_los").unwrap_err().code(), "not-found");
}

/// Arms that are bound to others, have fewer seeds, and the brief form.
#[test]
fn parts_of_a_grid() {
    let sizes = [
        Arm::new("100").set("data.pipeline+", json!({ "op": "sample", "rows": 100, "stratified": true })),
        Arm::new("200").seeds(1).only(["plain"]),
    ];
    let arms = [Arm::new("plain"), Arm::new("decay").set("compile.optimizer", json!({ "name": "adamw", "lr": 0.01, "weight_decay": 0.1 }))];
    let mut small = Small::default();
    small.seeds = Some(1);
    small.arms.insert("technique".into(), vec!["decay".into()]);
    small.set.insert("fit.budget".into(), json!({ "updates": 3 }));
    let study = short(recipe()).arms("rows", sizes).arms("technique", arms).small(small);
    assert_eq!(study.check().unwrap(), 3 + 3 + 1);
    let table = study.run(&one()).unwrap();
    let rows: Vec<_> = table.rows.iter().map(|r| (r.arms.join(" "), r.runs)).collect();
    assert_eq!(rows, [("100 plain".into(), 3), ("100 decay".into(), 3), ("200 plain".into(), 1)]);
    let small = study.smaller().unwrap();
    assert_eq!(small.check().unwrap(), 1);
    let table = small.run(&one()).unwrap();
    assert_eq!((table.rows.len(), table.rows[0].arms.join(" ")), (1, "100 decay".into()));
    assert!(short(recipe()).smaller().is_err());
}

/// What cannot be compared, and what would look at the test set too early, is told before anything runs.
#[test]
fn what_a_study_refuses() {
    let refused = |study: Study, says: &[&str]| {
        let e = study.check().unwrap_err();
        assert!(says.iter().all(|s| e.to_string().contains(s)), "{e}");
        assert!(study.run(&one()).is_err());
    };
    let arm = |path: &str, value: serde_json::Value| short(recipe()).arms("a", [Arm::new("x").set(path, value)]);
    refused(arm("data.validation", json!("test")), &["`x`", "data.validation", "the test set is touched once"]);
    let mut other = recipe();
    other.data.test = Some(HeldOut::Source("synthetic:50:1".into()));
    other.data.validation = other.data.test.clone();
    refused(short(other), &["it is the test set"]);
    refused(arm("compile.optimizer.lrr", json!(1.0)), &["`compile.optimizer.lrr`", "lrr", "weight_decay"]);
    refused(arm("compile.optimzer.lr", json!(1.0)), &["optimzer", "`optimizer`"]);
    refused(arm("compile.loss.label_smooth", json!(0.1)), &["label_smooth", "`label_smoothing`"]);
    refused(arm("model.layers.0.width", json!(3)), &["width", "`out_features`"]);
    refused(arm("model.layers.9.out_features", json!(3)), &["`9`", "places 0 to 2"]);
    refused(arm("data.pipeline+", json!({ "op": "scale", "faktor": 1 })), &["faktor", "`factor`"]);
    refused(arm("optimiser.lr", json!(1.0)), &["no `optimiser`", "compile has"]);
    refused(arm("fit.epochs", json!(0)), &["fit.epochs"]);
    refused(arm("seeds.all", json!(7)), &["seeds.all"]);
    refused(arm("fit.budget", json!({ "seconds": 1.0 })), &["fit.budget.seconds"]);
    refused(arm("fit.checkpoint", json!({ "path": "x", "every_steps": 0, "every_epochs": 1 })), &["fit.checkpoint"]);
    refused(arm("fit.callbacks+", json!({ "name": "csv_logger", "path": "x.csv" })), &["csv_logger", "writes a file"]);
    refused(arm("data.test", json!(null)).test("dim", [DataOp::scale(0.5)]), &["data.test"]);
    refused(short(recipe()).test("few", [DataOp::take(3)]), &["tests.few"]);
    refused(short(recipe()).select("test_accuracy"), &["test_accuracy", "validation"]);
    refused(short(recipe()).select("val_accuracy"), &["data.validation"]);
    refused(short(recipe()).seeds([]), &["seeds"]);
    refused(short(recipe()).seeds([1, 2, 1]), &["1 stands there twice"]);
    refused(short(recipe()).against("y"), &["no axis `y`"]);
    refused(short(recipe()).arms("a", [Arm::new("x"), Arm::new("x")]), &["two arms are called `x`"]);
    refused(short(recipe()).axis("optimizer.lr", [f64::NAN]), &["optimizer.lr"]);
    // only the pilots can tell
    let study = short(recipe()).axis("optimizer.lr", [1e-2]).columns(["test_acuracy"]);
    let e = study.run(&one()).unwrap_err();
    assert!(e.code() == "not-found" && e.to_string().contains("test_accuracy"), "{e}");
    // a column of the test that comes after the choice hides no wrong one behind it
    let study = short(validated()).axis("optimizer.lr", [1e-2]).select("val_accuracy").columns(["test_accuracy", "val_acuracy"]);
    let e = study.run(&one()).unwrap_err();
    assert!(e.code() == "not-found" && e.to_string().contains("val_acuracy"), "{e}");
    let mut gone = recipe();
    gone.data.source = "nowhere".into();
    assert_eq!(short(gone).run(&one()).unwrap_err().code(), "data-not-found");
    for text in ["name = 3", "[[axis]]\nname = \"a\"", "sedes = 3"] {
        assert!(toml::from_str::<Study>(text).is_err());
    }
}

/// What stands on the terminal, in Markdown and in JSON.
#[test]
fn forms_of_a_table() {
    let study = short(recipe())
        .name("A study")
        .arms("how", [Arm::new("a|b"), Arm::new("fast, \"wild\"").set("fit.budget", json!({ "updates": 2 }))]);
    let table = study.run(&one()).unwrap();
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines[2]), ("A study", "test_accuracy"));
    assert!(lines[3].contains("how") && lines[3].contains("against a|b") && lines[3].contains("95 % interval"), "{text}");
    assert!(text.contains("pilot runs have a deviation of") && text.contains("four times in five"), "{text}");
    let md = table.to_markdown();
    assert!(md.contains("| a\\|b | 3 | ") && md.contains("| --- | ---: |"), "{md}");
    assert!(table.to_csv().lines().nth(2).unwrap().starts_with("\"fast, \"\"wild\"\"\",3,0,"), "{}", table.to_csv());
    let json: Vec<serde_json::Value> = table.to_json_lines().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((json.len(), &json[0]["arms"]["how"], &json[1]["values"]["test_accuracy"]["pairs"]), (2, &json!("a|b"), &json!(3)));
    let folder = tempfile::tempdir().unwrap();
    table.save(folder.path().join("deep")).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("deep/table.md")).unwrap(), md);
}

/// Rows drawn by the seed of the split: each class with its share, smaller ones within larger ones, and the test set whole.
#[test]
fn samples_of_the_training_rows() {
    let drawn = |rows: usize, seed: u64, stratified: bool| {
        let op = if stratified { DataOp::sample_stratified(rows) } else { DataOp::sample(rows) };
        let spec = DataSpec::new("synthetic:400:50").op(op).test(HeldOut::Test);
        spec.load_seeded(&Registry::new(), &Seeds::new(1).split(seed))
    };
    let rows = |s: &gradus::train::Sets| s.train.rows().iter().collect::<Vec<_>>();
    for stratified in [false, true] {
        let (few, more) = (drawn(40, 7, stratified).unwrap(), drawn(130, 7, stratified).unwrap());
        assert_eq!((few.train.len(), more.train.len(), few.test.unwrap().len()), (40, 130, 50));
        let few_rows = rows(&drawn(40, 7, stratified).unwrap());
        assert!(few_rows.iter().all(|r| rows(&more).contains(r)), "{few_rows:?}");
        assert_ne!(few_rows, rows(&drawn(40, 8, stratified).unwrap()));
    }
    let all = DataSpec::new("synthetic:400:50").load(&Registry::new()).unwrap().train.class_counts().unwrap();
    for (class, n) in drawn(40, 7, true).unwrap().train.class_counts().unwrap() {
        let share = all.iter().find(|(c, _)| *c == class).unwrap().1 as f64 / 10.0;
        assert!((n as f64 - share).abs() <= 1.0, "class {class}: {n} of {share}");
    }
    assert_eq!(drawn(400, 7, true).unwrap().train.len(), 400);
    let e = drawn(401, 7, false).unwrap_err();
    assert!(e.to_string().contains("401 rows of 400"), "{e}");
}
