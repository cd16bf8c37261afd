//! What the house allows: arrows between rooms run down, no files import each other in a circle but a file and its own parts, and the core
//! names nothing that waits.

use crate::source::{House, Import};
use std::collections::{BTreeMap, BTreeSet};

/// Each room with those right below it; it may use all below these, too.
pub const ARROWS: &[(&str, &[&str])] = &[
    ("server", &["exchange"]),
    ("exchange", &["train"]),
    ("study", &["train"]),
    ("train", &["model", "store", "inspect", "data", "optim", "nn"]),
    ("store", &["model"]),
    ("inspect", &["model", "reference"]),
    ("model", &["nn", "optim", "data", "plan", "device"]),
    ("device", &["plan", "gpu", "cpu"]),
    ("gpu", &["plan"]),
    ("cpu", &["plan"]),
    ("plan", &["graph", "kernels", "optim"]),
    ("kernels", &["graph", "expr", "optim"]),
    ("nn", &["graph"]),
    ("data", &["graph"]),
    ("optim", &["graph"]),
    ("reference", &["graph"]),
    ("graph", &["expr", "tensor"]),
    ("expr", &[]),
    ("tensor", &[]),
];

/// The ground that all rooms stand on: files that may import each other, and no room.
pub const GROUND: &[&str] = &["cache", "clock", "disk", "error", "glob", "named", "portable", "rng", "terminal"];

/// What shows the whole house to its users. Nothing imports it.
pub const FACES: &[&str] = &["lib", "guide"];

/// Most files of a circle that is allowed.
pub const MOST: usize = 4;

/// The room of a file, or the file's own name without a room.
pub fn room(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// The rooms below one.
pub fn below(room: &str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = vec![room];
    while let Some(r) = open.pop() {
        for next in ARROWS.iter().filter(|(name, _)| *name == r).flat_map(|(_, to)| to.iter()) {
            if found.insert(*next) {
                open.push(next);
            }
        }
    }
    found
}

/// Imports between rooms that no arrow allows.
pub fn forbidden(imports: &[Import]) -> Vec<String> {
    imports.iter().filter_map(|i| Some(format!("{i}: {}", why_not(room(&i.from), room(&i.to))?))).collect()
}

/// Why files of one room may not import from another.
fn why_not(from: &str, to: &str) -> Option<String> {
    if from == to || FACES.contains(&from) || GROUND.contains(&to) {
        return None;
    }
    if FACES.contains(&to) {
        return Some(format!("`{to}` is for users; import from the room that declares the name"));
    }
    if GROUND.contains(&from) {
        return Some(format!("`{from}` lies under all rooms, and may import none"));
    }
    (!below(from).contains(to)).then(|| format!("`{from}` does not stand above `{to}`"))
}

/// Files that reach each other, largest circle first.
pub fn circles(house: &House, imports: &[Import]) -> Vec<Vec<String>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    imports.iter().for_each(|i| next.entry(&i.from).or_default().push(&i.to));
    let reach = |from: &str| {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open = vec![from];
        while let Some(f) = open.pop() {
            open.extend(next.get(f).into_iter().flatten().filter(|to| seen.insert(**to)).copied());
        }
        seen.into_iter().map(String::from).collect::<BTreeSet<String>>()
    };
    let reached: BTreeMap<&str, BTreeSet<String>> = house.files().into_iter().map(|f| (f, reach(f))).collect();
    let mut all: BTreeSet<Vec<String>> = BTreeSet::new();
    for (f, to) in &reached {
        let circle: Vec<String> = to.iter().filter(|t| reached.get(t.as_str()).is_some_and(|back| back.contains(*f))).cloned().collect();
        if !circle.is_empty() {
            all.insert(circle);
        }
    }
    let mut all: Vec<Vec<String>> = all.into_iter().collect();
    all.sort_by_key(|c| std::cmp::Reverse(c.len()));
    all
}

/// Whether these are a file and files of the folder that is its own.
fn is_family(circle: &[String]) -> bool {
    circle.iter().any(|parent| {
        let own = format!("{}/", parent.trim_end_matches("/mod.rs").trim_end_matches(".rs"));
        circle.iter().all(|f| f == parent || f.starts_with(&own))
    })
}

/// Circles that are no file with its own parts, or have too many of them, with the imports that make them.
pub fn knots(house: &House, imports: &[Import]) -> Vec<String> {
    let knot = |c: Vec<String>| {
        let why = if !is_family(&c) {
            "a circle of files that are no file with files of its own folder".to_string()
        } else if c.len() > MOST {
            format!("a circle of more than {MOST} files")
        } else {
            return None;
        };
        let inner = imports.iter().filter(|i| c.contains(&i.from) && c.contains(&i.to)).map(|i| format!("\n    {i}"));
        Some(format!("{why}, {}: {}{}", c.len(), c.join(", "), inner.collect::<String>()))
    };
    circles(house, imports).into_iter().filter_map(knot).collect()
}

/// What the core may not name, so that it runs in a browser, too: it neither waits nor looks at a clock, starts no thread and opens no file.
/// Files by how their paths begin. `clock.rs` is the clock, which is missing in a browser.
pub const QUIET: &[&str] = &["plan/", "gpu/session.rs", "gpu/submit.rs", "gpu/under_way.rs", "model/"];
const LOUD: &[&str] = &["pollster", "Instant", "SystemTime", "sleep", "thread", "fs", "File"];

/// Names in the core that it may not have.
pub fn loud(house: &House) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (file, path, line) in house.names() {
        if QUIET.iter().any(|begin| file.starts_with(begin)) && path.iter().any(|p| LOUD.contains(&p.as_str())) {
            found.insert(format!("src/{file}:{line} names {}", path.join("::")));
        }
    }
    found.into_iter().collect()
}
