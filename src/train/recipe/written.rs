//! A recipe as files have it: in version 2, or in version 1, which is read as version 2.

use super::data_op::DataOp;
use super::data_spec::{DataSpec, HeldOut};
use super::model_spec::ModelSpec;
use super::seeds::Seeds;
use crate::graph::Precision;
use crate::model::compile::Compile;
use crate::nn::{Layer, Loss, Metric, Penalized};
use crate::optim::{LossScale, Optimizer};
use crate::tensor::{DType, Shape};
use crate::train::settings::Fit;
use serde::Deserialize;

/// The keys of both versions: one pass over the text, so that an error in it still knows its line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    version: u32,
    data: WrittenData,
    fit: Fit,
    // of version 2
    seeds: Option<Seeds>,
    model: Option<ModelSpec>,
    compile: Option<Compile>,
    // of version 1
    seed: Option<u64>,
    input: Option<Shape>,
    input_dtype: Option<DType>,
    optimizer: Option<Optimizer>,
    loss: Option<Loss>,
    metrics: Option<Vec<Metric>>,
    clip_norm: Option<f64>,
    clip_value: Option<f64>,
    ema: Option<f64>,
    loss_scale: Option<LossScale>,
    penalties: Option<Vec<Penalized>>,
    precision: Option<Precision>,
    layers: Option<Vec<Layer>>,
}

/// The same of the data.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenData {
    source: String,
    // of version 2
    memory_budget: Option<u64>,
    validation: Option<HeldOut>,
    test: Option<HeldOut>,
    pipeline: Option<Vec<DataOp>>,
    // of version 1
    scale: Option<f32>,
}

/// The parts of a recipe.
pub(super) struct Parts {
    pub version: u32,
    pub seeds: Seeds,
    pub data: DataSpec,
    pub model: ModelSpec,
    pub compile: Compile,
    pub fit: Fit,
}

impl Written {
    /// The parts that it means, of version 2 for a recipe of version 1. Fails on a key that is missing, and on one of the other version.
    pub fn parts(self) -> Result<Parts, String> {
        self.no_key_of_the_other_version()?;
        if self.version == 1 { self.parts_of_1() } else { self.parts_of_2() }
    }

    fn no_key_of_the_other_version(&self) -> Result<(), String> {
        let in_1 = [
            ("seed", self.seed.is_some()),
            ("input", self.input.is_some()),
            ("input_dtype", self.input_dtype.is_some()),
            ("optimizer", self.optimizer.is_some()),
            ("loss", self.loss.is_some()),
            ("metrics", self.metrics.is_some()),
            ("clip_norm", self.clip_norm.is_some()),
            ("clip_value", self.clip_value.is_some()),
            ("ema", self.ema.is_some()),
            ("loss_scale", self.loss_scale.is_some()),
            ("penalties", self.penalties.is_some()),
            ("precision", self.precision.is_some()),
            ("layers", self.layers.is_some()),
            ("data.scale", self.data.scale.is_some()),
        ];
        let in_2 = [
            ("seeds", self.seeds.is_some()),
            ("model", self.model.is_some()),
            ("compile", self.compile.is_some()),
            ("data.memory_budget", self.data.memory_budget.is_some()),
            ("data.validation", self.data.validation.is_some()),
            ("data.test", self.data.test.is_some()),
            ("data.pipeline", self.data.pipeline.is_some()),
        ];
        let others: &[(&str, bool)] = if self.version == 1 { &in_2 } else { &in_1 };
        match others.iter().find(|(_, there)| *there) {
            Some((key, _)) => Err(format!("a recipe of version {} has no key `{key}`", self.version)),
            None => Ok(()),
        }
    }

    fn parts_of_2(self) -> Result<Parts, String> {
        let WrittenData { source, memory_budget, validation, test, pipeline, .. } = self.data;
        Ok(Parts {
            version: self.version,
            seeds: self.seeds.unwrap_or_default(),
            data: DataSpec { source, memory_budget, validation, test, pipeline: pipeline.unwrap_or_default() },
            model: needed(self.model, "model")?,
            compile: needed(self.compile, "compile")?,
            fit: self.fit,
        })
    }

    /// Version 1 was run by an example alone, which showed each image as one axis, made the labels one-hot for the last layer's classes, and looked at
    /// the test set after every epoch: here that is written down.
    fn parts_of_1(self) -> Result<Parts, String> {
        let (input, layers) = (needed(self.input, "input")?, needed(self.layers, "layers")?);
        let last = layers.iter().rev().find_map(|l| if let Layer::Linear(l) = l { Some(l.out_features) } else { None });
        let data = DataSpec::new(self.data.source)
            .flatten()
            .scale(needed(self.data.scale, "data.scale")?)
            .one_hot(last.unwrap_or(input.size()))
            .validation(HeldOut::Test)
            .test(HeldOut::Test);
        let plain = Compile::new(needed(self.optimizer, "optimizer")?, needed(self.loss, "loss")?);
        let compile = Compile {
            input,
            input_dtype: self.input_dtype.unwrap_or(plain.input_dtype),
            metrics: self.metrics.unwrap_or_default(),
            clip_norm: self.clip_norm,
            clip_value: self.clip_value,
            ema: self.ema,
            loss_scale: self.loss_scale,
            penalties: self.penalties.unwrap_or_default(),
            precision: self.precision.unwrap_or_default(),
            ..plain
        };
        let seeds = Seeds::new(needed(self.seed, "seed")?);
        Ok(Parts { version: super::RECIPE_VERSION, seeds, data, model: ModelSpec::Layers(layers), compile, fit: self.fit })
    }
}

fn needed<T>(value: Option<T>, key: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("missing field `{key}`"))
}
