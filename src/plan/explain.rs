//! What a program does, for people.

use super::human::{human_bytes, human_count};
use super::memory::{BufferId, Usage};
use super::program::{Launch, Program};
use super::purpose::{Part, Purpose};
use std::fmt::Write;

impl Program {
    /// What the program does, for people: every launch with its shape, FLOPs and bytes; pipelines, slots, arenas, memory.
    pub fn explain(&self) -> String {
        let mut out = String::new();
        let purpose = match self.purpose {
            Purpose::Train if self.part == Part::Leave => "training that leaves its gradients",
            Purpose::Train => "training",
            Purpose::Evaluate => "evaluation",
            Purpose::Predict => "inference",
            Purpose::Update => "an update alone",
        };
        let batch = if self.batch > 0 { format!(", batch {}", self.batch) } else { String::new() };
        let _ = writeln!(out, "{purpose}{batch}: {} launches, one pass", self.schedule().count());
        let trips = self.trips();
        for (phase, range) in &self.phases {
            let name = phase.name();
            for i in range.clone() {
                let l = &self.launches[i];
                let title = if i == range.start { name } else { "" };
                let (kernel, flops, bytes) = (l.kernel.name(), human_count(l.flops * trips[i]), human_bytes(l.bytes * trips[i]));
                let _ = writeln!(out, "  {title:8} {kernel:14} {:44} {flops:>11} FLOP {bytes:>10}", l.label);
            }
        }
        let of_step = |cost: fn(&Launch) -> u64| self.schedule().map(|d| cost(&self.launches[d.launch])).sum();
        let (flops, moved): (u64, u64) = (of_step(|l| l.flops), of_step(|l| l.bytes));
        let _ = writeln!(
            out,
            "  a step    {} FLOP, {} moved, {} distinct pipelines",
            human_count(flops),
            human_bytes(moved),
            self.pipelines().len()
        );
        let slots: usize = self.slots.iter().sum();
        let _ = writeln!(
            out,
            "  slots     {} of {} in all, live at most {}: {:.2} times the least that any plan needs",
            self.slots.len(),
            human_bytes(slots as u64),
            human_bytes(self.live_bytes as u64),
            slots as f64 / self.live_bytes.max(1) as f64
        );
        if !self.tables.is_empty() {
            let _ = writeln!(out, "  tables    {} that kernels look up", human_bytes(4 * self.tables.len() as u64));
        }
        self.explain_arenas(&mut out);
        self.explain_precision(&mut out);
        let _ = writeln!(out, "  peak      {} without the data set", human_bytes(self.peak_bytes()));
        if self.purpose.trains() {
            let lasting = self.layout().lasting();
            let kept: usize = lasting.iter().filter(|b| b.usage == Usage::Storage).map(|b| 4 * b.words).sum();
            let _ = writeln!(out, "  host      {} of RAM, on a GPU, for the copy that `snapshot_every` keeps", human_bytes(kept as u64));
        }
        out
    }

    /// What lasts from step to step.
    fn explain_arenas(&self, out: &mut String) {
        let arena = 4 * self.arena.size as u64;
        let arenas = if self.purpose.trains() { 2 + self.moments as u64 } else { 1 };
        let _ = writeln!(
            out,
            "  arenas    {arenas} of {} ({} parameters: values{}){}",
            human_bytes(arena),
            human_count(self.arena.trainable_count() as u64),
            if arenas > 1 { format!(", gradients, {} moments", self.moments) } else { String::new() },
            self.shards(BufferId::Parameters)
        );
        let frozen = 4 * self.arena.frozen as u64;
        if frozen > 0 {
            let _ = writeln!(
                out,
                "  frozen    {} ({} parameters){}",
                human_bytes(frozen),
                human_count(self.arena.frozen_count() as u64),
                self.shards(BufferId::Frozen)
            );
        }
        let buffers = 4 * self.arena.buffered as u64;
        if buffers > 0 {
            let _ = writeln!(
                out,
                "  buffers   {} ({} values that are not trained){}",
                human_bytes(buffers),
                human_count(self.arena.buffer_count() as u64),
                self.shards(BufferId::Buffers)
            );
        }
        if self.arena.half_copies > 0 {
            let _ =
                writeln!(out, "  f16       {}", human_bytes(2 * self.arena.half_copies as u64) + " of working copies of the parameters");
        }
    }

    /// In how many buffers an arena lies, where one does not hold it.
    fn shards(&self, id: BufferId) -> String {
        match self.arena.shard_count(id) {
            1 => String::new(),
            n => format!(", cut into {n} shards"),
        }
    }
}
