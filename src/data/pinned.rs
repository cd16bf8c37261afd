//! Files that are known by their SHA-256, and the cache that keeps them.

use super::folder::{File, NAMES};
use crate::error::Error;
use std::path::Path;

/// A file whose content is known beforehand.
#[cfg_attr(not(feature = "data-download"), allow(dead_code))]
pub(crate) struct Pinned {
    pub file: &'static str,
    /// Bytes of the usual `.gz`. The smallest file is fetched first, and the sum is the total that progress counts up to.
    pub packed: u64,
    /// Bytes and SHA-256 of the unpacked file.
    pub size: u64,
    pub sha256: [u8; 32],
}

/// MNIST's files in the order of their roles: train images and labels, test images and labels.
pub(crate) const MNIST: [Pinned; 4] = [
    pin(NAMES[0], 9_912_422, 47_040_016, b"ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    pin(NAMES[1], 28_881, 60_008, b"65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    pin(NAMES[2], 1_648_877, 7_840_016, b"0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    pin(NAMES[3], 4_542, 10_008, b"ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
];

const fn pin(file: &'static str, packed: u64, size: u64, hex: &[u8; 64]) -> Pinned {
    const fn digit(c: u8) -> u8 {
        if c <= b'9' { c - b'0' } else { c - b'a' + 10 }
    }
    let mut sha256 = [0; 32];
    let mut i = 0;
    while i < 32 {
        sha256[i] = digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]);
        i += 1;
    }
    Pinned { file, packed, size, sha256 }
}

/// Whether the content has the pinned SHA-256; none where gradus was built without `data-download`, and so without SHA-256.
#[cfg(feature = "data-download")]
pub(crate) fn verified(content: &[u8], pin: &Pinned) -> Option<bool> {
    Some(content.len() as u64 == pin.size && hmac_sha256::Hash::hash(content) == pin.sha256)
}

#[cfg(not(feature = "data-download"))]
pub(crate) fn verified(_: &[u8], _: &Pinned) -> Option<bool> {
    None
}

/// A file of the cache, if it exists and is right. A wrong file is removed, unless `offline` forbids to fetch another.
pub(crate) fn in_cache(dir: &Path, pin: &Pinned, offline: bool) -> Option<File> {
    for path in [dir.join(pin.file), dir.join(format!("{}.gz", pin.file))].into_iter().filter(|p| p.exists()) {
        let fault = match File::load(path.clone(), Some(pin.size)) {
            Ok(file) if verified(&file.bytes, pin) != Some(false) => return Some(file),
            Ok(_) => "its SHA-256 is not the one of MNIST's file".to_string(),
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
