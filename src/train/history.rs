//! What `fit` saw, epoch by epoch.

use super::callbacks::Mode;
use super::evaluation::no_value;
use crate::inspect::diagnose::LayerReport;
use serde::{Deserialize, Serialize};
use std::ops::Index;

/// What `fit` saw: one value an epoch for the loss, each metric, and both on the validation set (`val_..`).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct History {
    #[serde(with = "crate::store::json_floats::columns")]
    columns: Vec<(String, Vec<f64>)>,
    #[serde(default)]
    seconds: Vec<f64>,
    #[serde(default)]
    first_submit: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    diagnostics: Vec<LayerReport>,
    /// How this call of `fit` ended: no part of a checkpoint.
    #[serde(skip)]
    pub(crate) interrupted: bool,
    #[serde(skip)]
    pub(crate) stopped_epoch: Option<usize>,
    #[serde(skip)]
    pub(crate) restored_epoch: Option<usize>,
}

/// Two histories are equal if their values are; how long it took does not count.
impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        self.columns == other.columns
    }
}

impl History {
    pub(crate) fn push(&mut self, name: &str, value: f64) {
        match self.columns.iter_mut().find(|(n, _)| n == name) {
            Some((_, values)) => values.push(value),
            None => self.columns.push((name.into(), vec![value])),
        }
    }

    pub(crate) fn push_times(&mut self, seconds: f64, first_submit: Option<f64>) {
        self.seconds.push(seconds);
        self.first_submit = first_submit.unwrap_or(0.0);
    }

    pub(crate) fn push_diagnostics(&mut self, seen: &[LayerReport]) {
        self.diagnostics.extend_from_slice(seen);
    }

    pub(crate) fn push_skipped(&mut self, steps: &[u64]) {
        self.skipped.extend_from_slice(steps);
    }

    /// The steps whose update was skipped, counted from 1 over the whole run, good ones and others: see
    /// [`Compile::loss_scale`](crate::train::Compile::loss_scale), with which there are the columns `loss_scale`, at the end of each epoch, and
    /// `skipped`, how many of its updates were.
    pub fn skipped(&self) -> &[u64] {
        &self.skipped
    }

    /// What was seen of the layers, a look after the other: see [`Fit::diagnostics`](crate::train::Fit::diagnostics).
    pub fn diagnostics(&self) -> &[LayerReport] {
        &self.diagnostics
    }

    /// Whether Ctrl-C (or SIGTERM) ended the run before its last epoch: the columns are short then. See [`Model::fit`](crate::train::Model::fit).
    pub fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// The epoch, from 1, after which [`EarlyStopping`](crate::train::callbacks::EarlyStopping) stopped the run; `None` if it came to its end.
    pub fn stopped_epoch(&self) -> Option<usize> {
        self.stopped_epoch
    }

    /// The epoch, from 1, whose weights the model ended with, where `EarlyStopping` put its best ones back; `None` where it has those of the last step.
    pub fn restored_epoch(&self) -> Option<usize> {
        self.restored_epoch
    }

