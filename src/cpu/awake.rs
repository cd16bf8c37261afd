//! Keeps threads awake while a submit runs: one that sleeps takes longer to wake than most launches take.

use rayon::ThreadPool;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long a thread looks for work before it goes to sleep after all.
const PATIENCE: Duration = Duration::from_micros(200);

/// The pool of all sessions that have none of their own, of as many threads as the machine runs at once (`RAYON_NUM_THREADS`). Not rayon's
/// global one: what looks for work here shall not be caught in what a user does there. `None` where there are no threads.
pub(super) fn shared() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    POOL.get_or_init(|| rayon::ThreadPoolBuilder::new().thread_name(|i| format!("gradus-{i}")).build().ok()).as_ref()
}

/// Does this on the pool, while so many of its threads, this one among them, look for parts of it.
pub(super) fn on<T: Send>(pool: &ThreadPool, threads: usize, work: impl FnOnce() -> T + Send) -> T {
    pool.install(|| {
        let ends = Ends(Arc::new(AtomicBool::new(false)));
        if threads > 1 {
            let (me, done) = (rayon::current_thread_index().unwrap_or(0), ends.0.clone());
            // nobody waits for them: a thread that is slow to wake finds that all is done
            rayon::spawn_broadcast(move |other| {
                let behind = (other.index() + other.num_threads() - me) % other.num_threads();
                if (1..threads).contains(&behind) {
                    look_for_work(&done);
                }
            });
        }
        work()
    })
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
