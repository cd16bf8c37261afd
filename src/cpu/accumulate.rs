//! The twin of `shaders/accumulate.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts};
use crate::error::Result;
use crate::expr::CHUNK;
use crate::kernels::Accumulate;
use crate::kernels::words::{STATE_HALT, STATE_MICRO, STATE_SUMMED};
use std::ops::Range;

impl Twin for Accumulate {
    fn run(&self, Call { threads, reads, writes, .. }: Call<'_>) -> Result<()> {
        let [state, other, weight @ ..] = reads else { return Ok(()) };
        if state[STATE_HALT] != 0 {
            return Ok(());
        }
        let (other, first) = (f32s(other), state[STATE_MICRO] == 0);
        // rows are counted, weights are added up
        let (rows, sum) = match (self.weight, weight) {
            (Some(at), [w]) => (f32s(w)[at], f32::from_bits(state[STATE_SUMMED]) + f32s(w)[at]),
            _ => (self.rows as f32, state[STATE_SUMMED] as f32 + self.rows as f32),
        };
        let scale = if sum == 0.0 { 0.0 } else { 1.0 / sum };
        let mut widths = [0; WRITES];
        widths[0] = 1;
        let mut workers = vec![(); parts(0.2 * self.size as f64, threads)];
        fork(&mut workers, 0..self.size, CHUNK, widths, writes, &|_: &mut (), units: Range<usize>, w: Writes<'_>| {
            let all = f32s_mut(w[0]).iter_mut().zip(&other[units]);
            match (self.last, first) {
                (true, _) => all.for_each(|(g, sum)| *g = (sum + *g * rows) * scale),
                (false, true) => all.for_each(|(sum, g)| *sum = g * rows),
                (false, false) => all.for_each(|(sum, g)| *sum += g * rows),
            }
        });
        Ok(())
    }
}
