//! The house as DESIGN draws it, read from the imports of `src/`: see `docs/ARCHITECTURE.md`.

mod lengths;
mod made_up;
mod rules;
mod source;

use source::{House, collect};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn files() -> BTreeMap<String, String> {
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

fn checked(house: &House) -> Vec<String> {
    let imports = house.imports();
    rules::forbidden(&imports).into_iter().chain(rules::knots(house, &imports)).collect()
}

/// Fails with what is wrong, one a line.
#[track_caller]
fn none(wrong: &[String], what: &str) {
    assert!(wrong.is_empty(), "{what}, {} times:\n{}\n", wrong.len(), wrong.join("\n"));
}

/// Arrows run down; no files import each other in a circle but a file and its own parts.
#[test]
fn imports_run_down() {
    none(&checked(&House::of(&files())), "imports that the house does not allow (the rules stand in tests/house/rules.rs)");
}

/// Every folder of `src` is a room with arrows, and the arrows have no circle.
#[test]
fn rooms_are_drawn() {
    let files = files();
    let known: BTreeSet<&str> = rules::ARROWS.iter().map(|(r, _)| *r).chain(rules::GROUND.iter().chain(rules::FACES).copied()).collect();
    let strange: Vec<String> = files.keys().filter(|f| !known.contains(rules::room(f))).cloned().collect();
    none(&strange, "files of a room that `ARROWS` in tests/house/rules.rs does not have");
    let round: Vec<String> = known.iter().filter(|r| rules::below(r).contains(*r)).map(|r| r.to_string()).collect();
    none(&round, "rooms that `ARROWS` puts below themselves");
    let empty: Vec<String> = known.iter().filter(|r| !files.keys().any(|f| rules::room(f) == **r)).map(|r| r.to_string()).collect();
    none(&empty, "rooms of tests/house/rules.rs without a file");
}

/// Every file is reached from `lib.rs`, and the imports of a step's way through the house are seen.
#[test]
fn the_whole_house_is_read() {
    let (files, house) = (files(), House::of(&files()));
    let imports = house.imports();
    let seen =
        |from: &str, to: &str| assert!(imports.iter().any(|i| i.from.starts_with(from) && i.to == to), "{from} -> {to} was not seen");
    seen("nn/layer/linear.rs", "graph/builder.rs"); // by `pub use`
    seen("graph/builder.rs", "graph/op/mod.rs"); // an enum of structs that a macro makes
    seen("optim/optimizer.rs", "optim/mod.rs"); // an enum that a macro makes of a table
    seen("optim/mod.rs", "optim/adam.rs"); // a row of the table
    seen("plan/lower/", "kernels/gemm.rs");
    seen("model/values.rs", "tensor/host.rs");
    let unread: Vec<String> = files.into_keys().filter(|f| !f.contains("tests") && !house.files().contains(f.as_str())).collect();
    none(&unread, "files that no `mod` declares");
    none(&house.lost(), "paths that lead to no name, which House in tests/house/source.rs should follow");
}

/// A planted arrow and planted circles are told.
#[test]
fn planted_imports_are_told() {
    let told = |file: &str, line: &str, want: &str| {
        let mut files = files();
        files.get_mut(file).unwrap_or_else(|| panic!("there is no {file}")).push_str(line);
        let wrong = checked(&House::of(&files));
        assert!(wrong.iter().any(|w| w.contains(want)), "{file} with {line}: {wrong:#?}");
    };
    told("model/mod.rs", "\nuse crate::train::Fit;\n", "-> train/");
    told("graph/mod.rs", "\nfn up() { crate::plan::plan; }\n", "-> plan/");
    told("tensor/mod.rs", "\nfn up() { println!(\"{}\", crate::prelude::nn::Relu); }\n", "`tensor` does not stand above `nn`");
    told("disk.rs", "\nuse crate::tensor::Shape;\n", "lies under all rooms");
    // two rooms of one floor
    told("optim/adam.rs", "\nuse crate::nn::Linear;\n", "-> nn/");
    // a circle of two files of one room
    told("gpu/sync.rs", "\nuse super::device::Gpu;\n", "gpu/device.rs, gpu/");
}

/// The core neither waits nor looks at a clock, starts no thread and opens no file.
#[test]
fn the_core_does_not_wait() {
    none(&rules::loud(&House::of(&files())), "names that the core may not have (`QUIET` in tests/house/rules.rs)");
}

/// A file is one idea.
#[test]
fn files_are_short() {
    let long = files().into_iter().map(|(f, text)| (f, text.lines().count())).filter(|(_, lines)| *lines > 500);
    none(
        &long.map(|(f, lines)| format!("src/{f}: {lines} lines")).collect::<Vec<_>>(),
        "files of more than 500 lines, each of which is two",
    );
}

/// A function is seen at once.
#[test]
fn functions_are_short() {
    let files = files();
    let long = files.iter().filter(|(f, _)| !f.contains("tests")).flat_map(|(f, text)| lengths::longer_than(80, f, text));
    none(&long.collect::<Vec<_>>(), "functions of more than 80 lines, each of which is two");
}

/// A file says at its beginning what it is for.
#[test]
fn files_begin_with_a_line_about_themselves() {
    let silent = files().into_iter().filter(|(_, text)| !text.starts_with("//! ") && !text.starts_with("#![doc = include_str!"));
    let silent = silent.filter(|(f, _)| !f.ends_with("tests.rs") && !f.contains("tests/"));
    none(&silent.map(|(f, _)| format!("src/{f}")).collect::<Vec<_>>(), "files without a first line `//! ..`");
}
