//! A device's pipelines: each text is compiled once, and those of a whole program side by side, since the driver's work on one need not wait
//! for another's.

use super::device::Gpu;
use super::pipeline::Pipeline;
use super::sync::lock;
use crate::error::{Error, Result};
use crate::kernels::{Access, Kernel};
use std::collections::HashSet;
use std::sync::Arc;

/// Most threads that make pipelines: beyond that drivers queue them.
#[cfg(not(target_arch = "wasm32"))]
const THREADS: usize = 8;

impl Gpu {
    /// The pipelines of these kernels with these texts, in the order of the kernels. Several threads make those that do not exist yet, each text
    /// once. Where several fail the error is that of the first in order, so that it does not depend on the threads.
    pub(super) fn pipelines(&self, wanted: Vec<(&Kernel, String)>, checked: bool) -> Result<Vec<Arc<Pipeline>>> {
        let mut seen = HashSet::new();
        let fresh = |(kernel, source): &&(&Kernel, String)| !self.has_pipeline(kernel, source, checked) && seen.insert(source.clone());
        let missing: Vec<&(&Kernel, String)> = wanted.iter().filter(fresh).collect();
        let made = each(&missing, |(kernel, source)| self.pipeline_from(kernel, source.clone(), checked).map(drop));
        made.into_iter().collect::<Result<()>>()?;
        if !missing.is_empty() {
            tracing::debug!(pipelines = missing.len(), threads = threads(missing.len()), "made pipelines");
            #[cfg(not(target_arch = "wasm32"))]
            self.cache.iter().for_each(|c| c.keep());
        }
        wanted.into_iter().map(|(kernel, source)| self.pipeline_from(kernel, source, checked)).collect()
    }

    /// Whether this kernel's pipeline was made from this text.
    fn has_pipeline(&self, kernel: &Kernel, source: &str, checked: bool) -> bool {
        let checked = checked || matches!(kernel, Kernel::Custom(_));
        lock(&self.pipelines).contains_key(&(source.to_string(), checked))
    }

    /// The kernel's pipeline with this text. Each text is compiled once.
    ///
    /// `checked` keeps wgpu's bounds and loop checks in the shader: tests run both; training runs without, for speed.
    pub(super) fn pipeline_from(&self, kernel: &Kernel, source: String, checked: bool) -> Result<Arc<Pipeline>> {
        // a user's text is never trusted
        let checked = checked || matches!(kernel, Kernel::Custom(_));
        if let Kernel::Custom(c) = kernel {
            c.runs_on_gpus()?;
            if !self.summary.robust {
                return Err(c.unguarded());
            }
        }
        if let Kernel::GemmCoop(k) = kernel {
            self.coop.takes(k, &self.summary.name)?;
        }
        self.compiled(kernel.name(), source, &kernel.accesses(), checked).map_err(|e| match (kernel, e) {
            (Kernel::Custom(c), Error::DeviceFault { problem, .. }) => c.bad_shader(problem),
            (_, e) => e,
        })
    }

    pub(super) fn compiled(&self, name: String, source: String, accesses: &[Access], checked: bool) -> Result<Arc<Pipeline>> {
        let key = (source, checked);
        if let Some(p) = lock(&self.pipelines).get(&key) {
            return Ok(p.clone());
        }
        #[cfg(not(target_arch = "wasm32"))]
        let cache = self.cache.as_ref().map(|c| &c.cache);
        #[cfg(target_arch = "wasm32")]
        let cache = None;
        let made = Pipeline::new(&self.device, cache, (&name, &key.0), accesses, checked);
        let what = format!("the kernel {name}");
        // whatever fails after a loss fails because of the loss. A failure of another thread's stays noted for that thread
        if self.is_lost() {
            self.check(&what)?;
        }
        let made = Arc::new(made.map_err(|e| self.told(e.into(), &what))?);
        tracing::debug!(kernel = name, checked, "made a pipeline");
        lock(&self.pipelines).insert(key, made.clone());
        Ok(made)
    }

    /// Pipelines made so far.
    pub fn pipeline_count(&self) -> usize {
        lock(&self.pipelines).len()
    }
}

/// How many threads make so many pipelines.
#[cfg(not(target_arch = "wasm32"))]
fn threads(work: usize) -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get()).min(THREADS).min(work)
}

#[cfg(target_arch = "wasm32")]
fn threads(_: usize) -> usize {
    1
}

