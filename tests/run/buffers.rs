//! State that is not trained, through models: what it means, what is refused, and that it survives what parameters survive.

use crate::common::need::Suite;
use gradus::nn::LayerNorm;
use gradus::prelude::*;
use gradus::tensor::HostTensor;

static SUITE: Suite = Suite::new("buffers", 7);

fn data(n: usize) -> Dataset {
    let value = |i: usize| ((i * 7919) % 23) as f32 * 0.1 - 1.0;
    let x = HostTensor::f32([n, 3], (0..3 * n).map(value).collect()).unwrap();
    Dataset::new(x, HostTensor::f32([n, 1], (0..n).map(|i| value(5 * i)).collect()).unwrap()).unwrap()
}

fn settings(device: &Device) -> Compile {
    Compile::new(Adam::new(0.01), Mse::new()).input([3]).device(device.clone()).seed(3)
}

fn net() -> Sequential {
    let middle = Sequential::new().add(Linear::new(5)).add(BatchNorm1d::new().momentum(0.3)).add(Tanh);
    Sequential::new()
        .add(Linear::new(6).bias(false))
        .add(BatchNorm1d::new())
        .add(Relu)
        .add(middle)
        .add(LayerNorm::new())
        .add(Linear::new(1))
}

/// Parameters, buffers, and predictions, to the bit.
fn bits(model: &mut Model, data: &Dataset) -> Vec<u32> {
    let names: Vec<String> = model.parameter_names().map(String::from).collect();
    let mut all: Vec<HostTensor> = names.iter().map(|n| model.parameter(n).unwrap()).collect();
    let names: Vec<String> = model.buffer_names().map(String::from).collect();
    all.extend(names.iter().map(|n| model.buffer(n).unwrap()));
    all.push(model.predict(data, 7).unwrap());
    all.iter().flat_map(|t| t.as_f32().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>()).collect()
}

/// However submits are cut, whatever looks at the model in between, and when the device is lost on the way.
#[test]
fn the_same_bits() {
    let data = data(53);
    let devices = SUITE.devices();
    for device in &devices {
        let trained = |k: usize, look: bool| {
            let mut model = net().compile(settings(device)).unwrap();
            for epoch in 0..3 {
                model.fit(&data, Fit::new().batch_size(8).steps_per_submit(k).verbose(0)).unwrap();
                if look && epoch == 1 {
                    model.evaluate(&data, 10).unwrap();
                    model.profile(&data, 8).unwrap();
                    assert!(model.bisect(&data, 8).unwrap().agrees());
                    #[cfg(feature = "gpu")]
                    if let Some(gpu) = model.device().gpu() {
                        gpu.destroy();
                    }
                }
            }
            bits(&mut model, &data)
        };
        let once = trained(0, false);
        assert!(trained(1, false) == once, "one step a submit on {device}");
        assert!(trained(3, true) == once, "looked at, and lost, on {device}");
    }
    SUITE.ran(devices.len());
}

/// `peak_bytes` counts their arena, and says so.
#[test]
fn their_memory_is_known() {
    let data = data(16);
    let devices = SUITE.devices();
    for device in &devices {
        let model = net().compile(settings(device)).unwrap();
        let program = model.prepare(&data, 16).unwrap();
        let text = program.explain();
        assert!(text.contains("buffers   3.0 KiB (24 values that are not trained)"), "{text}");
        assert_eq!(program.launches.iter().filter(|l| l.kernel.name() == "commit").count(), 1, "{text}");
        if device.kind() != "cpu" {
            assert_eq!(model.device_bytes() - 4 * 16 * 4, program.peak_bytes(), "{text}");
        }
    }
    SUITE.ran(devices.len());
}

fn refused(net: impl Module) -> gradus::Error {
    let model = match net.compile(settings(&Device::cpu())) {
        Ok(model) => model,
        Err(e) => return e,
    };
    model.prepare(&data(8), 8).unwrap_err()
}

