//! The general step (API rule 5): several inputs, outputs, losses and metrics, through one closure.

use crate::common::need::Suite;
use gradus::Error;
use gradus::graph::{Builder, Field, Op, gradients};
use gradus::nn::Loss;
use gradus::plan::Purpose;
use gradus::prelude::*;
use gradus::reference::{Data, evaluate};
use gradus::rng::Philox;
use gradus::tensor::{DType, HostTensor};
use gradus::train::{Batch, StepOut, step};
use std::sync::{Arc, Mutex};

static SUITE: Suite = Suite::new("step", 30);

const ROWS: usize = 203;

fn noise(n: usize, stream: &str) -> Vec<f32> {
    let mut r = Philox::new(6, stream);
    (0..n).map(|_| (2.0 * r.uniform() - 1.0) as f32).collect()
}

/// Rows of twelve values of which a mask shows some; `kind` is the sign of their sum, `size` the sum.
fn table(rows: usize) -> Dataset {
    let x = noise(rows * 12, "x");
    let mask: Vec<u8> = noise(rows * 12, "mask").iter().map(|&v| u8::from(v > -0.5)).collect();
    let size: Vec<f32> = x.chunks(12).zip(mask.chunks(12)).map(|(x, m)| x.iter().zip(m).map(|(x, m)| x * f32::from(*m)).sum()).collect();
    let kind = size.iter().map(|&s| u32::from(s > 0.0)).collect();
    Dataset::from_fields([
        ("x", HostTensor::f32([rows, 12], x).unwrap()),
        ("mask", HostTensor::u8([rows, 12], mask).unwrap()),
        ("size", HostTensor::f32([rows, 1], size).unwrap()),
        ("kind", HostTensor::u32([rows], kind).unwrap()),
    ])
    .unwrap()
    .on("kind", |f| f.integers())
}

/// Two inputs, two heads, an auxiliary loss on what is hidden.
fn heads(s: &Scope, batch: &Batch) -> StepOut {
    let h = s.at("trunk").call(&Linear::new(24), &(&batch["x"] * &batch["mask"])).tanh();
    let kind = s.at("kind").call(&Linear::new(2), &h);
    let size = s.at("size").call(&Linear::new(1), &h);
    let (class, error, wide) = (kind.cross_entropy(&batch["kind"]), (&size - &batch["size"]).square().mean(), h.square().mean());
    StepOut::new(&class + &error * 0.5 + &wide * 0.01)
        .output("kind", &kind.softmax())
        .output("size", &size)
        .metric("kind_loss", &class)
        .metric("size_loss", &error)
        .metric("accuracy", &kind.accuracy(&batch["kind"]))
        .metric("mae", &(&size - &batch["size"]).abs().mean())
}

fn two_heads(optimizer: impl Into<Optimizer>, device: &Device) -> Model {
    step(heads).compile(settings(optimizer).device(device.clone())).unwrap()
}

fn settings(optimizer: impl Into<Optimizer>) -> Compile {
    Compile::step(optimizer).input([12]).input_named("mask", [12]).device(Device::cpu()).seed(2)
}

fn all_bits(model: &mut Model) -> Vec<u32> {
    let names: Vec<String> = model.parameter_names().map(String::from).collect();
    names.iter().flat_map(|n| model.parameter(n).unwrap().as_f32().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>()).collect()
}

#[test]
fn two_inputs_and_two_heads_train() {
    let mut seen: Vec<Vec<f64>> = Vec::new();
    for device in SUITE.devices() {
        let (data, mut m) = (table(ROWS), two_heads(Adam::new(0.02), &device));
        let fit = Fit::new().epochs(25).batch_size(32).verbose(0).validation(&data);
        let h = m.fit(&data, fit).unwrap();
        let e = m.evaluate(&data, 50).unwrap();
        let names: Vec<&str> = e.iter().map(|(n, _)| n).collect();
        assert_eq!(names, ["loss", "kind_loss", "size_loss", "accuracy", "mae"]);
        for name in ["loss", "kind_loss", "size_loss", "mae"] {
            assert!(h.last(name).unwrap() < 0.4 * h.get(name)[0], "{name} on {device}: {:?}", h.get(name));
            assert!((h.last(&format!("val_{name}")).unwrap() - e[name]).abs() < 1e-5);
        }
        assert!(e["accuracy"] > 0.93, "{e}");
        // the sum is what the closure says: the part that is no metric is small and positive
        let rest = e["loss"] - e["kind_loss"] - 0.5 * e["size_loss"];
        assert!(rest > 0.0 && rest < 0.01, "{rest}");
        seen.push(h.get("loss").to_vec());
        SUITE.ran(1);
    }
    for (a, b) in seen[0].iter().zip(seen.last().unwrap()) {
        assert!((a - b).abs() < 1e-3 * a, "{a} on the CPU, {b} on the GPU");
    }
}

