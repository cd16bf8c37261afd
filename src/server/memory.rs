//! A worker in the process of its server: arrays are copied once each way, and nothing is serialised.

use super::shared::Server;
use crate::error::Result;
use crate::exchange::{Exchange, Hello, Mode, Pulled, Push, Reply, Stop, Welcome};

/// A link through memory. Dropped before its worker has left it gives the place back.
struct Memory {
    server: Server,
    /// Rank and incarnation, once it has joined and until it leaves.
    seat: Option<(usize, u64)>,
}

impl Server {
    /// A link for a worker in this process, through memory.
    pub fn link(&self) -> impl Exchange + use<> {
        Memory { server: self.clone(), seat: None }
    }
}

impl Memory {
    fn seat(&self) -> (usize, u64) {
        // before a join it has nobody's place: the server refuses it
        self.seat.unwrap_or((usize::MAX, 0))
    }
}

impl Exchange for Memory {
    fn mode(&mut self) -> Result<Mode> {
        Ok(self.server.mode())
    }

    fn join(&mut self, hello: &Hello) -> Result<Welcome> {
        let welcome = self.server.join(hello)?;
        self.seat = Some((hello.rank, welcome.incarnation));
        Ok(welcome)
    }

    fn pull(&mut self, clock: u64, into: &mut Pulled) -> Result<Reply> {
        self.pull_unless(clock, into, &Stop::default())
    }

    fn pull_unless(&mut self, clock: u64, into: &mut Pulled, stop: &Stop) -> Result<Reply> {
        let (rank, incarnation) = self.seat();
        self.server.pull(rank, incarnation, clock, into, stop)
    }

    fn push(&mut self, push: &Push, values: &[u32], buffers: &[u32]) -> Result<Reply> {
        let (rank, incarnation) = self.seat();
        self.server.push(rank, incarnation, push, values, buffers)
    }

    fn leave(&mut self, done: bool) -> Result<Reply> {
        let Some((rank, incarnation)) = self.seat.take() else { return Ok(Reply::Taken) };
        self.server.leave(rank, incarnation, done).map(|()| Reply::Taken)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = self.leave(false);
    }
}
