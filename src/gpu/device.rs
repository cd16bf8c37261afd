//! An open device: its queue, its pipelines, and the failures that its driver tells of.

use super::adapter::{AdapterSummary, TIMING};
use super::alarm::Alarm;
use super::coop;
use super::pipeline::Pipeline;
#[cfg(not(target_arch = "wasm32"))]
use super::pipeline_cache::PipelineCache;
use super::sync::lock;
use crate::error::{Error, Result};
use crate::kernels::Target;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

/// An open device with its queue and its pipelines. All models on one adapter share one.
pub struct Gpu {
    /// The adapter it was opened on.
    pub summary: AdapterSummary,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    /// By text, and by whether the text keeps wgpu's checks.
    pub(super) pipelines: Mutex<HashMap<(String, bool), Arc<Pipeline>>>,
    failure: Arc<Mutex<Option<Failure>>>,
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) cache: Option<PipelineCache>,
    pub(super) alarm: Alarm,
    pub(super) coop: coop::CoopRecord,
    /// What [`Gpu::trial`] found.
    pub(super) tried: Mutex<Option<std::result::Result<(), String>>>,
}

/// A failure that the driver or wgpu has reported.
pub(super) enum Failure {
    Lost(String),
    OutOfMemory(String),
    Fault(String),
}

impl From<wgpu::Error> for Failure {
    fn from(e: wgpu::Error) -> Self {
        match e {
            wgpu::Error::OutOfMemory { source } => Failure::OutOfMemory(source.to_string()),
            wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => Failure::Fault(description),
        }
    }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({})", self.summary)
    }
}