#[test]
fn mistakes_are_errors() {
    let twice = refused(module(|s, x| {
        s.buffer("a", [1], Init::Zeros);
        s.param("a", [1], Init::Zeros) * x
    }));
    assert_eq!(twice.code(), "duplicate-name", "{twice}");
    assert!(twice.to_string().matches("tests/run/buffers.rs").count() == 2, "{twice}");
    let counted = refused(module(|s, x| {
        s.counter("n");
        x + s.counter("n")
    }));
    assert_eq!(counted.code(), "duplicate-name", "{counted}");
    let shape = refused(module(|s, x| {
        let b = s.buffer("mean", [3], Init::Zeros);
        s.update(&b, &x.mean());
        s.at("fc").call(&Linear::new(1), x)
    }));
    assert_eq!(shape.code(), "shape-mismatch", "{shape}");
    assert!(shape.to_string().contains("`mean` is [3] and its new value []"), "{shape}");
    let again = refused(module(|s, x| {
        let b = s.buffer("mean", [3], Init::Zeros);
        s.update(&b, &x.mean_axes(&[0]));
        s.update(&b, &x.mean_axes(&[0]));
        s.at("fc").call(&Linear::new(1), x)
    }));
    assert_eq!(again.code(), "unsupported", "{again}");
    let other = refused(module(|s, x| {
        s.update(x, x);
        s.at("fc").call(&Linear::new(1), x)
    }));
    assert_eq!(other.code(), "unsupported", "{other}");
    let empty = refused(module(|s, x| x * s.buffer("none", [0], Init::Zeros)));
    assert_eq!(empty.code(), "shape-mismatch", "{empty}");
    let changing = refused(module(|s, x| {
        let h = s.at("fc").call(&Linear::new(1), x);
        if s.training() { h * s.buffer("only_now", [1], Init::Ones) } else { h }
    }));
    assert_eq!(changing.code(), "inconsistent-model", "{changing}");
    for bad in [BatchNorm1d::new().eps(-1.0), BatchNorm1d::new().momentum(1.5), BatchNorm1d::new().eps(f64::NAN)] {
        assert_eq!(refused(Sequential::new().add(Linear::new(2)).add(bad)).code(), "invalid-config");
    }
    let cut = refused(Sequential::new().add(Linear::new(6)).add(gradus::nn::GroupNorm::new(4)));
    assert!(cut.to_string().contains("1: GroupNorm.num_groups"), "{cut}");
    assert_eq!(refused(Sequential::new().add(LayerNorm::new().axes(2))).code(), "shape-mismatch");
    let mut model = net().compile(settings(&Device::cpu())).unwrap();
    assert_eq!(model.buffer("1.weight").unwrap_err().code(), "not-found");
    assert_eq!(model.set_buffer("1.running_mean", &HostTensor::f32([2], vec![0.0; 2]).unwrap()).unwrap_err().code(), "shape-mismatch");
    model.set_buffer("1.running_mean", &HostTensor::f32([6], vec![2.0; 6]).unwrap()).unwrap();
    assert_eq!(model.buffer("1.running_mean").unwrap().as_f32(), Some(&[2.0; 6][..]));
    SUITE.ran(1);
}

/// A file that lacks them, or has them in other shapes, is refused, and changes nothing.
#[test]
fn files_must_hold_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let plain = Sequential::new().add(Linear::new(4)).add(BatchNorm1d::new().track_running_stats(false)).add(Linear::new(1));
    let tracked = Sequential::new().add(Linear::new(4)).add(BatchNorm1d::new()).add(Linear::new(1));
    let mut model = plain.compile(settings(&Device::cpu())).unwrap();
    model.save_weights(&path).unwrap();
    let mut other = tracked.compile(settings(&Device::cpu())).unwrap();
    let e = other.load_weights(&path, Load::new()).unwrap_err();
    assert_eq!(e.code(), "weight-mismatch", "{e}");
    assert!(e.to_string().contains("1.num_batches_tracked"), "{e}");
    let report = other.load_weights(&path, Load::new().allow_missing("*.running_*").allow_missing("*.num_batches_tracked")).unwrap();
    assert_eq!(report.fresh.len(), 3);
    other.save_weights(&path).unwrap();
    let e = model.load_weights(&path, Load::new()).unwrap_err();
    assert!(e.to_string().contains("1.running_var"), "{e}");
    SUITE.ran(1);
}

/// A model's settings in a recipe or file bring its layers back.
#[test]
fn settings_come_back() {
    let all = Sequential::new()
        .add(Linear::new(4))
        .add(BatchNorm1d::new().eps(1e-3).momentum(None).affine(false))
        .add(LayerNorm::new().axes(1).eps(1e-4).bias(false).elementwise_affine(true))
        .add(gradus::nn::RMSNorm::new().eps(1e-4).elementwise_affine(false))
        .add(gradus::nn::GroupNorm::new(2).eps(1e-4).affine(false));
    let config = all.config().unwrap();
    let json = serde_json::to_string(&config).unwrap();
    let back: gradus::nn::Layer = serde_json::from_str(&json).unwrap();
    assert_eq!(back, config, "{json}");
    assert_eq!(back.build().config(), Some(config));
    for (text, good) in [
        (r#"{"layer":"batch_norm_1d"}"#, true),
        (r#"{"layer":"layer_norm"}"#, true),
        (r#"{"layer":"rms_norm","eps":0.1}"#, true),
        (r#"{"layer":"group_norm","num_groups":2}"#, true),
        (r#"{"layer":"group_norm"}"#, false),
        (r#"{"layer":"batch_norm_1d","momentun":0.1}"#, false),
    ] {
        assert_eq!(serde_json::from_str::<gradus::nn::Layer>(text).is_ok(), good, "{text}");
    }
    SUITE.ran(1);
}
