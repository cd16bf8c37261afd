//! The house as DESIGN draws it, read from the imports of `src/`: see `docs/ARCHITECTURE.md`.

mod rules;
mod source;

use source::House;
use std::collections::BTreeMap;
use std::path::Path;

fn src() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    source::collect(&src(), &src(), &mut files);
    files
}

fn checked(house: &House) -> Vec<String> {
    let imports = house.imports();
    rules::forbidden(&imports).into_iter().chain(rules::knots(house, &imports)).collect()
}

/// Arrows run down; no files import each other in a circle but a type and its own parts.
#[test]
#[ignore = "red until the rooms stand"]
fn imports_run_down() {
    let wrong = checked(&House::read(&src()));
    assert!(wrong.is_empty(), "{} imports that the house does not allow (tests/house/rules.rs):\n{}", wrong.len(), wrong.join("\n"));
}

/// Every file is reached from `lib.rs`, and the imports of a step's way through the house are seen.
#[test]
#[ignore = "red until the rooms stand"]
fn the_whole_house_is_read() {
    let house = House::read(&src());
    let imports = house.imports();
    let seen = |from: &str, to: &str| assert!(imports.iter().any(|i| i.from == from && i.to == to), "{from} -> {to} was not seen");
    seen("nn/layers.rs", "graph/var.rs"); // by `pub use`
    seen("plan/lower/product.rs", "kernels/gemm.rs");
    let named: Vec<String> = files().into_keys().filter(|f| !f.contains("tests") && !house.files().contains(f.as_str())).collect();
    assert!(named.is_empty(), "not read: {named:?}");
}

/// A planted arrow and planted circles are told.
#[test]
#[ignore = "red until the rooms stand"]
fn planted_imports_are_told() {
    let told = |file: &str, line: &str, want: &str| {
        let mut files = files();
        files.get_mut(file).unwrap_or_else(|| panic!("there is no {file}")).push_str(line);
        let wrong = checked(&House::of(&files));
        assert!(wrong.iter().any(|w| w.contains(want)), "{file} with {line}: {wrong:?}");
    };
    told("model/mod.rs", "\nuse crate::train::Fit;\n", "model/mod.rs -> train/");
    told("graph/mod.rs", "\nfn up() { crate::plan::plan; }\n", "graph/mod.rs -> plan/");
    told("tensor/mod.rs", "\nfn up() { println!(\"{}\", crate::prelude::nn::relu); }\n", "tensor/mod.rs -> ");
    // two rooms of one floor
    told("optim/adam.rs", "\nuse crate::nn::Linear;\n", "optim/adam.rs -> nn/");
    // a circle of two that are no parent and child
    told("nn/init.rs", "\nuse super::layers::Linear;\n", "nn/layers.rs");
}

/// What is a few lines to read is a room to look after: see DESIGN, section 2.
#[test]
#[ignore = "red until the rooms stand"]
fn files_are_short() {
    let long: Vec<String> = files()
        .iter()
        .filter(|(_, text)| text.lines().count() > 500)
        .map(|(f, text)| format!("src/{f}: {} lines", text.lines().count()))
        .collect();
    assert!(long.is_empty(), "longer than 500 lines, which are two files: {long:?}");
}

/// What cannot be seen at once is two functions.
#[test]
#[ignore = "red until the rooms stand"]
fn functions_are_short() {
    use syn::spanned::Spanned;
    use syn::visit::Visit;
    struct Lengths<'a>(&'a str, Vec<String>);
    impl Lengths<'_> {
        fn see(&mut self, name: &syn::Ident, block: &syn::Block) {
            let lines = block.span().end().line - name.span().start().line + 1;
            if lines > 80 {
                self.1.push(format!("src/{}: {name} has {lines} lines", self.0));
            }
        }
    }
    impl<'a> Visit<'a> for Lengths<'_> {
        fn visit_item_fn(&mut self, f: &'a syn::ItemFn) {
            self.see(&f.sig.ident, &f.block);
            syn::visit::visit_item_fn(self, f);
        }
        fn visit_impl_item_fn(&mut self, f: &'a syn::ImplItemFn) {
            self.see(&f.sig.ident, &f.block);
            syn::visit::visit_impl_item_fn(self, f);
        }
    }
    let files = files();
    let mut all = Vec::new();
    for (name, text) in files.iter().filter(|(f, _)| !f.contains("tests")) {
        let mut seen = Lengths(name, Vec::new());
        seen.visit_file(&syn::parse_file(text).unwrap_or_else(|e| panic!("{name}: {e}")));
        all.extend(seen.1);
    }
    assert!(all.is_empty(), "longer than 80 lines, which are two functions: {all:?}");
}

/// A room tells at its door what it is for.
#[test]
#[ignore = "red until the rooms stand"]
fn files_begin_with_a_line_about_themselves() {
    let silent: Vec<String> = files()
        .into_iter()
        .filter(|(f, text)| !f.ends_with("tests.rs") && !f.contains("tests/") && !text.starts_with("//!") && !text.starts_with("#!"))
        .map(|(f, _)| f)
        .collect();
    assert!(silent.is_empty(), "{} files without a first line `//! ..`: {silent:?}", silent.len());
}
