//! The time of each launch.

use super::fault::fault;
use super::prepared::Prepared;
use super::table::Table;
use crate::error::Result;
use crate::plan::{Clock, Handle, Timing};
use std::time::Instant;

/// One step with the clock read around each launch. It leaves what a step leaves, but no line is handed out.
pub(super) fn step(p: &mut Prepared, table: &mut Table, threads: usize) -> Result<Timing> {
    let mut seconds = vec![0.0; p.program.launches.len()];
    for d in p.program.schedule() {
        let since = Instant::now();
        p.launches[d.launch].run(&p.program.launches[d.launch].kernel, table, threads)?;
        seconds[d.launch] += since.elapsed().as_secs_f64();
    }
    Ok(Timing { clock: Clock::Host, seconds })
}

/// The CPU has one clock.
pub(super) fn check(clock: Option<Clock>) -> Result<()> {
    match clock {
        None | Some(Clock::Host) => Ok(()),
        Some(other) => Err(crate::Error::Unsupported {
            what: format!("timing by {other}"),
            at: "the CPU".into(),
            help: "the CPU has no timestamps: take `Clock::Host`".into(),
        }),
    }
}

pub(super) fn gone(handle: Handle) -> crate::Error {
    fault("a profile", format!("{handle:?} is no program of this session, or its data was dropped"))
}
