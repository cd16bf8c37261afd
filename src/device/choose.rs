//! From a choice to an open device: which adapters are tried, in which order, and what is said where none will do.

use super::choice::{CHOICES, DeviceChoice};
use super::machine::Device;
#[cfg(feature = "gpu")]
use super::machine::Machine;
use crate::error::{Error, Result};
#[cfg(feature = "gpu")]
use crate::gpu::{self, AdapterSummary, Gpu};
#[cfg(feature = "gpu")]
use std::sync::Arc;

/// What to do where there is no GPU.
#[cfg(feature = "gpu")]
pub(super) const INSTALL: &str =
    "install a Vulkan driver (Debian/Ubuntu: apt install mesa-vulkan-drivers; NVIDIA: its own driver), or use `cpu`";

impl Device {
    /// The device that `GRADUS_DEVICE` names; without it, or where it is empty, a real GPU, else the CPU.
    pub fn best() -> Result<Self> {
        match crate::cache::environment("GRADUS_DEVICE") {
            None => Self::choose(DeviceChoice::Auto),
            Some(choice) => match choice.to_str() {
                Some(choice) => Self::select(choice),
                None => Err(Error::unknown_choice("GRADUS_DEVICE", &choice.to_string_lossy(), &CHOICES)),
            },
        }
    }

    /// The device for a choice in words: `auto`, `gpu`, `gpu:INDEX`, `gpu:NAME`, `software`, `cpu`. `list` is no device: its error holds what
    /// [`Device::list`] prints.
    pub fn select(choice: &str) -> Result<Self> {
        Self::choose(choice.parse()?)
    }

    /// The device for a choice.
    #[cfg(not(feature = "gpu"))]
    pub fn choose(choice: DeviceChoice) -> Result<Self> {
        match choice {
            DeviceChoice::List => Err(Self::list_is_no_device()),
            DeviceChoice::Cpu => Ok(Self::cpu()),
            DeviceChoice::Auto => Ok(Self::cpu_instead(choice, "built without the feature `gpu`".into())),
            other => Err(Error::NoDevice {
                wanted: other.to_string(),
                problem: "gradus was built without GPUs".into(),
                tried: vec![],
                help: "build with the feature `gpu`, or use `cpu`".into(),
            }),
        }
    }