    /// The best value of a column and its epoch, from 1: the first of equals. Which way is better is told by the name, as [`Mode::Auto`] does: up for accuracy, AUC, precision, recall, F1, R2
    /// and top-k, down for all else. [`History::best_by`] says it. `None` for a column that is not there or holds NaN alone.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// # use gradus::tensor::HostTensor;
    /// # let data = Dataset::new(HostTensor::f32([8, 2], vec![0.5; 16])?, HostTensor::f32([8, 1], vec![1.0; 8])?)?;
    /// # let mut model = Sequential::new().add(Linear::new(1)).compile(Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu()))?;
    /// let history = model.fit(&data, Fit::new().epochs(5).validation(&data).verbose(0))?;
    /// let (epoch, loss) = history.best("val_loss").unwrap();
    /// assert_eq!(history["val_loss"][epoch - 1], loss);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn best(&self, name: &str) -> Option<(usize, f64)> {
        self.best_by(name, Mode::Auto)
    }

    /// As [`History::best`], with the way that is better.
    pub fn best_by(&self, name: &str, mode: Mode) -> Option<(usize, f64)> {
        let seen = self.get(name).iter().copied().enumerate().filter(|(_, v)| !v.is_nan());
        let best = seen.reduce(|best, now| if mode.better(name, now.1, best.1, 0.0) { now } else { best });
        best.map(|(i, v)| (i + 1, v))
    }

    /// Seconds of training, one value an epoch: the time within steps. Validation, callbacks and checkpoints are left out, and what a loop of one's own does between its
    /// steps.
    pub fn seconds(&self) -> &[f64] {
        &self.seconds
    }

    /// Seconds from the call of `fit` (or `trainer`) to the end of its first submit: planning, pipelines and the way of the data to the device.
    pub fn first_submit(&self) -> f64 {
        self.first_submit
    }

    /// The latest value of a column.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.get(name).last().copied()
    }

    /// A column, one value an epoch; empty if there is none of this name, where `history["accuracy"]` panics.
    pub fn get(&self, name: &str) -> &[f64] {
        self.columns.iter().find(|(n, _)| n == name).map_or(&[], |(_, v)| v)
    }

    /// The columns' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(n, _)| n.as_str())
    }

    /// Epochs seen.
    pub fn epochs(&self) -> usize {
        self.columns.first().map_or(0, |(_, v)| v.len())
    }
}

/// A column. Panics on a name that is not there, as the standard library's maps do: [`History::get`] gives an empty one.
impl Index<&str> for History {
    type Output = [f64];
    #[track_caller]
    fn index(&self, name: &str) -> &[f64] {
        let found = self.columns.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice());
        found.unwrap_or_else(|| no_value(name, self.names()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;
    use crate::tensor::HostTensor;
    use crate::train::callbacks;
    use std::time::{Duration, Instant};

    fn data() -> Dataset {
        let x = HostTensor::f32([64, 2], (0..128).map(|i| i as f32 / 128.0).collect()).unwrap();
        Dataset::new(x, HostTensor::f32([64, 1], vec![1.0; 64]).unwrap()).unwrap()
    }

    fn model() -> Model {
        let settings = Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu_threads(1));
        Sequential::new().add(Linear::new(1)).compile(settings).unwrap()
    }

    /// Whatever is due in mid-epoch, each epoch has its own time, and all of them no more than the whole.
    #[test]
    fn seconds_are_those_of_each_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.gradus");
        let fit = |epochs| Fit::new().epochs(epochs).batch_size(4).verbose(0);
        let slow = callbacks::on_steps_end("slow", 3, |_, _| {
            std::thread::sleep(Duration::from_millis(2));
            Ok(())
        });
        let began = Instant::now();
        let h = model().fit(&data(), fit(12).callback(slow).checkpoint(Checkpoint::new(&path).every_steps(5))).unwrap();
        let all = began.elapsed().as_secs_f64();
        assert_eq!(h.seconds().len(), 12);
        // times that go on from epoch to epoch would only grow
        assert!(!h.seconds().is_sorted(), "{:?}", h.seconds());
        // the callback's 64 turns of 2 ms are no training
        assert!(h.seconds().iter().all(|s| *s > 0.0) && h.seconds().iter().sum::<f64>() < all - 0.128, "{:?} of {all}", h.seconds());
        assert!(h.first_submit() > 0.0 && h.first_submit() < all);
        // a loop of one's own has them too, and goes on with them
        let (mut one, began) = (model(), Instant::now());
        let mut run = one.trainer(&data(), fit(3)).unwrap();
        (0..7).for_each(|_| drop(run.steps(5).unwrap()));
        run.checkpoint(&path).unwrap();
        let before = run.history().seconds().to_vec();
        assert_eq!((before.len(), run.epochs_done()), (1, 1));
        let mut two = model();
        let mut run = two.trainer(&data(), fit(3).checkpoint(Checkpoint::new(&path)).resume(Resume::Required)).unwrap();
        while run.steps(5).unwrap().is_some() {}
        let seconds = run.history().seconds();
        assert_eq!((seconds.len(), seconds[0]), (3, before[0]));
        assert!(seconds.iter().sum::<f64>() < began.elapsed().as_secs_f64() && run.history().first_submit() > 0.0);
    }