#[test]
fn all_outputs_come_in_one_pass_and_need_no_labels() {
    for device in SUITE.devices() {
        let (data, mut m) = (table(ROWS), two_heads(Adam::new(0.02), &device));
        m.fit(&data, Fit::new().epochs(10).verbose(0)).unwrap();
        let (x, mask) = (data.values("x").unwrap().clone(), data.values("mask").unwrap().clone());
        let bare = Dataset::from_fields([("mask", mask), ("x", x)]).unwrap();
        let before = m.traffic().steps;
        let outputs = m.predict_named(&bare, 50).unwrap();
        assert!(device == Device::cpu() || m.traffic().steps - before == 5);
        assert_eq!(outputs.keys().collect::<Vec<_>>(), ["kind", "size"]);
        assert_eq!((outputs["kind"].shape().dims(), outputs["size"].shape().dims()), (&[ROWS, 2][..], &[ROWS, 1][..]));
        assert!(m.predict(&data, 203).unwrap().shape().dims() == [ROWS, 2], "the first output");
        let sizes = data.values("size").unwrap().to_f64();
        let mae = outputs["size"].to_f64().iter().zip(sizes).map(|(a, b)| (a - b).abs()).sum::<f64>() / ROWS as f64;
        assert!((mae - m.evaluate(&data, 64).unwrap()["mae"]).abs() < 1e-5, "{mae}");
        SUITE.ran(1);
    }
}

fn digits() -> Dataset {
    data::synthetic_digits(4, 203, 10).unwrap().0.flatten().scale(1.0 / 255.0)
}

fn net() -> Sequential {
    Sequential::new().add(Linear::new(24)).add(Relu).add(Linear::new(10)).add(Softmax)
}

/// `compile(optimizer, loss)` and the same through `step`: one program, one set of bits.
#[test]
fn compile_is_a_step() {
    for device in SUITE.devices() {
        let sugar = Compile::new(Adam::default(), CrossEntropy::new()).metric(Accuracy::new()).input([784]).seed(9);
        let mut a = net().compile(sugar.device(device.clone())).unwrap();
        let general = step(|s, batch| {
            let output = net().forward(s, &batch["x"]);
            let loss = Loss::from(CrossEntropy::new()).build(&output, &batch["y"]);
            StepOut::new(loss).output("output", &output).measure(Accuracy::new(), &output, &batch["y"])
        });
        let mut b = general.compile(Compile::step(Adam::default()).input([784]).seed(9).device(device.clone())).unwrap();
        let data = digits();
        let (pa, pb) = (a.prepare(&data, 20).unwrap(), b.prepare(&data, 20).unwrap());
        assert_eq!(pa.explain(), pb.explain());
        let fit = || Fit::new().epochs(2).batch_size(20).verbose(0);
        let (ha, hb) = (a.fit(&data, fit()).unwrap(), b.fit(&data, fit()).unwrap());
        assert!(all_bits(&mut a) == all_bits(&mut b), "{device}");
        assert_eq!((ha.get("loss"), ha.get("accuracy")), (hb.get("loss"), hb.get("accuracy")));
        assert_eq!(a.evaluate(&data, 64).unwrap(), b.evaluate(&data, 64).unwrap());
        assert_eq!(a.predict(&data, 64).unwrap(), b.predict(&data, 64).unwrap());
        assert_eq!(a.summary(), b.summary());
        SUITE.ran(1);
    }
}

