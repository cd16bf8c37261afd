use super::lib::fork::Writes;
use crate::kernels::Commit;
use crate::kernels::words::{STATE_HALT, STATE_SKIP, STATE_WORDS};
use std::ops::Range;

/// The words of each binding that it touches.
pub(super) fn spans(k: &Commit) -> Vec<Range<usize>> {
    let end = |end: &dyn Fn(&crate::kernels::Part) -> usize| k.parts.iter().map(end).max().unwrap_or(0);
    vec![0..STATE_WORDS, 0..end(&|p| p.to + p.len), 0..end(&|p| p.from + p.len)]
}

/// The twin of `shaders/commit.wgsl`.
pub(super) fn run(k: &Commit, reads: &[&[u32]], writes: Writes<'_>) {
    let (&[state, values], [buffers, ..]) = (reads, writes) else { return };
    if state[STATE_HALT] != 0 || state[STATE_SKIP] != 0 {
        return;
    }
    for p in &k.parts {
        buffers[p.to..p.to + p.len].copy_from_slice(&values[p.from..p.from + p.len]);
    }
}
