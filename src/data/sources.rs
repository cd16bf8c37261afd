//! Where known data sets come from: a folder, `GRADUS_DATA`, the user's cache, the network.

use super::archive::{self, Archive};
use super::pinned::{File, in_cache};
use super::progress::DownloadProgress;
use crate::cache::{self, Env};
use crate::data::Dataset;
use crate::error::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How [`mnist_with`] and its like search. The default is what [`mnist`] does.
///
/// ```
/// use gradus::data::ArchiveOptions;
/// let options = ArchiveOptions::default().offline(true).cache("/var/cache/mnist");
/// assert!(options.offline);
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
#[must_use]
pub struct ArchiveOptions {
    /// A folder in the set's format that is read in place of any search, as by the examples' `--data`. Default: none.
    pub dir: Option<PathBuf>,
    /// The cache folder. A file there that has the name of one of the set's and another content is replaced. Default: `gradus/` and the set's name in the
    /// user's cache folder.
    pub cache: Option<PathBuf>,
    /// Base URLs of the mirrors, tried in turn. Default: the set's variable (`GRADUS_MNIST_URL`) alone if it is set, else public mirrors.
    pub mirrors: Option<Vec<String>>,
    /// Do not use the network, and leave the cache as it is. Default: false.
    pub offline: bool,
    /// Called as bytes arrive. Default: nothing.
    pub progress: Option<Arc<dyn Fn(DownloadProgress) + Send + Sync>>,
}

/// As it was called when MNIST was the only set.
pub type MnistOptions = ArchiveOptions;

impl ArchiveOptions {
    /// Reads this folder in place of any search.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Keeps downloads in this folder.
    pub fn cache(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache = Some(dir.into());
        self
    }

    /// Downloads from these base URLs (`http` or `https`, below which the `.gz` files lie), the first that works.
    pub fn mirrors<S: Into<String>>(mut self, urls: impl IntoIterator<Item = S>) -> Self {
        self.mirrors = Some(urls.into_iter().map(Into::into).collect());
        self
    }

    /// Does not use the network.
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Calls this as bytes arrive, on the calling thread.
    pub fn progress(mut self, call: impl Fn(DownloadProgress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(call));
        self
    }
}

impl fmt::Debug for ArchiveOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ArchiveOptions { dir, cache, mirrors, offline, progress } = self;
        f.debug_struct("ArchiveOptions")
            .field("dir", dir)
            .field("cache", cache)
            .field("mirrors", mirrors)
            .field("offline", offline)
            .field("progress", &progress.is_some())
            .finish()
    }
}

/// What [`mnist_with`] and its like found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found {
    /// The examples to train on.
    pub train: Dataset,
    /// The examples to test with.
    pub test: Dataset,
    /// The folder, with the home folder as `~`; or the mirror, where the cache could not be written.
    pub whence: String,
    /// Whether all files are the set's by their SHA-256. Always false without the feature `data-download`.
    pub checked: bool,
}

/// MNIST: 60,000 and 10,000 images `[28, 28]` (u8) of handwritten digits, and their classes (u8).
///
/// Looks in `GRADUS_DATA` (which holds `mnist/`, or is itself such a folder), then in the user's cache folder (`XDG_CACHE_HOME`, else
/// `~/.cache`, `~/Library/Caches` or `%LOCALAPPDATA%`; there `gradus/mnist`), else downloads 11 MiB into that cache with the feature
/// `data-download`, on by default. [`mnist_with`] takes other choices.
///
/// Fails with `data-not-found`, `download`, or `bad-data` if `GRADUS_DATA` holds a damaged file.
///
/// ```no_run
/// let (train, test) = gradus::data::mnist()?;
/// assert_eq!((train.len(), test.len()), (60_000, 10_000));
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn mnist() -> Result<(Dataset, Dataset)> {
    mnist_with(&ArchiveOptions::default()).map(|found| (found.train, found.test))
}

/// [`mnist`] with choices; says where the data was found.
///
/// The sets are called `mnist`, or by their folder's name where it was given (`dir`, or a `GRADUS_DATA` that is itself the folder and holds
/// another set).
///
/// The network is given up when nothing was received for 15 s; each mirror has 3 s to connect and 5 s to answer, and is left for the next where it gives less
/// than 1 KiB a second, or so little that a file would take more than 4 hours. `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` are obeyed. A file is kept when its SHA-256 is right, under a temporary name until it is whole. A file in
/// the cache that is not MNIST's is removed and fetched again.
///
/// ```no_run
/// use gradus::data::{self, ArchiveOptions};
/// let found = data::mnist_with(&ArchiveOptions::default().progress(|p| eprint!("\r{} of {} bytes", p.received, p.total)))?;
/// println!("{} {}", found.whence, if found.checked { "(checked by SHA-256)" } else { "" });
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn mnist_with(options: &ArchiveOptions) -> Result<Found> {
    search(options, &cache::environment, &archive::MNIST)
}