/// The loss of `heads` with the gradient of each parameter, in f64 by the graph and by finite differences.
fn truth(values: &[(String, Vec<f64>)], data: &Dataset) -> Vec<(Vec<f64>, Vec<f64>)> {
    let b = Builder::new();
    let scope = Scope::root(&b, true);
    let var = |f: &Field| b.batch(data.len(), f.clone());
    let fields = data.fields();
    let [x, mask, size_label, kind_label] = [0, 1, 2, 3].map(|i| var(&fields[i]));
    let h = scope.at("trunk").call(&Linear::new(24), &(x * mask)).tanh();
    let kind = scope.at("kind").call(&Linear::new(2), &h);
    let size = scope.at("size").call(&Linear::new(1), &h);
    let loss = kind.cross_entropy(&kind_label) + (size - size_label).square().mean() * 0.5 + h.square().mean() * 0.01;
    let (loss, wrt) = (loss.value().unwrap(), scope.parameters().iter().map(|(_, v)| v.value().unwrap()).collect::<Vec<_>>());
    let mut g = b.finish().unwrap();
    let grads = gradients(&mut g, loss, &wrt).unwrap();
    let run = |values: &[(String, Vec<f64>)], wanted| {
        let feed = |op: &Op| match op {
            Op::Parameter(p) => values.iter().find(|(n, _)| *n == p.name).map(|(_, v)| Data::Real(v.clone())),
            Op::Batch(b) if b.field.name == "kind" => Some(Data::Integer(data.values("kind")?.as_u32()?.to_vec())),
            Op::Batch(b) => Some(Data::Real(data.values(&b.field.name)?.to_f64())),
            _ => None,
        };
        evaluate::<f64>(&g, &feed, &[wanted]).unwrap()[0].to_f64()
    };
    let slope = |p: usize, i: usize| {
        let at = |step: f64| {
            let mut v = values.to_vec();
            v[p].1[i] += step;
            run(&v, loss)[0]
        };
        (at(1e-5) - at(-1e-5)) / 2e-5
    };
    grads.iter().enumerate().map(|(p, g)| (run(values, g.unwrap()), (0..values[p].1.len().min(9)).map(|i| slope(p, i)).collect())).collect()
}

#[test]
fn gradients_of_several_losses_are_those_of_the_reference() {
    let data = table(20);
    for device in SUITE.devices() {
        let mut m = two_heads(Sgd::new(1.0), &device);
        let names: Vec<String> = m.parameter_names().map(String::from).collect();
        assert_eq!(names, ["trunk.weight", "trunk.bias", "kind.weight", "kind.bias", "size.weight", "size.bias"]);
        let values: Vec<(String, Vec<f64>)> = names.iter().map(|n| (n.clone(), m.parameter(n).unwrap().to_f64())).collect();
        m.trainer(&data, Fit::new().batch_size(20)).unwrap().steps(1).unwrap();
        for ((name, before), (graph, slopes)) in values.iter().zip(truth(&values, &data)) {
            let after = m.parameter(name).unwrap().to_f64();
            for (i, g) in graph.iter().enumerate() {
                let moved = before[i] - after[i];
                assert!((moved - g).abs() < 2e-6, "{name} {i} on {device}: {moved}, not {g}");
                assert!(slopes.get(i).is_none_or(|s| (s - g).abs() < 1e-8), "{name} {i}: {slopes:?}, not {g}");
            }
        }
        SUITE.ran(1);
    }
}

/// A loss of the input alone: no labels anywhere.
#[test]
fn an_autoencoder_needs_no_labels() {
    for device in SUITE.devices() {
        let net = step(|s, batch| {
            let x = &batch["x"];
            let code = s.at("encoder").call(&Linear::new(12), x);
            let back = s.at("decoder").call(&Linear::new(12), &code);
            StepOut::new((&back - x).square().mean()).output("code", &code).output("back", &back)
        });
        let mut m = net.compile(Compile::step(Adam::new(0.02)).input([12]).device(device.clone())).unwrap();
        let data = Dataset::unlabelled(HostTensor::f32([96, 12], noise(96 * 12, "x")).unwrap()).unwrap();
        let h = m.fit(&data, Fit::new().epochs(40).verbose(0)).unwrap();
        assert!(h.last("loss").unwrap() < 0.2 * h.get("loss")[0], "{:?}", h.last("loss"));
        assert_eq!(m.evaluate(&data, 96).unwrap().iter().count(), 1);
        SUITE.ran(1);
    }
}

#[test]
fn a_model_of_a_step_goes_to_a_file_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("heads.gradus");
    let (data, mut m) = (table(ROWS), two_heads(Adam::new(0.02), &Device::cpu()));
    m.fit(&data, Fit::new().verbose(0)).unwrap();
    m.save(&path).unwrap();
    let mut back = step(heads).load(&path, Device::cpu()).unwrap();
    assert_eq!(back.settings(), m.settings());
    m.fit(&data, Fit::new().verbose(0)).unwrap();
    back.fit(&data, Fit::new().verbose(0)).unwrap();
    assert!(all_bits(&mut m) == all_bits(&mut back));
    fails(Model::load_on(&path, Device::cpu()), "bad-file", &["step(..).load(..)"]);
    SUITE.ran(1);
}

