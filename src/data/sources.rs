//! Where MNIST comes from: a folder, `GRADUS_DATA`, the user's cache, the network.

use super::folder::{BY_HAND, File, assemble, folder_name, load_folder};
use super::pinned::{MNIST, Pinned, in_cache, verified};
use super::progress::DownloadProgress;
use crate::cache::{self, Env};
use crate::data::Dataset;
use crate::error::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How [`mnist_with`] searches. The default is what [`mnist`] does.
///
/// ```
/// use gradus::data::MnistOptions;
/// let options = MnistOptions::default().offline(true).cache("/var/cache/mnist");
/// assert!(options.offline);
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
#[must_use]
pub struct MnistOptions {
    /// A folder in MNIST's format that is read in place of any search, as by the examples' `--data`. Default: none.
    pub dir: Option<PathBuf>,
    /// The cache folder. A file there that has the name of one of MNIST's and another content is replaced. Default: `gradus/mnist` in the user's
    /// cache folder.
    pub cache: Option<PathBuf>,
    /// Base URLs of the mirrors, tried in turn. Default: `GRADUS_MNIST_URL` alone if it is set, else public mirrors.
    pub mirrors: Option<Vec<String>>,
    /// Do not use the network, and leave the cache as it is. Default: false.
    pub offline: bool,
    /// Called as bytes arrive. Default: nothing.
    pub progress: Option<Arc<dyn Fn(DownloadProgress) + Send + Sync>>,
}

impl MnistOptions {
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

    /// Downloads from these base URLs (`http` or `https`, below which the four `.gz` files lie), the first that works.
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

impl fmt::Debug for MnistOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MnistOptions { dir, cache, mirrors, offline, progress } = self;
        f.debug_struct("MnistOptions")
            .field("dir", dir)
            .field("cache", cache)
            .field("mirrors", mirrors)
            .field("offline", offline)
            .field("progress", &progress.is_some())
            .finish()
    }
}

/// What [`mnist_with`] found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found {
    /// The examples to train on.
    pub train: Dataset,
    /// The examples to test with.
    pub test: Dataset,
    /// The folder, with the home folder as `~`; or the mirror, where the cache could not be written.
    pub whence: String,
    /// Whether all four files are MNIST's by their SHA-256. Always false without the feature `data-download`.
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
    mnist_with(&MnistOptions::default()).map(|found| (found.train, found.test))
}

/// [`mnist`] with choices; says where the data was found.
///
/// The sets are called `mnist`, or by their folder's name where it was given (`dir`, or a `GRADUS_DATA` that is itself the folder and holds
/// another set).
///
/// The network is given up when nothing was received for 15 s; each mirror has 3 s to connect and 5 s to answer. `HTTPS_PROXY`,
/// `ALL_PROXY` and `NO_PROXY` are obeyed. A file is kept when its SHA-256 is right, under a temporary name until it is whole. A file in
/// the cache that is not MNIST's is removed and fetched again.
///
/// ```no_run
/// use gradus::data::{self, MnistOptions};
/// let found = data::mnist_with(&MnistOptions::default().progress(|p| eprint!("\r{} of {} bytes", p.received, p.total)))?;
/// println!("{} {}", found.whence, if found.checked { "(checked by SHA-256)" } else { "" });
/// # Ok::<(), gradus::Error>(())
/// ```
pub fn mnist_with(options: &MnistOptions) -> Result<Found> {
    search(options, &cache::environment, &MNIST)
}

fn search(options: &MnistOptions, env: Env<'_>, pins: &[Pinned; 4]) -> Result<Found> {
    if let Some(dir) = &options.dir {
        return open(dir, env, pins);
    }
    let mut looked = Vec::new();
    let data = env("GRADUS_DATA").map(PathBuf::from);
    let mut missing = String::new();
    match &data {
        None => looked.push("GRADUS_DATA (not set)".into()),
        Some(d) if d.exists() && !d.is_dir() => {
            let problem = format!("GRADUS_DATA names {}, which is no folder", d.display());
            return Err(Error::DataNotFound { problem, looked: vec![d.display().to_string()], help: BY_HAND.into() });
        }
        Some(d) if !d.exists() => missing = format!("; GRADUS_DATA names {}, which is not there", d.display()),
        Some(_) => {}
    }
    for dir in data.iter().flat_map(|d| [d.join("mnist"), d.clone()]) {
        match open(&dir, env, pins) {
            Err(Error::DataNotFound { problem, .. }) => looked.push(format!("GRADUS_DATA ({problem})")),
            Ok(found) if found.checked || dir.ends_with("mnist") => return Ok(found.named("mnist")),
            other => return other,
        }
    }
    if data.is_some() {
        crate::terminal::warn!("no MNIST under GRADUS_DATA: {}", looked.join(", "));
    }
    cached(options, env, pins, looked).map_err(|e| match e {
        Error::DataNotFound { problem, looked, help } => Error::DataNotFound { problem: problem + &missing, looked, help },
        Error::Download { problem, tried, help } => Error::Download { problem: problem + &missing, tried, help },
        e => e,
    })
}

