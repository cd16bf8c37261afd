use super::lib::fork::{Writes, f32s, f32s_mut};
use crate::error::{Error, Result, panic_text};
use crate::graph::Type;
use crate::kernels::Custom;
use std::ops::Range;

pub(super) fn spans(k: &Custom) -> Vec<Range<usize>> {
    k.inputs.iter().chain(&k.outputs).map(|(t, offset)| *offset..offset + t.shape.size()).collect()
}

/// The user's own loop.
pub(super) fn run(k: &Custom, reads: &[&[u32]], writes: Writes<'_>) -> Result<()> {
    let types: Vec<&Type> = k.inputs.iter().map(|(t, _)| t).collect();
    let x: Vec<&[f32]> = reads.iter().zip(&k.inputs).map(|(r, (t, offset))| &f32s(r)[*offset..][..t.shape.size()]).collect();
    let mut y: Vec<&mut [f32]> = writes.into_iter().take(k.outputs.len()).map(f32s_mut).collect();
    // the buffers are out of the table meanwhile: a panic must not take them along
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| k.op.op().cpu(&types, &x, &mut y)));
    let done = done.unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_text(&*panic))));
    done.map_err(|problem| Error::CustomOp { op: k.op.op().name().into(), problem, at: k.at.clone() })
}
