//! Normalisation layers against PyTorch: files made by `tests/golden/make_normalisation.py`.

use crate::common::need::Suite;
use crate::layer::{as_in_pytorch, floats, near};
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use serde_json::Value;
use std::path::PathBuf;

static SUITE: Suite = Suite::new("golden_normalisation", 15);

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn golden() -> Value {
    serde_json::from_str(&std::fs::read_to_string(file("normalisation.json")).unwrap()).unwrap()
}

#[test]
fn layers_are_pytorchs_in_both_modes() {
    let golden = golden();
    let devices = SUITE.devices();
    for device in &devices {
        for case in golden["layers"].as_array().unwrap() {
            for training in [true, false] {
                as_in_pytorch(device, case, training);
            }
        }
    }
    SUITE.ran(devices.len());
}

fn network() -> Sequential {
    Sequential::new().add(Linear::new(6)).add(BatchNorm1d::new()).add(Relu).add(Linear::new(2))
}

fn rows(golden: &Value, n: usize) -> Dataset {
    let x = HostTensor::f32([n, 4], floats(&golden["x"])[..4 * n].to_vec()).unwrap();
    Dataset::new(x, HostTensor::f32([n, 2], vec![0.5; 2 * n]).unwrap()).unwrap()
}

/// Running statistics over batches of 8, 8 and 4 rows, then evaluation with them, and files both ways.
#[test]
fn a_network_keeps_pytorchs_statistics() {
    let golden = &golden()["network"];
    let data = rows(golden, 20);
    let devices = SUITE.devices();
    for device in &devices {
        let settings = Compile::new(Sgd::new(0.0), Mse::new()).input([4]).device(device.clone());
        let mut model = network().compile(settings.clone()).unwrap();
        for name in ["0.weight", "0.bias", "3.weight", "3.bias"] {
            let shape = model.parameter(name).unwrap().shape().clone();
            model.set_parameter(name, &HostTensor::f32(shape, floats(&golden["start"][name])).unwrap()).unwrap();
        }
        model.fit(&data, Fit::new().batch_size(8).shuffle(false).verbose(0)).unwrap();
        for (name, want) in golden["buffers"].as_object().unwrap() {
            near(device, name, model.buffer(name).unwrap().as_f32().unwrap(), want);
        }
        near(device, "the output", model.predict(&data, 3).unwrap().as_f32().unwrap(), &golden["y"]);

        // PyTorch's file, into a fresh model
        let mut loaded = network().compile(settings).unwrap();
        let report = loaded.load_weights(file("normalisation.safetensors"), Load::new()).unwrap();
        assert_eq!((report.loaded.len(), report.fresh.len()), (9, 0), "{report}");
        assert_eq!(loaded.buffer("1.num_batches_tracked").unwrap().as_f32(), Some(&[3.0][..]));
        near(device, "the loaded output", loaded.predict(&data, 20).unwrap().as_f32().unwrap(), &golden["y"]);

        // and ours, as PyTorch's strict load takes it: the same names, shapes and dtypes
        let ours = std::env::temp_dir().join(format!("gradus-norm-{}-{}.safetensors", std::process::id(), device.kind()));
        model.save_weights(&ours).unwrap();
        let (a, b) = (std::fs::read(&ours).unwrap(), std::fs::read(file("normalisation.safetensors")).unwrap());
        let kinds = |bytes: &[u8]| {
            let all = safetensors::SafeTensors::deserialize(bytes).unwrap();
            let mut kinds: Vec<_> = all.tensors().into_iter().map(|(n, t)| (n, t.dtype(), t.shape().to_vec())).collect();
            kinds.sort_by(|a, b| a.0.cmp(&b.0));
            kinds
        };
        assert_eq!(kinds(&a), kinds(&b));
        let mut again = network().compile(Compile::new(Adam::default(), Mse::new()).input([4]).device(device.clone())).unwrap();
        again.load_weights(&ours, Load::new()).unwrap();
        std::fs::remove_file(&ours).unwrap();
        assert_eq!(again.buffer("1.running_var").unwrap(), model.buffer("1.running_var").unwrap());

        // a whole model, too
        let whole = ours.with_extension("gradus");
        model.save(&whole).unwrap();
        let back = Model::load_on(&whole, device.clone()).unwrap();
        std::fs::remove_file(&whole).unwrap();
        for name in ["1.running_mean", "1.running_var", "1.num_batches_tracked"] {
            assert_eq!(back.buffer(name).unwrap(), model.buffer(name).unwrap());
        }
        assert!(model.summary().contains("13 values that are not trained"), "{}", model.summary());
    }
    SUITE.ran(devices.len());
}

