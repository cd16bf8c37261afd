use crate::data::Dataset;
use crate::disk;
use crate::error::{Error, Faults, Result};
use crate::kernels::words::*;
use crate::model::accumulation::Windows;
use crate::model::core::Core;
use crate::model::loss_scale::Scaler;
use crate::plan::{BufferId, Lane};
use crate::store::atomic::try_read;
use crate::store::checkpoint::Resume;
use crate::store::checkpoint::agree::{Agreement, Circumstances};
use crate::store::checkpoint::saved::{Read, Saved};
use crate::store::checkpoint::tensors::{Arenas, arenas, damaged, is_weight};
use crate::store::sum;
use crate::store::weights::{FORMAT, META, bad_file, check_format, parse};
use crate::train::callbacks::check_states;
use crate::train::{Fit, Trainer};
use safetensors::tensor::SafeTensors;
use std::collections::BTreeMap;
use std::path::Path;

/// Counters beyond this are damage; below it none runs over.
const MOST: u64 = 1 << 52;

/// A checkpoint that was read, checked and found to fit.
pub(crate) struct Found {
    saved: Saved,
    updates: u64,
    batches: u64,
    epochs: u64,
    arenas: Arenas,
    kept: BTreeMap<String, Arenas>,
}

/// The checkpoint that these settings go on from, if they do.
pub(crate) fn find(model: &Core, data: &Dataset, fit: &Fit) -> Result<Option<Found>> {
    let Some(c) = fit.checkpoint.as_ref().filter(|_| fit.resume != Resume::Never) else { return Ok(None) };
    disk::remove_leftovers(&c.path);
    let bytes = match try_read(&c.path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && fit.resume == Resume::IfPresent => return Ok(None),
        other => other.map_err(|e| Error::io("read", &c.path, e))?,
    };
    read(model, data, fit, &c.path, &bytes).map(Some)
}

fn read(model: &Core, data: &Dataset, fit: &Fit, path: &Path, bytes: &[u8]) -> Result<Found> {
    let file = parse(path, bytes)?;
    let text = SafeTensors::read_metadata(bytes).ok().and_then(|(_, m)| m.metadata().as_ref()?.get(META).cloned());
    let no_run = || {
        let help = "load it with `Model::load` or `load_weights`, and train on with `Resume::Never`";
        bad_file(path, "no checkpoint: it holds weights or a model, and no run", "its metadata", help)
    };
    let text = text.ok_or_else(no_run)?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| damaged(path, e, "its metadata"))?;
    check_format(path, &value)?;
    sum::check(path, bytes, &file)?;
    if value.get("run").is_none() {
        return Err(no_run());
    }
    let meta: Read = serde_json::from_value(value).map_err(|e| damaged(path, e, "its metadata"))?;
    let same_version = meta.gradus == env!("CARGO_PKG_VERSION");
    if !same_version {
        crate::terminal::warn!(by = meta.gradus, format = FORMAT, "a checkpoint of another version: not to the same bits");
    }
    let saved = meta.run;
    Agreement::of(model, data, fit)?.meet(&saved.agreement, path, same_version)?;
    check_states(fit, &saved.callbacks, path)?;

    let steps = Windows { rows: data.len(), batch: fit.batch_size, accumulate: fit.accumulate }.updates();
    let sound = saved.step < steps && saved.rows <= data.len() && saved.rate.sound() && saved.seconds.is_finite();
    let counters = [meta.updates, meta.batches, meta.epochs, saved.epoch as u64].iter().all(|c| *c < MOST);
    if !sound || !counters {
        return Err(damaged(path, "counters that cannot be", "its metadata"));
    }
    let mut f = Faults::default();
    let over = saved.epoch > fit.epochs || (saved.epoch == fit.epochs && saved.step > 0);
    let more = format!("give at least {}, or start anew with `Resume::Never`", saved.epoch + usize::from(saved.step > 0));
    let problem = format!("{}, and the checkpoint {} has {} behind it", fit.epochs, path.display(), saved.epoch);
    f.check(!over, "fit.epochs", problem, &more);
    f.finish()?;

    let (parts, sizes, mut wrong) = (model.parts(), model.lasting(), Vec::new());
    let weights: Vec<_> = sizes.iter().copied().filter(|(id, _)| is_weight(*id)).collect();
    // before memory is taken for what the file merely says
    let first = parts.iter().find(|p| is_weight(p.buffer));
    let missing = |name: &&String| first.is_some_and(|p| file.tensor(&format!("gradus.kept.{name}.{}", p.name)).is_err());
    wrong.extend(saved.kept.iter().filter(missing).map(|n| format!("the weights `{n}` are missing")));
    let kept = saved.kept.iter().filter(|n| !missing(n));
    let kept = kept.map(|n| (n.clone(), arenas(&file, &parts, &weights, &format!("gradus.kept.{n}."), &mut wrong))).collect();
    let arenas = arenas(&file, &parts, &sizes, "", &mut wrong);
    if let Some(first) = wrong.first() {
        return Err(damaged(path, first, &format!("its tensors; {} of them are wrong", wrong.len())));
    }
    Circumstances::of(model, data).meet(&meta.circumstances, path);
    Ok(Found { saved, updates: meta.updates, batches: meta.batches, epochs: meta.epochs, arenas, kept })
}

