//! The words in which a device is chosen.

use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// All words, for the error of a word that is none of them.
pub(super) const CHOICES: [&str; 7] = ["auto", "gpu", "gpu:INDEX", "gpu:NAME", "software", "cpu", "list"];

/// A way to choose a device: what `--device`, `GRADUS_DEVICE` and [`Device::select`](crate::train::Device::select) read.
///
/// ```
/// use gradus::train::DeviceChoice;
/// assert_eq!("gpu:1".parse::<DeviceChoice>()?, DeviceChoice::GpuIndex(1));
/// assert!("fast".parse::<DeviceChoice>().is_err());
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A real GPU, else the CPU.
    #[default]
    Auto,
    /// A real GPU, else an error.
    Gpu,
    /// The adapter of this number in the list.
    GpuIndex(usize),
    /// The adapter whose name holds this text.
    GpuName(String),
    /// A GPU in software: lavapipe, SwiftShader, WARP.
    Software,
    /// The CPU.
    Cpu,
    /// No device: show the list.
    List,
}

impl FromStr for DeviceChoice {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        Ok(match s {
            "auto" => DeviceChoice::Auto,
            "gpu" => DeviceChoice::Gpu,
            "software" => DeviceChoice::Software,
            "cpu" => DeviceChoice::Cpu,
            "list" => DeviceChoice::List,
            _ => match s.strip_prefix("gpu:") {
                Some(rest) if !rest.is_empty() => match rest.parse() {
                    Ok(i) => DeviceChoice::GpuIndex(i),
                    Err(_) => DeviceChoice::GpuName(rest.into()),
                },
                _ => return Err(Error::unknown_choice("device", s, &CHOICES)),
            },
        })
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Gpu => f.write_str("gpu"),
            DeviceChoice::GpuIndex(i) => write!(f, "gpu:{i}"),
            DeviceChoice::GpuName(n) => write!(f, "gpu:{n}"),
            DeviceChoice::Software => f.write_str("software"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::List => f.write_str("list"),
        }
    }
}
