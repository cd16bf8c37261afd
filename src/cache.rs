//! The folder for files that can be made again.

use std::ffi::OsString;
use std::path::PathBuf;

/// What an environment variable holds.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The process' own environment; what is empty counts as not set.
pub(crate) fn environment(key: &str) -> Option<OsString> {
    std::env::var_os(key).filter(|v| !v.is_empty())
}

/// `gradus` in the user's cache folder: `XDG_CACHE_HOME`, else `~/.cache`, `~/Library/Caches` or `%LOCALAPPDATA%`.
pub(crate) fn folder(env: Env<'_>) -> Option<PathBuf> {
    let home = || env("HOME").map(PathBuf::from);
    let user = match env("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute()) {
        Some(dir) => dir,
        None if cfg!(windows) => env("LOCALAPPDATA")?.into(),
        None if cfg!(target_os = "macos") => home()?.join("Library/Caches"),
        None => home()?.join(".cache"),
    };
    Some(user.join("gradus"))
}
