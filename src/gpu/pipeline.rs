//! One kernel's text made into a pipeline.

use crate::kernels::words::STATE_WORDS;
use crate::kernels::{Access, DIMS, Kernel};

/// From a kernel's text to the text that is compiled in its place: how tests plant errors.
pub(super) type Rewrite = Box<dyn Fn(&Kernel, String) -> String + Send>;

/// A compiled kernel.
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

impl Pipeline {
    /// Compiles a text whose buffers are used as `accesses` say. `checked` keeps wgpu's bounds and loop checks in it.
    pub(super) fn new(
        device: &wgpu::Device,
        cache: Option<&wgpu::PipelineCache>,
        (name, source): (&str, &str),
        accesses: &[Access],
        checked: bool,
    ) -> Result<Pipeline, wgpu::Error> {
        // scopes belong to this thread: the faults of this text must not reach other threads that use the device
        let scopes = [wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::Validation]
            .map(|filter| device.push_error_scope(filter));
        let descriptor = wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(source.into()) };
        let module = if checked {
            device.create_shader_module(descriptor)
        } else {
            // SAFETY: the text is generated here and never the user's; every index in it is bounded by the extents of its `dims`
            // row, every loop by a constant or by such an extent, and the parity tests run the same text with checks on.
            unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let layout = layout(device, name, accesses);
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions { constants: &[], zero_initialize_workgroup_memory: checked },
            cache,
        });
        // the innermost scope first, and all of them, since a scope that stays would catch later faults
        let errors = scopes.into_iter().rev().map(|scope| pollster::block_on(scope.pop()));
        errors.fold(None, Option::or).map_or(Ok(Pipeline { pipeline, layout }), Err)
    }

    /// Encodes one launch over these buffers.
    pub(super) fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>, buffers: &wgpu::BindGroup, [x, y, z]: [u32; 3]) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, buffers, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}

/// The launch's row of sizes at binding 0, its buffers behind it.
fn layout(device: &wgpu::Device, name: &str, accesses: &[Access]) -> wgpu::BindGroupLayout {
    let buffer = |ty, size: Option<u64>| wgpu::BindingType::Buffer {
        ty,
        has_dynamic_offset: false,
        min_binding_size: size.and_then(std::num::NonZeroU64::new),
    };
    let uniform = |size| buffer(wgpu::BufferBindingType::Uniform, Some(size));
    let types = std::iter::once(uniform(4 * DIMS as u64)).chain(accesses.iter().map(|a| match a {
        Access::Uniform => uniform(4 * STATE_WORDS as u64),
        Access::Read | Access::Write => buffer(wgpu::BufferBindingType::Storage { read_only: *a == Access::Read }, None),
    }));
    let entries: Vec<_> = types
        .enumerate()
        .map(|(i, ty)| wgpu::BindGroupLayoutEntry { binding: i as u32, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None })
        .collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(name), entries: &entries })
}