fn fails<T: std::fmt::Debug>(r: gradus::Result<T>, code: &str, parts: &[&str]) {
    let e: Error = r.expect_err(code);
    let text = e.to_string();
    for part in parts.iter().chain(&["where:", "help:"]) {
        assert!(e.code() == code && text.contains(part), "`{part}` of {code} is not in:\n{text}");
    }
}

/// A step on `x` alone, with one layer.
fn small(f: impl Fn(&Batch, Var) -> StepOut + Send + Sync + 'static) -> gradus::Result<Model> {
    let settings = Compile::step(Sgd::new(0.1)).input([12]).device(Device::cpu());
    step(move |s, batch| f(batch, s.at("fc").call(&Linear::new(1), &batch["x"]))).compile(settings)
}

fn fit(m: gradus::Result<Model>) -> gradus::Result<History> {
    m.unwrap().fit(&table(12), Fit::new().verbose(0))
}

#[test]
fn fields_that_are_not_there_or_do_not_fit_are_listed() {
    let line = format!("tests/run/step.rs:{}", line!() + 1);
    let typo = small(|batch, y| StepOut::new((&y - &batch["sise"]).square().mean()).output("y", &y));
    fails(fit(typo), "not-found", &["`sise`", "x, mask, size, kind", &line]);
    // an input that nobody declared is found at once, by the output that needs it
    fails(
        small(|batch, y| StepOut::new(y.mean()).output("y", &(y * &batch["msk"]))),
        "not-found",
        &["`msk`", "output `y`", "help: there is x"],
    );
    fails(small(|batch, y| StepOut::new(y.mean()).output("y", &(y - &batch["size"]))), "not-found", &["`size`", "predict"]);
    // names and shapes of the data against the declared inputs
    let wide = step(heads).compile(settings(Sgd::new(0.1)).input_named("depth", [3])).unwrap();
    fails(fit(Ok(wide)), "shape-mismatch", &["depth [3]", "mask [12], size [1], kind []", "x [12]"]);
    let flat = step(heads).compile(Compile::step(Sgd::new(0.1)).input([12]).input_named("mask", [1]).device(Device::cpu())).unwrap();
    fails(fit(Ok(flat)), "shape-mismatch", &["mask [12], size", "takes x [12], mask [1]"]);
    let plain = step(|s, b| StepOut::new(None).output("y", &s.at("fc").call(&Linear::new(1), &b["x"])));
    let indices = plain.compile(Compile::step(Sgd::new(0.1)).input([12]).indices_named("size", [1]).device(Device::cpu()));
    fails(fit(indices), "dtype-mismatch", &["`size`", "stored as f32", "takes u32"]);
    let faults = settings(Sgd::new(0.1)).input_named("mask", [12]).input_named("", [1]).input_named("empty", [0]);
    fails(step(heads).compile(faults), "invalid-config", &["compile.inputs.mask", "no name", "compile.inputs.empty"]);
    SUITE.ran(1);
}

#[test]
fn losses_and_metrics_have_one_element() {
    let line = format!("tests/run/step.rs:{}", line!() + 1);
    fails(small(|_, y| StepOut::new(y.square()).output("y", &y)), "shape-mismatch", &["loss", "[2, 1]", ".mean()", &line]);
    let line = format!("tests/run/step.rs:{}", line!() + 1);
    fails(small(|_, y| StepOut::new(y.mean()).metric("each", &y)), "shape-mismatch", &["metric `each`", "[2, 1]", &line]);
    // one that needs labels is only known when there are some
    let m = small(|batch, y| StepOut::new(&y - &batch["size"]).output("y", &y));
    fails(fit(m), "shape-mismatch", &["loss", "[12, 1]"]);
    fails(fit(small(|_, y| StepOut::new(None).output("y", &y))), "unsupported", &["without a loss", "StepOut::new"]);
    fails(small(|_, y| StepOut::new(y.mean())).unwrap().predict(&table(12), 4), "unsupported", &["without an output", ".output("]);
    fails(small(|_, y| StepOut::new(None).output("y", &y.mean())), "shape-mismatch", &["output `y`", "batch"]);
    SUITE.ran(1);
}

