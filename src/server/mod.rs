#![doc = include_str!("../../docs/distributed.md")]

mod checkpoint;
mod clocks;
mod cluster;
mod cut;
mod event;
mod gathered;
mod keeper;
mod length;
mod memory;
mod outer;
mod rules;
#[cfg(feature = "dist")]
mod serve;
mod shared;
mod simulate;
mod snapshot;
mod state;
mod watcher;

pub use clocks::{Asked, Clocks, Joined, Pushed, Refusal};
pub use cluster::{Cluster, ClusterOutcome};
pub use event::{Event, Flow, Standing};
pub use outer::Outer;
pub use rules::Rules;
#[cfg(feature = "dist")]
#[cfg_attr(docsrs, doc(cfg(feature = "dist")))]
pub use serve::{Serve, Serving, serve};
pub use shared::Server;
pub use simulate::{Crashes, Delay, Link, ServerCost, Simulated, Simulation};
pub use watcher::Watcher;
