//! Writing a checkpoint.

use super::agreement::Circumstances;
use super::tensors::{ArenaTensor, damaged, views};
use crate::error::{Error, Result};
use crate::model::compile::Compile;
use crate::model::core::Core;
use crate::model::journal::Arenas;
use crate::model::loss_scale::SavedScale;
use crate::nn::Layer;
use crate::plan::BufferId;
use crate::store::format::FORMAT;
use crate::store::{atomic, sum};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What a checkpoint holds beside the model.
pub(crate) struct Contents<'a, R> {
    /// The settings of the loop, in JSON.
    pub settings: &'a str,
    pub circumstances: &'a Circumstances,
    /// Where the run stands.
    pub run: &'a R,
    /// Weights that were kept, by name: `gradus.kept.<name>.*`.
    pub kept: &'a BTreeMap<String, Arenas>,
}

/// The first part of the metadata, as the file of a model has it: [`Model::load`](crate::train::Model::load) reads this.
#[derive(Serialize)]
struct OfModel<'a> {
    format: u32,
    gradus: &'static str,
    model: Option<Layer>,
    compile: &'a Compile,
    updates: u64,
    batches: u64,
    epochs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_scale: Option<SavedScale>,
}

/// The last part of the metadata. The settings of the loop stand between the two, under `fit`.
#[derive(Serialize)]
struct OfRun<'a, R> {
    circumstances: &'a Circumstances,
    run: &'a R,
}

/// Reads the arenas that a checkpoint holds. Nothing may be under way.
///
/// Fails where a parameter that trains is not finite: a run that goes on from such a file would fail at once, each time, and the good file
/// that it replaces would be gone. What is frozen or not trained may hold infinities, as masks do.
pub(crate) async fn arenas_to_write(model: &mut Core, path: &Path) -> Result<Arenas> {
    let arenas = model.read_arenas_async(|_| true).await?;
    let words = arenas.get(&BufferId::Parameters).map_or(&[][..], |w| w);
    let bad = |w: &&u32| !f32::from_bits(**w).is_finite();
    for (name, words) in model.engine.trained_in(words) {
        let found = words.iter().filter(bad).count();
        if found > 0 {
            return Err(Error::Unsupported {
                what: format!("a checkpoint of weights that are not finite ({found} of {} elements of `{name}`)", words.len()),
                at: format!("{}; what was there is left as it is", path.display()),
                help: "go on from that file at a lower learning rate; `save_weights` writes what the model holds, whatever it is".into(),
            });
        }
    }
    Ok(arenas)
}

/// Puts a checkpoint in the place of a file, whole or not at all. `arenas` are those of [`arenas_to_write`].
pub(crate) fn write<R: Serialize>(model: &Core, path: &Path, arenas: &Arenas, contents: &Contents<'_, R>) -> Result<()> {
    Sheet::of(model, path, contents)?.write(path, arenas, contents.kept)
}

/// All that a checkpoint says of a model beside its arenas: with it the file is written while the model goes on.
pub(crate) struct Sheet {
    parts: Vec<ArenaTensor>,
    meta: String,
}

impl Sheet {
    pub fn of<R: Serialize>(model: &Core, path: &Path, contents: &Contents<'_, R>) -> Result<Self> {
        let meta = metadata(model, contents).map_err(|e| damaged(path, e, "settings"))?;
        Ok(Sheet { parts: model.arena_tensors(), meta })
    }

    /// Puts the checkpoint in the place of a file, whole or not at all.
    pub fn write(self, path: &Path, arenas: &Arenas, kept: &BTreeMap<String, Arenas>) -> Result<()> {
        let mut tensors = views(&self.parts, arenas, "");
        for (name, kept) in kept {
            tensors.extend(views(&self.parts, kept, &format!("gradus.kept.{name}.")));
        }
        let bytes = sum::summed(tensors, Some(self.meta)).map_err(|e| damaged(path, e, "its header"))?;
        atomic::replace(path, &bytes)
    }
}

/// The metadata: one JSON object of all three parts.
fn metadata<R: Serialize>(model: &Core, contents: &Contents<'_, R>) -> serde_json::Result<String> {
    let of_model = serde_json::to_string(&OfModel {
        format: FORMAT,
        gradus: env!("CARGO_PKG_VERSION"),
        model: model.description.module.config(),
        compile: &model.description.settings,
        updates: model.progress.updates,
        batches: model.progress.batches,
        epochs: model.progress.epochs,
        loss_scale: model.progress.scaler.map(|s| s.saved()),
    })?;
    let of_run = serde_json::to_string(&OfRun { circumstances: contents.circumstances, run: contents.run })?;
    let inner = |object: &str| object.strip_prefix('{').and_then(|o| o.strip_suffix('}')).unwrap_or(object).to_string();
    Ok(format!("{{{},\"fit\":{},{}}}", inner(&of_model), contents.settings, inner(&of_run)))
}