impl Gpu {
    /// Opens the adapter, or gives the device that is already open on it, since software drivers crash when two devices are made at once. In the
    /// place of a lost device a new one is opened.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(summary: &AdapterSummary) -> Result<Arc<Gpu>> {
        static OPEN: Mutex<Vec<(String, Weak<Gpu>)>> = Mutex::new(Vec::new());
        let key = format!("{} {} {} {} {}", summary.index, summary.backend, summary.name, summary.cut, summary.robust);
        let mut open = lock(&OPEN);
        let alive = open.iter().find(|(k, _)| *k == key).and_then(|(_, gpu)| gpu.upgrade());
        if let Some(gpu) = alive.filter(|g| !g.is_lost()) {
            return Ok(gpu);
        }
        let gpu = Arc::new(pollster::block_on(Self::open_async(summary))?);
        open.retain(|(k, g)| *k != key && g.strong_count() > 0);
        open.push((key, Arc::downgrade(&gpu)));
        Ok(gpu)
    }

    /// Opens the adapter with all its limits.
    pub async fn open_async(summary: &AdapterSummary) -> Result<Gpu> {
        floor(summary)?;
        let wanted = wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP | wgpu::Features::PIPELINE_CACHE | TIMING;
        let plain = wgpu::DeviceDescriptor {
            label: Some("gradus"),
            required_features: summary.features & wanted,
            required_limits: summary.limits.clone(),
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        };
        let mut matrices = coop::caps(summary);
        let mut opened = None;
        if matrices.is_ok() {
            match request(summary, &coop::with(&plain)).await {
                Ok(device) => opened = Some(device),
                Err(e) => matrices = Err(format!("the driver opens no device with them: {e}")),
            }
        }
        let opened = match opened {
            Some(device) => Ok(device),
            None => request(summary, &plain).await,
        };
        let (device, queue) = opened.map_err(|e| Error::NoDevice {
            wanted: summary.name.clone(),
            problem: format!("the driver refused to open it: {e}"),
            tried: vec![summary.to_string()],
            help: "update the driver, or choose another device (`--device list`, `--device cpu`)".into(),
        })?;
        let failure = Arc::new(Mutex::new(None));
        let note = |slot: &Arc<Mutex<Option<Failure>>>| {
            let slot = slot.clone();
            move |f: Failure| {
                let mut slot = lock(&slot);
                // what fails after a loss fails because of it
                if slot.is_none() || (matches!(f, Failure::Lost(_)) && !matches!(*slot, Some(Failure::Lost(_)))) {
                    *slot = Some(f);
                }
            }
        };
        let on_error = note(&failure);
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            on_error(e.into());
        }));
        let on_loss = note(&failure);
        device.set_device_lost_callback(move |reason, message| {
            // dropping the last handle ends a device too, and is no loss
            if reason != wgpu::DeviceLostReason::Destroyed || !message.is_empty() {
                on_loss(Failure::Lost(format!("{reason:?}: {message}")));
            }
        });
        Ok(Gpu {
            alarm: Alarm::new(&device),
            #[cfg(not(target_arch = "wasm32"))]
            cache: PipelineCache::open(&device, summary),
            summary: summary.clone(),
            device,
            queue,
            pipelines: Mutex::default(),
            failure,
            coop: coop::CoopRecord::new(matrices),
            tried: Mutex::default(),
        })
    }

    /// How kernels are shaped for it.
    pub fn target(&self) -> Target {
        if self.summary.is_gpu() {
            return Target::Gpu;
        }
        // the kernels for 8 lanes rely on two things that no standard promises: invocation i is lane i, and a workgroup of 8 is one subgroup.
        // llvmpipe keeps both
        let lanes8 = self.summary.subgroups && self.summary.subgroup_lanes == (8, 8) && self.summary.name.starts_with("llvmpipe");
        if lanes8 { Target::Lanes8 } else { Target::Software }
    }

    /// Whether the device went away. A lost device stays lost; [`Gpu::open`] gives another.
    pub fn is_lost(&self) -> bool {
        matches!(*lock(&self.failure), Some(Failure::Lost(_)))
    }

    /// Runs callbacks, and waits as `how` says; false when the wait took too long.
    ///
    /// wgpu 30 panics where the driver reports a loss while it waits (`handle_error_fatal` in `Device::poll`), after it has told the loss
    /// callback; nothing is locked by then.
    pub(super) fn poll(&self, how: wgpu::PollType) -> Result<bool> {
        let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.device.poll(how)));
        self.check("a wait")?;
        let device = || self.summary.name.clone();
        match answer {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(wgpu::PollError::Timeout)) => Ok(false),
            Ok(Err(e)) => Err(Error::DeviceFault { what: "a wait".into(), problem: e.to_string(), device: device() }),
            // an assertion of wgpu 30 fails where this wait runs out of time just when another thread's poll ends the submit
            Err(e) if e.downcast_ref::<String>().is_some_and(|text| text.starts_with("If the queue is empty")) => Ok(false),
            Err(_) => {
                let reason = "the driver failed while it was waited for".to_string();
                *lock(&self.failure) = Some(Failure::Lost(reason.clone()));
                Err(Error::DeviceLost { device: device(), reason })
            }
        }
    }

    /// Fails with the first failure since the last call, if there is one; `what` is what was done meanwhile.
    pub(super) fn check(&self, what: &str) -> Result<()> {
        let mut slot = lock(&self.failure);
        match slot.take() {
            None => Ok(()),
            Some(failure) => {
                if let Failure::Lost(reason) = &failure {
                    *slot = Some(Failure::Lost(reason.clone())); // it stays lost
                }
                Err(self.told(failure, what))
            }
        }
    }

    /// The error for a failure while doing `what`.
    pub(super) fn told(&self, failure: Failure, what: &str) -> Error {
        let device = self.summary.name.clone();
        match failure {
            Failure::Lost(reason) => Error::DeviceLost { device, reason },
            Failure::OutOfMemory(problem) => Error::OutOfMemory {
                what: what.into(),
                needed: 0,
                available: 0,
                biggest: vec![problem],
                help: "take a smaller batch, a smaller model, or another device".into(),
            },
            Failure::Fault(problem) => Error::DeviceFault { what: what.into(), problem, device },
        }
    }

    /// Ends the device, as a driver's reset would: for tests of what follows.
    #[doc(hidden)]
    pub fn destroy(&self) {
        *lock(&self.failure) = Some(Failure::Lost("destroyed by the program".into()));
        self.device.destroy();
    }
}