/// [`mnist`] of Zalando's clothes: 60,000 and 10,000 images `[28, 28]` (u8), and their classes (u8), which have names: `T-shirt/top` to `Ankle boot`.
///
/// Looks as `mnist` does, for `fashion-mnist/` (in `GRADUS_DATA`, or torchvision's `FashionMNIST/raw`; `gradus/fashion-mnist` in the cache), and else downloads 30 MiB.
///
/// ```no_run
/// let (train, _) = gradus::data::fashion_mnist()?;
/// assert_eq!(train.class_name(9), "Ankle boot");
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn fashion_mnist() -> Result<(Dataset, Dataset)> {
    fashion_mnist_with(&ArchiveOptions::default()).map(|found| (found.train, found.test))
}

/// [`fashion_mnist`] with choices, as [`mnist_with`]. The variable for a mirror is `GRADUS_FASHION_MNIST_URL`.
pub fn fashion_mnist_with(options: &ArchiveOptions) -> Result<Found> {
    search(options, &cache::environment, &archive::FASHION_MNIST)
}

/// CIFAR-10: 50,000 and 10,000 images `[3, 32, 32]` (u8: red, green, blue) of ten kinds of things, and their classes (u8), which have names: `airplane` to `truck`.
///
/// Looks as [`mnist`] does, for `cifar10/` (in `GRADUS_DATA`, or `cifar-10-batches-bin`; `gradus/cifar10` in the cache), and else downloads 162 MiB. The folder holds
/// `cifar-10-binary.tar.gz`, or what is in it: `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, also as `.bin.gz`; of the training files one is enough.
/// Only the packed file has a SHA-256 that is known: with other files a warning is given, and the sets are called `cifar10 (unchecked)`. Reading the packed file takes
/// 550 MB of memory for a moment; the sets have 184 MB.
///
/// ```no_run
/// let (train, test) = gradus::data::cifar10()?;
/// assert_eq!(train.input_shape().dims(), [3, 32, 32]);
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn cifar10() -> Result<(Dataset, Dataset)> {
    cifar10_with(&ArchiveOptions::default()).map(|found| (found.train, found.test))
}

/// [`cifar10`] with choices, as [`mnist_with`]. The variable for a mirror is `GRADUS_CIFAR10_URL`.
pub fn cifar10_with(options: &ArchiveOptions) -> Result<Found> {
    search(options, &cache::environment, &archive::CIFAR10)
}

/// CIFAR-100: as [`cifar10`], of 100 kinds of things in 20 groups. `y` is the kind (u8, with names), the field `coarse` the group (u8), which a general step reads by name.
///
/// Its folders are `cifar100/` and `cifar-100-binary/`, its files `cifar-100-binary.tar.gz`, or `train.bin` and `test.bin`; 161 MiB are downloaded.
///
/// ```no_run
/// let (train, test) = gradus::data::cifar100()?;
/// assert_eq!(train.class_name(99), "worm");
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn cifar100() -> Result<(Dataset, Dataset)> {
    cifar100_with(&ArchiveOptions::default()).map(|found| (found.train, found.test))
}

/// [`cifar100`] with choices, as [`mnist_with`]. The variable for a mirror is `GRADUS_CIFAR100_URL`.
pub fn cifar100_with(options: &ArchiveOptions) -> Result<Found> {
    search(options, &cache::environment, &archive::CIFAR100)
}

pub(super) fn search(options: &ArchiveOptions, env: Env<'_>, archive: &Archive) -> Result<Found> {
    if let Some(dir) = &options.dir {
        return open(dir, env, archive);
    }
    let mut looked = Vec::new();
    let data = env("GRADUS_DATA").map(PathBuf::from);
    let mut missing = String::new();
    match &data {
        None => looked.push("GRADUS_DATA (not set)".into()),
        Some(d) if d.exists() && !d.is_dir() => {
            let problem = format!("GRADUS_DATA names {}, which is no folder", d.display());
            return Err(archive.not_found(problem, vec![d.display().to_string()]));
        }
        Some(d) if !d.exists() => missing = format!("; GRADUS_DATA names {}, which is not there", d.display()),
        Some(_) => {}
    }
    for dir in data.iter().flat_map(|d| archive.folders.iter().map(|f| d.join(f)).chain([d.clone()])) {
        let own = archive.folders.iter().any(|f| dir.ends_with(f));
        match open(&dir, env, archive) {
            Err(Error::DataNotFound { problem, .. }) => looked.push(format!("GRADUS_DATA ({problem})")),
            Ok(found) if found.checked || own => return Ok(found.settled(archive)),
            other if own || archive.any => return other,
            // it may be another set in the same format
            _ => looked.push(format!("GRADUS_DATA ({} is not {} by its SHA-256)", dir.display(), archive.title)),
        }
    }
    if data.is_some() {
        crate::terminal::warn!("no {} under GRADUS_DATA: {}", archive.title, looked.join(", "));
    }
    cached(options, env, archive, looked).map_err(|e| match e {
        Error::DataNotFound { problem, looked, help } => Error::DataNotFound { problem: problem + &missing, looked, help },
        Error::Download { problem, tried, help } => Error::Download { problem: problem + &missing, tried, help },
        e => e,
    })
}

