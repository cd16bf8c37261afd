//! The exchange through gRPC: the messages on the wire, and a worker's side. `gradus.proto` describes them for other languages.

mod block_on;
mod client;
pub(crate) mod codec;
mod fault;
pub(crate) mod fill;
pub(crate) mod flow;
pub(crate) mod wire;

pub use client::{Connect, Grpc, connect, connect_shards};
pub(crate) use fault::{check_secret, status_of};

/// Bytes that may be under way to somebody before it says that it has them, on one call and on one connection: gRPC's 64 KiB make large arrays
/// wait (measured: 1.5 to 2.4 times).
pub(crate) const STREAM_WINDOW: u32 = 8 << 20;
/// As [`STREAM_WINDOW`], of a connection.
pub(crate) const CONNECTION_WINDOW: u32 = 32 << 20;
/// Bytes of an HTTP/2 frame.
pub(crate) const FRAME: u32 = 1 << 20;
/// Seconds between two questions whether the other side is there, and until it must have answered.
pub(crate) const ALIVE_EVERY: u64 = 15;
/// As [`ALIVE_EVERY`]: the answer.
pub(crate) const ALIVE_WITHIN: u64 = 20;
/// Most bytes of a message without arrays.
pub(crate) const MOST_PLAIN: usize = 1 << 20;
