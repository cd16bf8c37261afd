//! A machine to train on: what is known of it, and the session that it opens for a model.

use super::choice::DeviceChoice;
use super::limit::MemoryLimit;
use crate::cpu::CpuSession;
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::gpu::{Gpu, GpuSession};
#[cfg(feature = "gpu")]
use crate::graph::{Kind, Node};
use crate::kernels::{CoopCaps, Target};
use crate::plan::{Caps, Layout, Session, Step};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
#[cfg(feature = "gpu")]
use std::sync::Arc;

/// A machine to train on. Cheap to clone; models on one GPU share it.
#[derive(Debug, Clone)]
pub struct Device {
    choice: DeviceChoice,
    machine: Machine,
    /// Whether shaders keep wgpu's bounds checks.
    checked: bool,
    /// Whether products use cooperative matrices; by the kind of device where nobody said.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))]
    coop: Option<bool>,
    /// Why it is not what was wanted, or what is to be known of its driver.
    note: String,
    limit: Option<MemoryLimit>,
    /// Tests set this, as if the device had no f16.
    no_f16: bool,
    /// Tests set this, as if the device could bind no more bytes.
    binding_limit: Option<usize>,
    /// Tests set this: memory that no step may read is filled with NaN.
    poisoned: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Machine {
    Cpu {
        threads: usize,
    },
    #[cfg(feature = "gpu")]
    Gpu(Arc<Gpu>),
}

impl Device {
    /// The CPU, with as many threads as it has cores.
    pub fn cpu() -> Self {
        Self::cpu_threads(0)
    }

    /// The CPU with this many threads; 0 for all. The number never changes a result.
    pub fn cpu_threads(threads: usize) -> Self {
        Self::of(DeviceChoice::Cpu, Machine::Cpu { threads }, String::new())
    }

    pub(super) fn of(choice: DeviceChoice, machine: Machine, note: String) -> Self {
        Device { choice, machine, checked: false, coop: None, note, limit: None, no_f16: false, binding_limit: None, poisoned: false }
    }

    /// The CPU, to which `choice` has led; `note` says why.
    pub(super) fn cpu_instead(choice: DeviceChoice, note: String) -> Self {
        Device { choice, note, ..Self::cpu() }
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

    /// What is known of its cooperative matrices: `8x8 (verified)`, `refused by self-test: ..`, or `none: ..` and why. The first call on a
    /// device that has some runs the self-test.
    pub fn tensor_cores(&self) -> String {
        match &self.machine {
            Machine::Cpu { .. } => "none: it is no GPU".into(),
            #[cfg(feature = "gpu")]
            Machine::Gpu(g) => g.coop().to_string(),
        }
    }

    /// The cooperative matrices that a program of this step shall use. Without a product of f16 nobody asks the device.
    #[cfg(feature = "gpu")]
    fn coop_for(&self, step: &Step) -> Option<CoopCaps> {
        let gpu = self.gpu().filter(|g| self.coop.unwrap_or(g.summary.is_gpu()))?;
        let wanted = |n: &Node| step.precision.is_mixed() && n.op.kind() == Kind::Product;
        if step.graph.nodes.iter().any(wanted) { gpu.coop().caps() } else { None }
    }

    /// None: there is no GPU.
    #[cfg(not(feature = "gpu"))]
    fn coop_for(&self, _: &Step) -> Option<CoopCaps> {
        None
    }

    /// What a plan of this step may ask of it.
    pub(crate) fn caps(&self, step: &Step) -> Caps {
        Caps { coop: self.coop_for(step), ..self.limits() }
    }

    /// Its limits, cooperative matrices aside: of those only [`Device::caps`] asks, since that may run the self-test.
    pub(crate) fn limits(&self) -> Caps {
        let own = match &self.machine {
            Machine::Cpu { .. } => Caps::default(),
            #[cfg(feature = "gpu")]
            Machine::Gpu(g) => g.summary.caps(),
        };
        Caps { f16: self.has_f16(), binding_bytes: self.binding_limit.unwrap_or(usize::MAX).min(own.binding_bytes), ..own }
    }

    /// The CPU with one thread in the place of all of its own, and how many those are, for who runs many things side by side; a GPU as it is, and 1.
    pub(crate) fn one_thread(&self) -> (Self, usize) {
        match &self.machine {
            Machine::Cpu { threads } => (Device { machine: Machine::Cpu { threads: 1 }, ..self.clone() }, crate::cpu::threads_of(*threads)),
            #[cfg(feature = "gpu")]
            Machine::Gpu(_) => (self.clone(), 1),
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

    /// The CPU with its part of the threads, of so many parts; a GPU as it is.
    pub(crate) fn part_of(&self, parts: usize) -> Self {
        match self.one_thread() {
            (mut one, all) if matches!(one.machine, Machine::Cpu { .. }) => {
                one.machine = Machine::Cpu { threads: (all / parts.max(1)).max(1) };
                one
            }
            (other, _) => other,
        }
    }

    /// What products of f16 use on it, which decides their bits. A device that shall use no cooperative matrices is not asked.
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

    /// As if no buffer could have more than so many bytes: tests make shards of small arenas with it, on every kind of device.
    #[doc(hidden)]
    #[must_use]
    pub fn with_binding_limit(mut self, bytes: usize) -> Self {
        self.binding_limit = Some(bytes);
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

    /// The same adapter without its driver's bounds checks of buffers, as `GRADUS_ROBUST=0` opens all; the CPU as it is.
    #[doc(hidden)]
    pub fn without_robust_buffers(self) -> Result<Self> {
        match &self.machine {
            Machine::Cpu { .. } => Ok(self),
            #[cfg(feature = "gpu")]
            Machine::Gpu(g) => Ok(Device { machine: Machine::Gpu(Gpu::open(&g.summary.without_robust_buffers())?), ..self }),
        }
    }

    /// This device with so many bytes of memory: what would exceed them is the error of memory that runs out (`out-of-memory`), with the bytes
    /// wanted and allowed and the biggest tensors. Planning, not the driver, says no, before anything is taken: a limit holds on the CPU and in
    /// software as on a GPU, so that a run for a small GPU can be tried on a large one.
    ///
    /// Counted is what a GPU holds: parameters, gradients, moments, slots, logs, launches' sizes, data sets
    /// ([`Program::peak_bytes`](crate::plan::Program::peak_bytes) and the data). All models on clones of this handle count together. The limit
    /// is no part of the device's name: settings that are written down do not keep it.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// let small = Device::cpu().with_memory_limit(1 << 20);
    /// let net = Sequential::new().add(Linear::new(1024)).add(Linear::new(1024));
    /// let e = net.compile(Compile::new(Sgd::new(0.1), Mse::new()).input([1024]).device(small)).unwrap_err();
    /// assert_eq!(e.code(), "out-of-memory");
    /// assert!(e.to_string().contains("1048576"));
    /// ```
    #[must_use]
    pub fn with_memory_limit(mut self, bytes: u64) -> Self {
        self.limit = Some(MemoryLimit::new(bytes));
        self
    }

    /// The limit of [`Device::with_memory_limit`].
    pub fn memory_limit(&self) -> Option<u64> {
        self.limit.as_ref().map(|l| l.allowed)
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
            Some(limit) => limit.session(layout.clone(), || self.open(layout)),
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
            && self.binding_limit == other.binding_limit
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
