//! The adapters of this machine: what each is and what it can do.

use crate::kernels::Registers;
use crate::plan::Caps;
use std::fmt;

/// What kind of machine an adapter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdapterKind {
    /// A card of its own.
    Discrete,
    /// Part of the processor.
    Integrated,
    /// Given by a hypervisor.
    Virtual,
    /// A GPU in software: lavapipe, SwiftShader, WARP.
    Software,
    /// The driver does not say.
    Other,
}

/// An adapter, as `--device list` shows it.
#[derive(Debug, Clone)]
pub struct AdapterSummary {
    /// Its place in the list, for `gpu:INDEX`.
    pub index: usize,
    /// The driver's name for it.
    pub name: String,
    /// What kind of machine it is.
    pub kind: AdapterKind,
    /// `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// Driver and version.
    pub driver: String,
    /// Has 16-bit floats in shaders.
    pub f16: bool,
    /// Has subgroup operations.
    pub subgroups: bool,
    /// Has cooperative matrices (tensor cores).
    pub cooperative: bool,
    /// Least and most lanes of a subgroup.
    pub subgroup_lanes: (u32, u32),
    /// Sizes and types of its cooperative matrices, as in `16x16x16 f16 to f32`.
    pub matrices: Vec<String>,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Where it can time kernels: inside of a pass, at the ends of a pass, or nowhere.
    pub timestamps: &'static str,
    /// Largest buffer in bytes.
    pub max_buffer: u64,
    /// Largest binding in bytes.
    pub max_binding: u64,
    /// Whether its driver says that it passes Vulkan's tests. wgpu hides the adapters of drivers that do not, Mesa's `dzn` on WSL among them.
    pub conformant: bool,
    pub(super) adapter: wgpu::Adapter,
    /// What a device of it may use: all that it has, unless limits are cut.
    pub(super) limits: wgpu::Limits,
    pub(super) features: wgpu::Features,
    /// Its limits are cut to those that WebGPU promises everywhere.
    pub(super) cut: bool,
    /// A device of it is opened as wgpu opens it: on Vulkan with the driver's bounds checks of buffers.
    pub(super) robust: bool,
}

/// The number of this vendor in PCI's list.
const INTEL: u32 = 0x8086;

impl AdapterSummary {
    /// Whether it is a real GPU.
    pub fn is_gpu(&self) -> bool {
        self.kind != AdapterKind::Software
    }

    /// How many registers a thread of it has, by its vendor: no interface tells.
    pub fn registers(&self) -> Registers {
        if self.adapter.get_info().vendor == INTEL { Registers::Few } else { Registers::Many }
    }

    /// What a plan may ask of it, cooperative matrices aside.
    pub(crate) fn caps(&self) -> Caps {
        let l = &self.limits;
        Caps {
            workgroup_bytes: l.max_compute_workgroup_storage_size as usize,
            invocations: l.max_compute_invocations_per_workgroup as usize,
            storage_buffers: l.max_storage_buffers_per_shader_stage as usize,
            binding_bytes: usize::try_from(self.max_buffer.min(self.max_binding)).unwrap_or(usize::MAX),
            subgroup: self.subgroups.then_some(self.subgroup_lanes.into()),
            f16: self.f16,
            registers: self.registers(),
            coop: None,
        }
    }

    /// The same adapter with no more than WebGPU promises everywhere (bindings of 128 MiB, 8 storage buffers, 16 KiB of workgroup memory, 256
    /// invocations, 65,535 workgroups), without subgroups, matrices and timestamps: how tests run a browser's device.
    #[doc(hidden)]
    #[must_use]
    pub fn cut_to_webgpu(&self) -> Self {
        let all = self.adapter.limits();
        // limits that WebGPU does not know get the values that an adapter without such a feature has
        let limits = wgpu::Limits::default().or_worse_values_from(&all);
        let features = self.adapter.features() & (wgpu::Features::SHADER_F16 | wgpu::Features::PIPELINE_CACHE);
        let cut = of(self.adapter.clone(), limits, features);
        AdapterSummary { index: self.index, conformant: self.conformant, robust: self.robust, cut: true, ..cut }
    }

