//! What callers get wrong is an error; the rest is in the rooms below.

mod augment;
pub(super) mod harness;
mod training;
mod twins;

use super::CpuSession;
use crate::error::{Error, Result};
use crate::kernels::Target;
use crate::kernels::words::STATE_CURSOR;
use crate::plan::{Blocking, BufferId, DataId, Handle, Layout, Session, StateSet};
use crate::tensor::DType;
use harness::{Model, Planned, field};
use std::sync::Arc;

fn small() -> Planned {
    let m = Model::new();
    let x = m.b.batch(8, field("x", DType::F32, &[3]));
    let w = m.parameter(&[2, 3]);
    let y = x.matmul_with(&w, false, true).square().mean();
    m.finish(Some(y), &[], 8, Target::Software).unwrap()
}

#[track_caller]
fn faulty<T>(r: Result<T>) {
    assert!(matches!(r, Err(Error::DeviceFault { .. })));
}

#[test]
fn buffers_are_checked() -> Result<()> {
    let mut s = CpuSession::new(Layout { parameters: 128, moments: 1, ..Layout::default() }, 3)?;
    assert_eq!(s.threads(), 3);
    faulty(s.read(BufferId::Moment(1), 0, 1));
    faulty(s.read(BufferId::Slot(0), 0, 1));
    faulty(s.read(BufferId::Slot(usize::MAX), 0, 1));
    faulty(s.read(BufferId::Data(0), 0, 1));
    faulty(s.read(BufferId::Parameters, 128, 1));
    faulty(s.read(BufferId::Parameters, usize::MAX, 2));
    faulty(s.write(BufferId::Gradients, 127, &[1, 2]));
    faulty(s.queue(Handle(0), 1, 0));
    assert_eq!(s.read(BufferId::Log(StateSet::Eval), 0, 1)?, [u32::MAX]);
    assert!(s.next_log(StateSet::Train)?.is_none() && s.in_flight() == 0);
    s.drop_data(DataId(9));
    Ok(())
}

#[test]
fn programs_are_checked() -> Result<()> {
    let p = small();
    let mut s = p.session(1, 16)?;
    faulty(s.prepare(&p.program, &[]));
    faulty(s.prepare(&p.program, &[DataId(0)]));
    let d = s.add_data(&[0; 48])?;
    let h = s.prepare(&p.program, &[d])?;
    faulty(s.write(BufferId::Slot(0), 0, &[0]));
    s.queue(h, 2, 0)?;
    // a layout of another model
    let mut other = CpuSession::new(Layout { parameters: 64, moments: 2, ..Layout::default() }, 1)?;
    let d2 = other.add_data(&[0; 48])?;
    faulty(other.prepare(&p.program, &[d2]));
    let mut fewer = CpuSession::new(Layout::of(&p.program.arena, 1), 1)?;
    let d3 = fewer.add_data(&[0; 48])?;
    faulty(fewer.prepare(&p.program, &[d3]));
    // a launch that reads what it writes
    let mut bad = (*p.program).clone();
    let last = bad.launches.iter().position(|l| l.kernel.name() == "gemm_nt").unwrap();
    bad.launches[last].buffers[0] = *bad.launches[last].buffers.last().unwrap();
    faulty(s.prepare(&Arc::new(bad), &[d]));
    s.drop_data(d);
    faulty(s.queue(h, 1, 2));
    Ok(())
}

/// Rows past the data: an error, and the session goes on.
#[test]
fn rows_are_checked() -> Result<()> {
    let p = small();
    let mut s = p.session(1, 16)?;
    let (d, short) = (s.add_data(&[0; 48])?, s.add_data(&[0; 47])?);
    let (h, h2) = (s.prepare(&p.program, &[d])?, s.prepare(&p.program, &[short])?);
    s.write(BufferId::State(StateSet::Train), STATE_CURSOR, &[9])?;
    faulty(s.queue(h, 1, 0));
    s.write(BufferId::State(StateSet::Train), STATE_CURSOR, &[8])?;
    faulty(s.queue(h2, 1, 0));
    s.queue(h, 1, 0)?;
    assert_eq!(s.next_log(StateSet::Train)?.unwrap().len(), 1);
    Ok(())
}
