//! One kernel run by itself, over buffers of its own: what the tests of an adapter are made of.

use super::device::Gpu;
use super::pipeline::Rewrite;
use super::readback::map;
use super::sync::lock;
use crate::error::{Error, Result};
use crate::kernels::{DIMS, Kernel};
use std::time::{Duration, Instant};
use wgpu::BufferUsages;

/// How long to wait before the device is looked at once more, and how long in all.
const PATIENCE: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Runs a kernel on these operands, and gives its results, each of so many words. In the kernel's bindings operands come before results.
pub(super) fn launch(
    gpu: &Gpu,
    kernel: &Kernel,
    operands: &[Vec<u32>],
    results: &[usize],
    planted: Option<&Rewrite>,
) -> Result<Vec<Vec<u32>>> {
    let text = kernel.source();
    let pipeline = match planted {
        None => gpu.pipeline_from(kernel, text, false)?,
        Some(rewrite) => gpu.pipeline_from(kernel, rewrite(kernel, text), true)?,
    };
    let filled = |words: &[u32], usage| {
        let buffer = new(gpu, words.len(), usage | BufferUsages::COPY_DST);
        gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
        buffer
    };
    let mut dims = kernel.dims();
    dims.resize(DIMS, 0);
    let mut buffers = vec![filled(&dims, BufferUsages::UNIFORM)];
    buffers.extend(operands.iter().map(|words| filled(words, BufferUsages::STORAGE)));
    // these words are NaN as f32 and as f16, so that an element that the kernel does not write is noticed
    let made: Vec<_> = results.iter().map(|&n| filled(&vec![u32::MAX; n], BufferUsages::STORAGE | BufferUsages::COPY_SRC)).collect();
    buffers.extend(made.iter().cloned());
    let numbered = buffers.iter().enumerate();
    let entries: Vec<_> = numbered.map(|(i, b)| wgpu::BindGroupEntry { binding: i as u32, resource: b.as_entire_binding() }).collect();
    let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &pipeline.layout, entries: &entries });
    let staging = new(gpu, results.iter().sum(), BufferUsages::MAP_READ | BufferUsages::COPY_DST);
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pipeline.dispatch(&mut pass, &group, kernel.grid());
    }
    let mut at = 0;
    for (from, words) in made.iter().zip(results) {
        encoder.copy_buffer_to_buffer(from, 0, &staging, at, 4 * *words as u64);
        at += 4 * *words as u64;
    }
    let index = gpu.queue.submit([encoder.finish()]);
    gpu.check("the self-test")?;
    let mapped = map(&staging);
    let began = Instant::now();
    while lock(&mapped).is_none() {
        gpu.poll(wgpu::PollType::Wait { submission_index: Some(index.clone()), timeout: Some(PATIENCE) })?;
        if began.elapsed() > LONGEST {
            return Err(fault(gpu, format!("no answer within {} s", LONGEST.as_secs())));
        }
    }
    let words = gpu.mapped_words("the self-test", &staging, results.iter().sum())?;
    let mut rest = words.as_slice();
    Ok(results.iter().map(|&n| rest.split_off(..n).unwrap_or_default().to_vec()).collect())
}

fn new(gpu: &Gpu, words: usize, usage: BufferUsages) -> wgpu::Buffer {
    let descriptor = wgpu::BufferDescriptor { label: Some("self-test"), size: 4 * words as u64, usage, mapped_at_creation: false };
    gpu.device.create_buffer(&descriptor)
}

fn fault(gpu: &Gpu, problem: String) -> Error {
    Error::DeviceFault { what: "the self-test".into(), problem, device: gpu.summary.name.clone() }
}