/// A batch of one row is an `Err` of `prepare`, the ragged last batch too; evaluation takes it.
#[test]
fn one_row_has_no_variance() {
    let golden = &golden()["network"];
    let settings = Compile::new(Sgd::new(0.0), Mse::new()).input([4]).device(Device::cpu());
    let mut model = network().compile(settings).unwrap();
    let e = model.prepare(&rows(golden, 20), 1).unwrap_err();
    assert_eq!(e.code(), "invalid-config", "{e}");
    assert!(e.to_string().contains("1: BatchNorm1d.batch_size"), "{e}");
    let (ragged, seven) = (rows(golden, 9), rows(golden, 7));
    assert_eq!(model.prepare(&ragged, 8).unwrap_err().code(), "invalid-config");
    let before = model.buffer("1.running_mean").unwrap();
    assert_eq!(model.fit(&ragged, Fit::new().batch_size(8).verbose(0)).unwrap_err().code(), "invalid-config");
    assert_eq!(model.buffer("1.running_mean").unwrap(), before, "not a step was made");
    assert!(model.prepare(&seven, 5).is_ok());
    assert!(model.evaluate(&ragged, 8).is_ok() && model.predict(&ragged, 1).is_ok());
    // a sequence has enough values in one row
    let net = module(|s, x| s.at("bn").call(&BatchNorm1d::new(), &x.reshape([x.shape()[0], 2, 2])).reshape(x.shape()));
    let settings = Compile::new(Sgd::new(0.1), loss::custom("square", |y, _| y.square().mean())).input([4]).device(Device::cpu());
    assert!(net.compile(settings).unwrap().prepare(&rows(golden, 3), 1).is_ok());
    SUITE.ran(1);
}

/// A frozen layer keeps its statistics and normalises with them, in training as in evaluation; a loss that is not finite moves none.
#[test]
fn frozen_statistics_stand_still() {
    let golden = &golden()["network"];
    let data = rows(golden, 20);
    let devices = SUITE.devices();
    for device in &devices {
        for patterns in [&["1.*"][..], &["1.weight", "1.bias"]] {
            let optimizer = patterns.iter().fold(Sgd::new(0.05), |o, p| o.group(*p, Group::new().frozen()));
            let mut model = network().compile(Compile::new(optimizer, Mse::new()).input([4]).device(device.clone())).unwrap();
            model.load_weights(file("normalisation.safetensors"), Load::new()).unwrap();
            let before: Vec<_> = ["1.running_mean", "1.running_var", "1.num_batches_tracked"].map(|n| model.buffer(n).unwrap()).into();
            let expected = model.evaluate(&data, 20).unwrap()["loss"];
            let report = model.trainer(&data, Fit::new().batch_size(20)).unwrap().steps(1).unwrap().unwrap();
            let off = (f64::from(report.loss) / expected - 1.0).abs();
            assert!(off < 1e-5, "{device}: trained with the running statistics: {} for {expected}", report.loss);
            let after: Vec<_> = ["1.running_mean", "1.running_var", "1.num_batches_tracked"].map(|n| model.buffer(n).unwrap()).into();
            assert_eq!(before, after);
        }
        // one of two is not the layer
        let optimizer = Sgd::new(0.05).group("1.weight", Group::new().frozen());
        let mut model = network().compile(Compile::new(optimizer, Mse::new()).input([4]).device(device.clone())).unwrap();
        model.fit(&data, Fit::new().batch_size(10).verbose(0)).unwrap();
        assert_eq!(model.buffer("1.num_batches_tracked").unwrap().as_f32(), Some(&[2.0][..]));
        // the third batch is bad: two have counted
        let mut x = floats(&golden["x"]);
        x[17 * 4] = f32::NAN;
        let bad = Dataset::new(HostTensor::f32([20, 4], x).unwrap(), HostTensor::f32([20, 2], vec![0.5; 40]).unwrap()).unwrap();
        let e = model.fit(&bad, Fit::new().batch_size(5).shuffle(false).verbose(0)).unwrap_err();
        assert_eq!(e.code(), "non-finite-loss", "{e}");
        assert_eq!(model.buffer("1.num_batches_tracked").unwrap().as_f32(), Some(&[5.0][..]));
        assert!(model.buffer("1.running_mean").unwrap().as_f32().unwrap().iter().all(|v| v.is_finite()));
    }
    SUITE.ran(devices.len());
}

