//! What training showed.

use crate::report::tell;
use gradus::prelude::{Dataset, Evaluation, History};
use gradus::train::StepReport;
use std::time::{Duration, Instant};

/// NaN where there is no such metric.
fn value(of: &Evaluation, name: &str) -> f64 {
    of.get(name).unwrap_or(f64::NAN)
}

/// Values an epoch, from `fit` or from a loop of one's own, and times.
pub struct Log {
    pub train_loss: Vec<f64>,
    pub train_accuracy: Vec<f64>,
    pub test_loss: Vec<f64>,
    pub test_accuracy: Vec<f64>,
    /// The loss of each step, where steps were counted.
    pub losses: Option<Vec<f32>>,
    /// Seconds of training; validation is left out.
    pub seconds: f64,
    /// The end of the first submit.
    pub warm: Option<Instant>,
    /// Of the epoch under way: rows, and sums over them of loss and accuracy.
    sums: [f64; 3],
    since: Instant,
    synthetic: bool,
}

impl Log {
    /// Of a `fit` that began then.
    pub fn of_fit(began: Instant, h: History) -> Self {
        let column = |name: &str| h.get(name).to_vec();
        Log {
            train_loss: column("loss"),
            train_accuracy: column("accuracy"),
            test_loss: column("val_loss"),
            test_accuracy: column("val_accuracy"),
            losses: None,
            seconds: h.seconds().iter().sum(),
            warm: Some(began + Duration::from_secs_f64(h.first_submit())),
            sums: [0.0; 3],
            since: began,
            synthetic: false,
        }
    }

    /// Of steps over this data, to be told by `add` and `end_epoch`.
    pub fn of_steps(data: &Dataset) -> Self {
        let empty = Log::of_fit(Instant::now(), History::default());
        Log { losses: Some(vec![]), warm: None, synthetic: data.name() == "synthetic", ..empty }
    }

    /// Steps so far.
    pub fn steps(&self) -> usize {
        self.losses.as_ref().map_or(0, Vec::len)
    }

    pub fn add(&mut self, r: &StepReport) {
        self.seconds += self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        self.warm.get_or_insert(self.since);
        self.losses.get_or_insert_default().extend(&r.losses);
        let rows = r.rows as f64;
        for (sum, value) in self.sums.iter_mut().zip([1.0, r.metrics["loss"], value(&r.metrics, "accuracy")]) {
            *sum += rows * value;
        }
    }

    /// An epoch, or what there was of it, has ended with this validation.
    pub fn end_epoch(&mut self, seen: Evaluation) {
        let [rows, loss, accuracy] = std::mem::take(&mut self.sums);
        let mut text = format!("step {}", self.steps());
        let values =
            [("loss", loss / rows), ("accuracy", accuracy / rows), ("val_loss", seen["loss"]), ("val_accuracy", value(&seen, "accuracy"))];
        let lists = [&mut self.train_loss, &mut self.train_accuracy, &mut self.test_loss, &mut self.test_accuracy];
        // NaN stands for what there is not: no steps, no such metric
        for (list, (name, value)) in lists.into_iter().zip(values).filter(|(_, (_, v))| !v.is_nan()) {
            list.push(value);
            text += &format!("  {name} {value:.4}");
        }
        tell(&format!("{text}{}", if self.synthetic { "  (synthetic)" } else { "" }));
        self.since = Instant::now();
    }
}
