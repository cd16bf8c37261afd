//! Reading a checkpoint. The loop decides whether it fits a run.

use super::agreement::Circumstances;
use super::settings::{Checkpoint, Resume};
use super::tensors::{arenas, damaged};
use crate::disk;
use crate::error::{Error, Result};
use crate::model::core::Core;
use crate::model::journal::{Arenas, is_weight};
use crate::store::atomic::try_read;
use crate::store::format::{FORMAT, META, bad_file, check_format, parse};
use crate::store::sum;
use safetensors::tensor::SafeTensors;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;

/// Counters beyond this come from damage. Below this none overflows.
const MOST: u64 = 1 << 52;

/// The bytes of the file from which a run with these settings goes on; none where it starts anew.
pub(crate) fn bytes(checkpoint: &Checkpoint, resume: Resume) -> Result<Option<Vec<u8>>> {
    if resume == Resume::Never {
        return Ok(None);
    }
    let path = &checkpoint.path;
    disk::remove_leftovers(path);
    match try_read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && resume == Resume::IfPresent => Ok(None),
        other => other.map(Some).map_err(|e| Error::io("read", path, e)),
    }
}

/// The part of the metadata that a run needs to go on. The settings are not made anew from the file: they are compared.
#[derive(Deserialize)]
pub(crate) struct Metadata<R> {
    gradus: String,
    pub updates: u64,
    pub batches: u64,
    pub epochs: u64,
    /// Older files have none.
    #[serde(default)]
    pub circumstances: Circumstances,
    pub run: R,
}

/// A checkpoint that is as it was written. `R` tells where the run stood.
pub(crate) struct CheckpointFile<'a, R> {
    path: &'a Path,
    file: SafeTensors<'a>,
    pub meta: Metadata<R>,
    /// Whether this version of gradus wrote it.
    pub same_version: bool,
}

impl<'a, R: DeserializeOwned> CheckpointFile<'a, R> {
    pub fn read(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
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
        let meta: Metadata<R> = serde_json::from_value(value).map_err(|e| damaged(path, e, "its metadata"))?;
        let same_version = meta.gradus == env!("CARGO_PKG_VERSION");
        if !same_version {
            crate::terminal::warn!(by = meta.gradus, format = FORMAT, "a checkpoint of another version: not to the same bits");
        }
        Ok(CheckpointFile { path, file, meta, same_version })
    }

    /// Fails on counters that no run comes to: those of the model, `epoch` of the run, or others that the loop has not found `sound`.
    pub fn check_counters(&self, sound: bool, epoch: u64) -> Result<()> {
        let counters = [self.meta.updates, self.meta.batches, self.meta.epochs, epoch].iter().all(|c| *c < MOST);
        if sound && counters { Ok(()) } else { Err(damaged(self.path, "counters that cannot be", "its metadata")) }
    }

    /// The words of the arenas, and the weights that were kept under these names.
    pub fn arenas(&self, model: &Core, kept: &[String]) -> Result<(Arenas, BTreeMap<String, Arenas>)> {
        let (parts, sizes, mut wrong) = (model.arena_tensors(), model.engine.lasting(), Vec::new());
        let weights: Vec<_> = sizes.iter().copied().filter(|(id, _)| is_weight(*id)).collect();
        // before memory is taken for weights that the file merely speaks of
        let first = parts.iter().find(|p| is_weight(p.buffer));
        let missing = |name: &&String| first.is_some_and(|p| self.file.tensor(&format!("gradus.kept.{name}.{}", p.name)).is_err());
        wrong.extend(kept.iter().filter(missing).map(|n| format!("the weights `{n}` are missing")));
        let there = kept.iter().filter(|n| !missing(n));
        let kept = there.map(|n| (n.clone(), arenas(&self.file, &parts, &weights, &format!("gradus.kept.{n}."), &mut wrong))).collect();
        let all = arenas(&self.file, &parts, &sizes, "", &mut wrong);
        match wrong.first() {
            Some(first) => Err(damaged(self.path, first, &format!("its tensors; {} of them are wrong", wrong.len()))),
            None => Ok((all, kept)),
        }
    }
}
