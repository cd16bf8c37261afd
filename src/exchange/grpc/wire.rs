//! The messages on the wire, as `gradus.proto` has them.

use crate::error::{Error, Result};
use crate::exchange::{Hello, Push, Reply, ScaleWords, Shard, Welcome};
use bytes::Bytes;

pub(crate) mod path {
    pub const MODE: &str = "/gradus.v1.Exchange/Mode";
    pub const JOIN: &str = "/gradus.v1.Exchange/Join";
    pub const PULL: &str = "/gradus.v1.Exchange/Pull";
    pub const PUSH: &str = "/gradus.v1.Exchange/Push";
    pub const LEAVE: &str = "/gradus.v1.Exchange/Leave";
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ModeAsked {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ModeTold {
    #[prost(string, tag = "1")]
    pub mode: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HelloMessage {
    #[prost(uint64, tag = "1")]
    pub rank: u64,
    #[prost(uint64, tag = "2")]
    pub world: u64,
    #[prost(string, tag = "3")]
    pub version: String,
    #[prost(string, tag = "4")]
    pub model: String,
    #[prost(string, tag = "5")]
    pub machine: String,
    #[prost(string, repeated, tag = "6")]
    pub untouched: Vec<String>,
    #[prost(uint64, tag = "7")]
    pub batches: u64,
    #[prost(bool, tag = "8")]
    pub own_rows: bool,
    #[prost(uint64, tag = "9")]
    pub epochs: u64,
    #[prost(string, tag = "10")]
    pub step: String,
    #[prost(uint64, tag = "11")]
    pub rows: u64,
    #[prost(uint64, tag = "12")]
    pub batch_size: u64,
    #[prost(bool, tag = "13")]
    pub shuffle: bool,
    #[prost(uint64, tag = "14")]
    pub shard: u64,
    #[prost(uint64, tag = "15")]
    pub shards: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WelcomeMessage {
    #[prost(uint64, tag = "1")]
    pub clock: u64,
    #[prost(uint64, tag = "2")]
    pub incarnation: u64,
    #[prost(string, tag = "3")]
    pub mode: String,
    #[prost(uint64, tag = "4")]
    pub rounds: u64,
    #[prost(uint64, tag = "5")]
    pub clocks: u64,
    #[prost(string, optional, tag = "6")]
    pub other_machine: Option<String>,
    #[prost(uint64, tag = "7")]
    pub instance: u64,
    #[prost(uint64, tag = "8")]
    pub epochs_before: u64,
    #[prost(uint64, tag = "9")]
    pub batches_before: u64,
    #[prost(uint64, tag = "10")]
    pub first: u64,
    #[prost(uint64, tag = "11")]
    pub end: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Seat {
    #[prost(uint64, tag = "1")]
    pub instance: u64,
    #[prost(uint64, tag = "2")]
    pub rank: u64,
    #[prost(uint64, tag = "3")]
    pub incarnation: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Wish {
    #[prost(message, optional, tag = "1")]
    pub seat: Option<Seat>,
    #[prost(uint64, tag = "2")]
    pub clock: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct LossScale {
    #[prost(float, tag = "1")]
    pub scale: f32,
    #[prost(uint32, tag = "2")]
    pub growth: u32,
    #[prost(uint32, tag = "3")]
    pub skipped: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct PullHead {
    #[prost(uint32, tag = "1")]
    pub reply: u32,
    #[prost(uint64, tag = "2")]
    pub update: u64,
    #[prost(message, optional, tag = "3")]
    pub scale: Option<LossScale>,
    #[prost(bool, tag = "4")]
    pub over: bool,
    #[prost(uint64, tag = "5")]
    pub parameters: u64,
    #[prost(uint64, tag = "6")]
    pub buffers: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PullPart {
    #[prost(message, optional, tag = "1")]
    pub head: Option<PullHead>,
    #[prost(message, optional, tag = "2")]
    pub chunk: Option<Chunk>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct PushHead {
    #[prost(message, optional, tag = "1")]
    pub seat: Option<Seat>,
    #[prost(uint64, tag = "2")]
    pub clock: u64,
    #[prost(uint64, tag = "3")]
    pub update: u64,
    #[prost(uint64, tag = "4")]
    pub rows: u64,
    #[prost(float, optional, tag = "5")]
    pub counted: Option<f32>,
    #[prost(float, tag = "6")]
    pub loss: f32,
    #[prost(bool, tag = "7")]
    pub finite: bool,
    #[prost(float, optional, tag = "8")]
    pub scale: Option<f32>,
    #[prost(uint64, tag = "9")]
    pub values: u64,
    #[prost(uint64, tag = "10")]
    pub buffers: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PushPart {
    #[prost(message, optional, tag = "1")]
    pub head: Option<PushHead>,
    #[prost(message, optional, tag = "2")]
    pub chunk: Option<Chunk>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Chunk {
    #[prost(bytes = "bytes", tag = "1")]
    pub full: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub half: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub pairs: Bytes,
    #[prost(uint32, tag = "4")]
    pub count: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Verdict {
    #[prost(uint32, tag = "1")]
    pub reply: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Leaving {
    #[prost(message, optional, tag = "1")]
    pub seat: Option<Seat>,
    #[prost(bool, tag = "2")]
    pub done: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Fault {
    #[prost(string, tag = "1")]
    pub problem: String,
    #[prost(string, tag = "2")]
    pub at: String,
    #[prost(string, tag = "3")]
    pub help: String,
}

impl From<&Hello> for HelloMessage {
    fn from(h: &Hello) -> Self {
        let Hello { version, model, machine, step, untouched, rows, batch_size, batches, shuffle, own_rows, epochs, .. } = h.clone();
        let [rank, world, shard, shards] = [h.rank, h.world, h.shard.index, h.shard.of].map(|n| n as u64);
        HelloMessage {
            rank,
            world,
            version,
            model,
            machine,
            untouched,
            batches,
            own_rows,
            epochs,
            step,
            rows,
            batch_size,
            shuffle,
            shard,
            shards,
        }
    }
}

impl From<HelloMessage> for Hello {
    fn from(h: HelloMessage) -> Self {
        // a client that says nothing of shards knows one server
        let [rank, world, index, of] = [h.rank, h.world, h.shard, h.shards.max(1)].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let HelloMessage { version, model, machine, untouched, batches, own_rows, epochs, step, rows, batch_size, shuffle, .. } = h;
        let shard = Shard { index, of };
        Hello { rank, world, version, model, machine, step, untouched, rows, batch_size, batches, shuffle, own_rows, epochs, shard }
    }
}

impl WelcomeMessage {
    pub fn new(w: Welcome, instance: u64) -> Self {
        let Welcome { clock, incarnation, mode, rounds, clocks, before: [epochs_before, batches_before], other_machine, range } = w;
        let (mode, [first, end]) = (mode.to_string(), range);
        WelcomeMessage { clock, incarnation, mode, rounds, clocks, other_machine, instance, epochs_before, batches_before, first, end }
    }

    pub fn welcome(self) -> Result<Welcome> {
        let WelcomeMessage { clock, incarnation, mode, rounds, clocks, other_machine, epochs_before, batches_before, first, end, .. } =
            self;
        let (before, range) = ([epochs_before, batches_before], [first, end]);
        Ok(Welcome { clock, incarnation, mode: mode.parse()?, rounds, clocks, before, other_machine, range })
    }
}

impl PushHead {
    pub fn new(p: &Push, seat: Seat, values: usize, buffers: usize) -> Self {
        let Push { clock, update, rows, counted, loss, finite, scale } = *p;
        let (values, buffers) = (values as u64, buffers as u64);
        PushHead { seat: Some(seat), clock, update, rows, counted, loss, finite, scale, values, buffers }
    }

    pub fn push(&self) -> Push {
        let PushHead { clock, update, rows, counted, loss, finite, scale, .. } = *self;
        Push { clock, update, rows, counted, loss, finite, scale }
    }
}

impl From<ScaleWords> for LossScale {
    fn from(s: ScaleWords) -> Self {
        LossScale { scale: s.scale, growth: s.growth, skipped: s.skipped }
    }
}

impl From<LossScale> for ScaleWords {
    fn from(s: LossScale) -> Self {
        ScaleWords { scale: s.scale, growth: s.growth, skipped: s.skipped }
    }
}

/// The number of a reply.
pub(crate) fn number(reply: Reply) -> u32 {
    match reply {
        Reply::Taken => 0,
        Reply::Known => 1,
        Reply::Rejoin => 2,
    }
}

/// The reply of a number.
pub(crate) fn reply(number: u32) -> Result<Reply> {
    match number {
        0 => Ok(Reply::Taken),
        1 => Ok(Reply::Known),
        2 => Ok(Reply::Rejoin),
        other => Err(Error::Distributed {
            problem: format!("the server replies with {other}, which means nothing"),
            at: "the exchange".into(),
            help: "use one version of gradus for both".into(),
        }),
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