#[test]
fn names_are_given_once() {
    fails(small(|_, y| StepOut::new(None).output("y", &y).output("y", &y)), "duplicate-name", &["`y`", "as output"]);
    fails(small(|_, y| StepOut::new(None).metric("m", &y.mean()).metric("m", &y.sum())), "duplicate-name", &["`m`", "as metric"]);
    fails(small(|_, y| StepOut::new(None).metric("loss", &y.mean())), "duplicate-name", &["the loss itself"]);
    let wide = |_: &Batch, y: Var| {
        let all = (&y.mean() * 1.0).broadcast_to([9000]);
        many(&y, 2).metric_sums("a", &all, |s| s[0]).metric_sums("b", &all, |s| s[0])
    };
    fails(fit(small(wide)), "unsupported", &["18002 values", "a (9000), b (9000)", "at most 16380"]);
    SUITE.ran(1);
}

/// The loss, and so many metrics: 0, 1, 2 times the loss, and so on.
fn many(y: &Var, n: usize) -> StepOut {
    let loss = y.square().mean();
    (0..n).fold(StepOut::new(loss.clone()).output("y", y), |out, i| out.metric(format!("m{i}"), &(&loss * i as f64)))
}

#[test]
fn a_step_has_many_metrics() {
    for (device, n) in SUITE.devices().iter().flat_map(|d| [(d, 4), (d, 5), (d, 40)]) {
        let net = step(move |s, batch| many(&s.at("fc").call(&Linear::new(1), &batch["x"]), n));
        let mut m = net.compile(Compile::step(Sgd::new(0.1)).input([12]).device(device.clone())).unwrap();
        let h = m.fit(&table(30), Fit::new().batch_size(8).verbose(0)).unwrap();
        let e = m.evaluate(&table(30), 8).unwrap();
        for i in 0..n {
            let name = format!("m{i}");
            for (value, loss) in [(h.last(&name).unwrap(), h.last("loss").unwrap()), (e[&*name], e["loss"])] {
                assert!(
                    (value - loss * i as f64).abs() < 1e-5 * loss * i as f64 + 1e-12,
                    "{name} of {n} on {device}: {value}, not {i} x {loss}"
                );
            }
        }
        SUITE.ran(1);
    }
}

#[test]
fn a_step_that_changes_is_told_with_both_faces() {
    let renamed = small(|batch, y| StepOut::new(y.mean()).output(if batch.purpose() == Purpose::Train { "z" } else { "y" }, &y));
    fails(fit(renamed), "inconsistent-model", &["output y [1]", "output z [1]"]);
    let metrics = small(|batch, y| {
        let out = StepOut::new(y.mean()).output("y", &y);
        if batch.purpose() == Purpose::Evaluate { out } else { out.metric("m", &y.sum()) }
    });
    let mut m = metrics.unwrap();
    m.fit(&table(12), Fit::new().verbose(0)).unwrap();
    fails(m.evaluate(&table(12), 4), "inconsistent-model", &["metric m", "fc.weight [1, 12]"]);
    SUITE.ran(1);
}

/// The closure is called once for each purpose and batch size, and sees the fields of its purpose.
#[test]
fn a_step_is_described_once_for_each_purpose_and_batch_size() {
    let calls: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = calls.clone();
    let net = step(move |s, batch| {
        let names: Vec<&str> = batch.names().collect();
        seen.lock().unwrap().push(format!("{:?} {} {} {}", batch.purpose(), batch.len(), names.join("+"), s.training()));
        let y = s.at("fc").call(&Linear::new(1), &batch["x"]);
        let error = batch.get("size").map(|size| (&y - size).abs().mean());
        let out = StepOut::new(y.square().mean()).output("y", &y);
        if let Some(e) = error { out.metric("mae", &e) } else { out }
    });
    let mut m = net.compile(Compile::step(Sgd::new(0.1)).input([12]).device(Device::cpu())).unwrap();
    for _ in 0..2 {
        m.fit(&table(20), Fit::new().batch_size(8).verbose(0)).unwrap();
        m.evaluate(&table(20), 20).unwrap();
        m.predict(&table(20), 20).unwrap();
    }
    let all = "x+mask+size+kind";
    let expected = [
        "Predict 2 x false".to_string(),
        format!("Train 8 {all} true"),
        format!("Train 4 {all} true"),
        format!("Evaluate 20 {all} false"),
        "Predict 20 x false".into(),
    ];
    assert_eq!(*calls.lock().unwrap(), expected);
    let text = two_heads(Sgd::new(0.1), &Device::cpu()).summary();
    assert!(["input  ", "mask  ", "trunk", "kind", "387 parameters"].iter().all(|p| text.contains(p)), "{text}");
    SUITE.ran(1);
}