impl Found {
    fn named(mut self, name: &str) -> Self {
        self.train = self.train.named(name);
        self.test = self.test.named(name);
        self
    }
}

fn open(dir: &Path, env: Env<'_>, pins: &[Pinned; 4]) -> Result<Found> {
    let files = load_folder(dir)?;
    let checked = files.iter().zip(pins).all(|(f, pin)| verified(&f.bytes, pin) == Some(true));
    let (train, test) = assemble(files, &folder_name(dir))?;
    Ok(Found { train, test, whence: tidy(dir, env), checked })
}

fn cached(options: &MnistOptions, env: Env<'_>, pins: &[Pinned; 4], mut looked: Vec<String>) -> Result<Found> {
    let cache = options.cache.clone().or_else(|| Some(cache::folder(env)?.join("mnist")));
    let mut whence = cache.as_ref().map_or("memory".into(), |dir| tidy(dir, env));
    let find = |pin| cache.as_ref().and_then(|dir| in_cache(dir, pin, options.offline));
    let mut files = pins.each_ref().map(find);
    if files.iter().any(Option::is_none) {
        looked.push(cache.as_ref().map_or("no cache folder: HOME is not set".into(), |dir| dir.display().to_string()));
        if let Some(mirror) = fetch(options, env, pins, &mut files, cache.as_deref(), looked)? {
            whence = mirror;
        }
    }
    let [Some(a), Some(b), Some(c), Some(d)] = files else { return Err(not_found("a file is missing", Vec::new())) };
    let (train, test) = assemble([a, b, c, d], "mnist")?;
    Ok(Found { train, test, whence, checked: cfg!(feature = "data-download") })
}

/// Fetches the files that are missing, and puts them into the cache. Where that fails the mirror's address is given back.
#[cfg(feature = "data-download")]
fn fetch(
    options: &MnistOptions,
    env: Env<'_>,
    pins: &[Pinned; 4],
    files: &mut [Option<File>; 4],
    cache: Option<&Path>,
    looked: Vec<String>,
) -> Result<Option<String>> {
    use super::download::{Fetcher, MIRRORS, Network, store};
    use super::idx::is_gzip;
    if options.offline {
        return Err(not_found("MNIST is not on this machine, and the network was not to be asked", looked));
    }
    let own = || env("GRADUS_MNIST_URL").map(|url| vec![url.to_string_lossy().into_owned()]);
    let mirrors = options.mirrors.clone().or_else(own).unwrap_or_else(|| MIRRORS.map(String::from).into());
    let mut missing: Vec<_> = files.iter_mut().zip(pins).filter(|(f, _)| f.is_none()).collect();
    missing.sort_by_key(|(_, pin)| pin.packed);
    let total = missing.iter().map(|(_, pin)| pin.packed).sum();
    let mut fetcher = Fetcher::new(mirrors, Network::default(), options.progress.clone(), total);
    let mut unkept = None;
    for (slot, pin) in missing {
        let got = fetcher.get(pin)?;
        let packed = is_gzip(&got.raw);
        let name = format!("{}{}", pin.file, if packed { ".gz" } else { "" });
        let kept = cache.is_some_and(|dir| {
            let stored = store(dir, &name, &got.raw);
            stored.inspect_err(|e| crate::terminal::warn!("{name} cannot be kept in {}: {e}", dir.display())).is_ok()
        });
        if !kept {
            unkept = Some(got.url.clone());
        }
        *slot = Some(File { path: got.url.into(), packed, bytes: got.content });
    }
    Ok(unkept)
}

#[cfg(not(feature = "data-download"))]
fn fetch(
    _: &MnistOptions,
    _: Env<'_>,
    _: &[Pinned; 4],
    _: &mut [Option<File>; 4],
    _: Option<&Path>,
    looked: Vec<String>,
) -> Result<Option<String>> {
    Err(not_found("MNIST is not on this machine, and gradus was built without the feature `data-download`", looked))
}

fn not_found(problem: &str, looked: Vec<String>) -> Error {
    Error::DataNotFound { problem: problem.into(), looked, help: BY_HAND.into() }
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
