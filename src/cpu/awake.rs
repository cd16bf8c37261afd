//! Keeps threads awake while a submit runs: one that sleeps takes longer to wake than most launches take.

use rayon::ThreadPool;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a thread looks for work before it goes to sleep after all.
const PATIENCE: Duration = Duration::from_micros(200);

/// Threads that a pool of a session's own has at most: each submit wakes all of them once.
const MOST: usize = 256;

/// Threads that the machine runs at once. More must never look for work: they would take the cores from those that have some.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// The pool of all sessions that have none of their own, of as many threads as the machine runs at once, or fewer where `RAYON_NUM_THREADS` says so. Not rayon's
/// global one: what looks for work here shall not be caught in what a user does there. `None` where there are no threads.
///
/// After a `fork` the child gets one of its own: threads stay with the parent.
pub(super) fn shared() -> Option<&'static ThreadPool> {
    static POOL: Mutex<Option<(u32, Option<&'static ThreadPool>)>> = Mutex::new(None);
    let mut known = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    match *known {
        Some((by, pool)) if by == process() => pool,
        _ => {
            let told = std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
            let pool = pool(told.map_or(cores(), |n: usize| n.min(cores()))).ok().map(|p| &*Box::leak(Box::new(p)));
            *known = Some((process(), pool));
            pool
        }
    }
}

/// Threads that a pool has at most.
pub(super) fn most() -> usize {
    MOST.max(cores())
}

/// A pool of so many threads, within reason.
pub(super) fn pool(threads: usize) -> Result<ThreadPool, rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().num_threads(threads.clamp(1, most())).thread_name(|i| format!("gradus-{i}")).build()
}

/// This process' number: another one in a child of `fork`.
pub(super) fn process() -> u32 {
    if cfg!(unix) { std::process::id() } else { 0 }
}

/// Does this on the pool, while so many of its threads, this one among them, look for parts of it.
pub(super) fn on<T: Send>(pool: &ThreadPool, threads: usize, work: impl FnOnce() -> T + Send) -> T {
    pool.install(|| {
        let ends = Ends(Arc::new(AtomicBool::new(false)));
        if threads > 1 {
            let (me, done) = (rayon::current_thread_index().unwrap_or(0), ends.0.clone());
            // nobody waits for them: a thread that is slow to wake finds that all is done
            rayon::spawn_broadcast(move |other| {
                if is_awake(other.index(), me, other.num_threads(), threads) {
                    look_for_work(&done);
                }
            });
        }
        work()
    })
}

/// Whether the thread `other` of a pool looks for work when so many shall, with the one that asks.
fn is_awake(other: usize, me: usize, all: usize, threads: usize) -> bool {
    (1..threads.min(cores())).contains(&((other + all - me) % all))
}

/// Sets the flag however the work ends.
struct Ends(Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn look_for_work(done: &AtomicBool) {
    let mut since = Instant::now();
    while !done.load(Ordering::Acquire) {
        match rayon::yield_now() {
            Some(rayon::Yield::Executed) => since = Instant::now(),
            _ if since.elapsed() > PATIENCE => return,
            // to other programs, where the machine is busy
            _ => std::thread::yield_now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many threads a pool has and are asked for, no more of them look for work than there are cores; the caller's is one of them.
    #[test]
    fn no_more_are_awake_than_there_are_cores() {
        for (all, asked) in [(1, 1), (3, 2), (40 * cores(), 40 * cores()), (5000, usize::MAX)] {
            for me in [0, all / 2, all - 1] {
                let awake = (0..all).filter(|other| is_awake(*other, me, all, asked)).count();
                assert_eq!(awake + 1, asked.min(cores()).min(all), "{me} of {all}, {asked}");
            }
        }
        assert!(shared().is_none_or(|p| p.current_num_threads() <= cores()));
        assert_eq!(pool(100_000).unwrap().current_num_threads(), most());
    }

    /// The work's threads are those of the pool, it may fail, and what looks for work lets go of it.
    #[test]
    fn work_ends_whatever_becomes_of_it() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for _ in 0..200 {
            let sum = on(&pool, 3, || rayon::join(rayon::current_num_threads, || 4));
            assert_eq!(sum, (3, 4));
        }
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| on(&pool, 3, || panic!("a kernel fails"))));
        assert!(failed.is_err());
        // nobody is caught in what failed
        assert_eq!(pool.broadcast(|c| c.index()), [0, 1, 2]);
    }
}