/// Statistics of a set's own rows, by hand in f64; a model with them goes to a file and back, and takes raw values.
#[test]
fn inputs_are_normalised_by_the_training_set() {
    use gradus::nn::{GlobalMean, Normalization, Rescaling};
    let rows = 50;
    let x: Vec<f32> =
        (0..rows * 6).map(|i| if i % 3 == 0 { 1e4 + (i % 7) as f32 } else { (i * i % 11) as f32 * 0.01 - (i % 3) as f32 }).collect();
    let y = HostTensor::f32([rows, 1], (0..rows).map(|i| (i % 5) as f32).collect()).unwrap();
    let data = Dataset::new(HostTensor::f32([rows, 2, 3], x.clone()).unwrap(), y).unwrap();
    let (train, test) = data.clone().split_at(40).unwrap();
    let layer = Normalization::adapt(&train).unwrap();
    let own = |c: usize| x[..40 * 6].iter().skip(c).step_by(3).map(|v| f64::from(*v));
    for c in 0..3 {
        let mean = own(c).sum::<f64>() / 80.0;
        let variance = own(c).map(|v| (v - mean).powi(2)).sum::<f64>() / 80.0;
        assert!((layer.mean[c] - mean).abs() < 1e-9 && (layer.variance[c] - variance).abs() < 1e-9, "{c}: {layer:?} for {mean} {variance}");
    }
    // bytes, as the model sees them
    let bytes = Dataset::unlabelled(HostTensor::u8([2, 2], vec![0, 255, 51, 255]).unwrap()).unwrap().scale(1.0 / 255.0).shift(-0.5);
    let of_bytes = Normalization::adapt(&bytes).unwrap();
    assert!((of_bytes.mean[0] + 0.4).abs() < 1e-6 && (of_bytes.variance[0] - 0.01).abs() < 1e-6 && of_bytes.variance[1] == 0.0);
    let folder = tempfile::tempdir().unwrap();
    for device in SUITE.devices() {
        let net = Sequential::new().add(layer.clone()).add(Rescaling::new(0.5).offset(0.25)).add(GlobalMean).add(Linear::new(1));
        let settings = Compile::new(Adam::new(0.01), Mse::new()).input([2, 3]).device(device.clone());
        let mut model = net.compile(settings).unwrap();
        let at = |i: usize, c: usize| (f64::from(x[240 + 3 * i + c]) - layer.mean[c]) / layer.variance[c].sqrt() * 0.5 + 0.25;
        let seen = model.activation("2", &test.features().unwrap().clone()).unwrap();
        for (i, got) in seen.as_f32().unwrap().chunks(3).skip(40).enumerate() {
            let want = |c: usize| (at(2 * i, c) + at(2 * i + 1, c)) / 2.0;
            assert!((0..3).all(|c| (f64::from(got[c]) - want(c)).abs() < 1e-3), "row {i} on {device}: {got:?}");
        }
        model.fit(&train, Fit::new().epochs(2).verbose(0)).unwrap();
        let path = folder.path().join("m.gradus");
        model.save(&path).unwrap();
        let back = Model::load_on(&path, device.clone()).unwrap();
        assert_eq!(back.buffer("0.mean").unwrap(), model.buffer("0.mean").unwrap());
        assert_eq!(back.predict(&test, 7).unwrap(), model.predict(&test, 7).unwrap());
        SUITE.ran(1);
    }
    let missing = Dataset::unlabelled(HostTensor::f32([2, 2], vec![0.0, 1.0, f32::NAN, 2.0]).unwrap()).unwrap();
    let e = Normalization::adapt(&missing).unwrap_err();
    assert!(e.code() == "unsupported" && e.to_string().contains("feature 0 of row 1"), "{e}");
    let compile =
        |l: Normalization| Sequential::new().add(l).compile(Compile::new(Sgd::new(0.1), Mse::new()).input([3]).device(Device::cpu()));
    for (wrong, part) in [
        (Normalization::new(), "adapt"),
        (Normalization::new().mean([0.0, 1.0]).variance(1.0), "2 means"),
        (Normalization::new().mean(0.0).variance(-1.0), "variances of 0 or above"),
    ] {
        let e = compile(wrong).map(|_| ()).unwrap_err();
        assert!(e.code() == "invalid-config" && e.to_string().contains(part), "{e}");
    }
    compile(Normalization::new().mean(0.5).variance(2.0)).unwrap();
}

