//! The twin of `shaders/scatter_links.wgsl`.

use super::lib::fork::Writes;
use crate::kernels::{FIRST, LAST, ScatterLinks};
use std::ops::Range;

pub(super) fn spans(k: &ScatterLinks) -> Vec<Range<usize>> {
    vec![k.offset..k.offset + k.count, 0..k.count]
}

/// The twin of `shaders/scatter_links.wgsl`: the same links, in one pass from the end.
pub(super) fn run(k: &ScatterLinks, reads: &[&[u32]], writes: Writes<'_>) {
    let indices = &reads[0][k.offset..][..k.count];
    let links = &mut *writes.into_iter().next().unwrap_or_default();
    let mut next = vec![LAST; k.rows];
    for (i, &index) in indices.iter().enumerate().rev() {
        match next.get_mut(index as usize) {
            Some(next) if Some(index as usize) != k.padding => links[i] = std::mem::replace(next, i as u32),
            // chained too, as on a GPU, but nothing walks it
            _ => links[i] = LAST,
        }
    }
    next.iter().filter(|&&n| n != LAST).for_each(|&n| links[n as usize] |= FIRST);
}
