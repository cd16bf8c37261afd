//! The flags, and what they make of a run.

use crate::digits::Digits;
use crate::{digits, plot, recipe, report};
use anyhow::{Context, Result};
use clap::Parser;
use gradus::data::Augment;
use gradus::expr::Activation;
use gradus::nn::InitScheme;
use gradus::optim::schedule::Span;
use gradus::optim::{Optimizer, Schedule};
use gradus::prelude::{Checkpoint, Dataset, Device, EarlyStopping, Model, Precision, Resume};
use gradus::train::callbacks::TensorBoard;
use gradus::train::{DataOp, DeviceChoice, Recipe};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples (after `cargo run --release --example mnist --`):
  --device cpu --epochs 3
  --model cnn                          some 99.1 % after three epochs
  --hidden 128 --activation gelu --optimizer adamw --lr 5e-4
  --data fashion-mnist                 a folder with the four files of Fashion-MNIST
  --save digits.safetensors            then: --weights digits.safetensors --steps 0
  --print-recipe > run.toml            then: --recipe run.toml
  --hidden 1024,1024 --batch-size 512 --precision mixed
  --augment shift,rotate,scale --train-samples 1000
  --dropout 0.1 --weight-decay 0.01 --optimizer adamw --schedule cosine:18750 --warmup 500 --ema 0.999
  --checkpoint run.gradus --resume --early-stopping 3 --tensorboard runs/first
  --explain --graph step.dot --steps 1
  --profile --steps 0                  where the time of a step goes
  --bisect --steps 0                   whether the device computes what it should

Without --data the data is looked for in GRADUS_DATA and in the user's cache, else downloaded
(11 MiB); without network the network learns synthetic digits instead.";

const ABOUT: &str = "\
Trains a network on MNIST, on any GPU or on the CPU. Without flags: 784-64-32-10 with ReLU,
softmax cross-entropy, Adam, 10 epochs in batches of 32, tested after each.";

/// The network to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Network {
    /// Dense layers.
    Mlp,
    /// Convolutions.
    Cnn,
}

/// The command line.
#[derive(Debug, Parser)]
#[command(version, about = ABOUT, override_usage = "cargo run --release --example mnist -- [FLAGS]", after_help = EXAMPLES)]
pub struct Flags {
    /// auto (a real GPU, else the CPU), gpu, gpu:INDEX, gpu:NAME, software, cpu; or list, to see
    /// what there is [default: $GRADUS_DEVICE, else auto]
    #[arg(long, value_name = "CHOICE", verbatim_doc_comment)]
    device: Option<DeviceChoice>,

    /// A folder in MNIST's format, or `mnist`, or `synthetic` [default: mnist]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,

    /// Train on so many of its images alone, each class with its share, drawn by the seed [default: all]
    #[arg(long, value_name = "N", help_heading = "The run")]
    train_samples: Option<usize>,

    /// Change the training images at random: shift[:PIXELS], rotate[:DEGREES], translate, scale[:LEAST:MOST], shear, flip, brightness,
    /// contrast, noise[:DEVIATION], erase, mixup, cutmix, with commas between them
    #[arg(long, value_name = "WORDS", help_heading = "The run", verbatim_doc_comment)]
    augment: Option<Augment>,

    /// mlp: the article's; cnn: two convolutions, 3 epochs in batches of 128
    #[arg(long, value_enum, default_value = "mlp", conflicts_with = "recipe", help_heading = "The run")]
    pub model: Network,

    /// Passes over the training data [default: 10]
    #[arg(long, value_name = "N", help_heading = "The run")]
    epochs: Option<usize>,

    /// Rows of a batch [default: 32]
    #[arg(long, value_name = "N", help_heading = "The run")]
    batch_size: Option<usize>,

    /// Widths of the hidden layers [default: 64,32]
    #[arg(long, value_name = "WIDTHS", value_delimiter = ',', value_parser = width, help_heading = "The run")]
    hidden: Option<Vec<usize>>,

    /// relu, tanh, sigmoid, silu, gelu (by erf), gelu_tanh, leaky_relu, elu, selu, softplus, mish, hardswish, hardsigmoid, relu6,
    /// softsign, log_sigmoid [default: relu]
    #[arg(long, value_name = "NAME", help_heading = "The run")]
    activation: Option<Activation>,

    #[arg(long, value_name = "NAME", help = optimizers(), help_heading = "The run")]
    optimizer: Option<Chosen>,

    /// Learning rate [default: 0.001; sgd 0.1, momentum 0.01; cnn up to 0.005]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, help_heading = "The run")]
    lr: Option<f64>,

