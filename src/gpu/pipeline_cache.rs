//! What a driver has compiled, kept on disk between processes, where the driver lets us have it (`VkPipelineCache`).
//!
//! There is one file for each adapter, driver and version of gradus. The driver does not check what it reads from the file, so the file begins with
//! a header of ours: whose it is, how long it is, and a checksum of the whole. If anything is wrong with the file the pipelines are compiled anew and
//! a `tracing` event says why; nothing here is ever an error. `GRADUS_PIPELINE_CACHE` names another folder, or is `off`.

use super::adapter::AdapterSummary;
use super::sync::lock;
use crate::disk;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

const MAGIC: &[u8; 8] = b"gradusPC";
/// Counts up when the header changes.
const FORMAT: u32 = 1;
/// Bytes of the header: magic, format, length of the identity, length of the content, checksum.
const HEADER: usize = 8 + 4 + 4 + 8 + 8;
/// Most bytes of a file. Drivers add to their cache and never remove anything.
const LARGEST: usize = 64 << 20;
/// How many files of other drivers and other versions of gradus are kept beside an adapter's own, and for how long after they were written.
const OTHERS: usize = 3;
const OLD: Duration = Duration::from_secs(30 * 24 * 3600);
const EXTENSION: &str = "pipelines";

/// A driver's cache and the file that it is kept in.
pub(super) struct PipelineCache {
    pub(super) cache: wgpu::PipelineCache,
    file: CacheFile,
    /// The checksum of the file's content.
    kept: Mutex<u64>,
}

impl PipelineCache {
    /// A cache with the content of the adapter's file; `None` where the device has no such cache, or the user wants none.
    pub(super) fn open(device: &wgpu::Device, summary: &AdapterSummary) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        Self::over(device, CacheFile::of(summary, folder(&crate::cache::environment)?, EXTENSION, "")?)
    }

    fn over(device: &wgpu::Device, file: CacheFile) -> Option<Self> {
        let data = file.load();
        let with = |data: Option<&[u8]>| {
            let filters = [wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::Validation];
            let scopes = filters.map(|filter| device.push_error_scope(filter));
            let descriptor = wgpu::PipelineCacheDescriptor { label: Some("gradus"), data, fallback: true };
            // SAFETY: the bytes are none, or those that `get_data` gave for this adapter, driver and version: the file's name and header
            // tell whose they are, its sum that they are whole. wgpu compares the adapter and the driver's own key once more.
            let cache = unsafe { device.create_pipeline_cache(&descriptor) };
            let errors = scopes.into_iter().rev().map(|scope| pollster::block_on(scope.pop()));
            errors.fold(None, Option::or).map_or(Ok(cache), Err)
        };
        // wgpu gives an error for the data of another adapter, and ignores other data that it does not know
        let refused = |e| crate::terminal::warn!("pipelines are made anew: the driver does not take {}: {e}", file.path().display());
        let made = data.as_deref().and_then(|d| with(Some(d)).map_err(refused).ok());
        let cache = match made {
            Some(cache) => cache,
            None => with(None).map_err(|e| tracing::debug!("no pipeline cache: {e}")).ok()?,
        };
        // the content of a new cache is empty, and not worth a file
        let kept = sum(&[&cache.get_data().unwrap_or_default()]);
        Some(PipelineCache { cache, file, kept: Mutex::new(kept) })
    }

    /// Writes the file if the driver has compiled more than it holds.
    pub(super) fn keep(&self) {
        let mut kept = lock(&self.kept);
        let Some(data) = self.cache.get_data() else { return };
        let new = sum(&[&data]);
        if new != *kept {
            // noted first: where the file cannot be written the same content is not tried again
            *kept = new;
            self.file.store(&data);
        }
    }
}

/// The folder that `GRADUS_PIPELINE_CACHE` names, else one in the user's cache folder.
pub(super) fn folder(env: crate::cache::Env<'_>) -> Option<PathBuf> {
    match env("GRADUS_PIPELINE_CACHE") {
        Some(off) if off == "off" || off == "0" => None,
        Some(dir) => Some(dir.into()),
        None => Some(crate::cache::folder(env)?.join("pipelines")),
    }
}

/// A file of one adapter under one driver and one gradus.
pub(super) struct CacheFile {
    dir: PathBuf,
    /// What the names of all files of this adapter begin with.
    adapter: String,
    /// Adapter, driver and gradus in full, and what else the content counts for.
    identity: String,
    /// The kind of file.
    extension: &'static str,
}

impl CacheFile {
    /// The file of that kind in the folder; `counts_for` is what its content depends on beside the adapter, the driver and gradus.
    pub(super) fn of(summary: &AdapterSummary, dir: PathBuf, extension: &'static str, counts_for: &str) -> Option<Self> {
        let adapter = wgpu::util::pipeline_cache_key(&summary.adapter.get_info())?;
        let version = env!("CARGO_PKG_VERSION");
        let identity = format!("gradus {version}, {}, {}, {}, {counts_for}", summary.backend, summary.name, summary.driver);
        Some(CacheFile { dir, adapter, identity, extension })
    }

