//! The pipelines of a whole program, made side by side: the driver's work on one does not wait for another's.

use super::device::{Gpu, Pipeline};
use crate::error::Result;
use crate::kernels::Kernel;
use std::collections::HashSet;
use std::sync::Arc;

/// Most threads that make pipelines: beyond that drivers queue them.
#[cfg(not(target_arch = "wasm32"))]
const THREADS: usize = 8;

impl Gpu {
    /// The pipelines of these kernels with these texts, in their order. Those that are not there yet are made on several threads, each
    /// text once. Where several fail the first of them is told, so that the error does not depend on the threads.
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
}

/// Threads for so many.
#[cfg(not(target_arch = "wasm32"))]
fn threads(work: usize) -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get()).min(THREADS).min(work)
}

#[cfg(target_arch = "wasm32")]
fn threads(_: usize) -> usize {
    1
}

/// What `f` gives for each, in their order; on several threads, each of which takes the next that is left.
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
        // this thread is one of them, and does all where the system gives no other
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
}
