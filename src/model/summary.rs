//! What a model tells of itself: its layers, its size, what it holds and has done on the device.

use super::core::Core;
use super::loss_scale::LossScaleState;
use super::shared::Model;
use crate::plan::{ArenaEntry, Traffic, human_count};
use crate::tensor::Shape;
use std::fmt::Write;

impl Model {
    /// Bytes of all its buffers on the device, data sets included.
    pub fn device_bytes(&self) -> u64 {
        self.lock().device_bytes()
    }

    /// What went between host and device since it was opened.
    pub fn traffic(&self) -> Traffic {
        self.lock().traffic()
    }

    /// How many parameters it has, the frozen ones too.
    pub fn parameter_count(&self) -> usize {
        self.lock().parameter_count()
    }

    /// How many of them training leaves as they are.
    pub fn frozen_count(&self) -> usize {
        self.lock().frozen_count()
    }

    /// Programs and distinct pipelines made so far.
    pub fn program_counts(&self) -> (usize, usize) {
        self.lock().program_counts()
    }

    /// The layers with their output shapes and parameters, and whether these are trained (`yes`, `no`, `part`), the input first.
    pub fn summary(&self) -> String {
        self.lock().summary()
    }

    /// The loss scale as it stands behind all steps that were reported; `None` where there is none ([`Compile::loss_scale`](crate::train::Compile::loss_scale)).
    pub fn loss_scale(&self) -> Option<LossScaleState> {
        self.lock().progress.scaler.map(|s| s.state())
    }
}

impl Core {
    pub(crate) fn device_bytes(&self) -> u64 {
        self.engine.session.bytes()
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.engine.session.traffic()
    }

    pub(crate) fn parameter_count(&self) -> usize {
        self.engine.arena.count()
    }

    pub(crate) fn frozen_count(&self) -> usize {
        self.engine.arena.frozen_count()
    }

    pub(crate) fn program_counts(&self) -> (usize, usize) {
        let mut pipelines: Vec<String> = self.programs.planned.values().flat_map(|p| p.pipelines()).collect();
        pipelines.sort();
        pipelines.dedup();
        (self.programs.planned.len(), pipelines.len())
    }

    pub(crate) fn summary(&self) -> String {
        let batch = |s: &Shape| {
            let rest: Vec<String> = s.dims().iter().skip(1).map(|d| d.to_string()).collect();
            format!("[batch, {}]", rest.join(", "))
        };
        let mut out = format!("{:<24} {:<14} {:<22} {:>12}  trained\n", "layer", "kind", "output", "parameters");
        let line = |out: &mut String, name: &str, kind: &str, shape: String, n: usize| {
            let trained = if n == 0 { "" } else { self.trained(name) };
            let text = format!("{name:<24} {kind:<14} {shape:<22} {:>12}  {trained}", human_count(n as u64));
            let _ = writeln!(out, "{}", text.trim_end());
        };
        for (name, row, _) in self.description.settings.all_inputs() {
            line(&mut out, if name == "x" { "input" } else { name }, "", batch(&row.batched(1)), 0);
        }
        for l in &self.description.layers {
            line(&mut out, &l.name, l.kind, batch(&l.output), l.parameters);
        }
        if self.description.layers.is_empty() {
            let output = self.signature.outputs.first().map_or(Shape::default(), |(_, s)| s.clone());
            line(&mut out, "output", self.description.module.name(), batch(&output.batched(1)), self.engine.arena.count());
        }
        let count = |n: usize| human_count(n as u64);
        let _ = write!(out, "{} parameters", count(self.engine.arena.count()));
        if self.engine.arena.frozen > 0 {
            let _ = write!(
                out,
                " ({} trainable, {} frozen)",
                count(self.engine.arena.trainable_count()),
                count(self.engine.arena.frozen_count())
            );
        }
        if !self.engine.arena.buffers.is_empty() {
            let _ = write!(out, ", {} values that are not trained", count(self.engine.arena.buffer_count()));
        }
        let _ = write!(out, ", {} KiB", self.engine.arena.count() * 4 / 1024);
        out
    }

    /// Whether the parameters of this layer, and of those within it, are trained: `yes`, `no` or `part`.
    fn trained(&self, layer: &str) -> &'static str {
        let within = |e: &&ArenaEntry| self.description.layers.is_empty() || e.name.strip_prefix(layer).is_some_and(|n| n.starts_with('.'));
        let frozen: Vec<bool> = self.engine.arena.entries.iter().filter(within).map(|e| e.frozen).collect();
        match (frozen.contains(&false), frozen.contains(&true)) {
            (true, false) => "yes",
            (false, true) => "no",
            (true, true) => "part",
            (false, false) => "",
        }
    }
}
