//! Files are checked before they are opened, and written whole or not at all.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Opens a regular file; gives its size, too. Anything else is refused before it is opened: opening a pipe waits, and a device may never end.
pub(crate) fn open(path: &Path) -> io::Result<(File, u64)> {
    let regular = |m: &Metadata| if m.is_file() { Ok(()) } else { Err(refused(m)) };
    regular(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    let meta = file.metadata()?;
    regular(&meta)?;
    Ok((file, meta.len()))
}

fn refused(m: &Metadata) -> io::Error {
    let (kind, what) = match m.is_dir() {
        true => (ErrorKind::IsADirectory, "it is a folder"),
        false => (ErrorKind::InvalidInput, "it is no regular file but a pipe, a socket or a device"),
    };
    io::Error::new(kind, what)
}

/// Reads at most so many bytes, from the file's position on. Too little memory is an error.
pub(crate) fn rest(file: &mut File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let room = usize::try_from(most).ok().and_then(|n| bytes.try_reserve_exact(n).ok());
    room.ok_or_else(|| io::Error::new(ErrorKind::OutOfMemory, format!("there is no memory for its {most} bytes")))?;
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces a file by one of these bytes, whole or not at all: the bytes are written to a temporary file beside it and synced, and that takes the
/// file's name only then. The folder is synced too, so that the new name outlives a loss of power. After an error the old file is still there.
///
/// A link is followed: its target is replaced. The new file has the old one's mode, and its owner where that may be set. A device (`/dev/null`)
/// is written to; a folder, a pipe, a socket and a disk are refused. Any number of threads and processes may write one path at once: the last
/// one stays. `durable` is false for files that can be made again; these are not synced.
pub(crate) fn replace(path: &Path, pieces: &[&[u8]], durable: bool) -> io::Result<()> {
    let (target, old) = match Place::of(path)? {
        Place::Device => {
            let mut device = OpenOptions::new().write(true).open(path)?;
            return pieces.iter().try_for_each(|p| device.write_all(p)).and_then(|()| device.flush());
        }
        Place::File { target, old } => (target, old),
    };
    if first_time(&target) {
        remove_leftovers(&target);
    }
    let write = || {
        let (file, temporary) = temporary(&target, old.as_ref())?;
        let done = fill(file, &temporary, &target, pieces, old.as_ref(), durable);
        if done.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        done
    };
    let gone = |e: &io::Error| e.kind() == ErrorKind::NotFound && folder(&target).is_dir();
    let done = match write() {
        // another program, which ignores the lock, has removed the temporary file
        Err(e) if gone(&e) => write(),
        done => done,
    };
    done.map_err(|e| if gone(&e) { io::Error::other("its temporary file was taken away: another run writes this file too") } else { e })?;
    if durable
        && let Err(e) = sync_folder(&target)
        && first_time(&folder(&target).join("."))
    {
        crate::terminal::warn!(path = %path.display(), "the file is written, but its folder cannot be synced: {e}");
    }
    Ok(())
}

fn fill(mut file: File, temporary: &Path, target: &Path, pieces: &[&[u8]], old: Option<&Metadata>, durable: bool) -> io::Result<()> {
    pieces.iter().try_for_each(|p| file.write_all(p))?;
    if let Some(old) = old {
        as_it_was(&file, old)?;
    }
    if durable {
        file.sync_all()?;
    }
    if cfg!(windows) {
        // on Windows a lock keeps readers out, and others may read the file as soon as it has its name
        let _ = file.unlock();
    }
    // the lock is held until then, so that no process takes the file for a leftover
    fs::rename(temporary, target)
}

/// Fails if [`replace`] would fail here, for a check before there is anything to write. Leaves nothing behind.
pub(crate) fn try_replace(path: &Path) -> io::Result<()> {
    match Place::of(path)? {
        Place::Device => OpenOptions::new().write(true).open(path).map(drop),
        Place::File { target, old } => {
            let (_file, temporary) = temporary(&target, old.as_ref())?;
            fs::remove_file(temporary)
        }
    }
}

/// Fails if this file could not be opened and added to. Leaves nothing behind, and a file that exists as it is.
pub(crate) fn try_append(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(m) if m.is_dir() => Err(refused(&m)),
        Ok(m) if m.is_file() => OpenOptions::new().append(true).open(path).map(drop),
        Ok(_) => Ok(()), // opening a pipe would wait for its reader
        Err(e) if e.kind() == ErrorKind::NotFound => try_replace(path),
        Err(e) => Err(e),
    }
}

/// What stands where a file shall be written.
enum Place {
    /// A file, or nothing yet, at the end of all links.
    File { target: PathBuf, old: Option<Metadata> },
    /// A character device: `/dev/null`.
    Device,
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        let separator = |b: &u8| std::path::is_separator(char::from(*b));
        if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().last().is_some_and(separator) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it names no file"));
        }
        match fs::metadata(path) {
            Ok(m) if m.is_file() => Ok(Place::File { target: followed(path)?, old: Some(m) }),
            Ok(m) if takes_characters(&m) => Ok(Place::Device),
            Ok(m) => Err(refused(&m)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Place::File { target: followed(path)?, old: None }),
            Err(e) => Err(e),
        }
    }
}