/// A layer on rows of one's own: its outputs in training, its weights' gradients for a loss that is their mean times a ramp.
fn trained(device: &Device, layer: impl Module, x: &HostTensor) -> (Vec<f32>, Model) {
    let row = &x.shape().dims()[1..];
    let settings = Compile::new(Sgd::new(0.0), Mse::new()).input(row.to_vec()).device(device.clone());
    let mut model = Sequential::new().add(layer).compile(settings).unwrap();
    let (n, size) = (x.shape()[0], x.shape().size());
    let ramp = (0..size).map(|i| (i % 5) as f32 - 2.0).collect();
    let labels = HostTensor::f32([vec![n], row.to_vec()].concat(), ramp).unwrap();
    model.train_on_batch((x, &labels)).unwrap();
    let seen = model.activation("0", x).unwrap().as_f32().unwrap().to_vec();
    (seen, model)
}

/// Rows, groups and columns whose values do not vary are 0 to the bit, however far from 0 they lie, and so is the weight's gradient (PyTorch's
/// f32 `LayerNorm` and `GroupNorm` give 0 too; its `BatchNorm1d` gives -0.0012 for 255 and -0.029 for 2024).
#[test]
fn equal_values_are_zero() {
    use gradus::nn::{BatchNorm1d, GroupNorm, LayerNorm};
    for device in SUITE.devices() {
        for value in [0.1, 255.0, -2024.0, 1234.567, 1e6, 3e-5, 1.6e7] {
            for (rows, width) in [(1, 7), (5, 7), (41, 49), (3, 1100), (40, 3084)] {
                let x = HostTensor::f32([rows, width], vec![value; rows * width]).unwrap();
                let mut seen = vec![("LayerNorm", trained(&device, LayerNorm::new(), &x))];
                seen.push(("GroupNorm", trained(&device, GroupNorm::new(1), &x)));
                if rows > 1 {
                    seen.push(("BatchNorm1d", trained(&device, BatchNorm1d::new().track_running_stats(false), &x)));
                }
                for (layer, (seen, model)) in seen {
                    let what = format!("{layer} of [{rows}, {width}] x {value} on {device}");
                    assert!(seen.iter().all(|v| *v == 0.0), "{what}: {:?}", &seen[..7]);
                    let slopes = model.gradient("0.weight").unwrap();
                    assert!(slopes.as_f32().unwrap().iter().all(|v| *v == 0.0), "{what}: {slopes:?}");
                }
            }
        }
        SUITE.ran(1);
    }
}

