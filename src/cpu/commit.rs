//! The twin of `shaders/commit.wgsl`.

use super::lib::call::{Call, Twin};
use crate::error::Result;
use crate::kernels::Commit;
use crate::kernels::words::{STATE_HALT, STATE_SKIP};

impl Twin for Commit {
    fn run(&self, Call { reads, writes, .. }: Call<'_>) -> Result<()> {
        let (&[state, values], [buffers, ..]) = (reads, writes) else { return Ok(()) };
        if state[STATE_HALT] != 0 || state[STATE_SKIP] != 0 {
            return Ok(());
        }
        for p in &self.parts {
            buffers[p.to..p.to + p.len].copy_from_slice(&values[p.from..p.from + p.len]);
        }
        Ok(())
    }
}