/// Where the links end, whether anything is there or not.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut at = path.to_path_buf();
    for _ in 0..40 {
        match fs::symlink_metadata(&at) {
            Ok(m) if m.is_symlink() => at = folder(&at).join(fs::read_link(&at)?),
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => return Ok(at),
        }
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "too many links lead from one to the next"))
}

/// A new file beside the target under a name of its own, locked: the lock ends with this process, however that ends.
fn temporary(target: &Path, old: Option<&Metadata>) -> io::Result<(File, PathBuf)> {
    let stem = stem(target.file_name().unwrap_or_default());
    for _ in 0..100 {
        let mut name = stem.clone();
        name.push(format!(".{:016x}.tmp", number()));
        let path = target.with_file_name(name);
        let file = match new_file(old).open(&path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
            other => other?,
        };
        // between the two calls another process may have removed the file as a leftover
        let taken = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        if !taken && fs::symlink_metadata(&path).is_ok() {
            return Ok((file, path));
        }
    }
    Err(io::Error::other("no name for a temporary file is free"))
}

/// How a new file is opened: never readable by more people than the file that it replaces.
fn new_file(old: Option<&Metadata>) -> OpenOptions {
    let mut how = OpenOptions::new();
    how.write(true).create_new(true);
    #[cfg(unix)]
    if let Some(old) = old {
        use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
        how.mode(old.mode() & 0o777);
    }
    #[cfg(not(unix))]
    let _ = old;
    how
}

/// Gives a new file the mode of the file that it replaces; the owner too, where this process may do that.
#[cfg(unix)]
fn as_it_was(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        use std::os::unix::fs::{PermissionsExt, fchown};
        let group = old.gid() == new.gid() || fchown(file, None, Some(old.gid())).is_ok();
        let _ = fchown(file, Some(old.uid()), None);
        if !group {
            // the new file belongs to another group, which could not read the old one
            return file.set_permissions(std::fs::Permissions::from_mode(old.mode() & 0o707));
        }
    }
    if new.mode() == old.mode() { Ok(()) } else { file.set_permissions(old.permissions()) }
}

#[cfg(not(unix))]
fn as_it_was(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn takes_characters(m: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_char_device(&m.file_type())
}

#[cfg(not(unix))]
fn takes_characters(_: &Metadata) -> bool {
    false
}

/// What a temporary name begins with: the file's name; a number in its place where it is long, since names have a limit (255 bytes, on some systems
/// 143).
fn stem(name: &OsStr) -> OsString {
    let bytes = name.as_encoded_bytes();
    if bytes.len() <= 100 {
        return name.into();
    }
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)); // FNV-1a
    format!("gradus-{hash:016x}").into()
}

/// A number that is another one each time, in each process, on each machine.
fn number() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut hash = RandomState::new().build_hasher();
    hash.write_u32(std::process::id());
    hash.write_u64(COUNT.fetch_add(1, Ordering::Relaxed));
    hash.write_u128(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.as_nanos()));
    hash.finish()
}

/// Whether this process writes this path for the first time. A bounded number of paths is remembered; the answer for more is no.
fn first_time(path: &Path) -> bool {
    const MOST: usize = 256;
    static SEEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    seen.len() < MOST && seen.insert(path.into())
}

/// Removes the temporary files of processes that were killed while they wrote this file. Those of a living process stay.
pub(crate) fn remove_leftovers(path: &Path) {
    let Ok(target) = followed(path) else { return };
    let Some(name) = target.file_name() else { return };
    let (long, stem) = (name, stem(name));
    remove_leftovers_in(folder(&target), &|of| of == stem.as_encoded_bytes() || of == long.as_encoded_bytes());
}

/// As [`remove_leftovers`], for all files of a folder whose names are `ours`. For a long name `ours` is asked about its number.
pub(crate) fn remove_leftovers_in(dir: &Path, ours: &dyn Fn(&[u8]) -> bool) {
    for found in fs::read_dir(dir).into_iter().flatten().flatten() {
        if left_by(&found.file_name()).is_some_and(ours) && found.file_type().is_ok_and(|t| t.is_file()) {
            remove_if_left(&found.path());
        }
    }
}

/// What a temporary file's name begins with, if it is one: `NAME.NUMBER.tmp`, the number of 16 hexadecimal digits.
fn left_by(name: &OsStr) -> Option<&[u8]> {
    let name = name.as_encoded_bytes().strip_suffix(b".tmp")?;
    let dot = name.iter().rposition(|b| *b == b'.')?;
    let number = &name[dot + 1..];
    let ours = number.len() == 16 && number.iter().all(u8::is_ascii_hexdigit);
    ours.then_some(&name[..dot])
}

fn remove_if_left(path: &Path) {
    /// Where files cannot be locked, the age at which a temporary file counts as left behind.
    const OLD: Duration = Duration::from_secs(24 * 3600);
    let Ok(file) = OpenOptions::new().read(true).write(true).open(path).or_else(|_| File::open(path)) else { return };
    let old = || file.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok()).is_some_and(|age| age > OLD);
    let left = match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => {
            crate::terminal::warn!(path = %path.display(), "another run writes this file too");
            false
        }
        Err(TryLockError::Error(_)) => old(),
    };
    if left {
        // the lock is held until the file is gone: a process that made it a moment ago notices, and takes another name
        let _ = fs::remove_file(path);
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the folder of a file, unless it exists.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(folder(path))
}

/// Syncs the folder, whose data holds the file's new name. Windows has no such call, and needs none.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder(path))?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests;
