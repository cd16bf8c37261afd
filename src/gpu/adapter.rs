use std::fmt;

/// What kind of machine an adapter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Can time kernels: inside a pass, at its ends, or not.
    pub timestamps: &'static str,
    /// Largest buffer in bytes.
    pub max_buffer: u64,
    /// Largest binding in bytes.
    pub max_binding: u64,
    pub(super) adapter: wgpu::Adapter,
}

impl AdapterSummary {
    /// Whether it is a real GPU.
    pub fn is_gpu(&self) -> bool {
        self.kind != AdapterKind::Software
    }

    /// What it is and what it can do, a line each: back end, type and driver; f16, subgroups, cooperative matrices; memory. wgpu does not
    /// tell how much memory an adapter has in all, only what it gives in one piece.
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
        vec![
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
        ]
    }
}

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
        )
    }
}

/// Every adapter of this machine, real GPUs first.
pub async fn adapters_async() -> Vec<AdapterSummary> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    descriptor.flags = wgpu::InstanceFlags::empty();
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
    all
}

/// Every adapter of this machine, real GPUs first.
#[cfg(not(target_arch = "wasm32"))]
pub fn adapters() -> Vec<AdapterSummary> {
    pollster::block_on(adapters_async())
}

fn summary(adapter: wgpu::Adapter) -> AdapterSummary {
    let (info, features, limits) = (adapter.get_info(), adapter.features(), adapter.limits());
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
        timestamps: if features.contains(super::profile::WANTED) {
            "inside a pass"
        } else if features.contains(wgpu::Features::TIMESTAMP_QUERY) {
            "at a pass' ends"
        } else {
            "missing"
        },
        max_buffer: limits.max_buffer_size,
        max_binding: limits.max_storage_buffer_binding_size,
        adapter,
    }
}
