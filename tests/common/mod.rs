//! What the suites share: the one GPU of a test binary, sessions, and a count that no harness captures.
#![allow(dead_code)] // each suite uses its part

pub mod hear;
pub mod need;
pub mod poison;
pub mod twice;
pub mod zoo;

use gradus::cpu::CpuSession;
use gradus::plan::{Layout, Session};
use std::any::Any;
use std::io::Write;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Where a program runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Machine {
    /// `CpuSession`, on two threads.
    Cpu,
    /// `GpuSession`, with wgpu's checks in the shaders or without.
    Gpu { checked: bool },
}

/// Every machine, the CPU first.
pub const MACHINES: [Machine; 3] = [Machine::Cpu, Machine::Gpu { checked: true }, Machine::Gpu { checked: false }];

/// A session on that machine; `None` where there is no adapter. Slots, partial sums and the log hold NaN before each submit, and so does
/// workgroup memory where the shaders' checks are on: who reads what was not written is seen.
pub fn session(machine: Machine, layout: Layout) -> Option<gradus::Result<Box<dyn Session>>> {
    let poisoned = |mut s: Box<dyn Session>| {
        s.poison();
        s
    };
    Some(fresh(machine, layout, true)?.map(poisoned))
}

/// A session whose buffers are as they are made, for errors that are planted in sizes and places: NaN would be another error beside.
pub fn plain(machine: Machine, layout: Layout) -> Option<gradus::Result<Box<dyn Session>>> {
    fresh(machine, layout, false)
}

fn fresh(machine: Machine, layout: Layout, poisoned: bool) -> Option<gradus::Result<Box<dyn Session>>> {
    match machine {
        Machine::Cpu => Some(CpuSession::new(layout, 2).map(|s| Box::new(s) as Box<dyn Session>)),
        Machine::Gpu { checked } => gpu::session(layout, checked, poisoned),
    }
}

#[cfg(feature = "gpu")]
pub mod gpu {
    use gradus::gpu::{Gpu, GpuSession, adapters};
    use gradus::kernels::{Kernel, Target};
    use gradus::plan::{Layout, Session};
    use std::sync::{Arc, OnceLock};

    /// The device of this binary: `GRADUS_DEVICE`'s, else the first adapter, real GPUs before software. Made once: software
    /// drivers do not survive two at a time.
    fn device() -> Option<&'static Arc<Gpu>> {
        static GPU: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
        let open = || match std::env::var("GRADUS_DEVICE") {
            Ok(words) => gradus::train::Device::select(&words).ok()?.gpu().cloned(),
            Err(_) => Gpu::open(adapters().first()?).ok(),
        };
        GPU.get_or_init(open).as_ref()
    }

    /// The adapter's name, if there is one.
    pub fn name() -> Option<String> {
        device().map(|g| g.summary.name.clone())
    }

    /// How kernels are shaped for it.
    pub fn target() -> Option<Target> {
        device().map(|g| g.target())
    }

    pub(super) fn session(layout: Layout, checked: bool, poisoned: bool) -> Option<gradus::Result<Box<dyn Session>>> {
        let made = GpuSession::new(device()?.clone(), layout, checked);
        Some(made.and_then(|mut s| {
            if checked && poisoned {
                s.plant(|_, source| super::poison::workgroup_arrays(&source))?;
            }
            Ok(Box::new(s) as Box<dyn Session>)
        }))
    }

    /// A session with the shaders' checks whose kernels' texts are rewritten.
    pub fn planted(
        layout: Layout,
        rewrite: impl Fn(&Kernel, String) -> String + Send + 'static,
    ) -> Option<gradus::Result<Box<dyn Session>>> {
        let made = GpuSession::new(device()?.clone(), layout, true);
        Some(made.and_then(|mut s| s.plant(rewrite).map(|()| Box::new(s) as Box<dyn Session>)))
    }
}

#[cfg(not(feature = "gpu"))]
pub mod gpu {
    use gradus::plan::{Layout, Session};

    pub fn name() -> Option<String> {
        None
    }

