//! Small made-up houses: what the reading of imports sees, and what it does not.

use crate::source::House;
use crate::{lengths, rules};
use std::collections::BTreeMap;

/// A house of these files; `lib.rs` declares every file that stands beside it.
fn house(files: &[(&str, &str)]) -> House {
    let mut all: BTreeMap<String, String> = files.iter().map(|(f, text)| (f.to_string(), text.to_string())).collect();
    let rooms = files.iter().filter_map(|(f, _)| f.strip_suffix("/mod.rs").or(f.strip_suffix(".rs")).filter(|f| !f.contains('/')));
    let lib: String = rooms.map(|r| format!("mod {r};")).collect();
    all.insert("lib.rs".into(), lib);
    House::of(&all)
}

/// All imports of a house, in order: `a -> b`.
fn arrows(files: &[(&str, &str)]) -> Vec<String> {
    house(files).imports().iter().map(|i| format!("{} -> {}", i.from.trim_end_matches(".rs"), i.to.trim_end_matches(".rs"))).collect()
}

/// A file that imports by this text, beside `b.rs` with a struct, a function and a macro.
fn imports_b(text: &str) -> bool {
    let b = "pub struct B; pub fn make() {} macro_rules! told { () => {} } pub(crate) use told;";
    let found = arrows(&[("a.rs", text), ("b.rs", b)]);
    assert!(found.iter().all(|a| a == "a -> b"), "{found:?}");
    !found.is_empty()
}

#[test]
fn every_way_to_import_is_seen() {
    let ways = [
        "use crate::b::B;",
        "use crate::b;",
        "use crate::b::{self};",
        "use crate::b::*;",
        "use crate::{b::make as other};",
        "use super::b::B as _;",
        "pub use crate::b::B; fn f(_: B) {}",
        "fn f() { use crate::b::B; }",
        "fn f() { crate::b::make() }",
        "fn f() -> Option<Vec<crate::b::B>> { None }",
        "fn f() { println!(\"{}\", crate::b::make()) }",
        "macro_rules! m { () => { $crate::b::make() } }",
        "fn f() { crate::b::told!() }",
        "impl super::b::B {}",
        "impl Clone for super::b::B {}",
        "struct S(crate::b::B);",
        "trait T: Into<crate::b::B> {}",
        "type T = <crate::b::B as Clone>::Owned;",
        "mod inner { use super::super::b::B; }",
        "mod inner { fn f() { crate::b::make() } }",
        "#[derive(Serialize)] struct S { #[serde(with = \"crate::b\")] x: u8 }",
        "#[cfg(feature = \"gpu\")] use crate::b::B;",
        "#[cfg(any(test, feature = \"gpu\"))] use crate::b::B;",
    ];
    for way in ways {
        assert!(imports_b(way), "{way}");
    }
}

#[test]
fn what_is_no_import_is_not_seen() {
    let none = [
        "//! [`B`](crate::b::B)",
        "/// As [`crate::b::B`].\nstruct S;",
        "pub use crate::b::B;",
        "pub(crate) use crate::b::*;",
        "#[cfg(test)] use crate::b::B;",
        "#[cfg(all(feature = \"gpu\", test))] mod tests { use crate::b::B; }",
        "#[test] fn f() { crate::b::make() }",
        "impl S { #[cfg(test)] fn f() { crate::b::make() } } struct S;",
        "pub(in crate::b) struct S;",
        "use ::b::B;",
        "fn f() { ::b::make() }",
        "fn f() { let b = 1; b + 1; }",
        "fn f() { \"crate::b::make\"; }",
        "struct B; fn f(_: B) {}",
    ];
    for text in none {
        assert!(!imports_b(text), "{text}");
    }
}

