//! The last launch of a step: the log's line, the counters, the cursor, the loss scale.

use super::lib::archetype::Archetype;
use super::lib::binding::{Binding, Element};
use super::lib::dims::Dims;
use super::lib::log::LogShape;
use super::lib::source::{FINITE, Source, shader};
use super::lib::words;
use crate::optim::Scaling;

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
    /// Rows of the batch; 0 for an update alone, which stays where it is in the epoch.
    pub batch: usize,
    /// Partial sums to add.
    pub partials: usize,
    /// First element of the loss, if there is one.
    pub loss: Option<usize>,
    /// First element and length of each metric, in a buffer each: at most [`BOUND_METRICS`](super::words::BOUND_METRICS).
    pub metrics: Vec<(usize, usize)>,
    /// Where lines lie.
    pub log: LogShape,
    /// How the loss scale moves, if the loss is scaled: then what is not finite skips the update and does not halt.
    pub scaling: Option<Scaling>,
    /// Which of the metrics' buffers holds the batch's weight, and how far behind their first element: it is summed in place of rows.
    pub weight: Option<(usize, usize)>,
}

impl Tick {
    /// What the scale does.
    fn scaling(&self, s: &mut Source) {
        s.flag("SCALES", self.scaling.is_some()).flag("DYNAMIC", matches!(self.scaling, Some(Scaling::Dynamic { .. })));
        s.number("LOG_HALTED", words::LOG_HALTED as usize).number("LOG_SKIPPED", words::LOG_SKIPPED as usize);
        s.number("LOG_SCALE", words::LOG_SCALE as usize).number("PATIENCE", Scaling::PATIENCE as usize);
        s.number("SKIP_NONE", words::SKIP_NONE as usize).number("SKIP_PENDING", words::SKIP_PENDING as usize);
        s.number("SKIP_DONE", words::SKIP_DONE as usize);
        let bound = |name: &str, x: f32| format!("fn {name}() -> f32 {{ return bitcast<f32>({}u); }}", x.to_bits());
        s.line(bound("least", Scaling::LEAST)).line(bound("most", Scaling::MOST));
    }
}

impl Archetype for Tick {
    fn name(&self) -> String {
        "tick".into()
    }

    fn source(&self) -> String {
        let mut s = Source::new(Element::F32, self);
        s.number("WG", self.group).number("LOG_ROWS", self.log.rows).number("LOG_WIDTH", self.log.width).group(self.group).state_names();
        s.flag("TRAIN", self.train).flag("UPDATES", self.updates).flag("JUDGES", self.loss.is_some() || self.updates);
        self.scaling(&mut s);
        let (mut short, mut long, mut column) = (String::new(), String::new(), 0);
        if self.loss.is_some() {
            for (i, &(_, n)) in self.metrics.iter().enumerate() {
                match n {
                    1 => short += &format!("    log_words[at + {column}u] = bitcast<u32>(metric{i}[d.metric{i}_offset]);\n"),
                    _ => {
                        long += &format!(
                            "    for (var i = lane; i < {n}u; i += GROUP) {{ log_words[at + {column}u + i] = bitcast<u32>(metric{i}[d.metric{i}_offset + i]); }}\n"
                        );
                    }
                }
                column += n;
            }
        }
        let value = if self.loss.is_some() { "loss[d.loss_offset]" } else { "0.0" };
        s.line(format!("fn loss_value() -> f32 {{ return {value}; }}"));
        s.line(format!("fn log_metrics(at: u32) {{\n{short}}}"));
        s.flag("LONG", !long.is_empty());
        s.line(format!("fn log_long(at: u32, lane: u32) {{\n{long}}}"));
        // the first lane moves the counters once the others have read them
        s.line(if self.group > 1 && !long.is_empty() { "fn meet() { storageBarrier(); }" } else { "fn meet() {}" });
        let partial = if self.updates { "partials[i]" } else { "0.0" };
        s.line(format!("fn partial(i: u32) -> f32 {{ return {partial}; }}"));
        let summed = match self.weight {
            Some((i, at)) => format!("bitcast<u32>(bitcast<f32>(state[STATE_SUMMED]) + metric{i}[d.metric{i}_offset + {at}u])"),
            None => "state[STATE_SUMMED] + d.rows".into(),
        };
        s.line(format!("fn summed() -> u32 {{ return {summed}; }}"));
        s.file(FINITE);
        s.finish(shader!("tick.wgsl"))
    }

    /// State, log, loss, metrics, partial sums.
    fn bindings(&self) -> Vec<Binding> {
        let state = Binding::update("state", Element::U32, 0..words::STATE_WORDS);
        let mut all = vec![state, Binding::write("log_words", Element::U32, 0..self.log.words()).moving(self.log.width)];
        if let Some(loss) = self.loss {
            all.push(Binding::read("loss", Element::F32, loss..loss + 1));
            let metric = |(i, &(at, n)): (usize, &(usize, usize))| Binding::read(format!("metric{i}"), Element::F32, at..at + n);
            all.extend(self.metrics.iter().enumerate().map(metric));
        }
        all.extend(self.updates.then(|| Binding::read("partials", Element::F32, 0..self.partials)));
        all
    }

    /// Its sizes; where no scale moves its numbers are 0.
    fn dims(&self) -> Dims {
        let d = Dims::new().u32("rows", self.batch).u32("partials", self.partials).u32("loss_offset", self.loss.unwrap_or(0));
        let d = self.metrics.iter().enumerate().fold(d, |d, (i, m)| d.u32(format!("metric{i}_offset"), m.0));
        let (growth, backoff, interval) = match self.scaling {
            Some(Scaling::Dynamic { growth, backoff, interval }) => (growth, backoff, interval),
            Some(Scaling::Fixed) | None => (0.0, 0.0, 0),
        };
        d.f32("growth", growth).f32("backoff", backoff).word("interval", interval)
    }

    /// One workgroup.
    fn grid(&self) -> [u32; 3] {
        [1, 1, 1]
    }

    fn turns(&self) -> usize {
        let metrics: usize = self.metrics.iter().map(|m| m.1.div_ceil(self.group)).sum();
        self.partials.div_ceil(self.group) + metrics
    }

    fn flops(&self) -> u64 {
        0
    }
}