/// Streamed from memory in small blocks, or made by the user a batch at a time: the same bits as from a resident set.
#[test]
fn named_fields_stream_and_come_by_hand() {
    for device in SUITE.devices() {
        let data = table(ROWS);
        let fit = || Fit::new().epochs(2).batch_size(32).shuffle(false).verbose(0);
        let [mut resident, mut streamed, mut by_hand] = [0; 3].map(|_| two_heads(Adam::new(0.02), &device));
        resident.fit(&data, fit()).unwrap();
        let small = data.clone().memory_budget(4 * 32 * 29 * 4);
        streamed.fit(&small, fit()).unwrap();
        for batch in (0..2).flat_map(|_| (0..ROWS).step_by(32)) {
            let rest = if batch == 0 { data.clone() } else { data.split_at(batch).unwrap().1 };
            by_hand.train_on_batch(rest.take(32)).unwrap();
        }
        let expected = all_bits(&mut resident);
        assert!(all_bits(&mut streamed) == expected && all_bits(&mut by_hand) == expected, "{device}");
        assert_eq!(streamed.evaluate(&small, 50).unwrap(), resident.evaluate(&data, 50).unwrap());
        assert_eq!(streamed.predict_named(&small, 50).unwrap(), resident.predict_named(&data, 50).unwrap());
        assert_eq!(by_hand.predict(&data, 50).unwrap(), resident.predict_named(&data, 50).unwrap()["kind"]);
        SUITE.ran(1);
    }
}

#[test]
fn settings_and_steps_that_do_not_go_together() {
    let both = Compile::new(Sgd::new(0.1), Mse::new()).input([12]).device(Device::cpu());
    fails(step(heads).compile(both), "invalid-config", &["compile.loss", "Compile::step"]);
    fails(net().compile(Compile::step(Sgd::new(0.1)).input([784])), "invalid-config", &["compile.loss", "Compile::new"]);
    SUITE.ran(1);
}

#[test]
fn labels_in_any_field_are_checked_and_integers_come_back() {
    let mut m = two_heads(Sgd::new(0.1), &Device::cpu());
    let bad = |kind: Vec<u32>| {
        let of = |n: &str| (n.to_string(), table(4).values(n).unwrap().clone());
        let kind = ("kind".to_string(), HostTensor::u32([4], kind).unwrap());
        Dataset::from_fields([of("x"), of("mask"), of("size"), kind]).unwrap().on("kind", |f| f.integers())
    };
    fails(m.fit(&bad(vec![0, 1, 2, 0]), Fit::new().verbose(0)), "label-out-of-range", &["label 2 of row 2", "2 outputs"]);
    m.fit(&bad(vec![0, 1, 1, 0]), Fit::new().verbose(0)).unwrap();
    let settings = Compile::step(Sgd::new(0.1)).indices_named("kind", [1]).device(Device::cpu());
    let through = step(|_, batch| StepOut::new(None).output("kind", &batch["kind"])).compile(settings).unwrap();
    let kinds = HostTensor::u8([3, 1], vec![7, 0, 255]).unwrap();
    let data = Dataset::from_fields([("kind", kinds)]).unwrap().on("kind", |f| f.integers());
    let out = through.predict(&data, 2).unwrap();
    assert_eq!((out.dtype(), out.as_u32()), (DType::U32, Some(&[7, 0, 255][..])));
    SUITE.ran(1);
}

