//! Files that are known by their SHA-256, and the cache that keeps them.

use super::idx;
use crate::disk;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// A file whose content is known beforehand.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "data-download"), allow(dead_code))]
pub(crate) struct Pinned {
    /// Its name without `.gz`.
    pub file: &'static str,
    /// Bytes of the usual `.gz`. The smallest file is fetched first, and the sum is the total that progress counts up to.
    pub packed: u64,
    /// Bytes of the unpacked file; where the sum is of the packed one, the most that they may be.
    pub size: u64,
    pub sha256: [u8; 32],
    /// Whether the SHA-256 is of the `.gz`, and not of what is in it.
    pub of_packed: bool,
}

impl Pinned {
    /// A file by the SHA-256 of what is in it, which holds however it was packed.
    pub const fn unpacked(file: &'static str, packed: u64, size: u64, hex: &[u8; 64]) -> Self {
        Pinned { file, packed, size, sha256: digits(hex), of_packed: false }
    }

    /// A file by the SHA-256 of its `.gz`.
    pub const fn packed(file: &'static str, packed: u64, most: u64, hex: &[u8; 64]) -> Self {
        Pinned { file, packed, size: most, sha256: digits(hex), of_packed: true }
    }

    fn not_its_sum(&self) -> String {
        format!("it has not the SHA-256 of {}{}", self.file, if self.of_packed { ".gz" } else { "" })
    }

    /// Fails where a file's length tells that it is another one. Ok(false) where it cannot be told whether it is the right one.
    fn check_length(&self, path: &Path) -> Result<bool> {
        let failed = |e| Error::io("read", path, e);
        let (mut file, size) = disk::open(path).map_err(failed)?;
        let packed = idx::is_gzip(&disk::rest(&mut file, size.min(2)).map_err(failed)?);
        let wanted = match (packed, self.of_packed) {
            (false, true) => return Ok(false),
            (true, true) => self.packed..=self.packed,
            (false, false) => self.size..=self.size,
            (true, false) => 0..=longest(self.size), // however it was packed
        };
        if wanted.contains(&size) {
            return Ok(true);
        }
        let problem = format!("it has {size} bytes, and {} has {}", self.file, if packed { self.packed } else { self.size });
        Err(Error::BadData { path: path.into(), offset: size, problem, help: "fetch the file again".into() })
    }
}

/// Most bytes of a file, packed or not, that holds at most so many: gzip makes what cannot be made smaller longer by a few bytes in thousands.
pub(crate) const fn longest(size: u64) -> u64 {
    size + size / 64 + 4096
}

const fn digits(hex: &[u8; 64]) -> [u8; 32] {
    const fn digit(c: u8) -> u8 {
        if c <= b'9' { c - b'0' } else { c - b'a' + 10 }
    }
    let mut out = [0; 32];
    let mut i = 0;
    while i < 32 {
        out[i] = digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]);
        i += 1;
    }
    out
}

/// Whether bytes are the pinned ones, of this length and the pin's SHA-256. None where that cannot be told: gradus was built without `data-download`, and so
/// without SHA-256.
#[cfg(feature = "data-download")]
fn verified(bytes: &[u8], length: u64, pin: &Pinned) -> Option<bool> {
    Some(bytes.len() as u64 == length && hmac_sha256::Hash::hash(bytes) == pin.sha256)
}

#[cfg(not(feature = "data-download"))]
fn verified(_: &[u8], _: u64, _: &Pinned) -> Option<bool> {
    None
}

/// The content of a file, unpacked.
pub(crate) struct File {
    pub path: PathBuf,
    /// It was unpacked, so offsets count unpacked bytes.
    pub packed: bool,
    pub bytes: Vec<u8>,
    /// Whether it is the pinned file, by what is in it or by its packed bytes. None where that cannot be told: as of an unpacked file where the sum is of the
    /// packed one.
    pub verified: Option<bool>,
}

impl File {
    /// From a file's bytes, raw or gzip; gives the packed ones, too (none where it was not packed). At most one byte more than `size` is unpacked, or than
    /// the header of an idx file promises.
    pub fn new(path: PathBuf, raw: Vec<u8>, size: Option<u64>, pin: Option<&Pinned>) -> Result<(Self, Vec<u8>)> {
        Self::read(path, raw, size, pin, false)
    }

    /// As [`File::new`], of the pinned file: others are not unpacked where the sum is of the packed bytes.
    pub fn pinned(path: PathBuf, raw: Vec<u8>, pin: &Pinned) -> Result<(Self, Vec<u8>)> {
        Self::read(path, raw, Some(pin.size), Some(pin), true)
    }

    fn read(path: PathBuf, raw: Vec<u8>, size: Option<u64>, pin: Option<&Pinned>, alone: bool) -> Result<(Self, Vec<u8>)> {
        let packed = idx::is_gzip(&raw);
        let of_packed = pin.filter(|p| packed && p.of_packed).and_then(|p| verified(&raw, p.packed, p));
        if alone && let (Some(pin), Some(false)) = (pin, of_packed) {
            let (problem, help) = (pin.not_its_sum(), "fetch the file again".into());
            return Err(Error::BadData { path, offset: 0, problem, help });
        }
        let (bytes, sent) = if packed { (idx::inflate(&raw, &path, size)?, raw) } else { (raw, vec![]) };
        let of_content = || pin.filter(|p| !p.of_packed).and_then(|p| verified(&bytes, p.size, p));
        let verified = of_packed.or_else(of_content);
        Ok((File { path, packed, bytes, verified }, sent))
    }

    pub fn bad(&self, offset: usize, problem: String, help: &str) -> Error {
        let unpacked = if self.packed { " (counted in the unpacked bytes)" } else { "" };
        Error::BadData { path: self.path.clone(), offset: offset as u64, problem: problem + unpacked, help: help.into() }
    }
}

/// A file of the cache, if it exists and is right. A wrong file is removed, unless `offline` forbids to fetch another; one of which that cannot be told is
/// passed over. Nothing of another length is read.
pub(crate) fn in_cache(dir: &Path, pin: &Pinned, read: fn(&Path) -> Result<Vec<u8>>, offline: bool) -> Option<File> {
    let without_sums = !cfg!(feature = "data-download");
    let known = |path: &Path| -> Result<Option<File>> {
        if !without_sums && !pin.check_length(path)? {
            return Ok(None);
        }
        let (file, _) = File::pinned(path.into(), read(path)?, pin)?;
        Ok(Some(file).filter(|f| f.verified.is_some() || without_sums))
    };
    for path in [dir.join(pin.file), dir.join(format!("{}.gz", pin.file))].into_iter().filter(|p| p.exists()) {
        let fault = match known(&path) {
            Ok(Some(file)) if file.verified != Some(false) => return Some(file),
            Ok(Some(_)) => pin.not_its_sum(),
            Ok(None) => {
                tracing::info!("{}: passed over, for the SHA-256 that is known is of {}.gz", path.display(), pin.file);
                continue;
            }
            Err(Error::BadData { problem, .. }) => problem,
            Err(e) => {
                crate::terminal::warn!("a cached file cannot be used: {e}");
                continue;
            }
        };
        crate::terminal::warn!("{}: {fault}; {}", path.display(), if offline { "passed over" } else { "removed, to be fetched again" });
        if !offline && let Err(e) = std::fs::remove_file(&path) {
            crate::terminal::warn!("{}: {e}", path.display());
        }
    }
    None
}
