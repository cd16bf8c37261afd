//! Steps on their way to the GPU: K steps in one pass and one submit, or one long step in several.

use super::readback::staging_bytes;
use super::session::GpuSession;
use super::under_way::{Content, UnderWay};
use crate::error::Result;
use crate::kernels::LogShape;
use crate::plan::{BufferId, StateSet, Submit, Ticket};
use std::ops::Range;

/// Dispatches of one step, of a program at this place among those of the session.
struct Piece {
    program: usize,
    dispatches: Range<usize>,
}

impl GpuSession {
    /// Submits steps; the log's new lines follow into a staging buffer. The programs' bind groups are fresh, and their lines of one width.
    pub(super) fn encode(&mut self, submit: Submit<'_>) -> Result<Ticket> {
        let first = submit.runs.iter().find_map(|(h, _)| self.programs.get(h.0)?.as_ref());
        let shape = first.map_or(LogShape::of(0), |p| p.program.log());
        let set = first.map_or(StateSet::Train, |p| p.program.purpose.state_set());
        let (submits, steps) = self.cut(submit, shape.most_steps());
        self.under_way.sweep(&mut self.staging);
        let staging = self.staging.take(&self.gpu, staging_bytes(shape));
        let (last, before) = submits.split_last().map_or((&[][..], &[][..]), |(last, before)| (&last[..], before));
        for pieces in before {
            let commands = self.commands(pieces);
            self.gpu.queue.submit([commands.finish()]);
        }
        let mut encoder = self.commands(last);
        self.traffic.submits += 1 + before.len() as u64;
        self.traffic.steps += steps as u64;
        let log = self.find(BufferId::Log(set), &[])?;
        let (line, row) = (4 * shape.width as u64, submit.first_batch as usize % shape.rows);
        let head = steps.min(shape.rows - row);
        encoder.copy_buffer_to_buffer(log, row as u64 * line, &staging, 0, head as u64 * line);
        if head < steps {
            encoder.copy_buffer_to_buffer(log, 0, &staging, head as u64 * line, (steps - head) as u64 * line);
        }
        let index = self.gpu.queue.submit([encoder.finish()]);
        self.gpu.check("a submit")?; // one that was refused never ends
        let number = UnderWay::next();
        self.under_way.push(number, Content::Log { set, first_batch: submit.first_batch, steps, shape }, staging, index);
        Ok(Ticket(number))
    }

    /// What goes into each submit to the queue, and how many steps that is, at most `most`.
    fn cut(&self, submit: Submit<'_>, most: usize) -> (Vec<Vec<Piece>>, usize) {
        let (mut submits, mut left) = (vec![vec![]], most);
        for &(handle, steps) in submit.runs {
            let Some(p) = self.programs.get(handle.0).and_then(Option::as_ref) else { continue };
            let steps = left.min(steps);
            left -= steps;
            let pieces = p.program.cut(submit.pieces);
            for _ in 0..steps {
                for (i, dispatches) in pieces.iter().cloned().enumerate() {
                    if i > 0 {
                        submits.push(vec![]);
                    }
                    submits.last_mut().into_iter().for_each(|s| s.push(Piece { program: handle.0, dispatches: dispatches.clone() }));
                }
            }
        }
        (submits, most - left)
    }

    /// The commands of some pieces, in one pass.
    fn commands(&self, pieces: &[Piece]) -> wgpu::CommandEncoder {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for piece in pieces {
            let Some(p) = self.programs.get(piece.program).and_then(Option::as_ref) else { continue };
            p.schedule[piece.dispatches.clone()].iter().for_each(|d| p.dispatch(&mut pass, *d));
        }
        drop(pass);
        encoder
    }
}