impl Trainer<'_> {
    /// Puts the run where the checkpoint was written.
    pub(crate) fn go_on(&mut self, found: Found) -> Result<()> {
        let Found { saved, updates, batches, epochs, mut arenas, kept } = found;
        let held = arenas.remove(&BufferId::State(Lane::Train)).unwrap_or_default();
        let m = self.model.core();
        // what comes before the first step may still fail, one's own callback among it
        let counters = (m.updates, m.batches, m.epochs, m.looked);
        self.run.before = Some(Before { arenas: m.read_arenas(|_| true)?, counters, scaler: m.scaler });
        m.write_arenas(&arenas)?;
        (m.updates, m.batches, m.epochs, m.looked) = (updates, batches, epochs, saved.looked);
        (self.epoch, self.done, self.learning_rate) = (saved.epoch, saved.step, saved.rate);
        let run = &mut self.run;
        (run.sums, run.rows, run.seconds, run.history, run.kept) = (saved.sums, saved.rows, saved.seconds, saved.history, kept);
        (run.callbacks, run.resumed, run.skipped) = (saved.callbacks, true, saved.skipped);
        tracing::info!(epoch = self.epoch, step = self.done, updates, "going on from a checkpoint");
        if let Some(s) = &mut self.model.core().scaler {
            s.read(&held);
        }
        let now = self.model.core().train_state(self.windows.first(self.done) * self.fit.batch_size, self.rows, self.fit.shuffle);
        self.model.core().write_words(BufferId::State(Lane::Train), 0, &state_after(&held, &now))
    }
}

/// What a model was before its run went on from a checkpoint.
#[derive(Debug)]
pub(crate) struct Before {
    arenas: Arenas,
    /// Updates, batches, epochs, and batches looked at.
    counters: (u64, u64, u64, u32),
    scaler: Option<Scaler>,
}

impl Trainer<'_> {
    /// Gives the model back what it was before it went on, if that is known.
    pub(crate) fn take_back_resume(&mut self) -> Result<()> {
        let Some(before) = self.run.before.take() else { return Ok(()) };
        let m = self.model.core();
        (m.updates, m.batches, m.epochs, m.looked) = before.counters;
        m.scaler = before.scaler;
        m.write_arenas(&before.arenas)
    }
}

/// The state of training that a checkpoint held, with these counters: the ones that it held count within a block where rows are streamed.
fn state_after(held: &[u32], now: &[u32; STATE_WORDS]) -> [u32; STATE_WORDS] {
    let set = [
        STATE_BATCH,
        STATE_UPDATE,
        STATE_CURSOR,
        STATE_EPOCH,
        STATE_ROWS,
        STATE_SHUFFLE,
        STATE_SEED_LO,
        STATE_SEED_HI,
        STATE_HALT,
        STATE_LOSS_SCALE,
        STATE_GROWTH,
        STATE_SKIPPED,
        STATE_SKIP,
    ];
    let mut state = *now;
    for (i, (to, from)) in state.iter_mut().zip(held).enumerate() {
        if !set.contains(&i) {
            *to = *from;
        }
    }
    state
}
