//! The mutation suite: errors planted on purpose, each of which must turn at least one row of the parity tables red.
//!
//! Two kinds. `shaders.rs` edits the WGSL that a GPU is given, in sessions that keep wgpu's checks, so that a broken text may do no harm:
//! every file of `shaders/` has its entries. Rust cannot be patched while it runs: `kernels.rs` edits the sizes and formulas that the CPU's
//! twins are given, and gives the same to the GPU.
//!
//! To add an error: a line in one of the two tables. It says what is broken and which rows must see it. A pattern that is not in the row's
//! kernels fails, a text that is no valid WGSL fails, and an error that no row sees fails: then a row is missing.

mod augment;
mod kernels;
mod shaders;
mod windows;

use crate::check::{Fail, Site, compare};
use crate::common::{Job, Machine};
use crate::find_row;
use gradus::kernels::{Kernel, Target};
use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

/// What is replaced by what in a kernel's text, everywhere.
type Edits = &'static [(&'static str, &'static str)];

/// An error in a kernel's text.
#[derive(Clone, Copy)]
struct Text {
    /// The file below `shaders/`: kernels that do not hold it are left alone. What is generated around the file may be edited too.
    file: &'static str,
    error: &'static str,
    target: Target,
    edits: Edits,
    /// Rows that are tried; a `*` at the end stands for anything.
    rows: &'static [&'static str],
}

/// An error in a kernel's sizes or formula. False if the kernel is of another kind.
type Edit = fn(&mut Kernel) -> bool;

/// An error in what a kernel is given.
#[derive(Clone, Copy)]
struct Spec {
    kernel: &'static str,
    error: &'static str,
    edit: Edit,
    rows: &'static [&'static str],
}

/// An error on its way into a session.
pub struct Planted {
    kind: Kind,
    /// Kernels that it changed.
    hits: Arc<AtomicUsize>,
    /// Why a changed text is no WGSL.
    fault: Arc<Mutex<Option<String>>>,
}

enum Kind {
    Text { body: String, edits: Edits },
    Spec(Edit),
}

impl Planted {
    fn new(kind: Kind) -> Self {
        Planted { kind, hits: Arc::default(), fault: Arc::default() }
    }

    /// Changes a kernel's sizes or formula.
    pub fn edit(&self, kernel: &mut Kernel) {
        if let Kind::Spec(edit) = self.kind {
            self.hits.fetch_add(edit(kernel).into(), SeqCst);
        }
    }

    /// What changes a kernel's text.
    pub fn rewrite(&self) -> Option<impl Fn(&Kernel, String) -> String + Send + 'static> {
        let Kind::Text { body, edits } = &self.kind else { return None };
        let (body, edits, hits, fault) = (body.clone(), *edits, self.hits.clone(), self.fault.clone());
        Some(move |kernel: &Kernel, source: String| {
            if !source.contains(&body) || !edits.iter().all(|(old, _)| source.contains(old)) {
                return source;
            }
            let broken = edits.iter().fold(source, |s, (old, new)| s.replace(old, new));
            hits.fetch_add(1, SeqCst);
            if let Err(e) = valid(&broken) {
                let text = format!("{}: no valid WGSL: {e}", kernel.name());
                fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
            }
            broken
        })
    }
}

fn valid(source: &str) -> Result<(), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    let mut wanted = Capabilities::empty();
    wanted.set(Capabilities::SHADER_FLOAT16, source.starts_with("enable f16;"));
    wanted.set(Capabilities::SUBGROUP, source.contains("subgroupBroadcast"));
    let mut validator = Validator::new(ValidationFlags::all(), wanted);
    validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::all());
    validator.validate(&module).map(drop).map_err(|e| e.emit_to_string(source))
}

/// A file's text, which stands in its kernels' texts as it is.
fn body(file: &str) -> Result<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders").join(format!("{file}.wgsl"));
    std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
}

/// What became of each error: its place in the tables, its line.
static TABLE: Mutex<Vec<(usize, String)>> = Mutex::new(Vec::new());

