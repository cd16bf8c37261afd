//! `gradus predict`: what a recipe's network gives for rows without labels.

use crate::recipe;
use anyhow::{Context, Result, bail};
use clap::Args;
use gradus::train::{DataOp, DataSpec, Device, Load, Recipe, Registry};
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use std::path::PathBuf;

#[derive(Args)]
pub struct Flags {
    /// The recipe, in TOML or JSON
    recipe: PathBuf,
    /// Weights: a safetensors file of `gradus train --save`, `gradus ps --save` or PyTorch
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// The rows: a safetensors or npz file with the field `x`
    #[arg(long, value_name = "FILE")]
    source: String,
    /// Where the outputs go: a safetensors file with the tensor `y`, a row for each row
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Rows of a batch
    #[arg(long, default_value_t = 256)]
    batch_size: usize,
    /// auto, gpu, gpu:INDEX, gpu:NAME, software, cpu [default: $GRADUS_DEVICE, else auto]
    #[arg(long, value_name = "CHOICE")]
    device: Option<String>,
}

pub fn run(flags: &Flags) -> Result<()> {
    let recipe = recipe::read(&flags.recipe, false)?;
    let device = flags.device.as_deref().map_or_else(Device::best, Device::select)?;
    let registry = Registry::new();
    let mut model = recipe.compile(&registry, &device)?;
    model.load_weights(&flags.weights, Load::new())?;
    let rows = shown(&recipe, &flags.source)?.load(&registry)?.train;
    let values = model.predict(&rows, flags.batch_size.clamp(1, rows.len().max(1)))?;
    let Some(numbers) = values.as_f32() else { bail!("the network gives {}, and only f32 is written", values.dtype()) };
    let bytes: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
    let tensor = TensorView::new(Dtype::F32, values.shape().dims().to_vec(), &bytes)?;
    serialize_to_file([("y", tensor)], None, &flags.out).with_context(|| format!("could not write {}", flags.out.display()))
}

/// The recipe's data as the network sees features alone: what is done with labels, and which rows are taken, is left out.
fn shown(recipe: &Recipe, source: &str) -> Result<DataSpec> {
    let of_features = |op: &DataOp| match op {
        DataOp::Flatten { field } | DataOp::Scale { field, .. } | DataOp::Shift { field, .. } | DataOp::Integers { field } => {
            field.as_deref().is_none_or(|f| f == "x")
        }
        DataOp::CenterCrop { .. } => true,
        _ => false,
    };
    if recipe.data.pipeline.iter().any(|op| matches!(op, DataOp::Normalize { .. })) {
        bail!(
            "the recipe normalises by its training rows, which are not here: normalise before, or write a program with `Dataset::normalize_as`"
        );
    }
    let ops = recipe.data.pipeline.iter().filter(|op| of_features(op)).cloned();
    Ok(ops.fold(DataSpec::new(source), DataSpec::op))
}
