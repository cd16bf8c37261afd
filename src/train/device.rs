use super::memory_limit::MemoryLimit;
use crate::cpu::CpuSession;
use crate::error::{Error, Result};
#[cfg(feature = "gpu")]
use crate::gpu::{self, AdapterSummary, Gpu, GpuSession};
#[cfg(feature = "gpu")]
use crate::graph::{Node, Op};
use crate::kernels::{CoopCaps, Target};
use crate::plan::{Layout, Session, Step};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
#[cfg(feature = "gpu")]
use std::sync::Arc;

const CHOICES: [&str; 7] = ["auto", "gpu", "gpu:INDEX", "gpu:NAME", "software", "cpu", "list"];
#[cfg(feature = "gpu")]
pub(super) const INSTALL: &str =
    "install a Vulkan driver (Debian/Ubuntu: apt install mesa-vulkan-drivers; NVIDIA: its own driver), or use `cpu`";

/// A way to choose a device: what `--device`, `GRADUS_DEVICE` and [`Device::select`] read.
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

/// A machine to train on. Cheap to clone; models on one GPU share it.
#[derive(Debug, Clone)]
pub struct Device {
    choice: DeviceChoice,
    machine: Machine,
    checked: bool,
    /// Whether products use cooperative matrices; by the kind of device where nobody said.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))]
    coop: Option<bool>,
    note: String,
    pub(super) limit: Option<MemoryLimit>,
    /// Tests take f16 away.
    no_f16: bool,
    /// Tests fill with NaN what no step may read.
    poisoned: bool,
}