    /// The device for a choice.
    #[cfg(feature = "gpu")]
    pub fn choose(choice: DeviceChoice) -> Result<Self> {
        if choice == DeviceChoice::Cpu {
            return Ok(Self::cpu());
        }
        if choice == DeviceChoice::List {
            return Err(Self::list_is_no_device());
        }
        let cut = std::env::var(gpu::LIMITS).unwrap_or_default();
        if !["", "webgpu"].contains(&cut.as_str()) {
            return Err(Error::unknown_choice(gpu::LIMITS, &cut, &["webgpu"]));
        }
        let robust = std::env::var(gpu::ROBUST).unwrap_or_default();
        if !["", "0", "1"].contains(&robust.as_str()) {
            return Err(Error::unknown_choice(gpu::ROBUST, &robust, &["0", "1"]));
        }
        let mut all = gpu::adapters();
        let wanted = |a: &&AdapterSummary| match &choice {
            DeviceChoice::Auto | DeviceChoice::Gpu => a.is_gpu(),
            DeviceChoice::GpuIndex(i) => a.index == *i,
            DeviceChoice::GpuName(n) => a.name.to_lowercase().contains(&n.to_lowercase()),
            DeviceChoice::Software => !a.is_gpu(),
            DeviceChoice::Cpu | DeviceChoice::List => false,
        };
        let mut tried = Vec::new();
        for a in all.iter().filter(wanted) {
            match Gpu::open(a) {
                Ok(gpu) => return Ok(Self::of(choice, Machine::Gpu(gpu), String::new())),
                Err(e) => tried.push(e.to_string()),
            }
        }
        // then those whose drivers wgpu hides, which may be named by the driver's name, too
        let hidden = gpu::adapters_hidden(&all);
        let named = matches!(choice, DeviceChoice::GpuIndex(_) | DeviceChoice::GpuName(_));
        let by_driver = |a: &AdapterSummary| if let DeviceChoice::GpuName(n) = &choice { is_driver(&a.driver, n) } else { false };
        for a in hidden.iter().filter(|a| wanted(a) || by_driver(a)) {
            match Self::opened_hidden(a, named) {
                Ok(gpu) => {
                    let tested = if named { "it was taken by name" } else { "it computed some kernels rightly" };
                    let note = format!("the driver of {} does not pass Vulkan's conformance tests; {tested}", a.name);
                    return Ok(Self::of(choice, Machine::Gpu(gpu), note));
                }
                Err(e) => tried.push(e.to_string()),
            }
        }
        all.extend(hidden);
        let why = if all.is_empty() { "no Vulkan driver found" } else { "only software adapters" };
        let foreign = foreign_words(|name| std::env::var(name).ok());
        if choice == DeviceChoice::Auto {
            let why = if tried.is_empty() { why } else { "it could not be opened" };
            let foreign = foreign.map_or(String::new(), |f| format!("; {f}"));
            let note = format!("no GPU: {why}; `--device list` says what was tried{foreign}");
            return Ok(Self::cpu_instead(choice, note));
        }
        let refused = !tried.is_empty();
        tried.extend(all.iter().map(|a| format!("{}: {a}", a.index)));
        let (problem, help) = match &choice {
            _ if all.is_empty() => ("this machine has no Vulkan, Metal or DX12 adapter", INSTALL),
            _ if refused => ("what matches could not be opened", "update its driver, choose another of the list, or use `cpu`"),
            DeviceChoice::Gpu => ("every adapter is a GPU in software", INSTALL),
            DeviceChoice::Software => ("there is no GPU in software", "install mesa-vulkan-drivers, or use `cpu`"),
            _ => ("no adapter matches", "choose a number or a part of a name of the list above, or use `cpu`"),
        };
        let help = [Some(help.to_string()), foreign].into_iter().flatten().collect::<Vec<_>>().join("; ");
        Err(Error::NoDevice { wanted: choice.to_string(), problem: problem.into(), tried, help })
    }

    /// A device on an adapter whose driver passes no conformance test: one that nobody named must first compute some kernels rightly.
    #[cfg(feature = "gpu")]
    pub(super) fn opened_hidden(a: &AdapterSummary, named: bool) -> Result<Arc<Gpu>> {
        let gpu = Gpu::open(a)?;
        match if named { Ok(()) } else { gpu.trial() } {
            Ok(()) => Ok(gpu),
            Err(why) => Err(Error::NoDevice {
                wanted: a.name.clone(),
                problem: format!("its driver does not pass Vulkan's conformance tests, and failed the self-test: {why}"),
                tried: vec![],
                help: format!("update the driver; `gpu:{}` takes it all the same", a.index),
            }),
        }
    }
}

/// Whether this is a name of the driver. Mesa's file and package say `dzn`, the driver itself says `Dozen`.
#[cfg(feature = "gpu")]
pub(super) fn is_driver(driver: &str, name: &str) -> bool {
    let (driver, name) = (driver.to_lowercase(), name.to_lowercase());
    driver.contains(&name) || (name == "dzn" && driver.contains("dozen"))
}

/// What to say where a variable is set that programs on wgpu often read, and gradus does not.
#[cfg(feature = "gpu")]
pub(super) fn foreign_words(var: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (name, value) = ["WGPU_ADAPTER_NAME", "WGPU_BACKEND", "WGPU_POWER_PREF"].iter().find_map(|n| Some((n, var(n)?)))?;
    let ours = if *name == "WGPU_ADAPTER_NAME" { format!("GRADUS_DEVICE=gpu:{value}") } else { "GRADUS_DEVICE=gpu:TEXT".into() };
    Some(format!("{name} is set, which gradus does not read: {ours} takes the first adapter whose name holds the text"))
}