    pub fn target() -> Option<gradus::kernels::Target> {
        None
    }

    pub(super) fn session(_: Layout, _: bool, _: bool) -> Option<gradus::Result<Box<dyn Session>>> {
        None
    }

    pub fn planted(
        _: Layout,
        _: impl Fn(&gradus::kernels::Kernel, String) -> String + Send + 'static,
    ) -> Option<gradus::Result<Box<dyn Session>>> {
        None
    }
}

/// One line on stderr, past the harness: only `print!` and its kin are captured.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A named check, worth one case.
pub struct Job {
    pub name: String,
    pub run: Box<dyn Fn() -> Result<(), String>>,
    /// What it checks, for jobs that look for others.
    pub about: Option<Rc<dyn Any>>,
}

impl Job {
    pub fn new(name: impl Into<String>, run: impl Fn() -> Result<(), String> + 'static) -> Self {
        Job { name: name.into(), run: Box::new(run), about: None }
    }

    pub fn about(mut self, what: Rc<dyn Any>) -> Self {
        self.about = Some(what);
        self
    }
}

/// Counts the cases of a binary; the test that ends last says how many ran.
pub struct Suite {
    pub name: &'static str,
    /// `#[test]`s of the binary that call [`Suite::test`].
    pub tests: usize,
    /// All their cases.
    pub cases: fn() -> usize,
    /// Whether they are nothing without an adapter.
    pub needs_gpu: bool,
    /// Lines that stand before the count.
    report: fn() -> Vec<String>,
    ended: AtomicUsize,
    passed: AtomicUsize,
}

impl Suite {
    pub const fn new(name: &'static str, tests: usize, cases: fn() -> usize, needs_gpu: bool) -> Self {
        Suite { name, tests, cases, needs_gpu, report: Vec::new, ended: AtomicUsize::new(0), passed: AtomicUsize::new(0) }
    }

    /// With lines that stand before the count.
    pub const fn reporting(mut self, report: fn() -> Vec<String>) -> Self {
        self.report = report;
        self
    }

    /// Runs a test's jobs to the end, and fails with all that failed. Without an adapter they run on the CPU alone, and count as not run;
    /// with `GRADUS_REQUIRE_GPU=1` that is a failure.
    pub fn test(&self, jobs: Vec<Job>) {
        let start = std::time::Instant::now();
        let adapter = if self.needs_gpu { gpu::name() } else { None };
        let missing = self.needs_gpu && adapter.is_none();
        let mut faults = Vec::new();
        for job in &jobs {
            let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (job.run)()));
            match verdict.unwrap_or_else(|_| Err("panicked".into())) {
                Ok(()) => self.passed.fetch_add(1, SeqCst),
                Err(e) => {
                    faults.push(format!("{}: {e}", job.name));
                    0
                }
            };
        }
        println!("{} cases, {:.1} s", jobs.len(), start.elapsed().as_secs_f64());
        if self.ended.fetch_add(1, SeqCst) + 1 == self.tests {
            self.last(adapter);
        }
        assert!(faults.is_empty(), "{} of {} failed:\n{}", faults.len(), jobs.len(), faults.join("\n"));
        assert!(!missing || !required(), "no Vulkan adapter, and GRADUS_REQUIRE_GPU is set: {INSTALL}");
    }

    fn last(&self, adapter: Option<String>) {
        let (name, all, passed) = (self.name, (self.cases)(), self.passed.load(SeqCst));
        (self.report)().iter().for_each(|line| say(line));
        match adapter {
            Some(adapter) => say(&format!("{name}: {passed} of {all} run on {adapter}")),
            None if self.needs_gpu => {
                say(&format!("{name}: 0 of {all} run: no Vulkan adapter. {INSTALL} (the CPU against the reference: {passed} of {all})"))
            }
            None => say(&format!("{name}: {passed} of {all} run")),
        }
    }
}

const INSTALL: &str = "Debian/Ubuntu: apt install mesa-vulkan-drivers";

fn required() -> bool {
    std::env::var("GRADUS_REQUIRE_GPU").is_ok_and(|v| v == "1")
}