    #[test]
    fn the_best_of_a_column() {
        let mut h = History::default();
        for (loss, accuracy) in [(f64::NAN, 0.25), (0.5, 0.75), (0.25, 0.75), (0.25, 0.5)] {
            h.push("val_loss", loss);
            h.push("accuracy", accuracy);
            h.push("none", f64::NAN);
        }
        assert_eq!((h.best("val_loss"), h.best("accuracy")), (Some((3, 0.25)), Some((2, 0.75))));
        assert_eq!(h.best_by("accuracy", Mode::Min), Some((1, 0.25)));
        assert_eq!((h.best("none"), h.best("loss"), History::default().best("loss")), (None, None, None));
        assert_eq!(&h["accuracy"][1..], [0.75, 0.75, 0.5]);
    }

    /// A typo is told with the names that there are.
    #[test]
    fn a_name_that_is_not_there_panics() {
        let mut m = model();
        let h = m.fit(&data(), Fit::new().verbose(0)).unwrap();
        let e = m.evaluate(&data(), 8).unwrap();
        let logs = callbacks::Logs::new(1, [("loss", 0.5)]);
        let says = |f: &dyn Fn() -> f64| {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
            let text = panic.downcast_ref::<String>().unwrap().clone();
            assert!(text.contains("there is no value `los`: there is loss"), "{text}");
        };
        says(&|| h["los"][0]);
        says(&|| e["los"]);
        says(&|| logs["los"]);
        assert_eq!(
            (e["loss"], h.get("los").len(), e.get("los"), logs.get("los")),
            (m.evaluate(&data(), 8).unwrap()["loss"], 0, None, None)
        );
    }

    /// Another model in the place of the one in training, fresh or trained, is told, and nothing of it is changed.
    #[test]
    fn a_model_that_was_swapped() {
        let (data, fit) = (data(), Fit::new().epochs(9).batch_size(4).verbose(0));
        let folder = tempfile::tempdir().unwrap();
        for trained in [false, true] {
            let (mut one, mut two) = (model(), model());
            if trained {
                two.fit(&data, fit.clone()).unwrap();
            }
            let weight = two.parameter("0.weight").unwrap();
            let mut run = one.trainer(&data, fit.clone()).unwrap();
            run.steps(5).unwrap();
            std::mem::swap(run.model(), &mut two);
            let e = run.steps(5).unwrap_err();
            assert!(e.code() == "unsupported" && e.to_string().starts_with("another model"), "{e}");
            assert_eq!(run.checkpoint(folder.path().join("run.gradus")).unwrap_err().code(), "unsupported");
            assert_eq!(run.model().parameter("0.weight").unwrap(), weight);
            std::mem::swap(run.model(), &mut two);
            assert_eq!(run.steps(5).unwrap().unwrap().step, 10);
        }
    }

    /// What a loop of one's own would leave out is refused.
    #[test]
    fn a_loop_takes_what_it_does() {
        let fit = Fit::new().validation(&data()).callback(EarlyStopping::new("val_loss"));
        let e = model().trainer(&data(), fit.clone()).unwrap_err();
        assert_eq!(e.code(), "invalid-config");
        assert!(e.to_string().contains("where: fit.validation") && e.to_string().contains("where: fit.callbacks"), "{e}");
        assert!(model().fit(&data(), fit.verbose(0)).is_ok());
        let e = model().fit(&data(), Fit::new().verbose(0).callback(callbacks::on_steps_end("none", 0, |_, _| Ok(())))).unwrap_err();
        assert!(e.to_string().contains("`none` after every 0 steps"), "{e}");
    }
}
