//! An operation of the user's own: a loop that the user gives.

use super::lib::call::{Call, Twin};
use super::lib::fork::{f32s, f32s_mut};
use crate::error::{Error, Result, panic_text};
use crate::graph::Type;
use crate::kernels::Custom;

impl Twin for Custom {
    /// The user's own loop.
    fn run(&self, Call { reads, writes, .. }: Call<'_>) -> Result<()> {
        let types: Vec<&Type> = self.inputs.iter().map(|(t, _)| t).collect();
        let x: Vec<&[f32]> = reads.iter().zip(&self.inputs).map(|(r, (t, offset))| &f32s(r)[*offset..][..t.shape.size()]).collect();
        let mut y: Vec<&mut [f32]> = writes.into_iter().take(self.outputs.len()).map(f32s_mut).collect();
        // the buffers are out of the table meanwhile: a panic must not take them along
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.op.op().cpu(&types, &x, &mut y)));
        let done = done.unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_text(&*panic))));
        done.map_err(|problem| Error::CustomOp { op: self.op.op().name().into(), problem, at: self.at.clone() })
    }
}
