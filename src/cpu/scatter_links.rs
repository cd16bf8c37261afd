//! The twin of `shaders/scatter_links.wgsl`.

use super::lib::call::{Call, Twin};
use crate::error::Result;
use crate::kernels::{FIRST, LAST, ScatterLinks};

impl Twin for ScatterLinks {
    ///the same chains, of single places, in one pass from the end; what was found is noted beside the table.
    fn run(&self, Call { reads, writes, .. }: Call<'_>) -> Result<()> {
        let indices = &reads[0][self.offsets[0]..][..self.count];
        let links = &mut *writes.into_iter().next().unwrap_or_default();
        let mut next = vec![LAST; self.rows];
        for (i, &index) in indices.iter().enumerate().rev() {
            match next.get_mut(index as usize) {
                Some(next) if Some(index as usize) != self.padding => links[i] = std::mem::replace(next, i as u32),
                // chained too, as on a GPU, but nothing walks it
                _ => links[i] = LAST,
            }
        }
        next.iter().filter(|&&n| n != LAST).for_each(|&n| links[n as usize] |= FIRST);
        Ok(())
    }
}