    /// The learning rate over the updates, from --lr: constant, step:SIZE:GAMMA, multi_step:UPDATE,..:GAMMA, exponential:GAMMA,
    /// polynomial:TOTAL:POWER, cosine:TOTAL:END, cosine_restarts:FIRST:TIMES:END, one_cycle:TOTAL. Lengths are updates (an epoch of
    /// MNIST in batches of 32 has 1875), 2.5epochs, or 95% of the run [default: constant; cnn one_cycle:100%]
    #[arg(long, value_name = "SCHEDULE", help_heading = "The run", verbatim_doc_comment)]
    schedule: Option<Schedule>,

    /// Updates before the schedule, in which the rate rises to where that begins; also 0.5epochs, or 5% of the run [default: 0]
    #[arg(long, value_name = "LENGTH", help_heading = "The run")]
    warmup: Option<Span>,

    /// Weight decay, in the optimizer's own way: L2 in sgd, momentum and adam, decoupled in
    /// adamw, lion and lamb [default: 0; adamw 0.01]
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true, help_heading = "The run")]
    weight_decay: Option<f64>,

    /// How the layers start: pytorch, keras, or the weights by xavier_uniform, xavier_normal, kaiming_uniform, kaiming_normal,
    /// lecun_uniform, lecun_normal, orthogonal (each with :GAIN), normal:STD, truncated_normal:STD, uniform:BOUND, .. and biases
    /// of 0 [default: pytorch]
    #[arg(long, value_name = "INIT", help_heading = "The run", verbatim_doc_comment)]
    init: Option<InitScheme>,

    /// Drop this part of each hidden layer's outputs while training [default: 0]
    #[arg(long, value_name = "P", help_heading = "The run")]
    dropout: Option<f64>,

    /// The largest L2 norm of all gradients together: longer ones are shortened to it [default: none]
    #[arg(long, value_name = "NORM", help_heading = "The run")]
    clip_norm: Option<f64>,

    /// Batches whose gradients make one update [default: 1]
    #[arg(long, value_name = "N", help_heading = "The run")]
    accumulate: Option<usize>,

    /// f32, or mixed: activations, their gradients and a copy of the weights are stored as f16 [default: f32]
    #[arg(long, value_name = "PRECISION", help_heading = "The run")]
    precision: Option<Precision>,

    /// Keep an average of the weights that decays by this at each update, and test and save that [default: none]
    #[arg(long, value_name = "DECAY", help_heading = "The run")]
    ema: Option<f64>,

    /// Stop when the loss on the test images has not fallen for so many epochs, and take the best weights
    #[arg(long, value_name = "EPOCHS", num_args = 0..=1, default_missing_value = "3", conflicts_with = "steps", help_heading = "The run")]
    early_stopping: Option<usize>,

    /// Of the initial weights and of the order [default: 0]
    #[arg(long, value_name = "N", help_heading = "The run")]
    seed: Option<u64>,

    /// Keep the data's order in every epoch [default: shuffled]
    #[arg(long, help_heading = "The run")]
    no_shuffle: bool,

    /// Stop after this many steps; 0 only evaluates
    #[arg(long, value_name = "N", help_heading = "The run")]
    pub steps: Option<usize>,

    /// Read the run from a TOML file; flags given beside it win
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    recipe: Option<PathBuf>,

    /// Print the run as TOML, for --recipe, and stop
    #[arg(long, help_heading = "Files")]
    print_recipe: bool,

    /// Let the recipe's checkpoint, tables and logs lie outside of this folder
    #[arg(long, requires = "recipe", help_heading = "Files")]
    trust_recipe: bool,

    /// Start from these weights (safetensors), or from those of a model or a checkpoint; --checkpoint FILE --resume goes on with its run
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub weights: Option<PathBuf>,

    /// Write the weights after training (safetensors, PyTorch's names)
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub save: Option<PathBuf>,

    /// Write what was run and seen as one JSON object
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub metrics_json: Option<PathBuf>,

    /// Write the whole run to this file after each epoch; Ctrl-C writes it too
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    checkpoint: Option<PathBuf>,

    /// And every so many steps
    #[arg(long, value_name = "N", requires = "checkpoint", help_heading = "Files")]
    checkpoint_every: Option<usize>,

    /// Go on from the checkpoint's file, at the very step, if it is there
    #[arg(long, requires = "checkpoint", help_heading = "Files")]
    resume: bool,

    /// Write loss and accuracy for TensorBoard to this folder
    #[arg(long, value_name = "DIR", conflicts_with = "steps", help_heading = "Files")]
    tensorboard: Option<PathBuf>,

    /// Draw loss and accuracy over the epochs (.svg or .png); needs `--features plot`
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub plot: Option<PathBuf>,

    /// Write the graph of a step for Graphviz: dot -Tsvg FILE.dot
    #[arg(long, value_name = "FILE.dot", help_heading = "Files")]
    graph: Option<PathBuf>,

    /// Print what the device does in a step, launch by launch, before training
    #[arg(long, help_heading = "Files")]
    explain: bool,

    /// Time every launch of a step before training and print the table; the weights stay as they
    /// are. With --steps 0 nothing is trained after it
    #[arg(long, help_heading = "Files", verbatim_doc_comment)]
    profile: bool,

    /// Look for a wrong kernel before training: compare a step of 32 rows with a slow reference on
    /// the CPU, and name the launch that differs. Ends with 1 where there is one
    #[arg(long, help_heading = "Files", verbatim_doc_comment)]
    bisect: bool,
}

