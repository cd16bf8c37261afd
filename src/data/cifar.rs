//! CIFAR's binary layout: a row is its labels, a byte each, and 3,072 bytes of pixels, red, green and blue one after the other.

use super::Dataset;
use super::pinned::{File, Pinned, longest};
use super::tar;
use crate::disk;
use crate::error::{Error, Result};
use crate::tensor::HostTensor;
use std::path::{Path, PathBuf};

/// Bytes of an image, `[3, 32, 32]`.
const PIXELS: usize = 3 * 32 * 32;
const HELP: &str = "fetch the set again; it must be the binary version, of bytes, and not the one for Python or Matlab";

/// The files of a set and the labels of its rows.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The folder in the tar file.
    pub folder: &'static str,
    /// Its files without `.bin`.
    pub train: &'static [&'static str],
    pub test: &'static str,
    /// The fields in front of the pixels, with their numbers of classes.
    pub labels: &'static [(&'static str, u8)],
    /// Most rows of a file.
    pub most: usize,
}

pub(crate) const CIFAR10_FILES: Layout = Layout {
    folder: "cifar-10-batches-bin",
    train: &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"],
    test: "test_batch",
    labels: &[("y", 10)],
    most: 10_000,
};

pub(crate) const CIFAR100_FILES: Layout =
    Layout { folder: "cifar-100-binary", train: &["train"], test: "test", labels: &[("coarse", 20), ("y", 100)], most: 50_000 };

/// A file's rows: in a file of their own, or at a place of a tar file.
struct Part<'a> {
    file: &'a File,
    start: usize,
    bytes: &'a [u8],
}

impl Layout {
    fn row(&self) -> usize {
        self.labels.len() + PIXELS
    }

    /// The sets in a tar file.
    pub fn of_tar(&self, file: &File) -> Result<(Dataset, Dataset)> {
        let files = tar::files(&file.bytes).map_err(|(at, problem)| file.bad(at, problem, HELP))?;
        let part = |name: &&str| {
            let wanted = format!("{}/{name}.bin", self.folder);
            let place = files.iter().find(|(n, _)| n.trim_start_matches("./") == wanted).map(|(_, place)| place.clone());
            let place = place.ok_or_else(|| file.bad(0, format!("the tar file lacks {wanted}"), HELP))?;
            Ok(Part { file, start: place.start, bytes: &file.bytes[place] })
        };
        let train = self.train.iter().map(part).collect::<Result<Vec<_>>>()?;
        Ok((self.rows(&train)?, self.rows(&[part(&self.test)?])?))
    }

    /// The sets of a folder: of the pinned tar file if that lies there, else of the files of rows that do. Of the training files some may be missing.
    pub fn of_folder(&self, dir: &Path, pin: &Pinned, help: &str) -> Result<(Dataset, Dataset, bool)> {
        let tar = [format!("{}.gz", pin.file), pin.file.to_string()].into_iter().map(|n| dir.join(n)).find(|p| p.is_file());
        if let Some(path) = tar {
            let (file, _) = File::new(path.clone(), whole(&path, pin.size)?, Some(pin.size), Some(pin))?;
            let (train, test) = self.of_tar(&file)?;
            return Ok((train, test, file.verified == Some(true)));
        }
        let folders = [dir.to_path_buf(), dir.join(self.folder)];
        let find = |name: &str| {
            let names = [format!("{name}.bin"), format!("{name}.bin.gz")];
            folders.iter().flat_map(|d| names.each_ref().map(|n| d.join(n))).find(|p| p.is_file())
        };
        let train: Vec<PathBuf> = self.train.iter().filter_map(|n| find(n)).collect();
        let lacking = [(train.is_empty(), self.train[0]), (find(self.test).is_none(), self.test)];
        let (Some(test), [(false, _), _]) = (find(self.test), lacking) else {
            let names = lacking.iter().filter(|(lacks, _)| *lacks).map(|(_, n)| format!("{n}.bin[.gz]")).collect::<Vec<_>>().join(", ");
            let problem = if dir.is_dir() {
                format!("{} lacks {}.gz, and {names}", dir.display(), pin.file)
            } else {
                format!("there is no folder {}", dir.display())
            };
            return Err(Error::DataNotFound { problem, looked: vec![dir.display().to_string()], help: help.into() });
        };
        let rows = |paths: Vec<PathBuf>| {
            let most = (self.most * self.row()) as u64;
            let load = |path: &PathBuf| File::new(path.clone(), whole(path, most)?, Some(most), None).map(|(file, _)| file);
            let files = paths.iter().map(load).collect::<Result<Vec<_>>>()?;
            self.rows(&files.iter().map(|file| Part { file, start: 0, bytes: &file.bytes }).collect::<Vec<_>>())
        };
        Ok((rows(train)?, rows(vec![test])?, false))
    }

    /// A data set of the rows of these parts, in order.
    fn rows(&self, parts: &[Part<'_>]) -> Result<Dataset> {
        let (width, own) = (self.row(), self.labels.len());
        let rows: usize = parts.iter().map(|p| p.bytes.len() / width).sum();
        let mut x = Vec::new();
        x.try_reserve_exact(rows * PIXELS).map_err(|_| Error::OutOfMemory {
            what: "the images of a data set in memory".into(),
            needed: (rows * PIXELS) as u64,
            available: 0,
            biggest: parts.iter().map(|p| p.file.path.display().to_string()).collect(),
            help: "leave files out of its folder, or end other programs".into(),
        })?;
        let mut labels = vec![Vec::with_capacity(rows); own];
        for Part { file, start, bytes } in parts {
            if bytes.is_empty() || !bytes.len().is_multiple_of(width) || bytes.len() > self.most * width {
                let problem = format!("{} bytes are no rows of {width}, from 1 to {}", bytes.len(), self.most);
                return Err(file.bad(*start, problem, HELP));
            }
            for (i, row) in bytes.chunks_exact(width).enumerate() {
                let (classes, pixels) = row.split_at(own);
                for (k, (&class, (field, below))) in classes.iter().zip(self.labels).enumerate() {
                    if class >= *below {
                        let problem = format!("row {i} has the label {class} in `{field}`, which has {below} classes");
                        return Err(file.bad(start + i * width + k, problem, HELP));
                    }
                    labels[k].push(class);
                }
                x.extend_from_slice(pixels);
            }
        }
        let mut fields = vec![("x", HostTensor::u8([rows, 3, 32, 32], x)?)];
        for ((field, _), values) in self.labels.iter().zip(labels) {
            fields.push((field, HostTensor::u8([rows], values)?));
        }
        fields.sort_by_key(|(name, _)| (*name != "x", *name != "y"));
        Dataset::from_fields(fields)
    }
}

/// The bytes of a file, packed or not, that holds at most so many. A longer one is refused before it is read.
pub(crate) fn whole(path: &Path, most: u64) -> Result<Vec<u8>> {
    let failed = |e| Error::io("read", path, e);
    let (mut file, size) = disk::open(path).map_err(failed)?;
    if size > longest(most) {
        let problem = format!("it has {size} bytes, and no file of the set has more than {most}");
        return Err(Error::BadData { path: path.into(), offset: size, problem, help: HELP.into() });
    }
    disk::rest(&mut file, size).map_err(failed)
}
