//! Reading back: staging buffers, which the host can map, and waiting for their mapping.

use super::device::Gpu;
use super::sync::lock;
use crate::error::{Error, Result};
use crate::kernels::LogShape;
use crate::plan::STAGED;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long to wait before it is checked that the device still lives.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait for a callback after its submit has ended.
const CALLBACK: Duration = Duration::from_secs(10);

/// Whether a staging buffer was mapped, once that is known.
pub(super) type Mapped = Arc<Mutex<Option<bool>>>;

/// Asks for a buffer's mapping.
pub(super) fn map(staging: &wgpu::Buffer) -> Mapped {
    let mapped = Mapped::default();
    let note = mapped.clone();
    staging.map_async(wgpu::MapMode::Read, .., move |r| *lock(&note) = Some(r.is_ok()));
    mapped
}

/// Bytes that the log of a submit of the most steps takes.
pub(super) fn staging_bytes(log: LogShape) -> u64 {
    4 * (log.most_steps() * log.width) as u64
}

/// The staging buffers of a session. Buffers of a log's size are kept for the next read; a larger one is made for a single read.
#[derive(Default)]
pub(super) struct Staging {
    idle: Vec<wgpu::Buffer>,
    /// Bytes of the buffers that are kept.
    bytes: u64,
}

impl Staging {
    /// Makes the kept buffers anew if they are smaller than this.
    pub(super) fn grow(&mut self, gpu: &Gpu, bytes: u64) {
        if self.bytes < bytes {
            self.bytes = bytes;
            self.idle.clear();
            self.idle = (0..STAGED).map(|_| Self::buffer(gpu, bytes)).collect();
        }
    }

    /// A buffer of at least so many bytes.
    pub(super) fn take(&mut self, gpu: &Gpu, bytes: u64) -> wgpu::Buffer {
        match self.idle.pop() {
            Some(b) if bytes <= self.bytes => b,
            other => {
                self.idle.extend(other);
                Self::buffer(gpu, bytes.max(self.bytes))
            }
        }
    }

    /// Takes a mapped buffer back. One that is not kept is freed now: a browser would keep it until its
    /// garbage is collected.
    pub(super) fn give_back(&mut self, staging: wgpu::Buffer) {
        staging.unmap();
        if staging.size() == self.bytes && self.idle.len() < STAGED {
            self.idle.push(staging);
        } else {
            staging.destroy();
        }
    }

    /// The kept buffers that are not in use.
    pub(super) fn idle(&self) -> &[wgpu::Buffer] {
        &self.idle
    }

    fn buffer(gpu: &Gpu, size: u64) -> wgpu::Buffer {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        gpu.device.create_buffer(&wgpu::BufferDescriptor { label: Some("staging"), size, usage, mapped_at_creation: false })
    }
}

impl Gpu {
    /// Waits for a submit, or for all submits, as long as the kernels take and the device lives.
    pub(super) fn wait_for(&self, index: Option<&wgpu::SubmissionIndex>) -> Result<()> {
        while !self.poll(wgpu::PollType::Wait { submission_index: index.cloned(), timeout: Some(PATIENCE) })? {}
        Ok(())
    }

    /// Waits for a submit and for the mapping of its staging buffer. When several threads share the device the poll of another thread may be about to
    /// run our callback: then the submit has ended and the callback comes in a moment.
    pub(super) fn wait_mapped(&self, index: &wgpu::SubmissionIndex, mapped: &Mapped) -> Result<()> {
        self.wait_for(Some(index))?;
        let since = Instant::now();
        while lock(mapped).is_none() && since.elapsed() < CALLBACK {
            std::thread::yield_now();
            self.look()?;
        }
        if lock(mapped).is_some() {
            return Ok(());
        }
        let reason = "a submit has ended, and its words did not come back".into();
        Err(Error::DeviceLost { device: self.summary.name.clone(), reason })
    }

    /// Runs callbacks that are due, without waiting.
    pub(super) fn look(&self) -> Result<()> {
        self.poll(wgpu::PollType::Poll).map(|_| ())
    }

    /// The first words of a mapped buffer, read while doing `what`.
    pub(super) fn mapped_words(&self, what: &str, staging: &wgpu::Buffer, words: usize) -> Result<Vec<u32>> {
        let fault = |e: String| Error::DeviceFault { what: what.into(), problem: e, device: self.summary.name.clone() };
        let view = staging.slice(..4 * words as u64).get_mapped_range().map_err(|e| fault(e.to_string()))?;
        let bytes: &[u8] = &view;
        Ok(bytemuck::pod_collect_to_vec(bytes))
    }
}
