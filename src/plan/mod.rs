//! HOW to compute it: from a graph to a [`Program`], a list of kernel launches over a few buffers. Pure: knows no wgpu.
//!
//! [`plan`] fuses maps into the kernels around them (`fuse`), turns each group into launches (`lower`), and colours what they
//! make into reusable slots (`memory`). The result is data: it can be printed, counted and tested without a device.

mod axes;
mod blocking;
mod caps;
mod countable;
mod explain;
mod fits;
mod fuse;
mod human;
mod light;
mod limits;
mod listed;
mod lower;
mod memory;
mod pieces;
mod precision;
mod program;
mod purpose;
mod request;
mod schedule;
mod session;
mod sources;
mod step;
mod sub_program;
mod timing;
mod update;
mod views;

#[doc(hidden)]
pub use crate::optim::Rule;
pub use blocking::Blocking;
#[doc(hidden)]
pub use caps::Caps;
pub(crate) use human::{human_bytes, human_count};
#[doc(hidden)]
pub use limits::{IndexLimit, LabelLimit};
#[cfg(feature = "gpu")]
pub(crate) use memory::STAGED;
#[doc(hidden)]
pub use memory::{ALIGN, BufferSpec, Lasts, Usage};
pub use memory::{Arena, ArenaEntry, ArenaId, BufferEntry, BufferId, Cuts, Layout, Piece};
pub(crate) use memory::{Ledger, program_dims};
pub use program::{Launch, LogMetric, Made, Output, Phase, Program, Stored, Unit};
pub use purpose::{Part, Purpose, StateSet};
#[doc(hidden)]
pub use request::Request;
pub use schedule::Dispatch;
#[doc(hidden)]
pub use session::{DataId, Handle, LogLine, PendingRead, Session, Submit, Ticket, Traffic};
#[doc(hidden)]
pub use step::Step;
#[doc(hidden)]
pub use sub_program::SubProgram;
pub use timing::{Clock, Timing};
#[doc(hidden)]
pub use update::update_program;

use crate::error::{Error, Result};

/// Plans a step.
#[doc(hidden)]
pub fn plan(r: &Request<'_>) -> Result<Program> {
    let step = r.step.simplified()?;
    let groups = fuse::fuse(&step)?;
    let draft = lower::lower(r, &step, &groups)?;
    let mut program = memory::colour(r, draft);
    program.weighed = r.step.weight.is_some();
    program.stored = precision::explain(&step, &program.units, &program.launches);
    program.elements = largest(&step);
    program.index_limits = limits::index_limits(&step.graph);
    program.label_limits = limits::label_limits(&step.graph);
    launchable(program, r.caps)
}

/// Fails where a launch has more sizes than a row of `dims` holds, or binds what the device cannot.
fn launchable(program: Program, caps: Caps) -> Result<Program> {
    if let Some(l) = program.launches.iter().find(|l| l.kernel.dims().len() > crate::kernels::DIMS) {
        return Err(Error::Unsupported {
            what: format!("the launch {} {}", l.kernel.name(), l.label),
            at: program.whose(),
            help: "its tensors have too many axes for one launch: merge some of them (`reshape`)".into(),
        });
    }
    program.fits(&caps)?;
    Ok(program)
}

fn largest(step: &Step) -> usize {
    let g = &step.graph;
    let live = g.live(&step.roots());
    let sizes = g.nodes.iter().zip(live).filter(|(_, live)| *live).flat_map(|(n, _)| n.outputs.iter().map(|t| t.shape.size()));
    sizes.max().unwrap_or(0)
}