#[test]
fn names_are_followed_to_the_file_that_declares_them() {
    let room = (
        "room/mod.rs",
        "mod deep; mod other; pub use deep::Deep; pub use other::*; pub mod open { pub use super::deep::Deep as Renamed; }",
    );
    let deep = ("room/deep.rs", "pub struct Deep; pub enum Kind { One }");
    let other = ("room/other.rs", "pub fn other() {} pub use std::fmt::Debug;");
    let to = |text: &str| {
        let found = arrows(&[("a.rs", text), room, deep, other]);
        found.iter().map(|a| a.strip_prefix("a -> ").unwrap_or(a).to_string()).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(to("use crate::room::Deep;"), "room/deep");
    assert_eq!(to("use crate::room::other;"), "room/other");
    assert_eq!(to("use crate::room::open::Renamed;"), "room/deep");
    assert_eq!(to("use crate::room as r; fn f() { r::other() }"), "room/mod, room/other");
    assert_eq!(to("use crate::room::*; fn f(_: Deep) { other() }"), "room/deep, room/mod, room/other");
    assert_eq!(to("fn f() -> crate::room::deep::Kind { crate::room::deep::Kind::One }"), "room/deep");
    assert_eq!(to("use crate::room::Debug;"), "", "it is of another crate");
    assert_eq!(to("use serde; use rand::room; fn f() { serde::room(); }"), "", "they are other crates");
    // what a macro declares
    let made = [
        ("a.rs", "use crate::made::{Relu, Tanh};"),
        ("made.rs", "use std::ops::Add; macro_rules! layers { () => { pub struct Tanh; } } layers! { pub Relu relu; impl Add }"),
    ];
    assert_eq!(arrows(&made), ["a -> made"]);
    let lost = |text: &str| house(&[("a.rs", text), made[1]]).lost();
    assert_eq!(
        lost("use crate::made::Relu; use std::fmt; use crate::made::Add; fn f() { crate::made::Tanh::new() }"),
        ["src/a.rs:1: crate::made::Add"]
    );
    assert_eq!(lost("\nuse super::made::Gelu;"), ["src/a.rs:2: super::made::Gelu"]);
    // a function's own names stay its own
    assert_eq!(to("use crate::room::Deep; fn f() { use std::fmt as Deep; fn other() {} } fn g() { Deep::new() }"), "room/deep");
}

#[test]
fn only_a_file_with_its_own_parts_may_be_a_circle() {
    let knots = |files: &[(&str, &str)]| {
        let house = house(files);
        rules::knots(&house, &house.imports()).len()
    };
    let (part, parent) = ("use super::T; pub fn g() {}", "pub struct T; mod x; fn f() { x::g() }");
    assert_eq!(knots(&[("a.rs", parent), ("a/x.rs", part)]), 0);
    assert_eq!(knots(&[("a/mod.rs", parent), ("a/x.rs", part)]), 0);
    assert_eq!(knots(&[("a.rs", "use crate::b::B; pub struct A;"), ("b.rs", "use crate::a::A; pub struct B;")]), 1);
    // two parts of one file are no file with its parts
    let parts = [("a/x.rs", "use super::y::Y; pub struct X;"), ("a/y.rs", "use super::x::X; pub struct Y;")];
    assert_eq!(knots(&[("a.rs", "mod x; mod y;"), parts[0], parts[1]]), 1);
    // and too many parts are a knot
    let many = |n: usize| {
        let names: Vec<String> = (0..n).map(|i| format!("x{i}")).collect();
        let lib: String = names.iter().map(|x| format!("mod {x}; fn f_{x}() {{ {x}::g() }}")).collect();
        let parent = format!("pub struct T; {lib}");
        let paths: Vec<String> = names.iter().map(|x| format!("a/{x}.rs")).collect();
        let mut files: Vec<(&str, &str)> = paths.iter().map(|p| (p.as_str(), part)).collect();
        files.push(("a.rs", &parent));
        knots(&files)
    };
    assert_eq!((many(rules::MOST - 1), many(rules::MOST)), (0, 1));
}

#[test]
fn messages_name_the_line_and_the_reason() {
    let told = |files: &[(&str, &str)]| rules::forbidden(&house(files).imports()).join("\n");
    let up = told(&[("expr/mod.rs", "\n\nuse crate::graph::Var;"), ("graph/mod.rs", "pub struct Var;")]);
    assert_eq!(up, "src/expr/mod.rs:3 -> graph/mod.rs (crate::graph::Var): `expr` does not stand above `graph`");
    let beside = told(&[("nn/mod.rs", "use crate::optim::Adam;"), ("optim/mod.rs", "pub struct Adam;")]);
    assert!(beside.ends_with("`nn` does not stand above `optim`"), "{beside}");
    assert_eq!(
        told(&[
            ("graph/mod.rs", "use crate::expr::E; use crate::error::Error;"),
            ("expr/mod.rs", "pub struct E;"),
            ("error.rs", "pub struct Error;")
        ]),
        ""
    );
}

#[test]
fn loud_names_are_found() {
    let loud = |text: &str| rules::loud(&house(&[("model/mod.rs", text), ("train.rs", "use std::time::Instant;")])).len();
    assert_eq!(loud("use std::collections::HashMap;"), 0);
    assert_eq!(loud("use std::time::{Duration, Instant};"), 1);
    assert_eq!(loud("fn f() { std::thread::sleep(d) }"), 1);
    assert_eq!(loud("fn f() { tracing::debug!(\"{}\", pollster::block_on(x)) }"), 1);
    assert_eq!(loud("#[cfg(test)] use std::time::Instant;"), 0);
}

#[test]
fn functions_are_measured() {
    let text = "fn short() {\n}\nimpl T {\n fn long() {\n 1;\n 2;\n }\n}\ntrait U {\n fn given() {\n 1;\n 2;\n }\n fn none();\n}\n#[cfg(test)]\nmod tests {\n fn t() {\n\n\n\n }\n}";
    assert_eq!(lengths::longer_than(3, "a.rs", text), ["src/a.rs: long has 4 lines", "src/a.rs: given has 4 lines"]);
}
