//! What the commands of a distributed run have in common as processes: signals, secrets, parents.

use anyhow::{Context, Result, ensure};
use clap::Args;
use gradus::train::{Device, Recipe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What every process of a distributed run is told.
#[derive(Args)]
pub struct Common {
    /// The recipe, in TOML or JSON: server and workers must be given the same
    recipe: PathBuf,
    /// A file with the secret that workers must tell the server, in its first line
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Let the recipe write outside of this folder
    #[arg(long)]
    trust_recipe: bool,
    /// End when the process that has started this one ends (Linux)
    #[arg(long)]
    die_with_parent: bool,
}

impl Common {
    /// Binds this process to its parent, where that is wanted. Gives the recipe and the secret.
    pub fn begin(&self) -> Result<(Recipe, Option<String>)> {
        if self.die_with_parent {
            die_with_parent()?;
        }
        Ok((crate::recipe::read(&self.recipe, self.trust_recipe)?, secret(self.secret_file.as_deref())?))
    }
}

static TERMINATED: AtomicBool = AtomicBool::new(false);

/// Whether somebody has asked this process to end, by SIGTERM or Ctrl-C.
pub fn terminated() -> bool {
    TERMINATED.load(Ordering::Relaxed)
}

/// Lets SIGTERM and Ctrl-C be asked for by [`terminated`]. A second one ends the process at once.
#[cfg(unix)]
pub fn hear_signals() {
    extern "C" fn note(signal: libc::c_int) {
        if TERMINATED.swap(true, Ordering::Relaxed) {
            // SAFETY: `_exit` may be called in a handler.
            unsafe { libc::_exit(128 + signal) }
        }
    }
    let handler = note as extern "C" fn(libc::c_int) as libc::sighandler_t;
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the handler stores an atomic and may call `_exit`: both may be done in one.
        unsafe { libc::signal(signal, handler) };
    }
}

/// There are no signals here: Ctrl-C ends the process.
#[cfg(not(unix))]
pub fn hear_signals() {}

/// Lets this process end with the one that has started it.
#[cfg(target_os = "linux")]
fn die_with_parent() -> Result<()> {
    // SAFETY: neither call touches memory of ours.
    let (parent, set) = unsafe { (libc::getppid(), libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)) };
    ensure!(set == 0, "--die-with-parent: the system refuses it");
    // SAFETY: as above.
    ensure!(parent == unsafe { libc::getppid() }, "--die-with-parent: the parent has ended already");
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent() -> Result<()> {
    anyhow::bail!("--die-with-parent is for Linux")
}

/// The secret in the first line of a file.
fn secret(file: Option<&Path>) -> Result<Option<String>> {
    let Some(path) = file else { return Ok(None) };
    let within = || format!("could not read the secret in {}", path.display());
    let meta = std::fs::metadata(path).with_context(within)?;
    ensure!(meta.is_file() && meta.len() <= 65_536, "{}: it is no file, or too long for a secret", path.display());
    let text = std::fs::read_to_string(path).with_context(within)?;
    let line = text.lines().next().unwrap_or_default().trim();
    ensure!(!line.is_empty(), "{} has no secret in its first line", path.display());
    Ok(Some(line.to_string()))
}

/// The text of a certificate or key.
#[cfg(feature = "dist-tls")]
pub fn pem(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))
}

/// The device of a flag, or of the environment.
pub fn device(choice: Option<&str>) -> Result<Device> {
    Ok(match choice {
        Some(choice) => Device::select(choice)?,
        None => Device::best()?,
    })
}
