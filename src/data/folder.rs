//! A folder in MNIST's format.

use super::idx::{self, Origin};
use super::pinned::{File, Pinned};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::tensor::{DType, HostTensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The training and the test set in a folder in MNIST's format, called by the folder's name: images (u8, `[rows, height, width]`) and
/// classes (u8, `[rows]`), each raw or gzip.
///
/// The files are `train-images-idx3-ubyte[.gz]`, `train-labels-idx1-ubyte[.gz]` and the same with `t10k` (MNIST, Fashion-MNIST, KMNIST), also
/// with a dot in place of the second dash, or with `test` and a prefix (EMNIST: `emnist-letters-train-images-idx3-ubyte.gz`; its images are
/// stored lying on their side, and its letters count from 1).
///
/// Fails with `data-not-found` if the folder does not hold the four files of one set, with `bad-data` if one is damaged or they do not fit together.
///
/// ```no_run
/// let (train, test) = gradus::data::idx_folder("fashion-mnist")?;
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn idx_folder(dir: impl AsRef<Path>) -> Result<(Dataset, Dataset)> {
    let dir = dir.as_ref();
    assemble(load_folder(dir, &[])?, &folder_name(dir))
}

/// What to do where MNIST is nowhere.
pub(crate) const BY_HAND: &str = "fetch train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and \
    t10k-labels-idx1-ubyte.gz (as from https://ossci-datasets.s3.amazonaws.com/mnist/) into a folder DIR and give `--data DIR` or set \
    GRADUS_DATA=DIR; or name a mirror of yours in GRADUS_MNIST_URL; or train on `data::synthetic_digits`";

/// The files' usual names in the order of their roles.
pub(crate) const NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

const HELP: &str = "the folder must hold images (u8, [rows, height, width]) and labels (u8, [rows]) of one data set";

fn tensor(file: &mut File, rank: usize) -> Result<HostTensor> {
    let t = idx::parse(std::mem::take(&mut file.bytes), &Origin { path: &file.path, packed: file.packed })?;
    if t.dtype() != DType::U8 {
        return Err(file.bad(2, format!("its values are {}, not u8", t.dtype()), HELP));
    }
    if t.shape().rank() != rank {
        return Err(file.bad(3, format!("its shape {} has {} axes, not {rank}", t.shape(), t.shape().rank()), HELP));
    }
    Ok(t)
}

pub(crate) fn assemble(files: [File; 4], name: &str) -> Result<(Dataset, Dataset)> {
    let pair = |mut images: File, mut labels: File| {
        let (x, y) = (tensor(&mut images, 3)?, tensor(&mut labels, 1)?);
        if x.shape()[0] != y.shape()[0] {
            let problem = format!("{} labels for the {} images of {}", y.shape()[0], x.shape()[0], images.path.display());
            return Err(labels.bad(4, problem, HELP));
        }
        Ok((Dataset::new(x, y)?.named(name), images))
    };
    let [a, b, c, d] = files;
    let ((train, _), (test, images)) = (pair(a, b)?, pair(c, d)?);
    if train.input_shape() != test.input_shape() {
        let problem = format!("test images are {}, training images {}", test.input_shape(), train.input_shape());
        return Err(images.bad(8, problem, HELP));
    }
    Ok((train, test))
}

/// The four files of a folder, held against these pins if there are any.
pub(crate) fn load_folder(dir: &Path, pins: &[Pinned]) -> Result<[File; 4]> {
    let mut pins = pins.iter();
    let [a, b, c, d] = find(dir)?.map(|path| {
        let raw = idx::read_raw(&path)?;
        File::new(path, raw, None, pins.next()).map(|(file, _)| file)
    });
    Ok([a?, b?, c?, d?])
}

/// The four files of the one data set in a folder.
fn find(dir: &Path) -> Result<[PathBuf; 4]> {
    let nothing = |problem| Error::DataNotFound { problem, looked: vec![dir.display().to_string()], help: BY_HAND.into() };
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(nothing(format!("there is no folder {}", dir.display())));
        }
        other => other.map_err(|e| Error::io("read", dir, e))?,
    };
    let mut sets: BTreeMap<String, [Option<PathBuf>; 4]> = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io("read", dir, e))?.path();
        let Some((prefix, role)) = path.file_name().and_then(|n| n.to_str()).and_then(role) else { continue };
        let slot = &mut sets.entry(prefix.into()).or_default()[role];
        // A raw file is preferred to its packed twin.
        if slot.is_none() || path.extension().is_none_or(|e| e != "gz") {
            *slot = Some(path);
        }
    }
    let mut whole = sets.iter().filter(|(_, files)| files.iter().all(Option::is_some));
    match (whole.next(), whole.next()) {
        (Some((a, _)), Some((b, _))) => Err(Error::DataNotFound {
            problem: format!("{} holds several data sets (`{a}*`, `{b}*`)", dir.display()),
            looked: vec![dir.display().to_string()],
            help: "give the four files of one data set a folder of their own".into(),
        }),
        (Some((_, [Some(a), Some(b), Some(c), Some(d)])), _) => Ok([a.clone(), b.clone(), c.clone(), d.clone()]),
        _ => {
            let names = |(prefix, files): (&String, &[Option<PathBuf>; 4])| {
                let gaps = NAMES.iter().zip(files).filter(|(_, f)| f.is_none());
                gaps.map(|(name, _)| format!("{prefix}{name}[.gz]")).collect::<Vec<_>>().join(", ")
            };
            let missing = sets.iter().next().map_or_else(|| "any idx file of MNIST's names".into(), names);
            Err(nothing(format!("{} lacks {missing}", dir.display())))
        }
    }
}

/// The prefix and the role that a file's name tells.
fn role(name: &str) -> Option<(&str, usize)> {
    let stem = name.strip_suffix(".gz").unwrap_or(name);
    let parts = ["train-images", "train-labels", "t10k-images", "t10k-labels", "test-images", "test-labels"];
    parts.iter().enumerate().find_map(|(i, part)| {
        let tail = if i % 2 == 0 { "idx3-ubyte" } else { "idx1-ubyte" };
        let rest = stem.strip_suffix(tail)?.strip_suffix(['-', '.'])?;
        let prefix = rest.strip_suffix(part).filter(|p| p.is_empty() || p.ends_with('-'))?;
        Some((prefix, if i < 4 { i } else { i - 2 }))
    })
}

pub(crate) fn folder_name(dir: &Path) -> String {
    let full = dir.canonicalize();
    let name = full.as_deref().unwrap_or(dir).file_name();
    name.map_or_else(|| "data".into(), |n| n.to_string_lossy().into_owned())
}
