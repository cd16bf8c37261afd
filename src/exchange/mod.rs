//! How a worker of a distributed run meets its server: the messages, the face that carries them, and the worker's loop. The server's half is
//! [`server`](crate::server).

#[cfg(feature = "dist")]
pub(crate) mod grpc;
mod link;
mod message;
mod mode;
mod shard;
mod shards;
mod share;
mod stepper;
mod stop;
mod top;
mod worker;

pub(crate) use share::Place;
pub(crate) use stepper::{Run, Stepper};

#[cfg(feature = "dist")]
#[cfg_attr(docsrs, doc(cfg(feature = "dist")))]
pub use grpc::{Connect, Grpc, connect, connect_shards};
pub use link::{Exchange, Reply};
pub use message::{Hello, Pulled, Push, ScaleWords, Welcome};
pub use mode::Mode;
pub use shard::Shard;
pub use shards::Shards;
pub use share::Share;
pub use stop::Stop;
pub use worker::{Worker, WorkerReport};
