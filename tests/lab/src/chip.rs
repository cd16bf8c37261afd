//! A GPU that is not here, and this program under its driver.

use crate::fault;
use crate::figures::Figures;
use std::path::Path;
use std::process::{Command, Stdio};

/// A chip of `tests/lab.sh`.
pub struct Chip<'a> {
    /// That script.
    pub lab: &'a str,
    /// What it calls the chip.
    pub name: &'a str,
}

impl Chip<'_> {
    /// What this program prints when it runs under the chip's driver with these arguments.
    pub fn run(&self, args: &[&str]) -> Result<String, String> {
        told(self.command()?.args(args))
    }

    /// What its compiler makes of a kernel. In a process of its own: a driver that falls takes no other kernel with it.
    pub fn kernel(&self, wgsl: &Path) -> Result<Figures, String> {
        // Apple's driver prints its listing, the others hand it over
        let printed = told(self.command()?.env("AGX_MESA_DEBUG", "shaders").arg("compile").arg(wgsl))?;
        let (facts, listing) = (wgsl.with_extension("facts"), wgsl.with_extension("listing"));
        if !listing.exists() {
            std::fs::write(&listing, printed).map_err(fault(&listing))?;
        }
        let read = |path: &Path| std::fs::read_to_string(path).map_err(fault(path));
        Figures::of(&read(&facts)?, &read(&listing)?)
    }

    /// This program under the driver.
    fn command(&self) -> Result<Command, String> {
        let own = std::env::current_exe().map_err(|e| format!("where this program lies: {e}"))?;
        let mut command = Command::new(self.lab);
        command.arg("run").arg(self.name).arg(own);
        Ok(command)
    }
}

/// What a command prints, or how it ended and its last words.
fn told(command: &mut Command) -> Result<String, String> {
    let out = command.stdin(Stdio::null()).output().map_err(|e| format!("{command:?}: {e}"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&out.stderr);
    let lines: Vec<&str> = words.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(8)..].iter().map(|line| format!(" / {line}")).collect::<String>();
    Err(format!("{}{last}", out.status))
}
