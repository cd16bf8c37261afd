//! A network that others trained learns new classes: `cargo run --release --example finetune -- --weights resnet18.safetensors --images DIR`.
//!
//! ResNet-18 takes torchvision's weights under their own names; its trunk is frozen, and a new last layer learns the classes of a folder of pictures (a folder in it for
//! each class; `--features data-images`). One line of Python writes the weights:
//!
//! ```text
//! python -c "import torchvision, safetensors.torch as s; s.save_file(torchvision.models.resnet18(weights='DEFAULT').state_dict(), 'resnet18.safetensors')"
//! ```
//!
//! Without weights it writes random ones under the same names, without pictures it draws shapes, and says so: then it shows the way, and no more.

#[path = "cifar10/pictures.rs"]
#[allow(dead_code)]
mod pictures;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use gradus::data::{ImageFolder, Split};
use gradus::prelude::*;
use gradus::train::LoadReport;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Means and deviations of ImageNet's channels: what torchvision's weights were trained on.
const IMAGENET: ([f64; 3], [f64; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

#[derive(Debug, Parser)]
#[command(about = "Trains a new last layer on a frozen ResNet-18")]
#[command(override_usage = "cargo run --release --example finetune -- [FLAGS]")]
struct Flags {
    /// torchvision's resnet18 as safetensors; random ones are made where none are given
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// A folder with a folder of PNG or JPEG pictures for each class; shapes are drawn where none is given
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Height and width that the pictures are brought to
    #[arg(long, value_name = "PIXELS", default_value_t = 64, requires = "images")]
    size: usize,
    #[arg(long, value_name = "N", default_value_t = 3)]
    epochs: usize,
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    #[arg(long, value_name = "RATE", default_value_t = 1e-2)]
    lr: f64,
    /// Of the new layer, of the order, and of what is held out
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// auto, gpu, gpu:INDEX, gpu:NAME, software, cpu [default: $GRADUS_DEVICE, else auto]
    #[arg(long, value_name = "CHOICE")]
    device: Option<String>,
    /// Write the whole network's weights as safetensors, under torchvision's names
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// Pictures to train on and to test with, and what they are.
struct Found {
    train: Dataset,
    test: Dataset,
    /// Kinds of pictures, in both together.
    classes: usize,
    told: String,
}

impl Flags {
    fn pictures(&self, drawn: (usize, usize)) -> Result<Found> {
        let classes = |d: &Dataset| Ok::<_, gradus::Error>(d.class_counts()?.last().map_or(0, |(class, _)| *class as usize + 1));
        let (train, test, classes, told) = match &self.images {
            Some(dir) => {
                let all = data::image_folder(dir, ImageFolder::new().size(self.size, self.size).crop(true))?;
                let (train, test) = all.split(0.8, Split::seeded(self.seed).stratified())?;
                let told = format!("{} + {} pictures of {}", train.len(), test.len(), dir.display());
                (train, test, classes(&all)?, told)
            }
            None => {
                let drawn = pictures::shapes(drawn, "for want of pictures (--images DIR)")?;
                let classes = classes(&drawn.train)?;
                (drawn.train, drawn.test, classes, drawn.told)
            }
        };
        let as_imagenet = |d: Dataset| d.scale(1.0 / 255.0).normalize_with(&IMAGENET.0, &IMAGENET.1);
        Ok(Found { train: as_imagenet(train)?, test: as_imagenet(test)?, classes, told })
    }

    /// The network with a new head: its trunk has torchvision's weights, and stays as it is.
    fn network(&self, weights: &Path, classes: usize, image: &[usize], device: Device) -> Result<(Model, LoadReport)> {
        // a parameter belongs to the first group that names it
        let optimizer = AdamW::new(self.lr)
            .group("fc.bias", Group::new().weight_decay(0.0))
            .group("fc.*", Group::new())
            .group("*", Group::new().frozen());
        let settings = Compile::new(optimizer, CrossEntropy::new()).input(image).metric(Accuracy::new()).seed(self.seed).device(device);
        let mut model = models::resnet18(classes).compile(settings)?;
        // a file of DataParallel has `module.` before its names
        let report = model.load_weights(weights, Load::new().rename("module.", "").allow_missing("fc.*").ignore("fc.*"))?;
        Ok((model, report))
    }
}

/// A state dict as torchvision's, of 1,000 classes, with random values.
fn random_weights(file: &Path, device: Device) -> Result<()> {
    let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([3, 64, 64]).device(device);
    Ok(models::resnet18(1000).compile(settings)?.save_weights(file)?)
}

/// Prints a line. A reader who has seen enough (`| head`) is no fault.
fn show(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn run(flags: &Flags, found: &Found, device: Device) -> Result<Model> {
    let made = tempfile::tempdir().context("could not make a folder for the weights")?;
    let weights = match &flags.weights {
        Some(file) => file.clone(),
        None => {
            let file = made.path().join("resnet18.safetensors");
            random_weights(&file, device.clone())?;
            show("weights: random, for want of torchvision's (--weights FILE): the trunk has learnt nothing");
            file
        }
    };
    let classes = found.classes;
    let (mut model, report) = flags.network(&weights, classes, found.train.input_shape().dims(), device)?;
    show(&format!("weights: {report}"));
    let (all, frozen) = (model.parameter_count(), model.frozen_count());
    show(&format!("{all} parameters, {} of them train; {classes} classes", all - frozen));
    let before = model.evaluate(&found.test, 256)?;
    model.fit(&found.train, Fit::new().epochs(flags.epochs).batch_size(flags.batch_size))?;
    let after = model.evaluate(&found.test, 256)?;
    show(&format!("held-out accuracy {:.4} before, {:.4} after training", before["accuracy"], after["accuracy"]));
    Ok(model)
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    if let Some(folder) = flags.save.as_ref().and_then(|file| file.parent()).filter(|folder| !folder.as_os_str().is_empty()) {
        ensure!(folder.is_dir(), "--save: there is no folder {}", folder.display());
    }
    let device = flags.device.as_deref().map_or_else(Device::best, Device::select)?;
    let found = flags.pictures((1_000, 500))?;
    show(&format!("{}; on {device}", found.told));
    let model = run(&flags, &found, device)?;
    match &flags.save {
        Some(file) => Ok(model.save_weights(file)?),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The trunk has the file's bits before and behind training; the head alone has moved, and has learnt something.
    #[test]
    fn the_trunk_stays_and_the_head_learns() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("random.safetensors");
        random_weights(&file, Device::cpu()).unwrap();
        let words = ["finetune", "--epochs", "2", "--weights", file.to_str().unwrap()];
        let flags = Flags::try_parse_from(words).unwrap();
        let found = flags.pictures((200, 100)).unwrap();
        let (fresh, report) = flags.network(&file, 10, &[3, 32, 32], Device::cpu()).unwrap();
        // counters too; of the file's head nothing
        assert_eq!(report.to_string(), "120 loaded, 2 fresh (fc.weight, fc.bias), 2 ignored");
        let model = run(&flags, &found, Device::cpu()).unwrap();
        for name in ["conv1.weight", "layer1.0.bn1.weight", "layer4.1.conv2.weight"] {
            assert!(model.parameter(name).unwrap() == fresh.parameter(name).unwrap(), "{name}");
        }
        assert!(model.parameter("fc.weight").unwrap() != fresh.parameter("fc.weight").unwrap());
        assert_eq!(model.parameter_count() - model.frozen_count(), 512 * 10 + 10);
        let loss = |m: &Model| m.evaluate(&found.train, 100).unwrap()["loss"];
        assert!(loss(&model) < 0.9 * loss(&fresh), "{} {}", loss(&model), loss(&fresh));
    }
}
