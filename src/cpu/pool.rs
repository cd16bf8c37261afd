//! The threads that a session computes with.

use super::awake;
use super::fault::fault;
use crate::error::Result;

/// Whose threads compute.
#[derive(Debug)]
pub(super) enum Pool {
    /// The caller's alone.
    None,
    Own(rayon::ThreadPool),
    Shared(&'static rayon::ThreadPool),
}

impl Pool {
    /// 0 for the pool that sessions share, 1 for the caller's thread alone, else a pool of that many.
    pub(super) fn new(threads: usize) -> Result<Self> {
        Ok(match threads {
            0 => awake::shared().map_or(Pool::None, Pool::Shared),
            1 => Pool::None,
            _ => Pool::Own(awake::pool(threads).map_err(|e| fault("a pool of threads", format!("{threads} threads: {e}")))?),
        })
    }

    pub(super) fn threads(&self) -> Option<&rayon::ThreadPool> {
        match self {
            Pool::None => None,
            Pool::Own(pool) => Some(pool),
            Pool::Shared(pool) => Some(pool),
        }
    }

    /// Does this on its threads, of which so many can be of use.
    pub(super) fn run<T: Send>(&self, threads: usize, work: impl FnOnce() -> T + Send) -> T {
        match self.threads() {
            Some(pool) => awake::on(pool, threads, work),
            None => work(),
        }
    }
}

/// Threads that a session gets where it asks for so many; 0 asks for the pool that sessions share.
pub(crate) fn threads_of(asked: usize) -> usize {
    match asked {
        0 => awake::shared().map_or(1, |p| p.current_num_threads()),
        n => n.min(awake::most()),
    }
}
