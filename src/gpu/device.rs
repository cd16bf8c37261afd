use super::AdapterSummary;
use crate::error::{Error, Result};
use crate::kernels::words::STATE_WORDS;
use crate::kernels::{Access, Kernel, Target};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// An open device with its queue and its pipelines. Models on one adapter share it.
pub struct Gpu {
    /// The adapter it was opened on.
    pub summary: AdapterSummary,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pipelines: Mutex<HashMap<(String, bool), Arc<Pipeline>>>,
    failure: Arc<Mutex<Option<Failure>>>,
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) cache: Option<super::pipeline_cache::PipelineCache>,
    pub(super) coop: super::coop::Known,
    /// What [`Gpu::trial`] found.
    pub(super) tried: Mutex<Option<std::result::Result<(), String>>>,
}

pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

enum Failure {
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

/// A lock whose holder panicked still guards plain data.
pub(super) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    /// Opens the adapter, or gives the device that is already open on it: software drivers do not survive two being made at once. One that
    /// was lost is opened anew.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(summary: &AdapterSummary) -> Result<Arc<Gpu>> {
        static OPEN: Mutex<Vec<(String, Weak<Gpu>)>> = Mutex::new(Vec::new());
        let key = format!("{} {} {} {}", summary.index, summary.backend, summary.name, summary.cut);
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
        let wanted = wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP | wgpu::Features::PIPELINE_CACHE | super::profile::WANTED;
        let plain = wgpu::DeviceDescriptor {
            label: Some("gradus"),
            required_features: summary.features & wanted,
            required_limits: summary.limits.clone(),
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        };
        let mut coop = super::coop::caps(summary);
        let mut opened = None;
        if coop.is_ok() {
            match summary.adapter.request_device(&super::coop::with(&plain)).await {
                Ok(device) => opened = Some(device),
                Err(e) => coop = Err(format!("the driver opens no device with them: {e}")),
            }
        }
        let opened = match opened {
            Some(device) => Ok(device),
            None => summary.adapter.request_device(&plain).await,
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
            #[cfg(not(target_arch = "wasm32"))]
            cache: super::pipeline_cache::PipelineCache::open(&device, summary),
            summary: summary.clone(),
            device,
            queue,
            pipelines: Mutex::default(),
            failure,
            coop: super::coop::Known::new(coop),
            tried: Mutex::default(),
        })
    }

    /// How kernels are shaped for it.
    pub fn target(&self) -> Target {
        if self.summary.is_gpu() {
            return Target::Gpu;
        }
        // those kernels take lane i for invocation i, and a workgroup of 8 for one whole subgroup. The standard promises neither: llvmpipe is so
        let lanes8 = self.summary.subgroups && self.summary.subgroup_lanes == (8, 8) && self.summary.name.starts_with("llvmpipe");
        if lanes8 { Target::Lanes8 } else { Target::Software }
    }

    /// Whether the device went away. It stays lost: [`Gpu::open`] gives another.
    pub fn is_lost(&self) -> bool {
        matches!(*lock(&self.failure), Some(Failure::Lost(_)))
    }

    /// Lets callbacks run, and waits as `how` says; false when that took too long.
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
            // an assertion of wgpu 30: this wait ran out of time, then another thread's poll handed out what it had waited for
            Err(e) if e.downcast_ref::<String>().is_some_and(|text| text.starts_with("If the queue is empty")) => Ok(false),
            Err(_) => {
                let reason = "the driver failed while it was waited for".to_string();
                *lock(&self.failure) = Some(Failure::Lost(reason.clone()));
                Err(Error::DeviceLost { device: device(), reason })
            }
        }
    }

    /// The first failure since the last look, while doing `what`.
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

    /// The error of a failure while doing `what`.
    fn told(&self, failure: Failure, what: &str) -> Error {
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

    /// Whether this kernel's pipeline was made from this text.
    pub(super) fn has_pipeline(&self, kernel: &Kernel, source: &str, checked: bool) -> bool {
        let checked = checked || matches!(kernel, Kernel::Custom(_));
        lock(&self.pipelines).contains_key(&(source.to_string(), checked))
    }

    /// The kernel's pipeline with this text, which is made once.
    ///
    /// `checked` keeps wgpu's bounds and loop checks in the shader: tests run both; training runs without, for speed.
    pub(super) fn pipeline_from(&self, kernel: &Kernel, source: String, checked: bool) -> Result<Arc<Pipeline>> {
        // a user's text is never trusted
        let checked = checked || matches!(kernel, Kernel::Custom(_));
        if let Kernel::Custom(c) = kernel {
            c.runs_on_gpus()?;
        }
        if let Kernel::GemmCoop(k) = kernel {
            self.takes(k)?;
        }
        self.compiled(kernel.name(), source, &kernel.accesses(), checked).map_err(|e| match (kernel, e) {
            (Kernel::Custom(c), Error::DeviceFault { problem, .. }) => c.bad_shader(problem),
            (_, e) => e,
        })
    }

    fn compiled(&self, name: String, source: String, accesses: &[Access], checked: bool) -> Result<Arc<Pipeline>> {
        let key = (source, checked);
        if let Some(p) = lock(&self.pipelines).get(&key) {
            return Ok(p.clone());
        }
        // of this thread alone: another's work on the same device shall not be told of this text's faults, of whatever kind
        let scopes = [wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::Validation]
            .map(|filter| self.device.push_error_scope(filter));
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(&name), source: wgpu::ShaderSource::Wgsl(key.0.as_str().into()) };
        let module = if checked {
            self.device.create_shader_module(descriptor)
        } else {
            // SAFETY: the text is generated here and never the user's; every index in it is bounded by the extents of its `dims`
            // row, every loop by a constant or by such an extent, and the parity tests run the same text with checks on.
            unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let buffer = |ty, size: Option<u64>| wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: size.and_then(std::num::NonZeroU64::new),
        };
        let uniform = |size| buffer(wgpu::BufferBindingType::Uniform, Some(size));
        let types = std::iter::once(uniform(256)).chain(accesses.iter().map(|a| match a {
            Access::Uniform => uniform(4 * STATE_WORDS as u64),
            Access::Read | Access::Write => buffer(wgpu::BufferBindingType::Storage { read_only: *a == Access::Read }, None),
        }));
        let entries: Vec<_> = types
            .enumerate()
            .map(|(i, ty)| wgpu::BindGroupLayoutEntry { binding: i as u32, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None })
            .collect();
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(&name), entries: &entries });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions { constants: &[], zero_initialize_workgroup_memory: checked },
            #[cfg(not(target_arch = "wasm32"))]
            cache: self.cache.as_ref().map(|c| &c.cache),
            #[cfg(target_arch = "wasm32")]
            cache: None,
        });
        // the innermost first; every one is left
        let errors = scopes.into_iter().rev().map(|scope| pollster::block_on(scope.pop()));
        let what = format!("the kernel {name}");
        let error = errors.fold(None, Option::or);
        // what fails after a loss fails because of it; another's failure stays for it to see
        if self.is_lost() {
            self.check(&what)?;
        }
        if let Some(e) = error {
            return Err(self.told(e.into(), &what));
        }
        tracing::debug!(kernel = name, checked, "made a pipeline");
        let made = Arc::new(Pipeline { pipeline, layout });
        lock(&self.pipelines).insert(key, made.clone());
        Ok(made)
    }

    /// Pipelines made so far.
    pub fn pipeline_count(&self) -> usize {
        lock(&self.pipelines).len()
    }

    /// Ends the device, as a driver's reset would: for tests of what follows.
    #[doc(hidden)]
    pub fn destroy(&self) {
        *lock(&self.failure) = Some(Failure::Lost("destroyed by the program".into()));
        self.device.destroy();
    }
}

/// Every kernel keeps within what WebGPU promises (`tests/parity/shaders.rs`): an adapter with less cannot run them, and is refused as a whole.
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