/// A GAN's step, both networks in one: the discriminator's loss moves nothing of the generator, and backward asks nothing of it. And a
/// straight-through estimator, whose gradient is that of the value before the step.
#[test]
fn detach_stops_the_gradient() {
    let gan = |part: &'static str| {
        step(move |s, batch| {
            let fake = s.at("g").call(&Linear::new(3), &batch["x"]);
            let score = |x: &Var| s.shared("d.weight") * x;
            let _ = s.param("d.weight", [3], Init::Constant(0.5));
            let (of_d, of_g) = ((score(&batch["real"]) - score(&fake.detach())).mean(), score(&fake).mean());
            let loss = match part {
                "both" => of_d + of_g,
                "d" => of_d,
                _ => of_g,
            };
            let hard = s.param("soft", [4], Init::Constant(0.3));
            let whole = (&hard + 0.5).floor();
            let through = (&hard + (whole - &hard).detach()) * 2.0;
            let all = loss + through.sum();
            StepOut::new(&all)
                .output("fake", &fake)
                .output("through", &(through + 0.0 * fake.mean()).unsqueeze(0).broadcast_to([batch.len(), 4]))
        })
    };
    let x = HostTensor::f32([8, 2], noise(16, "gan x")).unwrap();
    let data = Dataset::from_fields([("x", x), ("real", HostTensor::f32([8, 3], noise(24, "gan real")).unwrap())]).unwrap();
    for device in SUITE.devices() {
        let gradients = |part| {
            let settings = Compile::step(Sgd::new(0.0)).input([2]).device(device.clone());
            let mut m = gan(part).compile(settings).unwrap();
            m.train_on_batch(&data).unwrap();
            let of = |m: &mut Model, n: &str| m.gradient(n).map(|g| g.to_f64());
            (of(&mut m, "g.weight").ok(), of(&mut m, "d.weight").unwrap(), of(&mut m, "soft").unwrap())
        };
        let (both, d, g) = (gradients("both"), gradients("d"), gradients("g"));
        // the value is a whole number, 0, and the gradient passes
        assert!([&both, &d, &g].iter().all(|p| p.2 == [2.0; 4]), "{device}: {:?}", both.2);
        assert!(d.0.is_none_or(|of_g| of_g.iter().all(|v| *v == 0.0)), "{device}");
        assert!(both.0 == g.0 && g.0.unwrap().iter().any(|v| *v != 0.0), "{device}");
        let sum: Vec<f64> = d.1.iter().zip(&g.1).map(|(a, b)| a + b).collect();
        assert!(both.1.iter().zip(&sum).all(|(a, b)| (a - b).abs() < 1e-6), "{device}: {:?} {sum:?}", both.1);
        SUITE.ran(1);
    }
}

/// `mish` and the slopes of what comes of `exp(x) - 1`, where they are small and not 0: by hand in f64, relative.
#[test]
fn far_below_0_little_is_left_on_every_device() {
    let x: Vec<f32> = vec![-80.0, -50.0, -20.0, -18.0, -9.0, -0.5];
    let near = |got: f64, want: f64| (got - want).abs() <= 1e-5 * want.abs();
    for device in SUITE.devices() {
        let values = x.clone();
        let net = step(move |s, batch| {
            let own = |n: &str| s.param(n, [6], Init::Constant(0.0));
            let (m, e, u) = (own("mish"), own("elu"), own("selu"));
            let mish = (m.mish() + 0.0 * batch["x"].mean()).unsqueeze(0).broadcast_to([batch.len(), 6]);
            StepOut::new(m.mish().sum() + e.elu(1.0).sum() + u.selu().sum()).output("mish", &mish)
        });
        let mut model = net.compile(Compile::step(Sgd::new(0.0)).input([1]).device(device.clone())).unwrap();
        ["mish", "elu", "selu"].iter().for_each(|n| model.set_parameter(n, &HostTensor::f32([6], values.clone()).unwrap()).unwrap());
        let batch = Dataset::unlabelled(HostTensor::f32([1, 1], vec![1.0]).unwrap()).unwrap();
        let got = model.predict(&batch, 1).unwrap().to_f64();
        model.train_on_batch(&batch).unwrap();
        let slopes = |m: &mut Model, n: &str| m.gradient(n).unwrap().to_f64();
        let (elu, selu) = (slopes(&mut model, "elu"), slopes(&mut model, "selu"));
        for (i, x) in values.iter().map(|x| f64::from(*x)).enumerate() {
            let tanh_softplus = x.exp() * (x.exp() + 2.0) / (x.exp() * (x.exp() + 2.0) + 2.0);
            assert!(near(got[i], x * tanh_softplus), "mish({x}) on {device}: {}", got[i]);
            assert!(near(elu[i], x.exp()) && near(selu[i], 1.758_099_340_847_376_6 * x.exp()), "{x} on {device}: {} {}", elu[i], selu[i]);
        }
        SUITE.ran(1);
    }
}
