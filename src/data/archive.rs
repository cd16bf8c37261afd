//! The known data sets: what their files are called, how they become rows, and where they come from.

mod classes;

use super::Dataset;
use super::cifar::{self, CIFAR10_FILES, CIFAR100_FILES};
use super::folder::{BY_HAND, NAMES, assemble, folder_name, load_folder};
use super::idx;
use super::pinned::{File, Pinned};
use crate::error::{Error, Result};
use std::path::Path;

/// A known data set.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "data-download"), allow(dead_code))]
pub(crate) struct Archive {
    /// The set's name, and its folder in the cache.
    pub name: &'static str,
    pub title: &'static str,
    /// Its folders in the one that `GRADUS_DATA` names.
    pub folders: &'static [&'static str],
    /// Whether `GRADUS_DATA` may itself be a folder of any set in its format.
    pub any: bool,
    pub files: &'static [Pinned],
    pub form: Form,
    /// Base URLs of public copies.
    pub mirrors: &'static [&'static str],
    /// The variable that names a mirror of the user's own.
    pub variable: &'static str,
    /// What its classes are called; by their numbers where there are no names.
    pub classes: &'static [&'static str],
    /// Rows of the training set and of the test set.
    pub rows: (usize, usize),
    /// What to do where it is nowhere.
    pub help: &'static str,
}

/// How files become rows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// Images and labels to train on, and to test with.
    Idx,
    /// One tar file of CIFAR's files.
    Cifar(&'static cifar::Layout),
}

pub(crate) const MNIST: Archive = Archive {
    name: "mnist",
    title: "MNIST",
    folders: &["mnist"],
    any: true,
    files: &[
        Pinned::unpacked(NAMES[0], 9_912_422, 47_040_016, b"ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        Pinned::unpacked(NAMES[1], 28_881, 60_008, b"65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        Pinned::unpacked(NAMES[2], 1_648_877, 7_840_016, b"0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        Pinned::unpacked(NAMES[3], 4_542, 10_008, b"ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ],
    form: Form::Idx,
    mirrors: &["https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"],
    variable: "GRADUS_MNIST_URL",
    classes: &[],
    rows: (60_000, 10_000),
    help: BY_HAND,
};

pub(crate) const FASHION_MNIST: Archive = Archive {
    name: "fashion-mnist",
    title: "Fashion-MNIST",
    folders: &["fashion-mnist", "FashionMNIST/raw"],
    any: false,
    files: &[
        Pinned::packed(NAMES[0], 26_421_880, 47_040_016, b"3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        Pinned::packed(NAMES[1], 29_515, 60_008, b"a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        Pinned::packed(NAMES[2], 4_422_102, 7_840_016, b"346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        Pinned::packed(NAMES[3], 5_148, 10_008, b"67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ],
    form: Form::Idx,
    mirrors: &[
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    ],
    variable: "GRADUS_FASHION_MNIST_URL",
    classes: &classes::FASHION_MNIST,
    rows: (60_000, 10_000),
    help: "fetch train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz (as from \
        https://fashion-mnist.s3.eu-central-1.amazonaws.com/) into a folder DIR/fashion-mnist and set GRADUS_DATA=DIR; or name a mirror of yours in \
        GRADUS_FASHION_MNIST_URL",
};

/// Most bytes of a CIFAR tar file.
const TAR: u64 = 190 << 20;

pub(crate) const CIFAR10: Archive = Archive {
    name: "cifar10",
    title: "CIFAR-10",
    folders: &["cifar10", "cifar-10-batches-bin"],
    any: false,
    files: &[Pinned::packed("cifar-10-binary.tar", 170_052_171, TAR, b"c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd")],
    form: Form::Cifar(&CIFAR10_FILES),
    mirrors: &["https://www.cs.toronto.edu/~kriz"],
    variable: "GRADUS_CIFAR10_URL",
    classes: &classes::CIFAR10,
    rows: (50_000, 10_000),
    help: "fetch cifar-10-binary.tar.gz (as from https://www.cs.toronto.edu/~kriz/) into a folder DIR/cifar10 and set GRADUS_DATA=DIR; or name a mirror of \
        yours in GRADUS_CIFAR10_URL",
};

pub(crate) const CIFAR100: Archive = Archive {
    name: "cifar100",
    title: "CIFAR-100",
    folders: &["cifar100", "cifar-100-binary"],
    any: false,
    files: &[Pinned::packed("cifar-100-binary.tar", 168_513_733, TAR, b"58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec")],
    form: Form::Cifar(&CIFAR100_FILES),
    mirrors: &["https://www.cs.toronto.edu/~kriz"],
    variable: "GRADUS_CIFAR100_URL",
    classes: &classes::CIFAR100,
    rows: (50_000, 10_000),
    help: "fetch cifar-100-binary.tar.gz (as from https://www.cs.toronto.edu/~kriz/) into a folder DIR/cifar100 and set GRADUS_DATA=DIR; or name a mirror \
        of yours in GRADUS_CIFAR100_URL",
};

impl Archive {
    /// The training and the test set of a folder, called by its name, and whether its files are the pinned ones.
    pub fn open(&self, dir: &Path) -> Result<(Dataset, Dataset, bool)> {
        let (train, test, checked) = match self.form {
            Form::Idx => {
                let files = load_folder(dir, self.files)?;
                let checked = files.iter().all(|f| f.verified == Some(true));
                let (train, test) = assemble(files, "data")?;
                (train, test, checked)
            }
            Form::Cifar(layout) => layout.of_folder(dir, &self.files[0], self.help)?,
        };
        let (train, test) = self.called((train, test), &folder_name(dir));
        Ok((train, test, checked))
    }

    /// The training and the test set of its files, in their order.
    pub fn assemble(&self, files: Vec<File>) -> Result<(Dataset, Dataset)> {
        let sets = match (self.form, <[File; 4]>::try_from(files)) {
            (Form::Idx, Ok(four)) => assemble(four, self.name)?,
            (Form::Cifar(layout), Err(files)) if files.len() == 1 => layout.of_tar(&files[0])?,
            _ => return Err(self.not_found("a file is missing".into(), vec![])),
        };
        Ok(self.called(sets, self.name))
    }

    /// How a file of the cache is read: what is not packed and damaged is told before it is read whole, where that can be.
    pub fn reader(&self) -> fn(&Path) -> Result<Vec<u8>> {
        match self.form {
            Form::Idx => idx::read_raw,
            Form::Cifar(_) => |path| cifar::whole(path, TAR),
        }
    }

    pub fn called(&self, sets: (Dataset, Dataset), name: &str) -> (Dataset, Dataset) {
        let named = |set: Dataset| {
            let set = set.named(name);
            if self.classes.is_empty() { set } else { set.class_names(self.classes.iter().copied()) }
        };
        (named(sets.0), named(sets.1))
    }

    pub fn not_found(&self, problem: String, looked: Vec<String>) -> Error {
        Error::DataNotFound { problem, looked, help: self.help.into() }
    }
}

#[cfg(test)]
mod tests;
