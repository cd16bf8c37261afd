//! What two runs must have in common for one to go on where the other stopped.

use crate::data::{Dataset, Rows};
use crate::error::{Faults, Result};
use crate::graph::Field;
use crate::model::build::input_fields;
use crate::model::core::Core;
use crate::plan::Purpose;
use crate::rng::fnv1a;
use crate::store::sum::of_words;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What must be as it was: settings by their keys, parameters, and what the model computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Agreement {
    settings: BTreeMap<String, Value>,
    /// The shapes of the parameters by name.
    parameters: BTreeMap<String, String>,
    /// The kind of the model, and a hash of its graph: two models with the same parameters may compute different things.
    model: String,
    structure: String,
}

const AS_IT_WAS: &str = "give it as it was, or start anew with `Resume::Never`";

impl Agreement {
    /// That of a model which is trained on this data. `of_loop` are the settings of the loop that must be as they were.
    pub fn of(model: &Core, data: &Dataset, of_loop: impl IntoIterator<Item = (&'static str, Value)>) -> Result<Self> {
        let c = &model.description.settings;
        let optimizer = serde_json::to_value(&c.optimizer).unwrap_or_default();
        let fields: Vec<String> = model.fields_of(data, Purpose::Train).iter().map(field).collect();
        let settings = [
            ("compile.optimizer", json!(optimizer.get("name"))),
            ("compile.optimizer, moments it keeps", json!(model.engine.rule.moments)),
            ("compile.loss", serde_json::to_value(&c.loss).unwrap_or_default()),
            ("compile.metrics", serde_json::to_value(&c.metrics).unwrap_or_default()),
            ("compile.precision", if c.precision.is_mixed() { json!(c.precision) } else { Value::Null }),
            ("compile.seed", json!(c.seed)),
            ("compile.order_seed", json!(c.order_seed)),
            ("compile.loss_scale", json!(c.scaling().map(|s| s.0.name()))),
            ("data, rows", json!(data.len())),
            // nothing where the rows are a range, as they were before there were lists
            ("data, list of rows", json!(list_of_rows(data))),
            ("data, seed of its balance", json!(data.balance())),
            ("data, fields", json!(fields)),
        ];
        let shape = |e: &crate::plan::ArenaEntry| format!("{}{}", e.shape, if e.frozen { ", frozen" } else { "" });
        Ok(Agreement {
            settings: settings.into_iter().chain(of_loop).map(|(k, v)| (k.to_string(), v)).collect(),
            parameters: model.engine.arena.entries.iter().map(|e| (e.name.clone(), shape(e))).collect(),
            model: model.description.module.name().into(),
            structure: structure(model)?,
        })
    }

    /// Fails with a list of all that differs from `theirs`, which is of the checkpoint. The graph counts only where one version of gradus
    /// made both.
    pub fn check_same(&self, theirs: &Agreement, path: &Path, same_version: bool) -> Result<()> {
        let (mut f, path) = (Faults::default(), path.display());
        for (key, ours) in &self.settings {
            let theirs = theirs.settings.get(key).unwrap_or(&Value::Null);
            f.check(ours == theirs, key, format!("{ours}, in the checkpoint {path} it is {theirs}"), AS_IT_WAS);
        }
        let mut same = true;
        let mut names: Vec<&String> = self.parameters.keys().chain(theirs.parameters.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let show = |p: Option<&String>| p.map_or("not there".to_string(), String::clone);
            let (a, b) = (self.parameters.get(name), theirs.parameters.get(name));
            same &= a == b;
            f.check(a == b, name, format!("{}, in the checkpoint {path} it is {}", show(a), show(b)), "build the model as it was");
        }
        let graph = !same || !same_version || self.structure == theirs.structure;
        let problem = format!("its parameters are those of the checkpoint {path}, but it computes something else with them");
        f.check(graph, "the model", problem, "build the model as it was, or take the weights alone: `load_weights`");
        f.finish()
    }
}

/// What the bits of a run depend on beside its settings. Where this has changed a warning is given and the run goes on, to other bits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Circumstances {
    /// The kind of machine; nothing where that is not known.
    #[serde(default)]
    machine: String,
    /// Whether products use cooperative matrices there: asked in mixed precision alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    matrices: Option<String>,
    /// Sums over the first rows of each field, by its name.
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl Circumstances {
    pub fn of(model: &Core, data: &Dataset) -> Self {
        let mixed = model.description.settings.precision.is_mixed();
        Circumstances {
            machine: model.engine.device.machine(),
            matrices: mixed.then(|| model.engine.device.matrices()),
            data: data.first_rows().into_iter().map(|(name, words)| (name, of_words(&words))).collect(),
        }
    }

    /// Warns of everything that is not as it was.
    pub fn warn_of_changes(&self, before: &Circumstances, path: &Path) {
        let path = path.display();
        if !before.machine.is_empty() && self.machine != before.machine {
            let (now, then) = (&self.machine, &before.machine);
            crate::terminal::warn!(path = %path, now, then, "a checkpoint of another machine: the run goes on, not to the same bits");
        }
        if let (Some(now), Some(then)) = (&self.matrices, &before.matrices)
            && now != then
        {
            crate::terminal::warn!(path = %path, now, then, "a checkpoint with other cooperative matrices: the run goes on, not to the same bits");
        }
        for (field, sum) in &self.data {
            if before.data.get(field).is_some_and(|then| then != sum) {
                crate::terminal::warn!(path = %path, field, "the first rows of the data are not those that the checkpoint was trained on");
            }
        }
    }
}

/// A sum over the list of the rows of a set that has one.
fn list_of_rows(data: &Dataset) -> Option<String> {
    match data.rows() {
        Rows::Range(_) => None,
        Rows::Index(list) => Some(of_words(list)),
    }
}

/// How a field is stored, and what the model makes of it.
fn field(f: &Field) -> String {
    let one_hot = f.one_hot.map_or(String::new(), |n| format!(", one-hot {n}"));
    // nothing where it is shown as it is stored, as before there was anything else
    let changes = f.words_of_changes();
    let changes = if changes.is_empty() { String::new() } else { format!(", changed by {}", of_words(&changes)) };
    let image = f.image.map_or(String::new(), |i| format!(", {} x {} of the image", i.shown[0], i.shown[1]));
    format!("{} {} {} * {} + {}{one_hot}{image}{changes}", f.name, f.stored, f.row, f.scale, f.shift)
}

/// What a model computes and is trained with, as a fingerprint: two processes with the same one train one model. Data is no part of it.
pub(crate) fn fingerprint(model: &Core) -> Result<String> {
    let c = &model.description.settings;
    let shapes: Vec<String> = model.engine.arena.entries.iter().map(|e| format!("{} {} {}", e.name, e.shape, e.frozen)).collect();
    // a schedule of the user's own has no text, and counts for nothing here
    let (optimizer, loss) = (serde_json::to_value(&c.optimizer).unwrap_or_default(), serde_json::to_value(&c.loss).unwrap_or_default());
    let precision = serde_json::to_value(&c.precision).unwrap_or_default();
    let numbers = json!([c.seed, c.order_seed, c.clip_norm, c.clip_value, c.ema]);
    let scaling = c.scaling();
    let all = format!("{optimizer} {loss} {precision} {numbers} {scaling:?} {shapes:?} {}", structure(model)?);
    Ok(format!("{:016x}", fnv1a(all.as_bytes())))
}

/// A hash of what the model computes. The lines of the source of the user are no part of it: a new comment changes nothing.
fn structure(model: &Core) -> Result<String> {
    let built = model.description.build(Purpose::Predict, 2, &input_fields(&model.description.settings))?;
    Ok(of_graph(&built.step.graph))
}

/// A hash of what a graph computes.
pub(crate) fn of_graph(graph: &crate::graph::Graph) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325u64; // FNV-1a
    let mut add = |text: String| text.bytes().for_each(|b| hash = (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    for n in &graph.nodes {
        // beyond its name an operation of the user's is only an address
        let op = if let crate::graph::Op::Custom(c) = &n.op { format!("custom {}", c.op().name()) } else { format!("{:?}", n.op) };
        add(format!("{op} {:?} {:?}\n", n.inputs, n.outputs));
    }
    format!("{hash:016x}")
}
