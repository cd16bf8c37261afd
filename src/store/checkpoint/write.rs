//! Writing a checkpoint.

use super::agreement::Circumstances;
use super::tensors::{damaged, views};
use crate::error::{Error, Result};
use crate::model::compile::Compile;
use crate::model::core::Core;
use crate::model::loss_scale::SavedScale;
use crate::model::values::Arenas;
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

/// The metadata's first part: that of a model's file, which [`Model::load`](crate::train::Model::load) reads.
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

/// Its last part. The settings of the loop stand between the two, under `fit`.
#[derive(Serialize)]
struct OfRun<'a, R> {
    circumstances: &'a Circumstances,
    run: &'a R,
}

/// Reads what a checkpoint is to hold of the model. Nothing may be under way.
///
/// Fails where a parameter that trains is not finite: going on from such a file would fail at once, and for ever, and the good one
/// that it replaces would be gone. What is frozen or not trained may hold infinities, as masks do.
pub(crate) fn arenas_to_write(model: &mut Core, path: &Path) -> Result<Arenas> {
    let arenas = model.read_arenas(|_| true)?;
    let words = arenas.get(&BufferId::Parameters).map_or(&[][..], |w| w);
    let bad = |w: &&u32| !f32::from_bits(**w).is_finite();
    for (name, words) in model.trained_in(words) {
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
    let parts = model.arena_tensors();
    let mut tensors = views(&parts, arenas, "");
    for (name, kept) in contents.kept {
        tensors.extend(views(&parts, kept, &format!("gradus.kept.{name}.")));
    }
    let meta = metadata(model, contents).map_err(|e| damaged(path, e, "settings"))?;
    let bytes = sum::summed(tensors, Some(meta)).map_err(|e| damaged(path, e, "its header"))?;
    atomic::replace(path, &bytes)
}

/// One JSON object of all three parts.
fn metadata<R: Serialize>(model: &Core, contents: &Contents<'_, R>) -> serde_json::Result<String> {
    let of_model = serde_json::to_string(&OfModel {
        format: FORMAT,
        gradus: env!("CARGO_PKG_VERSION"),
        model: model.module.config(),
        compile: &model.settings,
        updates: model.updates,
        batches: model.batches,
        epochs: model.epochs,
        loss_scale: model.scaler.map(|s| s.saved()),
    })?;
    let of_run = serde_json::to_string(&OfRun { circumstances: contents.circumstances, run: contents.run })?;
    let inner = |object: &str| object.strip_prefix('{').and_then(|o| o.strip_suffix('}')).unwrap_or(object).to_string();
    Ok(format!("{{{},\"fit\":{},{}}}", inner(&of_model), contents.settings, inner(&of_run)))
}