/// Errors that were planted, and those that were noticed on all their machines.
static PLANTED: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// Runs the rows with the error in them; red on each machine at least once. `None` where there is no adapter.
fn noticed(plant: impl Fn() -> Result<Planted, String>, sites: &[(Machine, Target)], rows: &[&str]) -> Result<Option<String>, String> {
    let mut seen = Vec::new();
    for &(machine, target) in sites {
        let mut red = Vec::new();
        for &name in rows {
            let row = find_row(name).ok_or_else(|| format!("there is no row {name}"))?;
            let (ready, planted) = (row.ready()?, plant()?);
            let site = Site { machine, target, planted: Some(&planted) };
            let Some(result) = (ready.run)(&site) else { return Ok(None) };
            if planted.hits.load(SeqCst) == 0 {
                return Err(format!("no kernel of the row {name} has what is to be broken"));
            }
            if let Some(e) = planted.fault.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Err(e);
            }
            match (result, &planted.kind) {
                (Ok(found), _) => match compare(&ready.truth, &found, "") {
                    Err(_) => red.push(row.name.clone()),
                    Ok(()) => continue,
                },
                (Err(Fail::Wrong(_)), _) => red.push(row.name.clone()),
                // the CPU checks what it is given
                (Err(Fail::Refused(_)), Kind::Spec(_)) => red.push(format!("{} (refused)", row.name)),
                (Err(Fail::Refused(e)), Kind::Text { .. }) => return Err(format!("{site}: {e}")),
            }
        }
        let first = red.first().ok_or_else(|| format!("{machine:?}: no row noticed it, of {}", rows.join("; ")))?;
        let who = if machine == Machine::Cpu { "CPU" } else { "GPU" };
        seen.push(format!("{who} {}/{} {first}", red.len(), rows.len()));
    }
    Ok(Some(seen.join(", ")))
}

fn job(at: usize, kind: &'static str, error: &'static str, run: impl Fn() -> Result<Option<String>, String> + 'static) -> Job {
    Job::new(format!("{kind}: {error}"), move || {
        let result = run();
        PLANTED[0].fetch_add(1, SeqCst);
        let verdict = match &result {
            Ok(Some(seen)) => {
                PLANTED[1].fetch_add(1, SeqCst);
                seen.as_str()
            }
            Ok(None) => "not run: no adapter",
            Err(_) => "SURVIVED",
        };
        let line = format!("{kind:<16} {error:<46} {verdict}");
        TABLE.lock().unwrap_or_else(PoisonError::into_inner).push((at, line));
        result.map(drop)
    })
}

const CHECKED: Machine = Machine::Gpu { checked: true };

/// Every error in a text.
pub fn in_shaders() -> Vec<Job> {
    let one = |(at, t): (usize, Text)| {
        job(at, t.file, t.error, move || {
            noticed(|| Ok(Planted::new(Kind::Text { body: body(t.file)?, edits: t.edits })), &[(CHECKED, t.target)], t.rows)
        })
    };
    let mut out: Vec<Job> = shaders::all().into_iter().enumerate().map(one).collect();
    out.push(Job::new("every file of shaders/ is broken somehow", every_file));
    out
}

/// Every error in what a kernel is given.
pub fn in_kernels() -> Vec<Job> {
    let sites = [(Machine::Cpu, Target::Software), (CHECKED, Target::Gpu)];
    let one = |(at, s): (usize, Spec)| {
        job(1000 + at, s.kernel, s.error, move || noticed(|| Ok(Planted::new(Kind::Spec(s.edit))), &sites, s.rows))
    };
    kernels::all().into_iter().enumerate().map(one).collect()
}

/// Files whose errors are planted by another suite: their kernels need what most adapters lack.
const ELSEWHERE: [(&str, &str); 1] = [("gemm_coop", "tests/coop/planted.rs")];

/// No file of `shaders/` without an entry in the table.
fn every_file() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut missing = Vec::new();
    for folder in ["", "lib/"] {
        let entries = std::fs::read_dir(root.join(folder)).map_err(|e| e.to_string())?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(stem) = name.strip_suffix(".wgsl") {
                let file = format!("{folder}{stem}");
                let other = ELSEWHERE.iter().any(|(f, suite)| *f == file && Path::new(env!("CARGO_MANIFEST_DIR")).join(suite).exists());
                if !other && !shaders::all().iter().any(|t| t.file == file) {
                    missing.push(file);
                }
            }
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("nothing is planted in {}", missing.join(", "))) }
}

/// The table: what was broken, and who noticed.
pub fn report() -> Vec<String> {
    let mut lines = TABLE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    lines.sort();
    let [planted, caught] = [0, 1].map(|i| PLANTED[i].load(SeqCst));
    let head = format!("{:<16} {:<46} machine, rows that turned red / tried, the first", "kernel", "planted error");
    let all = std::iter::once(head).chain(lines.into_iter().map(|l| l.1));
    all.chain([format!("planted errors: {caught} of {planted} caught")]).collect()
}