impl Found {
    /// With the archive's name. What is not known to be its files is called so, where the archive does not stand for any set in its format.
    fn settled(mut self, archive: &Archive) -> Self {
        let mut name = archive.name.to_string();
        if !self.checked && !archive.any && cfg!(feature = "data-download") {
            let (title, rows) = (archive.title, (self.train.len(), self.test.len()));
            if rows == archive.rows {
                crate::terminal::warn!("{}: its files cannot be held against the SHA-256 of {title}, and may be others", self.whence);
            } else {
                let (train, test) = archive.rows;
                crate::terminal::warn!(
                    "{}: this is not {title} (rows: {} of {train} to train on, {} of {test} to test with); its results are none of {title}",
                    self.whence,
                    rows.0,
                    rows.1
                );
            }
            name += " (unchecked)";
        }
        (self.train, self.test) = archive.called((self.train, self.test), &name);
        self
    }
}

fn open(dir: &Path, env: Env<'_>, archive: &Archive) -> Result<Found> {
    let (train, test, checked) = archive.open(dir).map_err(|e| match e {
        Error::DataNotFound { problem, looked, .. } => archive.not_found(problem, looked),
        e => e,
    })?;
    Ok(Found { train, test, whence: tidy(dir, env), checked })
}

fn cached(options: &ArchiveOptions, env: Env<'_>, archive: &Archive, mut looked: Vec<String>) -> Result<Found> {
    let cache = options.cache.clone().or_else(|| Some(cache::folder(env)?.join(archive.name)));
    let mut whence = cache.as_ref().map_or("memory".into(), |dir| tidy(dir, env));
    let find = |pin| cache.as_ref().and_then(|dir| in_cache(dir, pin, archive.reader(), options.offline));
    let mut files: Vec<Option<File>> = archive.files.iter().map(find).collect();
    if files.iter().any(Option::is_none) {
        looked.push(cache.as_ref().map_or("no cache folder: HOME is not set".into(), |dir| dir.display().to_string()));
        if let Some(mirror) = fetch(options, env, archive, &mut files, cache.as_deref(), looked)? {
            whence = mirror;
        }
    }
    let (train, test) = archive.assemble(files.into_iter().flatten().collect())?;
    Ok(Found { train, test, whence, checked: cfg!(feature = "data-download") })
}

/// Fetches the files that are missing, and puts them into the cache. Where that fails the mirror's address is given back.
#[cfg(feature = "data-download")]
fn fetch(
    options: &ArchiveOptions,
    env: Env<'_>,
    archive: &Archive,
    files: &mut [Option<File>],
    cache: Option<&Path>,
    looked: Vec<String>,
) -> Result<Option<String>> {
    use super::download::{Fetcher, Network, store};
    if options.offline {
        let problem = format!("{} is not on this machine, and the network was not to be asked", archive.title);
        return Err(archive.not_found(problem, looked));
    }
    let own = || env(archive.variable).map(|url| vec![url.to_string_lossy().into_owned()]);
    let public = || archive.mirrors.iter().map(|m| m.to_string()).collect();
    let mirrors = options.mirrors.clone().or_else(own).unwrap_or_else(public);
    let mut missing: Vec<_> = files.iter_mut().zip(archive.files).filter(|(f, _)| f.is_none()).collect();
    missing.sort_by_key(|(_, pin)| pin.packed);
    let total = missing.iter().map(|(_, pin)| pin.packed).sum();
    let mut fetcher = Fetcher::new(mirrors, Network::default(), options.progress.clone(), total, archive.help);
    let mut unkept = None;
    for (slot, pin) in missing {
        let got = fetcher.get(pin)?;
        let name = format!("{}{}", pin.file, if got.file.packed { ".gz" } else { "" });
        let kept = cache.is_some_and(|dir| {
            let stored = store(dir, &name, got.sent());
            stored.inspect_err(|e| crate::terminal::warn!("{name} cannot be kept in {}: {e}", dir.display())).is_ok()
        });
        if !kept {
            unkept = Some(got.url.clone());
        }
        *slot = Some(got.file);
    }
    Ok(unkept)
}

#[cfg(not(feature = "data-download"))]
fn fetch(
    _: &ArchiveOptions,
    _: Env<'_>,
    archive: &Archive,
    _: &mut [Option<File>],
    _: Option<&Path>,
    looked: Vec<String>,
) -> Result<Option<String>> {
    let problem = format!("{} is not on this machine, and gradus was built without the feature `data-download`", archive.title);
    Err(archive.not_found(problem, looked))
}

/// A path as people write it, with `~` for the home folder.
fn tidy(path: &Path, env: Env<'_>) -> String {
    let home = env("HOME").map(PathBuf::from);
    match home.and_then(|h| path.strip_prefix(h).ok().map(Path::to_path_buf)) {
        Some(rest) if rest.as_os_str().is_empty() => "~".into(),
        Some(rest) => format!("~{}{}", std::path::MAIN_SEPARATOR, rest.display()),
        None => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests;