#[derive(Debug, Clone)]
enum Machine {
    Cpu {
        threads: usize,
    },
    #[cfg(feature = "gpu")]
    Gpu(Arc<Gpu>),
}

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

    /// The CPU, with as many threads as it has cores.
    pub fn cpu() -> Self {
        Self::cpu_threads(0)
    }

    /// The CPU with this many threads; 0 for all. The number never changes a result.
    pub fn cpu_threads(threads: usize) -> Self {
        Self::of(DeviceChoice::Cpu, Machine::Cpu { threads }, String::new())
    }

    fn of(choice: DeviceChoice, machine: Machine, note: String) -> Self {
        Device { choice, machine, checked: false, coop: None, note, limit: None, no_f16: false, poisoned: false }
    }

    /// Keeps wgpu's bounds checks in the shaders; off by default. The CPU always checks.
    #[must_use]
    pub fn checked(mut self, checked: bool) -> Self {
        self.checked = checked;
        self
    }

    /// Whether products of f16 use the GPU's cooperative matrices (tensor cores), where it has some and they pass a self-test.
    ///
    /// By default they do on a real GPU, and do not on one in software, where they are slower than plain arithmetic. Off is for drivers that
    /// err in ways that the test does not see. It is no part of a recipe, and changes no program without f16.
    ///
    /// ```
    /// # use gradus::train::Device;
    /// let device = Device::cpu().cooperative_matrices(false);
    /// assert_eq!(device.tensor_cores(), "none: it is no GPU");
    /// ```
    #[must_use]
    pub fn cooperative_matrices(mut self, on: bool) -> Self {
        self.coop = Some(on);
        self
    }

    /// What is known of its cooperative matrices: `8x8 (verified)`, `refused by self-test: ..`, or `none: ..` and why. The first call on a device
    /// that has some runs the self-test.
    pub fn tensor_cores(&self) -> String {
        match &self.machine {
            Machine::Cpu { .. } => "none: it is no GPU".into(),
            #[cfg(feature = "gpu")]
            Machine::Gpu(g) => g.coop().to_string(),
        }
    }

    /// The cooperative matrices that a program of this step shall use. Without a product of f16 nobody asks the device.
    #[cfg(feature = "gpu")]
    pub(crate) fn coop_for(&self, step: &Step) -> Option<CoopCaps> {
        let gpu = self.gpu().filter(|g| self.coop.unwrap_or(g.summary.is_gpu()))?;
        let wanted = |n: &Node| step.precision.is_mixed() && matches!(n.op, Op::MatMul { .. });
        if step.graph.nodes.iter().any(wanted) { gpu.coop().caps() } else { None }
    }

    /// None: there is no GPU.
    #[cfg(not(feature = "gpu"))]
    pub(crate) fn coop_for(&self, _: &Step) -> Option<CoopCaps> {
        None
    }

    /// The device for a choice.
    #[cfg(not(feature = "gpu"))]
    pub fn choose(choice: DeviceChoice) -> Result<Self> {
        match choice {
            DeviceChoice::List => Err(Self::list_is_no_device()),
            DeviceChoice::Cpu => Ok(Self::cpu()),
            DeviceChoice::Auto => Ok(Device { choice, note: "built without the feature `gpu`".into(), ..Self::cpu() }),
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
            return Ok(Device { choice, note, ..Self::cpu() });
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

    /// The choice that gave this device.
    pub fn choice(&self) -> &DeviceChoice {
        &self.choice
    }

    /// Why it is not a GPU, where one was wanted, or what is to be known of its driver; else empty.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// `gpu`, `software` or `cpu`.
    pub fn kind(&self) -> &'static str {
        match &self.machine {
            Machine::Cpu { .. } => "cpu",
            #[cfg(feature = "gpu")]
            Machine::Gpu(g) if g.summary.is_gpu() => "gpu",
            #[cfg(feature = "gpu")]
            Machine::Gpu(_) => "software",
        }
    }

    /// Its name: the adapter's, or the CPU's threads and vectors.
    pub fn name(&self) -> String {
        match &self.machine {
            Machine::Cpu { threads } => {
                let n = crate::cpu::threads_of(*threads);
                format!("CPU, {n} thread{} ({})", if n == 1 { "" } else { "s" }, vectors())
            }
            #[cfg(feature = "gpu")]
            Machine::Gpu(g) => g.summary.name.clone(),
        }
    }

    /// Its driver, or nothing.
    pub fn driver(&self) -> String {
        match &self.machine {
            Machine::Cpu { .. } => String::new(),
            #[cfg(feature = "gpu")]
            Machine::Gpu(g) => format!("{} {}", g.summary.backend, g.summary.driver),
        }
    }

    /// What its products of f16 use, as it decides which bits they give: nobody asks a device that shall do without.
    pub(crate) fn matrices(&self) -> String {
        #[cfg(feature = "gpu")]
        if self.gpu().is_some_and(|g| self.coop.unwrap_or(g.summary.is_gpu())) {
            return self.tensor_cores();
        }
        "none".into()
    }

    /// What decides which bits it computes: the kind of machine, not the number of its threads.
    pub(crate) fn machine(&self) -> String {
        match &self.machine {
            Machine::Cpu { .. } => {
                let caches: Vec<String> = gemm_common::cache::CACHE_INFO.iter().map(|c| (c.cache_bytes / 1024).to_string()).collect();
                format!("cpu {} {}, caches of {} KiB", std::env::consts::ARCH, vectors(), caches.join(", "))
            }
            #[cfg(feature = "gpu")]
            Machine::Gpu(_) => format!("{} {} ({})", self.kind(), self.name(), self.driver()),
        }
    }

    /// The open GPU, unless it is the CPU.
    #[cfg(feature = "gpu")]
    pub fn gpu(&self) -> Option<&Arc<Gpu>> {
        if let Machine::Gpu(g) = &self.machine { Some(g) } else { None }
    }

    /// As if it had no f16: what tests plant.
    #[doc(hidden)]
    #[must_use]
    pub fn without_f16(mut self) -> Self {
        self.no_f16 = true;
        self
    }

    /// Fills with NaN, before each submit, what no step may read before it has written it: tests compare bits with and without.
    #[doc(hidden)]
    #[must_use]
    pub fn poisoned(mut self) -> Self {
        self.poisoned = true;
        self
    }

    /// The same adapter within the limits that WebGPU promises everywhere, as `GRADUS_LIMITS=webgpu` opens all; the CPU as it is.
    #[doc(hidden)]
    pub fn cut_to_webgpu(self) -> Result<Self> {
        match &self.machine {
            Machine::Cpu { .. } => Ok(self),
            #[cfg(feature = "gpu")]
            Machine::Gpu(g) => Ok(Device { machine: Machine::Gpu(Gpu::open(&g.summary.cut_to_webgpu())?), ..self }),
        }
    }

    /// Whether it can store f16: the CPU always, a GPU with `SHADER_F16`.
    pub fn has_f16(&self) -> bool {
        if self.no_f16 {
            return false;
        }
        match &self.machine {
            Machine::Cpu { .. } => true,
            #[cfg(feature = "gpu")]
            Machine::Gpu(g) => g.summary.f16,
        }
    }

    pub(crate) fn target(&self) -> Target {
        match &self.machine {
            Machine::Cpu { .. } => Target::Software,
            #[cfg(feature = "gpu")]
            Machine::Gpu(g) => g.target(),
        }
    }

    pub(crate) fn session(&self, layout: Layout) -> Result<Box<dyn Session>> {
        match &self.limit {
            Some(limit) => limit.session(layout, || self.open(layout)),
            None => self.open(layout),
        }
    }

    fn open(&self, layout: Layout) -> Result<Box<dyn Session>> {
        let mut session: Box<dyn Session> = match &self.machine {
            Machine::Cpu { threads } => Box::new(CpuSession::new(layout, *threads)?),
            #[cfg(feature = "gpu")]
            Machine::Gpu(g) => Box::new(GpuSession::new(g.clone(), layout, self.checked)?),
        };
        if self.poisoned {
            session.poison();
        }
        Ok(session)
    }

    /// This device; if it was lost, a new one on its adapter: handles stay good.
    pub(crate) fn reopened(&self) -> Result<Device> {
        #[cfg(feature = "gpu")]
        if let Machine::Gpu(g) = &self.machine
            && g.is_lost()
        {
            return Ok(Device { machine: Machine::Gpu(Gpu::open(&g.summary)?), ..self.clone() });
        }
        Ok(self.clone())
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

fn vectors() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") {
            return "AVX-512";
        }
        if std::is_x86_feature_detected!("avx2") {
            return "AVX2";
        }
        "SSE2"
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        std::env::consts::ARCH
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Two devices are equal if the same choice gave them, with the same memory limit.
impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        self.choice == other.choice
            && self.checked == other.checked
            && self.memory_limit() == other.memory_limit()
            && self.name() == other.name()
    }
}

/// As the choice in words.
impl Serialize for Device {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(&self.choice)
    }
}

/// Opens the device that the words choose.
impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let words = String::deserialize(d)?;
        Device::select(&words).map_err(serde::de::Error::custom)
    }
}
