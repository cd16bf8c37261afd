//! Arenas that are larger than a device binds lie in several buffers: no bit, no file and no byte of memory knows.

use crate::common::{need::Suite, zoo};
use gradus::plan::BufferId;
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

static SUITE: Suite = Suite::new("shards", 11);

/// Bytes of a buffer: some of the model's tensors fit, with the norms that LAMB keeps between them.
const LIMIT: usize = 4300;

fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut x = seed.wrapping_mul(747_796_405).wrapping_add(12345);
    let mut next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn table(rows: usize) -> Dataset {
    let x = noise(16 * rows, 3);
    let y = x.chunks(16).map(|r| r[0] * r[1] + 0.5 * r[2] - r[3]).collect();
    Dataset::new(HostTensor::f32([rows, 16], x).unwrap(), HostTensor::f32([rows, 1], y).unwrap()).unwrap()
}

/// 7 layers whose parameters take 7 shards, and whose running statistics take 3.
fn model(device: &Device, optimizer: impl Into<Optimizer>, settings: fn(Compile) -> Compile) -> Model {
    let net = (0..6).fold(Sequential::new(), |net, _| net.add(Linear::new(24)).add(BatchNorm1d::new()).add(Tanh)).add(Linear::new(1));
    net.compile(settings(Compile::new(optimizer, Mse::new()).input([16]).seed(4).device(device.clone()))).unwrap()
}

fn whole(model: &mut Model) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    model.save(&path).unwrap();
    std::fs::read(path).unwrap()
}

/// All that a run leaves: its reports (losses and norms of gradients), and the model as a file.
fn trained(mut model: Model, data: &Dataset, fit: Fit) -> (Vec<String>, Vec<u8>) {
    let mut run = model.trainer(data, fit).unwrap();
    let mut seen = Vec::new();
    while let Some(report) = run.steps(3).unwrap() {
        seen.push(format!("{report:?}"));
    }
    let predicted = model.predict(data, 7).unwrap();
    seen.push(format!("{:?}", predicted.as_f32().unwrap()));
    (seen, whole(&mut model))
}

