//! A run as a value: from TOML and to TOML, and the changes that flags and data make to its network.

use anyhow::{Context, Result};
use gradus::Error;
use gradus::expr::Activation;
use gradus::nn::{InitScheme, Layer};
use gradus::prelude::{Dataset, Dropout, Linear};
use gradus::train::{DataOp, Recipe};
use std::io::Read;
use std::path::Path;

/// Reads a recipe; the error names the key and its line. Unless it is trusted it writes below this folder alone.
pub fn read(file: &Path, trusted: bool) -> Result<Recipe> {
    const MOST: u64 = 16 << 20;
    let mut text = String::new();
    let read = std::fs::File::open(file).and_then(|f| f.take(MOST).read_to_string(&mut text));
    read.with_context(|| format!("could not read the recipe {}", file.display()))?;
    anyhow::ensure!((text.len() as u64) < MOST, "{} is no recipe: it has {MOST} bytes or more", file.display());
    let recipe = parse(&text, &file.display().to_string())?;
    Ok(if trusted { recipe } else { recipe.inside()? })
}

fn parse(text: &str, file: &str) -> gradus::Result<Recipe> {
    let recipe: Recipe = toml::from_str(text).map_err(|e| Error::BadRecipe {
        problem: e.message().replace('\n', " "),
        at: place(text, file, e.message(), e.span()),
        help: "`--print-recipe` shows a recipe with every key".into(),
    })?;
    recipe.checked()
}

/// `run.toml, line 7: epoch = 3`; the file alone where the parser points at all of it.
fn place(text: &str, file: &str, problem: &str, span: Option<std::ops::Range<usize>>) -> String {
    let Some(span) = span else { return file.into() };
    let first = text[..span.start].matches('\n').count();
    // the parser may point at a whole table: the word that it names stands below
    let word = if problem.starts_with("missing") { None } else { problem.split('`').nth(1) };
    let named = word.and_then(|w| text.lines().enumerate().skip(first).find(|(_, l)| l.contains(w)));
    match named.or_else(|| text.lines().enumerate().nth(first)) {
        Some((i, line)) if named.is_some() || first > 0 => format!("{file}, line {}: {}", i + 1, line.trim()),
        _ => file.into(),
    }
}

/// The recipe in TOML.
pub fn write(r: &Recipe) -> Result<String> {
    let text = toml::to_string(r).context("the recipe cannot be written as TOML")?;
    Ok(format!("# gradus {}: cargo run --release --example mnist -- --recipe FILE\n{text}", env!("CARGO_PKG_VERSION")))
}

/// The layers, to be changed: none in a recipe that merely names its model.
fn layers(r: &mut Recipe) -> impl Iterator<Item = &mut Layer> {
    r.model.layers_mut().into_iter().flatten()
}

fn last_linear(r: &Recipe) -> Option<usize> {
    r.model.layers().iter().rposition(|l| matches!(l, Layer::Linear(_)))
}

/// Replaces every activation.
pub fn set_activation(r: &mut Recipe, to: Activation) {
    for layer in layers(r) {
        if let Layer::Activation { function } = layer {
            *function = to;
        }
    }
}

/// Sets how every linear layer starts.
pub fn set_init(r: &mut Recipe, scheme: InitScheme) {
    for layer in layers(r) {
        if let Layer::Linear(l) = layer {
            *l = l.init(scheme);
        }
    }
}

/// Drops a part of what each activation gives.
pub fn set_dropout(r: &mut Recipe, p: f64) {
    let Some(layers) = r.model.layers_mut() else { return };
    let kept = layers.drain(..).filter(|l| !matches!(l, Layer::Dropout(_))).collect::<Vec<_>>();
    *layers = kept
        .into_iter()
        .flat_map(|l| if matches!(l, Layer::Activation { .. }) { vec![l, Layer::Dropout(Dropout::new(p))] } else { vec![l] })
        .collect();
}

/// Replaces all before the last linear layer by such layers of these widths, each with the activation that there was.
pub fn set_hidden(r: &mut Recipe, widths: &[usize]) {
    let function = activation(r).unwrap_or(Activation::Relu);
    let hidden = widths.iter().flat_map(|&w| [Layer::Linear(Linear::new(w)), Layer::Activation { function }]);
    let last = last_linear(r).unwrap_or(0);
    r.model.layers_mut().into_iter().for_each(|layers| drop(layers.splice(..last, hidden.clone())));
}

/// Fits the network's ends to the data: as many inputs as an image has pixels, or its height and width, and an output for every class, 10 at least.
pub fn suit(r: &mut Recipe, data: &Dataset) {
    let image = data.input_shape();
    r.compile.input = if r.compile.input.rank() == 1 { image.size().into() } else { image.clone() };
    if let Some(Layer::Reshape(to)) = r.model.layers_mut().and_then(|layers| layers.first_mut()) {
        // of one channel
        to.shape = [&[1][..], image.dims()].concat();
    }
    let top = data.labels().and_then(|l| l.as_u8()).and_then(|l| l.iter().max()).copied().unwrap_or(0);
    let outputs = (usize::from(top) + 1).max(10);
    if let (Some(i), Some(layers)) = (last_linear(r), r.model.layers_mut())
        && let Layer::Linear(l) = &mut layers[i]
    {
        l.out_features = outputs;
    }
    for op in &mut r.data.pipeline {
        if let DataOp::OneHot { classes, .. } = op {
            *classes = outputs;
        }
    }
}

fn activation(r: &Recipe) -> Option<Activation> {
    r.model.layers().iter().find_map(|l| if let Layer::Activation { function } = l { Some(*function) } else { None })
}

/// The network in a few words: `784-64-32-10, relu, softmax`.
pub fn describe(r: &Recipe) -> String {
    let (mut sizes, mut words) = (vec![r.compile.input.size().to_string()], Vec::new());
    for layer in r.model.layers() {
        match layer {
            Layer::Linear(l) => sizes.push(l.out_features.to_string()),
            Layer::Activation { function } if !words.contains(&function.name()) => words.push(function.name()),
            Layer::Softmax {} => words.push("softmax"),
            _ => {}
        }
    }
    std::iter::once(sizes.join("-").as_str()).chain(words).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_gives_the_same_run_back() {
        let article = crate::article().unwrap();
        let text = write(&article).unwrap();
        assert_eq!(parse(&text, "x").unwrap(), article, "{text}");
    }

    /// A file of version 1 is the run that it was, and is written as version 2.
    #[test]
    fn version_1_is_read() {
        let article = crate::article().unwrap();
        let old = include_str!("../../tests/files/recipes/version-1.toml");
        assert_eq!(parse(old, "run.toml").unwrap(), article);
        assert!(write(&article).unwrap().contains("version = 2"));
    }

    #[test]
    fn unknown_keys_are_named_with_their_line() {
        let text = write(&crate::article().unwrap()).unwrap();
        let places = [("epochs = 10", "epochs = 10\nepoch = 3", "epoch"), ("name = \"adam\"", "name = \"adam\"\nbeta = 3", "beta")];
        for (before, after, key) in places.into_iter().chain([("all = 0", "all = 0\nspeed = 1", "speed")]) {
            assert!(text.contains(before), "{text}");
            let e = parse(&text.replacen(before, after, 1), "run.toml").unwrap_err();
            let says = e.to_string();
            assert!(says.contains(&format!("`{key}`")) && says.contains(&format!(": {key} = ")), "{says}");
        }
    }
}