/// The help of `--optimizer`: every name that gradus knows.
fn optimizers() -> String {
    format!("{} [default: adam]", Optimizer::NAMES.join(", ")).replace("momentum", "momentum (SGD with 0.9)")
}

/// An optimizer by its name, at a rate that suits this task: PyTorch's default of 1e-3 leaves plain SGD far from done after 10 epochs.
#[derive(Debug, Clone)]
struct Chosen(Optimizer);

impl std::str::FromStr for Chosen {
    type Err = gradus::Error;
    fn from_str(name: &str) -> gradus::Result<Self> {
        let optimizer: Optimizer = name.parse()?;
        Ok(Chosen(match name {
            "sgd" => optimizer.with_schedule(0.1),
            "momentum" => optimizer.with_schedule(0.01),
            _ => optimizer,
        }))
    }
}

fn width(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("give widths of 1 or more, with commas between: --hidden 64,32".into()),
    }
}

impl Flags {
    /// From the command line; ends the process with 2 if that cannot be read.
    pub fn read() -> Self {
        Self::parse()
    }

    /// The answer to `--device list` and to `--print-recipe`, which train nothing.
    pub fn question(&self) -> Option<Result<String>> {
        let wanted = self.device.as_ref().map(ToString::to_string).or_else(|| std::env::var("GRADUS_DEVICE").ok());
        if wanted.as_deref() == Some("list") {
            return Some(Ok(Device::list()));
        }
        self.print_recipe.then(|| self.show_recipe())
    }

    /// The device of the flag, else of `GRADUS_DEVICE`, else the best.
    pub fn device(&self) -> gradus::Result<Device> {
        self.device.clone().map_or_else(Device::best, Device::choose)
    }

    /// This run, or the one of `--recipe`, as the flags change it.
    pub fn recipe(&self, default: Recipe) -> Result<Recipe> {
        self.check_files()?;
        let mut r = match &self.recipe {
            Some(file) => recipe::read(file, self.trust_recipe)?,
            None => default,
        };
        if let Some(source) = &self.data {
            // a folder of that name is meant, not the word
            let folder = Path::new(source).is_dir() && !source.contains(std::path::MAIN_SEPARATOR);
            r.data.source = if folder { format!(".{}{source}", std::path::MAIN_SEPARATOR) } else { source.clone() };
        }
        r.data.pipeline.extend(self.train_samples.map(DataOp::sample_stratified));
        if let Some(augment) = &self.augment {
            // a pipeline has one: the flag's stands for the recipe's
            r.data.pipeline.retain(|op| !matches!(op, DataOp::Augment(_)));
            r.data.pipeline.push(DataOp::augment(augment.clone()));
        }
        let set = |to: &mut usize, from: Option<usize>| *to = from.unwrap_or(*to);
        set(&mut r.fit.epochs, self.epochs);
        set(&mut r.fit.batch_size, self.batch_size);
        r.fit.shuffle &= !self.no_shuffle;
        r.seeds.all = self.seed.unwrap_or(r.seeds.all);
        if let Some(Chosen(optimizer)) = &self.optimizer {
            r.compile.optimizer = optimizer.clone();
        }
        self.set_rates(&mut r);
        if let Some(widths) = &self.hidden {
            recipe::set_hidden(&mut r, widths);
        }
        if let Some(function) = self.activation {
            recipe::set_activation(&mut r, function);
        }
        if let Some(p) = self.dropout {
            recipe::set_dropout(&mut r, p);
        }
        r.compile.clip_norm = self.clip_norm.or(r.compile.clip_norm);
        r.compile.ema = self.ema.or(r.compile.ema);
        if let Some(precision) = &self.precision {
            r.compile.precision = precision.clone();
        }
        set(&mut r.fit.accumulate, self.accumulate);
        self.set_callbacks(&mut r);
        if let Some(scheme) = self.init {
            recipe::set_init(&mut r, scheme);
        }
        Ok(r.checked()?)
    }

