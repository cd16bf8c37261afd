use super::{Phase, Program, Purpose};
use std::fmt::Write;

impl Phase {
    /// Its name in listings.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Batch => "batch",
            Phase::Compute => "compute",
            Phase::Finish => "finish",
            Phase::Update => "update",
            Phase::Tick => "tick",
        }
    }
}

impl Program {
    /// What the program does, for people: every launch with its shape, FLOPs and bytes; pipelines, slots, arenas, memory.
    pub fn explain(&self) -> String {
        let mut out = String::new();
        let purpose = match self.purpose {
            Purpose::Train => "training",
            Purpose::Evaluate => "evaluation",
            Purpose::Predict => "inference",
        };
        let _ = writeln!(out, "{purpose}, batch {}: {} launches, one pass", self.batch, self.launches.len());
        for (phase, range) in &self.phases {
            let name = phase.name();
            for (i, l) in self.launches[range.clone()].iter().enumerate() {
                let title = if i == 0 { name } else { "" };
                let kernel = l.kernel.name();
                let _ = writeln!(out, "  {title:8} {kernel:14} {:44} {:>11} FLOP {:>10}", l.label, group(l.flops), bytes(l.bytes));
            }
        }
        let flops: u64 = self.launches.iter().map(|l| l.flops).sum();
        let moved: u64 = self.launches.iter().map(|l| l.bytes).sum();
        let _ = writeln!(out, "  a step    {} FLOP, {} moved, {} distinct pipelines", group(flops), bytes(moved), self.pipelines().len());
        let slots: usize = self.slots.iter().sum();
        let _ = writeln!(
            out,
            "  slots     {} of {} in all, live at most {}: {:.2} times the least that any plan needs",
            self.slots.len(),
            bytes(slots as u64),
            bytes(self.live_bytes as u64),
            slots as f64 / self.live_bytes.max(1) as f64
        );
        let arena = 4 * self.arena.size as u64;
        let arenas = if self.purpose == Purpose::Train { 2 + self.moments as u64 } else { 1 };
        let _ = writeln!(
            out,
            "  arenas    {arenas} of {} ({} parameters: values{})",
            bytes(arena),
            group(self.arena.trainable_count() as u64),
            if arenas > 1 { format!(", gradients, {} moments", self.moments) } else { String::new() }
        );
        let frozen = 4 * self.arena.frozen as u64;
        if frozen > 0 {
            let _ = writeln!(out, "  frozen    {} ({} parameters)", bytes(frozen), group(self.arena.frozen_count() as u64));
        }
        let buffers = 4 * self.arena.buffered as u64;
        if buffers > 0 {
            let _ =
                writeln!(out, "  buffers   {} ({} values that are not trained)", bytes(buffers), group(self.arena.buffer_count() as u64));
        }
        if self.arena.working > 0 {
            let _ = writeln!(out, "  f16       {}", bytes(2 * self.arena.working as u64) + " of working copies of the parameters");
        }
        self.explain_precision(&mut out);
        let _ = writeln!(out, "  peak      {} without the data set", bytes(self.peak_bytes()));
        if self.purpose == Purpose::Train {
            let kept = arena * (1 + self.moments as u64) + frozen + buffers;
            let _ = writeln!(out, "  host      {} of RAM, on a GPU, for the copy that `snapshot_every` keeps", bytes(kept));
        }
        out
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn group(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Bytes with a binary unit.
pub(crate) fn bytes(n: u64) -> String {
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit < 4 {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", ["", "KiB", "MiB", "GiB", "TiB"][unit]) }
}
