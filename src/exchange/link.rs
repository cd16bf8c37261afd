//! The one face that carries messages between a worker and its server: through memory, or through gRPC.

use super::message::{Hello, Pulled, Push, Welcome};
use super::mode::Mode;
use super::stop::Stop;
use crate::error::Result;

/// What became of a push, or of a wish for parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It counts.
    Taken,
    /// It was there already: an earlier worker of this rank has pushed it, or this one has, and the answer was lost.
    Known,
    /// The server has been restored and is behind the worker: join again, and go on from the clock that it says.
    Rejoin,
}

/// A worker's side of the exchange. Calls wait: a pull until the mode's rule lets the worker have parameters. All fail where the run has failed, where
/// the server cannot be reached in its deadline, and where a newer worker has taken this one's rank.
pub trait Exchange: Send {
    /// How the workers of this server keep step.
    fn mode(&mut self) -> Result<Mode>;

    /// Takes a place. Fails on another model, version or number of workers. Where each worker has rows of its own this waits for all: the number of
    /// pushes in an epoch is that of the longest.
    fn join(&mut self, hello: &Hello) -> Result<Welcome>;

    /// Parameters for the push of this clock, once they may be had. For a push that the server knows already they are those of now.
    fn pull(&mut self, clock: u64, into: &mut Pulled) -> Result<Reply>;

    /// As [`Exchange::pull`], of a link that is one of [`Shards`](super::Shards): where it can it gives [`Reply::Rejoin`] once the wait is to stop.
    fn pull_unless(&mut self, clock: u64, into: &mut Pulled, stop: &Stop) -> Result<Reply> {
        let _ = stop;
        self.pull(clock, into)
    }

    /// Whether such gradients can go over this link: as f16 not those of 65,520 and more. A push of others says that they are not finite.
    fn carries(&self, values: &[u32]) -> bool {
        let _ = values;
        true
    }

    /// Hands in gradients ([`Mode::Local`](super::Mode::Local): parameters), and of rank 0 the state that is not trained (local: of all).
    fn push(&mut self, push: &Push, values: &[u32], buffers: &[u32]) -> Result<Reply>;

    /// Gives the place back. `done`: its part of the run is over; else somebody else may go on with it. [`Reply::Rejoin`] where its part is not over on
    /// a server that was restored meanwhile.
    fn leave(&mut self, done: bool) -> Result<Reply>;
}