    /// The same adapter, of which a device is opened without the driver's bounds checks of buffers; as it is where wgpu asks no driver for them.
    #[doc(hidden)]
    #[must_use]
    pub fn without_robust_buffers(&self) -> Self {
        AdapterSummary { robust: self.backend != "vulkan", ..self.clone() }
    }

    /// The adapter in a few lines: back end, type and driver; f16, subgroups, cooperative matrices; memory. wgpu does not tell how much memory an
    /// adapter has in all, only how much it gives in one piece.
    pub fn details(&self) -> Vec<String> {
        let has = |yes: bool, what: &str| format!("{}{what}", if yes { "" } else { "no " });
        let (least, most) = self.subgroup_lanes;
        let lanes = if least == most { format!("subgroups of {least}") } else { format!("subgroups of {least} to {most}") };
        let matrices = match (self.cooperative, self.matrices.is_empty()) {
            (false, _) => "cooperative matrices: none".into(),
            (true, true) => "cooperative matrices, of sizes that it does not tell".into(),
            (true, false) => format!("cooperative matrices {}", self.matrices.join(", ")),
        };
        let bytes = |n: u64| crate::plan::human_bytes(n);
        let mut lines = vec![
            format!("{}, {}, driver {}", self.backend, format!("{:?}", self.kind).to_lowercase(), self.driver),
            format!(
                "{}, {}, {matrices}, timestamps {}",
                has(self.f16, "f16"),
                if self.subgroups { lanes } else { "no subgroups".into() },
                self.timestamps
            ),
            format!(
                "memory: buffers to {}, bindings to {}, {} for a workgroup",
                bytes(self.max_buffer),
                bytes(self.max_binding),
                bytes(self.workgroup_memory.into())
            ),
        ];
        if !self.conformant {
            lines.push("the driver does not pass Vulkan's conformance tests".into());
        }
        if self.cut {
            lines.push(format!("limits are cut to WebGPU's by {LIMITS}"));
        }
        if !self.robust {
            lines.push(format!("the driver does not check the bounds of buffers ({ROBUST}=0)"));
        }
        lines
    }
}

/// The features for timing, of which a device gets those that its adapter has. Browsers and Apple's GPUs have no timestamps inside of passes.
pub(super) const TIMING: wgpu::Features = wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES);

/// The environment variable by which tests cut every adapter's limits.
pub(crate) const LIMITS: &str = "GRADUS_LIMITS";

/// The environment variable that says whether drivers check the bounds of buffers.
pub(crate) const ROBUST: &str = "GRADUS_ROBUST";

impl fmt::Display for AdapterSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = format!("{:?}", self.kind).to_lowercase();
        let has = |yes: bool, what: &str| if yes { format!(", {what}") } else { format!(", no {what}") };
        write!(
            f,
            "{}  ({}, {kind}, {}{}{}{}, buffers to {})",
            self.name,
            self.backend,
            self.driver,
            has(self.f16, "f16"),
            has(self.subgroups, "subgroups"),
            has(self.cooperative, "cooperative matrices"),
            crate::plan::human_bytes(self.max_buffer),
        )?;
        f.write_str(if self.conformant { "" } else { ", not conformant" })
    }
}

/// Every adapter of this machine, real GPUs first, without those that [`adapters_hidden_async`] gives.
pub async fn adapters_async() -> Vec<AdapterSummary> {
    found(wgpu::InstanceFlags::empty()).await
}