/// A device of the adapter, with or without its driver's bounds checks of buffers. The error is the driver's.
async fn request(summary: &AdapterSummary, how: &wgpu::DeviceDescriptor<'_>) -> std::result::Result<(wgpu::Device, wgpu::Queue), String> {
    #[cfg(any(windows, target_os = "linux", target_os = "android", target_os = "freebsd"))]
    if !summary.robust {
        return super::unguarded::open(&summary.adapter, how);
    }
    summary.adapter.request_device(how).await.map_err(|e| e.to_string())
}

/// Fails for an adapter that has less than WebGPU promises. Every kernel keeps within that promise (`tests/parity/shaders.rs`), so an adapter with less is refused as a whole.
fn floor(summary: &AdapterSummary) -> Result<()> {
    let (has, needs) = (&summary.limits, wgpu::Limits::default());
    let all = [
        ("storage buffers for a kernel", has.max_storage_buffers_per_shader_stage, needs.max_storage_buffers_per_shader_stage),
        ("bytes of workgroup memory", has.max_compute_workgroup_storage_size, needs.max_compute_workgroup_storage_size),
        ("invocations in a workgroup", has.max_compute_invocations_per_workgroup, needs.max_compute_invocations_per_workgroup),
        ("invocations along a workgroup's axis", has.max_compute_workgroup_size_x, needs.max_compute_workgroup_size_x),
        ("workgroups along an axis", has.max_compute_workgroups_per_dimension, needs.max_compute_workgroups_per_dimension),
    ];
    let short = all.iter().find(|(_, has, needs)| has < needs);
    short.map_or(Ok(()), |(what, has, needs)| {
        Err(Error::NoDevice {
            wanted: summary.name.clone(),
            problem: format!("it has {has} {what}, and kernels need the {needs} that WebGPU promises"),
            tried: vec![summary.to_string()],
            help: "update the driver, or choose another device (`--device list`, `--device cpu`)".into(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{GpuSession, adapters};
    use crate::kernels::Access;
    use crate::plan::Layout;

    const WHOLE: &str = "@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(1) fn main() { out[0] = 1.0; }";

    /// One device for both: software drivers do not survive two at once.
    #[test]
    fn what_the_driver_refuses() {
        let found = adapters();
        let Some(gpu) = found.last().and_then(|a| Gpu::open(a).ok()) else {
            assert!(std::env::var("GRADUS_REQUIRE_GPU").as_deref() != Ok("1"), "no adapter");
            return eprintln!("skipped: no adapter");
        };
        // shaders that naga does not take: syntax, types, a binding that is not there, another entry point
        let types = WHOLE.replace("1.0", "true");
        let binding = WHOLE.replace("binding(1)", "binding(7)");
        let entry = WHOLE.replace("fn main", "fn other");
        for (source, says) in [("no shader {", "expected"), (&types, "bool"), (&binding, "binding"), (&entry, "main")] {
            for checked in [true, false] {
                let made = gpu.compiled("broken_kernel".into(), source.into(), &[Access::Write], checked);
                let Err(e @ Error::DeviceFault { .. }) = made else { panic!("{says}: taken") };
                let text = e.to_string();
                assert!(text.contains("the kernel broken_kernel") && text.to_lowercase().contains(says), "{text}");
                assert!(text.contains("where:") && text.contains("help:"), "{text}");
            }
        }
        // the device goes on
        assert!(gpu.compiled("good".into(), WHOLE.into(), &[Access::Write], true).is_ok());
        let count = gpu.pipeline_count();
        assert!(gpu.compiled("good".into(), WHOLE.into(), &[Access::Write], true).is_ok() && gpu.pipeline_count() == count);
        // as the driver's refusal arrives
        let layout = Layout { parameters: 128, ..Layout::default() };
        let mut session = GpuSession::new(gpu.clone(), layout, true).unwrap();
        *lock(&gpu.failure) = Some(Failure::OutOfMemory("Not enough memory left.".into()));
        let e = crate::plan::Session::add_data(&mut session, &[7; 1000]).unwrap_err();
        assert!(matches!(e, Error::OutOfMemory { needed: 4000, .. }), "{e}");
        assert!(["beside the", "Not enough memory", "gave none", "help:"].iter().all(|p| e.to_string().contains(p)), "{e}");
        crate::plan::Session::add_data(&mut session, &[7; 1000]).unwrap();
        assert!(!gpu.is_lost());
    }
}