    /// `--lr`, `--schedule`, `--warmup` and `--weight-decay`: each changes its part, whatever the others are.
    fn set_rates(&self, r: &mut Recipe) {
        let now = r.compile.optimizer.schedule().clone();
        let rate = self.lr.unwrap_or(now.rate());
        let mut schedule = self.schedule.clone().unwrap_or(now).with_rate(rate);
        if let Some(updates) = self.warmup {
            schedule = schedule.warmup(updates);
        }
        r.compile.optimizer = r.compile.optimizer.clone().with_schedule(schedule);
        if let Some(decay) = self.weight_decay {
            r.compile.optimizer = r.compile.optimizer.clone().with_weight_decay(decay);
        }
    }

    /// `--early-stopping`, `--tensorboard`, `--checkpoint` and what belongs to it.
    fn set_callbacks(&self, r: &mut Recipe) {
        if let Some(patience) = self.early_stopping {
            let stop = EarlyStopping::new("val_loss").patience(patience).restore_best_weights(true);
            r.fit = r.fit.clone().callback(stop);
        }
        if let Some(folder) = &self.tensorboard {
            r.fit = r.fit.clone().callback(TensorBoard::new(folder));
        }
        if let Some(file) = &self.checkpoint {
            let every = self.checkpoint_every.unwrap_or(0);
            r.fit = r.fit.clone().checkpoint(Checkpoint::new(file).every_steps(every));
            if self.resume {
                r.fit = r.fit.clone().resume(Resume::IfPresent);
            }
        }
    }

    /// The article's network takes the size and the classes of other data; a recipe's stays as it is written.
    pub fn suit(&self, r: &mut Recipe, data: &Digits) -> gradus::Result<()> {
        if self.recipe.is_none() {
            recipe::suit(r, &data.train);
        }
        r.clone().checked().map(drop)
    }

    /// The run as `--recipe` reads it. Looks at the data, where it is at hand: the network's ends follow it.
    fn show_recipe(&self) -> Result<String> {
        let mut r = self.recipe(crate::first(self.model)?)?;
        let data = digits::find(&r.data.source, false)?;
        self.suit(&mut r, &data)?;
        recipe::write(&r)
    }

    /// `--graph`, `--explain`, `--profile` and `--bisect`.
    pub fn look_inside(&self, r: &Recipe, model: &mut Model, train: &Dataset, test: &Dataset) -> Result<()> {
        let (rows, batch) = (train.len(), r.fit.batch_size.min(train.len()));
        if let Some(file) = &self.graph {
            let dot = model.to_dot(train, batch)?;
            std::fs::write(file, dot).with_context(|| format!("could not write {}", file.display()))?;
        }
        if self.explain {
            let mut programs = vec![model.prepare(train, batch)?];
            if rows % batch > 0 {
                programs.push(model.prepare(train, rows % batch)?);
            }
            programs.push(model.prepare_evaluation(test, batch.max(256))?);
            let texts: Vec<String> = programs.iter().map(|p| p.explain()).collect();
            report::print(&texts.join("\n"))?;
        }
        if self.profile {
            report::print(&model.profile(train, batch)?.to_string())?;
        }
        if self.bisect {
            let found = model.bisect(train, 32)?;
            report::print(&found.to_string())?;
            anyhow::ensure!(found.agrees(), "the device computes wrong values");
        }
        Ok(())
    }

    /// A file that cannot be written should be told before the training, not after it.
    fn check_files(&self) -> Result<()> {
        if let Some(file) = &self.plot {
            plot::check(file)?;
        }
        for file in [&self.save, &self.metrics_json, &self.graph, &self.plot, &self.checkpoint].into_iter().flatten() {
            let folder = file.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
            anyhow::ensure!(folder.is_dir(), "could not write {}: there is no folder {}", file.display(), folder.display());
            try_write(file, folder).with_context(|| format!("could not write {}", file.display()))?;
        }
        Ok(())
    }
}

/// Fails where the file could not be written, and leaves all as it is. The file itself is not made: another run may do so just now.
fn try_write(file: &Path, folder: &Path) -> std::io::Result<()> {
    let beside = |folder: &Path| {
        let other = folder.join(format!(".gradus-{}.tmp", std::process::id()));
        std::fs::OpenOptions::new().write(true).create_new(true).open(&other).and_then(|_| std::fs::remove_file(other))
    };
    match std::fs::metadata(file) {
        Ok(m) if m.is_file() || m.is_dir() => {
            std::fs::OpenOptions::new().append(true).open(file)?;
            // it is replaced by a file beside it, where a link leads to
            beside(std::fs::canonicalize(file)?.parent().unwrap_or(folder))
        }
        Ok(_) => Ok(()), // a pipe or a device
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => beside(folder),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests;