/// The adapters whose drivers do not pass Vulkan's conformance tests (Mesa's `dzn` on WSL is one): they may compute anything. `known` are all
/// other adapters; the indices of these go on behind theirs.
pub async fn adapters_hidden_async(known: &[AdapterSummary]) -> Vec<AdapterSummary> {
    let all = found(wgpu::InstanceFlags::ALLOW_UNDERLYING_NONCOMPLIANT_ADAPTER).await;
    let key = |a: &AdapterSummary| (a.backend.clone(), a.name.clone(), a.driver.clone(), a.kind as usize);
    let mut known: Vec<_> = known.iter().map(key).collect();
    let first = known.len();
    let mut hidden: Vec<AdapterSummary> = all
        .into_iter()
        .filter(|a| match known.iter().position(|k| *k == key(a)) {
            // the second search finds the known ones once more
            Some(at) => {
                known.swap_remove(at);
                false
            }
            None => true,
        })
        .collect();
    hidden.iter_mut().enumerate().for_each(|(i, a)| (a.index, a.conformant) = (first + i, false));
    hidden
}

async fn found(flags: wgpu::InstanceFlags) -> Vec<AdapterSummary> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    descriptor.flags = flags;
    let backends = descriptor.backends;
    let instance = wgpu::Instance::new(descriptor);
    let mut all: Vec<AdapterSummary> = instance.enumerate_adapters(backends).await.into_iter().map(summary).collect();
    all.sort_by_key(|a| match a.kind {
        AdapterKind::Discrete => 0,
        AdapterKind::Integrated => 1,
        AdapterKind::Virtual => 2,
        AdapterKind::Other => 3,
        AdapterKind::Software => 4,
    });
    all.iter_mut().enumerate().for_each(|(i, a)| a.index = i);
    let set = |variable, value| std::env::var(variable).is_ok_and(|v| v == value);
    if set(LIMITS, "webgpu") {
        all.iter_mut().for_each(|a| *a = a.cut_to_webgpu());
    }
    if set(ROBUST, "0") {
        all.iter_mut().for_each(|a| *a = a.without_robust_buffers());
    }
    all
}

/// Every adapter of this machine, real GPUs first, without those that [`adapters_hidden`] gives.
#[cfg(not(target_arch = "wasm32"))]
pub fn adapters() -> Vec<AdapterSummary> {
    pollster::block_on(adapters_async())
}

/// As [`adapters_hidden_async`].
#[cfg(not(target_arch = "wasm32"))]
pub fn adapters_hidden(known: &[AdapterSummary]) -> Vec<AdapterSummary> {
    pollster::block_on(adapters_hidden_async(known))
}

fn summary(adapter: wgpu::Adapter) -> AdapterSummary {
    let (features, limits) = (adapter.features(), adapter.limits());
    of(adapter, limits, features)
}

/// Describes an adapter of which a device may use these limits and features.
fn of(adapter: wgpu::Adapter, limits: wgpu::Limits, features: wgpu::Features) -> AdapterSummary {
    let info = adapter.get_info();
    let matrix = |m: &wgpu::wgt::CooperativeMatrixProperties| {
        let (from, to) = (format!("{:?}", m.ab_type), format!("{:?}", m.cr_type));
        format!("{}x{}x{} {} to {}", m.m_size, m.n_size, m.k_size, from.to_lowercase(), to.to_lowercase())
    };
    let mut matrices: Vec<String> = adapter.cooperative_matrix_properties().iter().map(matrix).collect();
    matrices.dedup(); // with and without saturation
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
        wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
        wgpu::DeviceType::Cpu => AdapterKind::Software,
        wgpu::DeviceType::Other => AdapterKind::Other,
    };
    AdapterSummary {
        index: 0,
        name: info.name,
        kind,
        backend: info.backend.to_string(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
        f16: features.contains(wgpu::Features::SHADER_F16),
        subgroups: features.contains(wgpu::Features::SUBGROUP),
        cooperative: features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
        subgroup_lanes: (info.subgroup_min_size, info.subgroup_max_size),
        matrices,
        workgroup_memory: limits.max_compute_workgroup_storage_size,
        timestamps: if features.contains(TIMING) {
            "inside a pass"
        } else if features.contains(wgpu::Features::TIMESTAMP_QUERY) {
            "at a pass' ends"
        } else {
            "missing"
        },
        max_buffer: limits.max_buffer_size,
        max_binding: limits.max_storage_buffer_binding_size,
        conformant: true,
        adapter,
        limits,
        features,
        cut: false,
        robust: true,
    }
}