/// What `f` gives for each element, in order. Several threads share the work: each takes the next element that is left.
fn each<T: Sync, R: Send>(all: &[T], f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = threads(all.len());
    if threads < 2 {
        return all.iter().map(f).collect();
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut out = Vec::new();
        while let Some((i, one)) = Some(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)).and_then(|i| Some((i, all.get(i)?))) {
            out.push((i, f(one)));
        }
        out
    };
    let mut found = std::thread::scope(|s| {
        // this thread works, too, and does everything where the system starts no other thread
        let others: Vec<_> =
            (1..threads).filter_map(|_| std::thread::Builder::new().name("gradus-pipelines".into()).spawn_scoped(s, work).ok()).collect();
        let mut found = work();
        for other in others {
            match other.join() {
                Ok(part) => found.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        found
    });
    found.sort_by_key(|(i, _)| *i);
    found.into_iter().map(|(_, r)| r).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::Expr;
    use crate::gpu::adapters;
    use crate::kernels::Map;

    /// Whatever the threads do, answers come in order, each thing done once.
    #[test]
    fn work_is_shared_and_comes_in_order() {
        for n in [0, 1, 2, 7, 100] {
            let all: Vec<usize> = (0..n).collect();
            let done = std::sync::atomic::AtomicUsize::new(0);
            let out = each(&all, |i| {
                done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                i * i
            });
            assert_eq!(out, all.iter().map(|i| i * i).collect::<Vec<_>>());
            assert_eq!(done.into_inner(), n);
        }
    }

    /// A map that adds `n`; distinct for each `n`.
    fn add(n: usize) -> Kernel {
        let formula = Expr::of(0, |_| vec![(n as f64).into()]);
        Kernel::Map(Map::new(formula, &[64], vec![], vec![0]))
    }

    /// Pipelines made at once from several threads, while the device computes with others: all are what their texts say, and each text's fault
    /// is told of that text. `GRADUS_STRESS=50` makes it a long run.
    #[test]
    fn pipelines_at_once_are_each_their_own() {
        let Some(gpu) = adapters().last().and_then(|a| Gpu::open(a).ok()) else {
            assert!(std::env::var("GRADUS_REQUIRE_GPU").as_deref() != Ok("1"), "no adapter");
            return eprintln!("skipped: no adapter");
        };
        let rounds = std::env::var("GRADUS_STRESS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
        for round in 0..rounds {
            let kernels: Vec<Kernel> = (0..24).map(|i| add(1000 + 24 * round + i)).collect();
            let wanted = |k: &Kernel| k.source();
            let made = std::thread::scope(|s| {
                // two models at once, which want the same
                let all = || gpu.pipelines(kernels.iter().map(|k| (k, wanted(k))).collect(), round % 2 == 0).unwrap();
                let other = s.spawn(all);
                let ours = all();
                // those are used while others are made
                for (i, p) in ours.iter().enumerate() {
                    assert_eq!(gpu.run_once(p), [(1000 + 24 * round + i) as f32; 64], "{i} of round {round}");
                }
                (ours, other.join().unwrap())
            });
            assert_eq!((made.0.len(), made.1.len()), (24, 24));
            assert!(kernels.iter().all(|k| gpu.has_pipeline(k, &wanted(k), round % 2 == 0)));
        }
    }

    #[test]
    fn of_several_faults_the_first_is_told() {
        let Some(gpu) = adapters().last().and_then(|a| Gpu::open(a).ok()) else {
            assert!(std::env::var("GRADUS_REQUIRE_GPU").as_deref() != Ok("1"), "no adapter");
            return eprintln!("skipped: no adapter");
        };
        let kernels: Vec<Kernel> = (0..8).map(|i| add(90 + i)).collect();
        for round in 0..5 {
            let text = |i: usize, k: &Kernel| match i {
                3 | 6 => format!("{}\n// {round}\nfn fault_{i}() {{ missing_{i}(); }}", k.source()),
                _ => format!("{}\n// {round}", k.source()),
            };
            let wanted = || kernels.iter().enumerate().map(|(i, k)| (k, text(i, k))).collect::<Vec<_>>();
            let e = gpu.pipelines(wanted(), true).map(drop).unwrap_err().to_string();
            assert!(e.contains("missing_3") && !e.contains("missing_6"), "{e}");
            // the others were made, and the device goes on
            for (i, (k, text)) in wanted().iter().enumerate() {
                assert_eq!(gpu.has_pipeline(k, text, true), i != 3 && i != 6, "{i}");
            }
        }
        assert!(!gpu.is_lost());
    }

    impl Gpu {
        /// What a pipeline without inputs writes to 64 elements.
        fn run_once(&self, p: &Pipeline) -> Vec<f32> {
            let buffer =
                |size, usage| self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
            let dims = buffer(256, wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST);
            let out = buffer(256, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
            let back = buffer(256, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
            let mut row = add(0).dims();
            row.resize(64, 0);
            self.queue.write_buffer(&dims, 0, bytemuck::cast_slice(&row));
            let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &p.layout,
                entries: &[
                    wgpu::BindGroupEntry { binding: 0, resource: dims.as_entire_binding() },
                    wgpu::BindGroupEntry { binding: 1, resource: out.as_entire_binding() },
                ],
            });
            let mut encoder = self.device.create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                p.dispatch(&mut pass, &group, add(0).grid());
            }
            encoder.copy_buffer_to_buffer(&out, 0, &back, 0, 256);
            self.queue.submit([encoder.finish()]);
            let mapped = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
            let note = mapped.clone();
            back.map_async(wgpu::MapMode::Read, .., move |r| note.store(r.is_ok(), std::sync::atomic::Ordering::Release));
            while !mapped.load(std::sync::atomic::Ordering::Acquire) {
                self.poll(wgpu::PollType::wait_indefinitely()).unwrap();
            }
            let view = back.slice(..).get_mapped_range().unwrap();
            bytemuck::pod_collect_to_vec(&view)
        }
    }
}
