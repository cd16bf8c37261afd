//! The oracle: runs a graph node by node in the plainest loops, in f32 or f64, for tests, debugging and bisection.
//!
//! Each loop can be checked by eye against the formula of its [`Op`](crate::graph::Op). It is slow on purpose: no threads, no blocking, and no
//! code shared with the kernels, because what shares code shares mistakes.
//!
//! ```
//! use gradus::graph::Builder;
//! use gradus::reference::{Data, evaluate};
//! let b = Builder::new();
//! let w = b.parameter("w", [2].into());
//! let y = w.square().sum().value().unwrap();
//! let g = b.finish()?;
//! let out = evaluate::<f64>(&g, &|_| Some(Data::Real(vec![3.0, 4.0])), &[y])?;
//! assert_eq!(out[0].as_real(), Some(&[25.0][..]));
//! # Ok::<(), gradus::Error>(())
//! ```

mod classify;
mod convolution;
mod evaluate;
mod faults;
mod index;
mod movement;
mod ops;
mod random;
pub(crate) mod rounding;
mod rows;
mod take;
#[cfg(test)]
mod tests;
mod values;
mod window;

pub use evaluate::{evaluate, evaluate_all, evaluate_node};
pub use random::draw;
pub use values::Data;
