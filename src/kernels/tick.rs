use super::source::{FINITE, Source};
use super::{Access, to_words, words};

/// The end of a step: log, counters, cursor, halt.
/// Buffers: state, log; where there is a loss: loss, metrics; where there was an update: partial sums of the gradient's squares.
#[derive(Debug, Clone)]
pub struct Tick {
    /// Whether the step trains: then a loss that is not finite halts.
    pub train: bool,
    /// Whether parameters were updated.
    pub updates: bool,
    /// Lanes of the one workgroup.
    pub group: usize,
    /// Rows of the batch.
    pub batch: usize,
    /// Partial sums to add.
    pub partials: usize,
    /// Whether a norm of the gradient that is not finite has stopped the update, too.
    pub norm_halts: bool,
    /// First element of the loss, if there is one.
    pub loss: Option<usize>,
    /// First element of each metric: in a buffer each, or all in one if they are more than [`words::BOUND_METRICS`].
    pub metrics: Vec<usize>,
}

impl Tick {
    /// Buffers that hold the metrics.
    pub fn bound(&self) -> usize {
        if self.metrics.len() > words::BOUND_METRICS { 1 } else { self.metrics.len() }
    }

    /// The whole WGSL text.
    pub fn source(&self) -> String {
        let mut s = Source::new("f32");
        s.number("LOG_ROWS", words::LOG_ROWS).number("LOG_WIDTH", words::LOG_WIDTH).group(self.group).state_names();
        s.flag("TRAIN", self.train).flag("UPDATES", self.updates).flag("NORM_HALTS", self.norm_halts).flag("HAS_LOSS", self.loss.is_some());
        s.buffer("state", Access::Write, "u32").buffer("log_words", Access::Write, "u32");
        let mut logs = String::new();
        if self.loss.is_some() {
            s.buffer("loss", Access::Read, "f32");
            let bound = self.bound();
            for i in 0..bound {
                s.buffer(&format!("metric{i}"), Access::Read, "f32");
            }
            for i in 0..self.metrics.len() {
                logs += &format!("    log_words[at + {i}u] = bitcast<u32>(metric{}[dim({}u)]);\n", i.min(bound - 1), 3 + i);
            }
        }
        let value = if self.loss.is_some() { "loss[dim(2u)]" } else { "0.0" };
        s.line(format!("fn loss_value() -> f32 {{ return {value}; }}"));
        s.line(format!("fn log_metrics(at: u32) {{\n{logs}}}"));
        if self.updates {
            s.buffer("partials", Access::Read, "f32").line("fn partial(i: u32) -> f32 { return partials[i]; }");
        } else {
            s.line("fn partial(i: u32) -> f32 { return 0.0; }");
        }
        s.line(FINITE);
        s.finish(include_str!("../../shaders/tick.wgsl"))
    }

    /// State, log, loss, metrics, partial sums.
    pub fn accesses(&self) -> Vec<Access> {
        let mut a = vec![Access::Write, Access::Write];
        if self.loss.is_some() {
            a.resize(3 + self.bound(), Access::Read);
        }
        a.resize(a.len() + usize::from(self.updates), Access::Read);
        a
    }

    /// Batch, partial sums, loss, metrics.
    pub fn dims(&self) -> Vec<u32> {
        to_words([self.batch, self.partials, self.loss.unwrap_or(0)].into_iter().chain(self.metrics.iter().copied()))
    }

    /// One workgroup.
    pub fn grid(&self) -> [u32; 3] {
        [1, 1, 1]
    }
}