type Case = (&'static str, fn() -> Optimizer, fn(Compile) -> Compile, usize);

fn plain(c: Compile) -> Compile {
    c
}

fn frozen() -> Group {
    Group::new().frozen()
}

/// Every kind of update, and what is beside the parameters.
const CASES: [Case; 13] = [
    ("momentum", || Sgd::new(0.05).momentum(0.9).into(), plain, 1),
    ("adam", || Adam::new(0.01).into(), plain, 1),
    ("three moments", || AdamW::new(0.01).amsgrad(true).into(), plain, 1),
    ("moments that begin above zero", || Adagrad::new(0.05).initial_accumulator_value(0.1).into(), plain, 1),
    (
        "groups",
        || AdamW::new(0.01).group("*.bias", Group::new().weight_decay(0.0)).group("3.*", Group::new().lr_multiplier(0.1)).into(),
        plain,
        1,
    ),
    ("lamb", || Lamb::new(0.01).into(), plain, 1),
    ("clipped", || Adam::new(0.01).into(), |c| c.clip_norm(0.3), 1),
    ("averaged", || Sgd::new(0.05).into(), |c| c.ema(0.9), 1),
    ("accumulated", || Adam::new(0.01).into(), |c| c.clip_norm(0.3), 3),
    ("frozen", || Adam::new(0.01).group("0.*", frozen()).group("6.*", frozen()).group("12.*", frozen()).into(), plain, 1),
    ("mixed", || Adam::new(0.01).into(), |c| c.precision(Precision::mixed()), 2),
    (
        "mixed and frozen",
        || AdamW::new(0.01).amsgrad(true).group("0.*", frozen()).group("6.*", frozen()).group("12.*", frozen()).into(),
        |c| c.precision(Precision::mixed()).ema(0.9),
        1,
    ),
    (
        "all of it",
        || Lamb::new(0.01).group("9.*", Group::new().lr_multiplier(0.5)).into(),
        |c| c.precision(Precision::mixed()).clip_norm(0.3).ema(0.9),
        3,
    ),
];

#[test]
fn no_bit_knows() {
    let data = table(53);
    for device in SUITE.devices() {
        for (name, optimizer, settings, accumulate) in CASES {
            let run = |device: &Device| {
                let model = model(device, optimizer(), settings);
                let program = model.prepare(&data, 8).unwrap();
                let fit = Fit::new().epochs(2).batch_size(8).accumulate(accumulate).verbose(0);
                (program, trained(model, &data, fit))
            };
            let (one, want) = run(&device);
            let (cut, got) = run(&device.clone().with_binding_limit(LIMIT));
            let count = |id| (one.arena.shard_count(id), cut.arena.shard_count(id));
            let (parameters, buffers) = (count(BufferId::Parameters), count(BufferId::Buffers));
            assert!(parameters.0 == 1 && parameters.1 >= 3 && buffers == (1, 3), "{name}: {parameters:?} {buffers:?}");
            assert_eq!(count(BufferId::Frozen), (1, if name.contains("frozen") { 3 } else { 1 }), "{name}");
            assert!(got.0 == want.0, "{device}, {name}: {:#?}\n{:#?}", got.0, want.0);
            assert!(got.1 == want.1, "{device}, {name}: the files differ");
        }
        SUITE.ran(1);
    }
}

/// Models that between them run every archetype of kernel.
#[test]
fn every_kernel() {
    for device in SUITE.devices() {
        for animal in zoo::all() {
            let (largest, all) = blocks(&animal.model(&device).unwrap());
            // LAMB keeps 4 numbers behind each 128
            let block = if animal.name == "LAMB" { 132 } else { 128 };
            let bytes = (4 * largest * block).next_multiple_of(256);
            assert!(4 * 128 * all > bytes, "{} is not cut", animal.name);
            let small = device.clone().with_binding_limit(bytes);
            assert_eq!(animal.train(&small).unwrap(), animal.train(&device).unwrap(), "{device}: {}", animal.name);
        }
        SUITE.ran(1);
    }
}

/// Blocks of 128 elements that the largest parameter takes, and that all take.
fn blocks(model: &Model) -> (usize, usize) {
    let names: Vec<String> = model.parameter_names().map(String::from).collect();
    let sizes = names.iter().map(|n| model.parameter(n).unwrap().shape().size().div_ceil(128));
    sizes.fold((0, 0), |(most, all), n| (most.max(n), all + n))
}

/// A checkpoint in mid-epoch, written with shards and gone on from without, and the other way round; weights, and a whole model.
#[test]
fn files_know_no_shards() {
    let data = table(80);
    let folder = tempfile::tempdir().unwrap();
    for device in SUITE.devices() {
        let small = device.clone().with_binding_limit(LIMIT);
        let make = |device: &Device| model(device, Lamb::new(0.01).group("3.*", frozen()), |c| c.clip_norm(0.5).ema(0.9));
        let fit = || Fit::new().epochs(3).batch_size(8).accumulate(2).verbose(0);
        let want = trained(make(&device), &data, fit());
        let file = |model: &mut Model, after: usize, path: &Path| {
            let mut run = model.trainer(&data, fit()).unwrap();
            run.steps(after).unwrap();
            run.checkpoint(path).unwrap();
        };
        for (from, to) in [(&small, &device), (&device, &small), (&small, &small)] {
            let path = folder.path().join("c");
            file(&mut make(from), 7, &path);
            let fit = fit().checkpoint(Checkpoint::new(&path)).resume(Resume::Required);
            let (_, got) = trained(make(to), &data, fit);
            assert!(got == want.1, "{device}: the resumed run ends otherwise");
        }
        let (mut one, mut cut) = (make(&device), make(&small));
        cut.fit(&data, fit()).unwrap();
        let weights = folder.path().join("w.safetensors");
        cut.save_weights(&weights).unwrap();
        one.load_weights(&weights, Load::new()).unwrap();
        let same = |a: &Model, b: &Model| {
            let names: Vec<String> = a.parameter_names().map(String::from).collect();
            names.iter().all(|n| a.parameter(n).unwrap() == b.parameter(n).unwrap())
        };
        assert!(same(&one, &cut));
        // one tensor at a time, and the average in the weights' place
        let value = HostTensor::f32([24, 24], noise(24 * 24, 9)).unwrap();
        for m in [&mut one, &mut cut] {
            m.set_parameter("12.weight", &value).unwrap();
            m.set_parameter("3.weight", &value).unwrap();
            assert_eq!(m.parameter("12.weight").unwrap(), value);
        }
        assert!(same(&one, &cut));
        cut.swap_ema().unwrap();
        assert!(!same(&one, &cut));
        cut.swap_ema().unwrap();
        assert!(same(&one, &cut));
        SUITE.ran(1);
    }
}

/// The tools that look, and the numbers that are said beforehand.
#[test]
fn what_is_told() {
    let data = table(40);
    for device in SUITE.devices() {
        let small = device.clone().with_binding_limit(LIMIT);
        let make = |device: &Device| model(device, Adam::new(0.01).group("0.*", frozen()), |c| c.precision(Precision::mixed()));
        let (mut one, mut cut) = (make(&device), make(&small));
        let (plain, program) = (one.prepare(&data, 8).unwrap(), cut.prepare(&data, 8).unwrap());
        assert!(!plain.explain().contains("shard"), "{}", plain.explain());
        let text = program.explain();
        for part in ["parameters: values, gradients, 2 moments), cut into 6 shards", "values that are not trained), cut into 3 shards"] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
        assert!(text.contains("norm of all gradients, shard 6 of 6") && text.contains("shard 1 of 6"), "{text}");
        if device.kind() != "cpu" {
            assert_eq!(cut.device_bytes(), program.peak_bytes() + 40 * 4 * 17);
        }
        cut.fit(&data, Fit::new().batch_size(8).verbose(0)).unwrap();
        assert!(cut.bisect(&data, 8).unwrap().agrees());
        cut.profile(&data, 8).unwrap();
        one.fit(&data, Fit::new().batch_size(8).verbose(0)).unwrap();
        for name in ["3.weight", "13.bias", "18.weight"] {
            assert_eq!(cut.gradient(name).unwrap(), one.gradient(name).unwrap(), "{device}: {name}");
        }
        SUITE.ran(1);
    }
}

#[test]
fn a_tensor_lies_in_one_buffer() {
    let small = Device::cpu().with_binding_limit(LIMIT);
    let net = Sequential::new().add(Linear::new(24)).add(Linear::new(48));
    let e = net.compile(Compile::new(Adam::new(0.01), Mse::new()).input([16]).device(small)).unwrap_err();
    let text = e.to_string();
    assert_eq!(e.code(), "out-of-memory");
    // 1,152 numbers take 9 blocks of 128
    for part in ["the parameter `1.weight` [48, 24]", "4608", "4300", "help:"] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    SUITE.ran(1);
}

/// 40 million parameters where a buffer has 128 MiB, as in a browser: they train, and a run goes on from a file, to the bits of one arena.
#[test]
fn forty_million() {
    let rows = 4;
    let labels = HostTensor::u32([rows], vec![3, 1500, 0, 77]).unwrap();
    let data = Dataset::new(HostTensor::f32([rows, 4096], noise(4096 * rows, 5)).unwrap(), labels).unwrap().integers();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c");
    for device in SUITE.devices() {
        let make = |device: &Device| {
            let net = Sequential::new().add(Linear::new(4096)).add(Relu).add(Linear::new(4096)).add(Relu).add(Linear::new(1600));
            let settings = Compile::new(Sgd::new(0.1).momentum(0.9), CrossEntropy::new()).input([4096]).seed(1);
            net.compile(settings.clip_norm(1.0).device(device.clone())).unwrap()
        };
        let fit = || Fit::new().batch_size(2).verbose(0).snapshot_every(0.0);
        let hashed = |model: &Model| {
            let names: Vec<String> = model.parameter_names().map(String::from).collect();
            let mut hash = DefaultHasher::new();
            names.iter().for_each(|n| model.parameter(n).unwrap().as_f32().unwrap().iter().for_each(|x| hash.write_u32(x.to_bits())));
            hash.finish()
        };
        let want = {
            let mut one = make(&device);
            assert!(one.parameter_count() > 40_000_000);
            one.fit(&data, fit()).unwrap();
            hashed(&one)
        };
        let small = device.clone().with_binding_limit(128 << 20);
        {
            let mut cut = make(&small);
            assert_eq!(cut.prepare(&data, 2).unwrap().arena.shard_count(BufferId::Parameters), 2);
            let mut run = cut.trainer(&data, fit()).unwrap();
            run.steps(1).unwrap();
            run.checkpoint(&path).unwrap();
        }
        let mut cut = make(&small);
        cut.fit(&data, fit().checkpoint(Checkpoint::new(&path)).resume(Resume::Required)).unwrap();
        assert_eq!(hashed(&cut), want, "{device}");
        SUITE.ran(1);
    }
}
