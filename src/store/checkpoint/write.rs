use crate::error::{Error, Result};
use crate::model::core::Core;
use crate::plan::BufferId;
use crate::store::atomic::{Words, replace};
use crate::store::checkpoint::agree::{Agreement, Circumstances};
use crate::store::checkpoint::saved::{Saved, Written};
use crate::store::checkpoint::tensors::{Arenas, damaged, views};
use crate::store::sum;
use crate::store::weights::FORMAT;
use crate::train::Trainer;
use std::path::Path;

impl Trainer<'_> {
    /// Writes the run to a file as it stands: what [`Fit::checkpoint`](crate::train::Fit::checkpoint) does every so often. A loop of one's own goes on from it with
    /// the same data and settings, [`Fit::checkpoint`](crate::train::Fit::checkpoint) of this path and [`Resume::Required`](crate::train::Resume::Required).
    ///
    /// The file is replaced whole or not at all, and not by weights that are not finite: those are an `Err`. Waits for the device. In a callback it is written as soon as all callbacks have had their
    /// turn, so that it holds what they make of this step.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// # use gradus::tensor::HostTensor;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("run.gradus");
    /// # let data = Dataset::new(HostTensor::f32([8, 2], vec![0.5; 16])?, HostTensor::f32([8, 1], vec![1.0; 8])?)?;
    /// # let net = || Sequential::new().add(Linear::new(1)).compile(Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu()));
    /// let fit = Fit::new().epochs(2).batch_size(2);
    /// let mut model = net()?;
    /// let mut run = model.trainer(&data, fit.clone())?;
    /// run.steps(3)?;
    /// run.checkpoint(&path)?;
    ///
    /// let mut model = net()?;
    /// let mut run = model.trainer(&data, fit.checkpoint(Checkpoint::new(&path)).resume(Resume::Required))?;
    /// assert_eq!(run.steps(100)?.unwrap().step, 4); // the last of the first epoch
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn checkpoint(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        if self.run.in_callback {
            self.run.due.push(crate::train::run::Due::Write(path.into()));
            return Ok(());
        }
        self.write_checkpoint(path)
    }

    pub(crate) fn write_checkpoint(&mut self, path: &Path) -> Result<()> {
        if self.run.failed {
            return Err(Error::Unsupported {
                what: "a checkpoint of a run that has failed".into(),
                at: path.display().to_string(),
                help: "go on from an earlier one, or keep the weights: `save_weights`".into(),
            });
        }
        self.same_model()?;
        let (model, data) = (self.model.core(), &self.data);
        let circumstances = self.run.circumstances.get_or_insert_with(|| Circumstances::of(model, data)).clone();
        let arenas = model.read_arenas(|_| true)?;
        model.check_finite(&arenas, path)?;
        let saved = Saved {
            epoch: self.epoch,
            step: self.done,
            sums: self.run.sums.clone(),
            rows: self.run.rows,
            skipped: self.run.skipped,
            seconds: self.run.seconds,
            history: self.run.history.clone(),
            rate: self.learning_rate,
            looked: model.looked,
            kept: self.run.kept.keys().cloned().collect(),
            callbacks: self.run.callbacks.clone(),
            agreement: Agreement::of(model, &self.data, &self.fit)?,
        };
        let parts = model.parts();
        let mut tensors = views(&parts, &arenas, "");
        for (name, arenas) in &self.run.kept {
            tensors.extend(views(&parts, arenas, &format!("gradus.kept.{name}.")));
        }
        let written = Written {
            format: FORMAT,
            gradus: env!("CARGO_PKG_VERSION"),
            model: model.module.config(),
            compile: &model.settings,
            updates: model.updates,
            batches: model.batches,
            epochs: model.epochs,
            loss_scale: model.scaler.map(|s| s.saved()),
            fit: &self.fit.readable(),
            circumstances,
            run: &saved,
        };
        let meta = serde_json::to_string(&written).map_err(|e| damaged(path, e, "settings"))?;
        write(path, tensors, meta)?;
        tracing::debug!(path = %path.display(), epoch = self.epoch, step = self.done, "wrote a checkpoint");
        Ok(())
    }
}

fn write(path: &Path, tensors: Vec<(String, Words<'_>)>, meta: String) -> Result<()> {
    let bytes = sum::summed(tensors, Some(meta)).map_err(|e| damaged(path, e, "its header"))?;
    replace(path, &bytes)
}

impl Core {
    /// Fails where a parameter that trains is not finite: going on from such a file would fail at once, and for ever, and the good one
    /// that it replaces would be gone. What is frozen or not trained may hold infinities, as masks do.
    fn check_finite(&self, arenas: &Arenas, path: &Path) -> Result<()> {
        let words = arenas.get(&BufferId::Parameters).map_or(&[][..], |w| w);
        let bad = |w: &&u32| !f32::from_bits(**w).is_finite();
        for (name, words) in self.trained_in(words) {
            let found = words.iter().filter(bad).count();
            if found > 0 {
                return Err(Error::Unsupported {
                    what: format!("a checkpoint of weights that are not finite ({found} of {} elements of `{name}`)", words.len()),
                    at: format!("{}; what was there is left as it is", path.display()),
                    help: "go on from that file at a lower learning rate; `save_weights` writes what the model holds, whatever it is"
                        .into(),
                });
            }
        }
        Ok(())
    }

    /// Tensors of a file that are not the model's parameters.
    pub(crate) const NOT_WEIGHTS: [&'static str; 2] = ["optimizer.*", "gradus.*"];
}
