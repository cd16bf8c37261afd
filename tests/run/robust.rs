//! A device without its driver's bounds checks of buffers: the same bits, and no kernel of the user's own.

use crate::common::{need::Suite, twice::Twice, zoo};
use gradus::prelude::*;
use gradus::tensor::HostTensor;

static SUITE: Suite = Suite::new("robust", 2);

/// The GPU in software with and without; only the CPU's case where there is none.
fn pair(run: impl Fn(Device, Device)) {
    for device in SUITE.devices() {
        let without = device.clone().without_robust_buffers().unwrap();
        let told = without.gpu().is_some_and(|g| g.summary.details().iter().any(|l| l.contains("does not check the bounds of buffers")));
        assert_eq!(told, device.kind() != "cpu" && device.driver().starts_with("vulkan"), "{device}");
        if told {
            run(device, without);
            SUITE.ran(1);
        }
    }
}

#[test]
fn the_same_bits_without_the_drivers_checks() {
    pair(|device, without| {
        let some = ["norms and dropout", "LAMB", "mixed precision"];
        for animal in zoo::all().into_iter().filter(|a| some.contains(&a.name)) {
            let robust = animal.train(&device).unwrap();
            assert!(robust.losses.iter().all(|l| l.is_finite()), "{}: {:?}", animal.name, robust.losses);
            assert_eq!(animal.train(&without).unwrap(), robust, "{}", animal.name);
        }
    });
}

/// What keeps a user's kernel within its buffers is the driver's check.
#[test]
fn no_kernel_of_ones_own_without_them() {
    pair(|device, without| {
        let run = |device: Device| -> gradus::Result<HostTensor> {
            let net = module(|s, x| s.at("fc").call(&Linear::new(3), x).custom(Twice, &[]));
            let model = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([4]).device(device))?;
            let data = Dataset::new(HostTensor::f32([2, 4], vec![0.5; 8])?, HostTensor::f32([2, 3], vec![0.0; 6])?)?;
            model.predict(&data, 2)
        };
        assert_eq!(run(device).unwrap().shape().dims(), [2, 3]);
        let e = run(without).unwrap_err();
        assert_eq!(e.code(), "unsupported");
        for part in ["`twice`", "GRADUS_ROBUST", "robust.rs"] {
            assert!(e.to_string().contains(part), "{part}: {e}");
        }
    });
}
