//! A server for those that may not wait: the same steps as for a worker in this process, each of which answers at once.

use super::{Server, State, Wish, refused};
use crate::error::{Error, Result};
use crate::exchange::{Hello, Push, Reply, Welcome};
use crate::server::clocks::{Joined, Pushed};
use crate::server::gathered::{Arrays, Part};
use std::hash::{BuildHasher, RandomState};
use std::sync::PoisonError;

impl Arrays for &mut Part {
    fn values(&self) -> &[u32] {
        &self.values
    }
    fn buffers(&self) -> &[u32] {
        &self.buffers
    }
    /// Nothing is copied: the memory of what was there comes back for what comes next.
    fn put(&mut self, part: &mut Part) {
        std::mem::swap(&mut self.values, &mut part.values);
        std::mem::swap(&mut self.buffers, &mut part.buffers);
    }
}

/// A number that no other start of a server has, but by the rarest chance; not 0.
pub(super) fn instance() -> u64 {
    RandomState::new().hash_one(std::process::id()) | 1
}

impl Server {
    /// Rings whenever something has changed that a worker may wait for. The state is locked then: it may only note that.
    pub(in crate::server) fn on_move(&self, ring: impl Fn() + Send + 'static) {
        self.inner.rings.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(ring));
    }

    /// Another number for each start of a server.
    pub(in crate::server) fn instance(&self) -> u64 {
        self.inner.instance
    }

    /// How many workers there are.
    pub(in crate::server) fn workers(&self) -> usize {
        self.inner.rules.workers
    }

    /// Seconds between two looks at who is late.
    pub(in crate::server) fn look_every(&self) -> f64 {
        (self.inner.rules.deadline / 4.0).clamp(0.01, 1.0)
    }

    /// Gives a worker its place.
    pub(in crate::server) fn sit(&self, hello: &Hello) -> Result<Joined> {
        self.seated(hello).map(|(_, joined)| joined)
    }

    /// What a worker is told that has a place; nothing while others must come first.
    pub(in crate::server) fn welcomed(&self, hello: &Hello, joined: Joined) -> Result<Option<Welcome>> {
        let mut s = self.lock();
        self.alive(&s)?;
        self.welcome(&mut s, hello, joined)
    }

    /// As [`Server::wished`], where nobody computes just now.
    pub(in crate::server) fn wished_now(&self, rank: usize, incarnation: u64, clock: u64) -> Option<Result<Wish>> {
        let mut s = self.inner.state.try_lock().ok()?;
        Some(self.wish(&mut s, rank, incarnation, clock))
    }

    /// What becomes of a wish for the parameters for the push of this clock.
    pub(in crate::server) fn wished(&self, rank: usize, incarnation: u64, clock: u64) -> Result<Wish> {
        self.wish(&mut self.lock(), rank, incarnation, clock)
    }

    /// What a push would come to that changes nothing; `None` where its arrays are wanted. Fails on arrays of other lengths than the model has.
    pub(in crate::server) fn expects(&self, rank: usize, incarnation: u64, push: &Push, lengths: [usize; 2]) -> Result<Option<Reply>> {
        self.expected(&mut self.lock(), rank, incarnation, push, lengths)
    }

    /// As [`Server::expects`], where nobody computes just now.
    pub(in crate::server) fn expects_now(
        &self,
        rank: usize,
        incarnation: u64,
        push: &Push,
        lengths: [usize; 2],
    ) -> Option<Result<Option<Reply>>> {
        let mut s = self.inner.state.try_lock().ok()?;
        Some(self.expected(&mut s, rank, incarnation, push, lengths))
    }

    fn expected(&self, s: &mut State, rank: usize, incarnation: u64, push: &Push, lengths: [usize; 2]) -> Result<Option<Reply>> {
        self.alive(s)?;
        if s.standing.over {
            return Ok(Some(Reply::Known));
        }
        s.check_sizes(push, rank, self.inner.rules.mode, lengths)?;
        Ok(match s.clocks.expects(rank, incarnation, push.clock).map_err(|r| refused(r, rank))? {
            Some(Pushed::Rejoins) => Some(Reply::Rejoin),
            Some(_) => {
                s.standing.known += 1;
                Some(Reply::Known)
            }
            None => None,
        })
    }

    /// A push whose arrays the server may keep.
    pub(in crate::server) fn push_given(&self, rank: usize, incarnation: u64, push: &Push, part: &mut Part) -> Result<Reply> {
        self.push_of(rank, incarnation, push, part)
    }

    /// A worker that was kept waiting does not listen any more.
    pub(in crate::server) fn hung_up(&self, rank: usize, incarnation: u64) {
        let now = self.now();
        // one that was replaced meanwhile is nobody
        let _ = self.lock().clocks.enter(rank, incarnation, now);
    }

    /// Whether the run has ended, and how.
    pub(in crate::server) fn ended(&self) -> Option<Result<()>> {
        let s = self.lock();
        match (&s.failed, self.alive(&s)) {
            (Some(why), _) => Some(Err(own(why))),
            (None, Err(e)) => Some(Err(e)),
            (None, Ok(())) => (s.clocks.is_over() || s.standing.over && s.clocks.present() == 0).then_some(Ok(())),
        }
    }
}

/// The error that has ended a run, from its text: to the server's host it is no other's.
fn own(why: &str) -> Error {
    let part = |name: &str| why.lines().find_map(|l| l.trim_start().strip_prefix(name)).unwrap_or("the server").to_string();
    Error::Distributed { problem: why.lines().next().unwrap_or_default().into(), at: part("where: "), help: part("help: ") }
}