/// Long rows far from 0: as exact as the rounding of their mean to f32 allows (PyTorch's f32: 4.7e-5), for few rows and for many.
#[test]
fn long_rows_keep_their_digits() {
    use gradus::nn::{BatchNorm1d, LayerNorm};
    for device in SUITE.devices() {
        for (rows, width) in [(1, 3084), (32, 3084), (32, 1028), (2, 40_000)] {
            let one: Vec<f32> = (0..width).map(|i| 1000.0 + (12.9898 * i as f32).sin()).collect();
            let mean = one.iter().map(|&v| f64::from(v)).sum::<f64>() / width as f64;
            let var = one.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / width as f64;
            let want = |i: usize| (f64::from(one[i]) - mean) / (var + 1e-5).sqrt();
            let off = |seen: &[f32], at: &dyn Fn(usize) -> usize| {
                seen.iter().enumerate().map(|(i, v)| (f64::from(*v) - want(at(i))).abs()).fold(0.0, f64::max)
            };
            let x = HostTensor::f32([rows, width], one.repeat(rows)).unwrap();
            let most = off(&trained(&device, LayerNorm::new(), &x).0, &|i| i % width);
            assert!(most < 6e-5, "LayerNorm of [{rows}, {width}] on {device}: {most:.1e}");
            let columns = one.iter().flat_map(|v| std::iter::repeat_n(*v, rows)).collect();
            let x = HostTensor::f32([width, rows], columns).unwrap();
            let most = off(&trained(&device, BatchNorm1d::new().track_running_stats(false), &x).0, &|i| i / rows);
            assert!(most < 6e-5, "BatchNorm1d of [{width}, {rows}] on {device}: {most:.1e}");
        }
        SUITE.ran(1);
    }
}

/// `torch.nn.BatchNorm1d(1, momentum=None, eps=1e-12, affine=False)`: a running variance of 2e-8 is not lost beside the 1 that it begins with.
#[test]
fn plain_averages_keep_small_variances() {
    use gradus::nn::BatchNorm1d;
    for device in SUITE.devices() {
        let layer = BatchNorm1d::new().momentum(None).eps(1e-12).affine(false);
        let settings = Compile::new(Sgd::new(0.0), Mse::new()).input([1]).device(device.clone());
        let mut model = Sequential::new().add(layer).add(Linear::new(1)).compile(settings).unwrap();
        let labels = HostTensor::f32([2, 1], vec![0.0; 2]).unwrap();
        let train = |model: &mut Model, v: f32| {
            let x = HostTensor::f32([2, 1], vec![-v, v]).unwrap();
            model.train_on_batch((&x, &labels)).unwrap();
            model.buffer("0.running_var").unwrap().as_f32().unwrap()[0]
        };
        let near = |got: f32, want: f64| assert!((f64::from(got) / want - 1.0).abs() < 1e-6, "{device}: {got} for {want}");
        near(train(&mut model, 1e-4), 2e-8);
        let x = HostTensor::f32([2, 1], vec![-1e-4, 1e-4]).unwrap();
        let seen = model.activation("0", &x).unwrap();
        near(seen.as_f32().unwrap()[1], 1e-4 / (2e-8f64 + 1e-12).sqrt());
        near(train(&mut model, 3e-4), (2e-8 + 18e-8) / 2.0);
        near(train(&mut model, 1e-4), (2e-8 + 18e-8 + 2e-8) / 3.0);
        SUITE.ran(1);
    }
}
