//! ResNet-20 learns CIFAR-10: `cargo run --release --example cifar10`, and with `-- --help` after it the flags.
//!
//! He et al.'s small residual network (272,474 parameters), random crops and flips, a rate that rises and falls once in the run, labels smoothed by 0.1. On a CPU of two
//! cores an epoch of 50,000 images takes minutes; `--steps` bounds a run, and the rate falls by its end whatever that is.
//!
//! Where CIFAR-10 is not at hand and cannot be fetched the network learns coloured shapes, and what is printed says so.

mod pictures;

use anyhow::{Result, ensure};
use clap::Parser;
use gradus::optim::schedule::Span;
use gradus::prelude::*;
use gradus::train::Budget;
use pictures::Pictures;
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(about = "Trains ResNet-20 on CIFAR-10, with crops, flips, one cycle of the rate and smoothed labels")]
#[command(override_usage = "cargo run --release --example cifar10 -- [FLAGS]")]
struct Flags {
    /// auto, gpu, gpu:INDEX, gpu:NAME, software, cpu [default: $GRADUS_DEVICE, else auto]
    #[arg(long, value_name = "CHOICE")]
    device: Option<String>,
    /// A folder with CIFAR-10's binary files, or `synthetic` [default: $GRADUS_DATA/cifar10, else the cache, else 162 MiB are
    /// downloaded, else synthetic]
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    data: Option<String>,
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 30)]
    epochs: usize,
    /// Stop after this many steps, whatever the epochs
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    #[arg(long, value_name = "N", default_value_t = 128)]
    batch_size: usize,
    /// The highest learning rate of the cycle
    #[arg(long, value_name = "RATE", default_value_t = 0.2)]
    lr: f64,
    /// Without crops and flips
    #[arg(long)]
    no_augment: bool,
    /// Of the initial weights, of the order and of the crops
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// f32, or mixed: activations and a copy of the weights are stored as f16
    #[arg(long, value_name = "PRECISION", default_value = "f32")]
    precision: Precision,
    /// Write the weights as safetensors
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

impl Flags {
    fn settings(&self, device: Device) -> Compile {
        // of the whole run, however it is bounded
        let rate = Schedule::one_cycle(self.lr, Span::Share(1.0));
        let optimizer = Sgd::new(rate).momentum(0.9).nesterov(true).weight_decay(5e-4);
        Compile::new(optimizer, CrossEntropy::new().label_smoothing(0.1))
            .input([3, pictures::SIDE, pictures::SIDE])
            .metric(Accuracy::new())
            .precision(self.precision.clone())
            .seed(self.seed)
            .device(device)
    }

    fn fit(&self) -> Fit {
        let fit = Fit::new().epochs(self.epochs).batch_size(self.batch_size);
        match self.steps {
            None => fit,
            // an epoch's end may come first
            Some(n) => fit.budget(Budget::updates(n).or(Budget::epochs(self.epochs as f64))),
        }
    }

    /// Channels of mean 0 and deviation 1 by the training images; crops and flips of these alone.
    fn sets(&self, found: &Pictures) -> gradus::Result<(Dataset, Dataset)> {
        let train = found.train.clone().normalize()?;
        let test = found.test.clone().normalize_as(&train)?;
        let augment = Augment::new().random_crop(pictures::SIDE, 4).horizontal_flip(0.5);
        Ok((if self.no_augment { train } else { train.augment(augment) }, test))
    }
}

/// What training came to, on the test images.
fn train(flags: &Flags, found: &Pictures, device: Device) -> Result<(Model, String)> {
    let (train, test) = flags.sets(found)?;
    let mut model = models::resnet20(10).compile(flags.settings(device))?;
    let history = model.fit(&train, flags.fit().validation(&test))?;
    let seconds: f64 = history.seconds().iter().sum();
    let [accuracy, loss] = ["val_accuracy", "val_loss"].map(|name| history.last(name).unwrap_or(f64::NAN));
    let told = format!("test accuracy {accuracy:.4}  test loss {loss:.4}  {seconds:.1} s of training{}", found.caution);
    Ok((model, told))
}

/// Prints a line. A reader who has seen enough (`| head`) is no fault.
fn show(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    if let Some(folder) = flags.save.as_ref().and_then(|file| file.parent()).filter(|folder| !folder.as_os_str().is_empty()) {
        ensure!(folder.is_dir(), "--save: there is no folder {}", folder.display());
    }
    let device = flags.device.as_deref().map_or_else(Device::best, Device::select)?;
    let found = pictures::find(flags.data.as_deref())?;
    show(&format!("{}; on {device}", found.told));
    let (model, told) = train(&flags, &found, device)?;
    show(&told);
    if let Some(file) = &flags.save {
        model.save_weights(file)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(words: &str) -> Flags {
        Flags::try_parse_from(std::iter::once("cifar10").chain(words.split_whitespace())).unwrap()
    }

    #[test]
    fn flags_reach_the_run() {
        let f = flags("--epochs 3 --batch-size 50 --lr 0.5 --seed 7");
        let (fit, settings) = (f.fit(), f.settings(Device::cpu()));
        assert_eq!((fit.epochs, fit.batch_size, fit.budget.is_empty(), settings.seed), (3, 50, true, 7));
        assert_eq!(flags("--steps 9 --epochs 2").fit().budget, Budget::updates(9).or(Budget::epochs(2)));
        let e = Flags::try_parse_from(["cifar10", "--precision", "half"]).unwrap_err().to_string();
        assert!(e.contains("choose one of f32, mixed"), "{e}");
    }

    /// Crops and flips are of the training images alone, and go away by the flag.
    #[test]
    fn augmentation_is_of_training_alone() {
        let found = pictures::shapes((40, 20), "for a test").unwrap();
        let plain = flags("--no-augment").sets(&found).unwrap();
        let (train, test) = flags("").sets(&found).unwrap();
        assert!(train != plain.0 && test == plain.1);
    }

    /// The same bits by the same seed and others by another; the line says what was learnt.
    #[test]
    fn a_seed_is_a_run() {
        let found = pictures::shapes((64, 20), "for a test").unwrap();
        let run = |words: &str| train(&flags(&format!("--steps 5 --batch-size 16 --lr 0.1 {words}")), &found, Device::cpu()).unwrap();
        let of = |m: &Model| m.parameter("layer3.2.conv2.weight").unwrap();
        let (model, told) = run("");
        assert!(told.starts_with("test accuracy") && told.contains("not CIFAR-10"), "{told}");
        assert!(of(&model) == of(&run("").0) && of(&model) != of(&run("--seed 1").0));
    }
}
