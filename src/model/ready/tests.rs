use super::*;
use crate::inspect::diagnose::Diagnostics;
use crate::prelude::*;
use crate::tensor::HostTensor;

fn rows(n: usize) -> Dataset {
    let x = HostTensor::f32([n, 2], (0..2 * n).map(|i| (i % 9) as f32 / 9.0).collect()).unwrap();
    Dataset::new(x, HostTensor::f32([n, 1], (0..n).map(|i| (i % 4) as f32).collect()).unwrap()).unwrap()
}

fn model(device: &Device) -> Model {
    let settings = Compile::new(Adam::new(0.01), Mse::new()).input([2]).device(device.clone());
    Sequential::new().add(Linear::new(3)).add(Tanh).add(Linear::new(1)).compile(settings).unwrap()
}

/// Whatever sizes of batches a model meets, it keeps few programs; those of a running loop stay, and nothing changes a bit.
#[test]
fn programs_are_kept_within_bounds() {
    let mut devices = vec![Device::cpu_threads(1), Device::cpu_threads(1).with_memory_limit(1 << 30)];
    devices.extend(Device::select("software").ok());
    for device in &devices {
        let (most, data) = (if device.kind() == "cpu" { 400 } else { 80 }, rows(40));
        let fit = || Fit::new().epochs(4).batch_size(16).verbose(0);
        let mut alone = model(device);
        alone.fit(&data, fit()).unwrap();
        let mut m = model(device);
        let first = m.test_on_batch(rows(1)).unwrap();
        let mut run = m.trainer(&data, fit()).unwrap();
        let mut n = 0;
        while run.steps(1).unwrap().is_some() {
            for _ in 0..most / 12 {
                n += 1;
                run.model().test_on_batch(rows(n)).unwrap();
                run.model().evaluate(&data, n % 40 + 1).unwrap();
            }
        }
        assert!(n > MOST_READY, "{n}");
        assert_eq!(m.parameter("0.weight").unwrap(), alone.parameter("0.weight").unwrap(), "{device}");
        let held = m.device_bytes();
        let again = |m: &mut Model| (1..=most).for_each(|n| drop(m.predict_on_batch(rows(n).on("y", |f| f)).unwrap()));
        again(&mut m);
        let grown = m.device_bytes();
        again(&mut m);
        // buffers to read back through come and go
        assert!(m.device_bytes() < grown + (64 << 10), "{device}: {} after {grown} and {held}", m.device_bytes());
        assert!(m.core().engine.ready.handles.len() <= MOST_READY && m.core().programs.planned.len() <= 2 * MOST_READY);
        // made again, they compute the same
        assert_eq!(model(device).test_on_batch(rows(1)).unwrap(), first);
        // a program that looks at the layers is one, however often it is run
        let look = || fit().diagnostics(Diagnostics::per_layer(2));
        (0..2).for_each(|_| drop(m.fit(&data, look()).unwrap()));
        let probes = |m: &mut Model| m.core().engine.ready.handles.keys().filter(|(program, _)| program.probes).count();
        (0..5).for_each(|_| drop(m.fit(&data, look()).unwrap()));
        assert_eq!(probes(&mut m), 1);
    }
}