    pub(super) fn path(&self) -> PathBuf {
        let identity = sum(&[self.identity.as_bytes()]);
        self.dir.join(format!("{}-{identity:016x}.{}", self.adapter, self.extension))
    }

    /// The file's content, if it is whole and ours.
    pub(super) fn load(&self) -> Option<Vec<u8>> {
        let path = self.path();
        match read(&path).map_err(Fault::Io).and_then(|bytes| self.content(bytes)) {
            Ok(data) => {
                tracing::debug!(bytes = data.len(), "read {}", path.display());
                Some(data)
            }
            Err(Fault::Io(e)) if e.kind() == io::ErrorKind::NotFound => None,
            Err(Fault::Io(e)) => {
                tracing::debug!("not read, and made anew: {}: {e}", path.display());
                None
            }
            Err(Fault::Bad(why)) => {
                crate::terminal::warn!("not used, and made anew: {} {why}", path.display());
                None
            }
        }
    }

    fn content(&self, mut bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
        let field = |at: usize, len: usize| bytes.get(at..at + len).ok_or(Fault::Bad("is cut off"));
        let number = |at, len| field(at, len).map(|b| b.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b)));
        if field(0, 8)? != MAGIC || number(8, 4)? != u64::from(FORMAT) {
            return Err(Fault::Bad("is no such file"));
        }
        let (identity, content) = (number(12, 4)? as usize, number(16, 8)?);
        let rest = bytes.get(HEADER..).ok_or(Fault::Bad("is cut off"))?;
        if rest.len() as u64 != content.saturating_add(identity as u64) {
            return Err(Fault::Bad("has another length than it says"));
        }
        if number(24, 8)? != sum(&[&bytes[..24], rest]) {
            return Err(Fault::Bad("is damaged"));
        }
        if rest.get(..identity) != Some(self.identity.as_bytes()) {
            return Err(Fault::Bad("is of another adapter, driver or version"));
        }
        bytes.drain(..HEADER + identity);
        Ok(bytes)
    }

    /// Writes the file, and removes files that are out of date. Several processes may do so at once: the file of the last one stays.
    pub(super) fn store(&self, data: &[u8]) {
        if data.len() > LARGEST {
            return tracing::debug!(bytes = data.len(), "too much for {}", self.path().display());
        }
        match self.write(data) {
            Ok(()) => tracing::debug!(bytes = data.len(), "kept {}", self.path().display()),
            Err(e) => tracing::debug!("not kept: {}: {e}", self.path().display()),
        }
    }

    fn write(&self, data: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let mut head = Vec::with_capacity(HEADER + self.identity.len());
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&FORMAT.to_le_bytes());
        head.extend_from_slice(&(self.identity.len() as u32).to_le_bytes());
        head.extend_from_slice(&(data.len() as u64).to_le_bytes());
        let sum = sum(&[&head, self.identity.as_bytes(), data]);
        head.extend_from_slice(&sum.to_le_bytes());
        head.extend_from_slice(self.identity.as_bytes());
        // no sync: a file that a crash has torn fails its checksum
        let done = disk::replace(&self.path(), &[&head, data], false);
        self.clear(SystemTime::now());
        done
    }

    /// Removes files of this adapter that belong to drivers and versions of gradus long gone, and files that a killed process left half written.
    fn clear(&self, now: SystemTime) {
        let own = self.path();
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let (others, part) = (format!("{}-", self.adapter), format!(".{}.", self.adapter));
        let mut found: Vec<(Duration, PathBuf)> = Vec::new();
        for path in entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| *p != own) {
            let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
            let written = path.metadata().and_then(|m| m.modified());
            let age = written.ok().and_then(|t| now.duration_since(t).ok()).unwrap_or_default();
            if name.starts_with(&others) && name.ends_with(&format!(".{}", self.extension)) {
                found.push((age, path));
            } else if (name.starts_with(&part) && name.ends_with(".part") || name.starts_with(&others) && name.ends_with(".tmp"))
                && age > OLD / 30
            {
                let _ = fs::remove_file(&path);
            }
        }
        found.sort();
        for (_, path) in found.iter().enumerate().filter(|(i, (age, _))| *i >= OTHERS || *age > OLD).map(|(_, f)| f) {
            tracing::debug!("removed what is of another driver or version: {}", path.display());
            let _ = fs::remove_file(path);
        }
    }
}

/// Why a file is not used.
enum Fault {
    Io(io::Error),
    Bad(&'static str),
}

/// The bytes of a file, if they are not too many.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let most = (LARGEST + HEADER + 4096) as u64;
    let mut bytes = Vec::new();
    disk::open(path)?.0.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other("it is larger than any that gradus writes"));
    }
    Ok(bytes)
}

/// A checksum, FNV-1a. Each of its steps is one to one, so that a change of any single byte changes the sum.
pub(super) fn sum(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|p| p.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
