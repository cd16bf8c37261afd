//! What the house allows: arrows between rooms run down, and no files import each other in a circle but a type and its own parts.

use crate::source::{House, Import};
use std::collections::{BTreeMap, BTreeSet};

/// Each room with those right below it; it may use all below these, too. What is in none of them (`error`, `disk`, ..) is the ground that all stand on.
pub const ARROWS: &[(&str, &[&str])] = &[
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

/// Most files of a circle that is allowed.
pub const MOST: usize = 4;

fn room(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// The rooms below one.
fn below(room: &str) -> BTreeSet<&'static str> {
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
    let known = |r: &str| ARROWS.iter().any(|(name, _)| *name == r);
    let wrong = imports.iter().filter(|i| {
        let (from, to) = (room(&i.from), room(&i.to));
        // the crate's front page and the guide show everything
        let faces = |r: &str| r == "lib" || r == "guide";
        from != to && !faces(from) && (faces(to) || known(to) && !(known(from) && below(from).contains(to)))
    });
    wrong.map(|i| format!("{} -> {} ({})", i.from, i.to, i.path)).collect()
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

/// Circles that are no type with its own parts, or too many of them.
pub fn knots(house: &House, imports: &[Import]) -> Vec<String> {
    let bad = circles(house, imports).into_iter().filter(|c| c.len() > MOST || !is_family(c));
    bad.map(|c| {
        let inner: Vec<String> = imports
            .iter()
            .filter(|i| c.contains(&i.from) && c.contains(&i.to))
            .map(|i| format!("    {} -> {} ({})", i.from, i.to, i.path))
            .collect();
        format!("{} files: {}\n{}", c.len(), c.join(", "), inner.join("\n"))
    })
    .collect()
}
