//! The twin of `shaders/direction.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork};
use super::lib::rates::{View, stopped};
use super::squares::squares;
use crate::error::Result;
use crate::expr::Evaluator;
use crate::kernels::Direction;
use crate::kernels::words::BLOCK;
use std::ops::Range;

impl Twin for Direction {
    fn run(&self, Call { workers, reads, writes, .. }: Call<'_>) -> Result<()> {
        let &[state, rates, parameters, gradients, guard] = reads else { return Ok(()) };
        let (p, g) = (f32s(parameters), f32s(gradients));
        let (stop, clip) = stopped(&self.guard, state, guard);
        let view = View::new(self.rates, rates, state, clip, &[]).of(self.shard);
        let blocks = self.size / BLOCK;
        let each = blocks.div_ceil(self.groups().max(1));
        let used = blocks.div_ceil(each.max(1));
        let mut widths = [each * BLOCK; WRITES];
        let to = self.moments;
        widths[to] = each * Direction::STRIDE;
        fork(workers, 0..used, 1, widths, writes, &|e: &mut Evaluator, units: Range<usize>, mut w: Writes<'_>| {
            let mut last = None;
            let begin = units.start * each;
            for unit in units {
                for block in unit * each..blocks.min((unit + 1) * each) {
                    let (all, at) = (block * BLOCK..(block + 1) * BLOCK, (block - begin) * BLOCK..(block - begin + 1) * BLOCK);
                    view.turn_to(e, all.start, &mut last);
                    e.chunk(|i, row| match i {
                        0 => row[..BLOCK].copy_from_slice(&p[all.clone()]),
                        1 => row[..BLOCK].copy_from_slice(&g[all.clone()]),
                        _ => row[..BLOCK].copy_from_slice(&f32s(w[i - 2])[at.clone()]),
                    });
                    let u = &e.output(0)[..BLOCK];
                    let out = &mut f32s_mut(w[to])[(block - begin) * Direction::STRIDE..][..Direction::STRIDE];
                    out[..BLOCK].copy_from_slice(u);
                    out[BLOCK..].copy_from_slice(&[squares(&p[all]), squares(u), 0.0, 0.0]);
                    for (m, moment) in
                        w.iter_mut().enumerate().take(if stop || self.still.iter().any(|s| s.contains(&block)) { 0 } else { self.moments })
                    {
                        e.store(1 + m, &mut f32s_mut(moment)[at.clone()]);
                    }
                }
            }
        });
        Ok(())
    }
}
