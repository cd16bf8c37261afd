//! One step of a program, every launch timed by the best clock that the adapter has.

use super::adapter::TIMING;
use super::session::{GpuSession, Prepared};
use crate::error::{Error, Result};
use crate::plan::{Clock, Dispatch, Timing};
use std::time::Instant;

/// How many timestamps one query set holds; a dispatch takes two at most.
const QUERIES: usize = wgpu::QUERY_SET_MAX_QUERIES as usize;

impl GpuSession {
    /// Runs one step and waits for it.
    pub(super) fn timed_step(&mut self, p: &Prepared, clock: Option<Clock>) -> Result<Timing> {
        let best = self.clocks();
        let clock = clock.unwrap_or(best[0]);
        if !best.contains(&clock) {
            return Err(Error::Unsupported {
                what: format!("timing by {clock}"),
                at: self.gpu.summary.name.clone(),
                help: format!("this device has: {}", best.iter().map(|c| format!("{c:?}")).collect::<Vec<_>>().join(", ")),
            });
        }
        // submits that are still under way would be timed, too
        self.gpu.wait_for(None)?;
        let mut seconds = vec![0.0; p.program.launches.len()];
        let most = if clock == Clock::InsidePass { QUERIES - 1 } else { QUERIES / 2 };
        for some in p.schedule.chunks(most) {
            let times = match clock {
                Clock::InsidePass => self.inside_pass(p, some)?,
                Clock::PassPerLaunch => self.pass_per_launch(p, some)?,
                Clock::Host => self.by_host(p, some)?,
            };
            some.iter().zip(times).for_each(|(d, s)| seconds[d.launch] += s);
        }
        Ok(Timing { clock, seconds })
    }

    /// The ways that this device can be timed, best first.
    fn clocks(&self) -> Vec<Clock> {
        let has = self.gpu.device.features();
        let inside = has.contains(TIMING).then_some(Clock::InsidePass);
        let passes = has.contains(wgpu::Features::TIMESTAMP_QUERY).then_some(Clock::PassPerLaunch);
        inside.into_iter().chain(passes).chain([Clock::Host]).collect()
    }

    fn inside_pass(&mut self, p: &Prepared, some: &[Dispatch]) -> Result<Vec<f64>> {
        let queries = self.queries(some.len() + 1);
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.write_timestamp(&queries, 0);
            for (at, d) in some.iter().enumerate() {
                p.dispatch(&mut pass, *d);
                pass.write_timestamp(&queries, 1 + at as u32);
            }
        }
        let ticks = self.resolve(encoder, &queries, some.len() + 1)?;
        Ok(ticks.windows(2).map(|t| self.between(t[0], t[1])).collect())
    }

    fn pass_per_launch(&mut self, p: &Prepared, some: &[Dispatch]) -> Result<Vec<f64>> {
        let queries = self.queries(2 * some.len());
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        for (at, d) in some.iter().enumerate() {
            let writes = wgpu::ComputePassTimestampWrites {
                query_set: &queries,
                beginning_of_pass_write_index: Some(2 * at as u32),
                end_of_pass_write_index: Some(2 * at as u32 + 1),
            };
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(writes) });
            p.dispatch(&mut pass, *d);
        }
        let ticks = self.resolve(encoder, &queries, 2 * some.len())?;
        Ok(ticks.chunks(2).map(|t| self.between(t[0], t[1])).collect())
    }

    fn by_host(&mut self, p: &Prepared, some: &[Dispatch]) -> Result<Vec<f64>> {
        let mut seconds = Vec::with_capacity(some.len());
        for d in some {
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            p.dispatch(&mut encoder.begin_compute_pass(&Default::default()), *d);
            let commands = encoder.finish();
            let since = Instant::now();
            let index = self.gpu.queue.submit([commands]);
            self.gpu.check("timing a launch")?;
            self.gpu.wait_for(Some(&index))?;
            seconds.push(since.elapsed().as_secs_f64());
        }
        Ok(seconds)
    }

    fn queries(&self, count: usize) -> wgpu::QuerySet {
        self.gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("profile"),
            ty: wgpu::QueryType::Timestamp,
            count: count as u32,
        })
    }

    /// Submits, waits, and reads the timestamps.
    fn resolve(&mut self, mut encoder: wgpu::CommandEncoder, queries: &wgpu::QuerySet, count: usize) -> Result<Vec<u64>> {
        let bytes = 8 * count as u64;
        let resolved = self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: bytes,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let staging = self.staging.take(&self.gpu, bytes);
        encoder.resolve_query_set(queries, 0..count as u32, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, bytes);
        let words = self.read_through("timing a step", encoder, staging, 2 * count)?;
        Ok(words.chunks(2).map(|w| u64::from(w[0]) | u64::from(w[1]) << 32).collect())
    }

    /// Seconds between two timestamps; 0 where the clock went back, since some drivers reset it between submits.
    fn between(&self, begin: u64, end: u64) -> f64 {
        end.saturating_sub(begin) as f64 * f64::from(self.gpu.queue.get_timestamp_period()) * 1e-9
    }
}
