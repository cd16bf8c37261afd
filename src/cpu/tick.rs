//! The twin of `shaders/tick.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{f32s, total};
use crate::error::Result;
use crate::kernels::words::*;
use crate::kernels::{LOG_HEAD, Tick};

impl Twin for Tick {
    fn run(&self, Call { reads, writes, .. }: Call<'_>) -> Result<()> {
        let [state, log, ..] = writes;
        if state[STATE_HALT] != 0 {
            return Ok(());
        }
        let batch = state[STATE_BATCH];
        let line = &mut log[self.log.line(batch)..][..self.log.width];
        let (mut halt, mut skip) = (false, false);
        let scale = state[STATE_LOSS_SCALE];
        let mut scaled = None;
        if self.loss.is_some() || self.updates {
            let loss = self.loss.map_or(0.0, |at| f32s(reads[0])[at]);
            let partials = reads.last().filter(|_| self.updates).map_or(&[][..], |p| &f32s(p)[..self.partials]);
            let squares = total(partials, |v| v) as f32;
            halt = self.train && (!loss.is_finite() || !squares.is_finite());
            if let Some(scaling) = self.scaling {
                // a batch that went wrong takes its whole update with it
                skip = halt || state[STATE_SKIP] == SKIP_PENDING;
                scaled = scaling.after(f32::from_bits(scale), state[STATE_GROWTH], skip).filter(|_| self.updates);
                halt = self.updates && scaled.is_none();
            }
            line[1] = loss.to_bits();
            line[2] = squares.sqrt().to_bits();
            let mut columns = &mut line[LOG_HEAD..];
            for (&(at, n), from) in self.metrics.iter().zip(&reads[1..]) {
                let (here, rest) = columns.split_at_mut(n);
                here.copy_from_slice(&from[at..at + n]);
                columns = rest;
            }
        }
        line[0] = batch;
        line[3] = if halt { LOG_HALTED } else { 0 };
        if self.scaling.is_some() {
            line[3] |= if self.updates && skip && !halt { LOG_SKIPPED } else { 0 } | (scale >> 23) << LOG_SCALE;
        }
        if halt {
            state[STATE_HALT] = 1;
            return Ok(());
        }
        state[STATE_BATCH] = batch.wrapping_add(1);
        if self.updates && !skip {
            state[STATE_UPDATE] = state[STATE_UPDATE].wrapping_add(1);
        }
        if self.train {
            state[STATE_MICRO] = if self.updates { 0 } else { state[STATE_MICRO].wrapping_add(1) };
            let weight = self.weight.map(|(i, at)| f32s(reads[1 + i])[self.metrics[i].0 + at]);
            let summed = match weight {
                Some(w) => (f32::from_bits(state[STATE_SUMMED]) + w).to_bits(),
                None => state[STATE_SUMMED].wrapping_add(self.batch as u32),
            };
            state[STATE_SUMMED] = if self.updates { 0 } else { summed };
        }
        if self.scaling.is_some() {
            state[STATE_SKIP] = match (skip, self.updates) {
                (false, _) => SKIP_NONE,
                (true, false) => SKIP_PENDING,
                (true, true) => SKIP_DONE,
            };
            state[STATE_SKIPPED] = state[STATE_SKIPPED].wrapping_add(u32::from(skip && self.updates));
        }
        if let Some((scale, count)) = scaled {
            (state[STATE_LOSS_SCALE], state[STATE_GROWTH]) = (scale.to_bits(), count);
        }
        let cursor = state[STATE_CURSOR].wrapping_add(self.batch as u32);
        if self.batch > 0 && cursor >= state[STATE_ROWS] {
            state[STATE_CURSOR] = 0;
            state[STATE_EPOCH] = state[STATE_EPOCH].wrapping_add(1);
        } else {
            state[STATE_CURSOR] = cursor;
        }
        Ok(())
    }
}
