//! The imports of `src/`, file by file: every `use` and every path that is written out, followed through `pub use` to the file that declares the name.
//! Tests inside of `src/` do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use syn::visit::Visit;

/// A module's path without `crate`: `["plan", "memory"]`.
type Name = Vec<String>;

/// One import, for messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// The file that imports, under `src`: `plan/lower.rs`.
    pub from: String,
    /// The file that declares what is imported.
    pub to: String,
    /// What was written.
    pub path: String,
}

#[derive(Default)]
struct Module {
    file: String,
    /// What it declares itself, modules included.
    declared: BTreeSet<String>,
    /// Names that a `use` brings, with what they stand for.
    used: BTreeMap<String, Name>,
    globs: Vec<Name>,
    /// What each `use` says and whether it is `pub` in any way.
    imports: Vec<(Name, Option<String>, bool)>,
    /// Paths in the code, and single names with them.
    paths: BTreeSet<Name>,
}

/// All of `src`: its modules by name.
pub struct House(BTreeMap<Name, Module>);

impl House {
    /// Reads a folder like `src`.
    pub fn read(src: &Path) -> House {
        let mut files = BTreeMap::new();
        collect(src, src, &mut files);
        House::of(&files)
    }

    /// From texts by path under `src`. What is not declared by a `mod` is not seen.
    pub fn of(files: &BTreeMap<String, String>) -> House {
        let mut house = House(BTreeMap::new());
        house.file(files, Vec::new(), "lib.rs");
        house
    }

    fn file(&mut self, files: &BTreeMap<String, String>, name: Name, file: &str) {
        let text = files.get(file).unwrap_or_else(|| panic!("there is no {file}"));
        let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{file}: {e}"));
        self.items(files, name, file, parsed.items);
    }

    fn items(&mut self, files: &BTreeMap<String, String>, name: Name, file: &str, items: Vec<syn::Item>) {
        let mut reader = Reader { module: Module { file: file.into(), ..Module::default() }, children: Vec::new() };
        items.iter().for_each(|i| reader.visit_item(i));
        let Reader { module, children } = reader;
        self.0.insert(name.clone(), module);
        for m in children {
            let mut inner = name.clone();
            inner.push(m.ident.to_string());
            match m.content {
                Some((_, items)) => self.items(files, inner, file, items),
                None => {
                    let stem = inner.join("/");
                    let own = [format!("{stem}.rs"), format!("{stem}/mod.rs")].into_iter().find(|f| files.contains_key(f));
                    self.file(files, inner, &own.unwrap_or_else(|| panic!("{file}: no file for mod {}", m.ident)));
                }
            }
        }
    }

    /// Every import between two files, each pair with one of its paths.
    pub fn imports(&self) -> Vec<Import> {
        let mut found: BTreeMap<(String, String), String> = BTreeMap::new();
        for (name, m) in &self.0 {
            let mut note = |path: &Name| {
                let Some(to) = self.declares(name, path, 0) else { return };
                if to != m.file {
                    found.entry((m.file.clone(), to)).or_insert_with(|| path.join("::"));
                }
            };
            for (path, bound, public) in &m.imports {
                // a name that is only handed on is no import
                let handed_on = *public && bound.as_ref().is_none_or(|b| !m.paths.iter().any(|p| p[0] == *b));
                if !handed_on {
                    note(path);
                }
            }
            m.paths.iter().filter(|p| p.len() > 1).for_each(note);
        }
        found.into_iter().map(|((from, to), path)| Import { from, to, path }).collect()
    }

    /// Every file.
    pub fn files(&self) -> BTreeSet<&str> {
        self.0.values().map(|m| m.file.as_str()).collect()
    }

    /// The file that declares what this path means in this module; none for what is not of this crate.
    fn declares(&self, within: &Name, path: &[String], depth: usize) -> Option<String> {
        if depth > 32 {
            return None;
        }
        let mut at = within.clone();
        let mut rest = path;
        let mut begun = false;
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "crate" => at = Vec::new(),
                "self" => {}
                "super" => {
                    at.pop();
                }
                _ => break,
            }
            (rest, begun) = (after, true);
        }
        let _ = begun;
        loop {
            let module = self.0.get(&at)?;
            let Some((first, after)) = rest.split_first() else { return Some(module.file.clone()) };
            let mut inner = at.clone();
            inner.push(first.clone());
            if self.0.contains_key(&inner) {
                (at, rest) = (inner, after);
                continue;
            }
            if module.declared.contains(first) {
                return Some(module.file.clone());
            }
            if let Some(target) = module.used.get(first) {
                let whole: Name = target.iter().chain(after).cloned().collect();
                // `use rayon::x` beside a module of that name means the other crate
                return if whole == rest && at == *within && depth > 0 { None } else { self.declares(&at, &whole, depth + 1) };
            }
            return module.globs.iter().find_map(|g| {
                let whole: Name = g.iter().chain(rest).cloned().collect();
                self.declares(&at, &whole, depth + 1)
            });
        }
    }
}

struct Reader {
    module: Module,
    children: Vec<syn::ItemMod>,
}

impl Reader {
    fn declare(&mut self, name: &syn::Ident) {
        self.module.declared.insert(name.to_string());
    }

    fn import(&mut self, before: &mut Name, tree: &syn::UseTree, public: bool) {
        let m = &mut self.module;
        match tree {
            syn::UseTree::Path(p) => {
                before.push(p.ident.to_string());
                self.import(before, &p.tree, public);
                before.pop();
            }
            syn::UseTree::Group(g) => g.items.iter().for_each(|t| self.import(before, t, public)),
            syn::UseTree::Glob(_) => {
                m.globs.push(before.clone());
                m.imports.push((before.clone(), None, public));
            }
            syn::UseTree::Name(n) => {
                let (bound, path) = bind(before, &n.ident);
                self.bring(bound, path, public);
            }
            syn::UseTree::Rename(r) => {
                let (_, path) = bind(before, &r.ident);
                self.bring(r.rename.to_string(), path, public);
            }
        }
    }

    fn bring(&mut self, bound: String, path: Name, public: bool) {
        self.module.used.insert(bound.clone(), path.clone());
        self.module.imports.push((path, Some(bound), public));
    }
}

/// `use a::b` brings `b`, and so does `use a::b::{self}`.
fn bind(before: &Name, ident: &syn::Ident) -> (String, Name) {
    let mut path = before.clone();
    if ident != "self" {
        path.push(ident.to_string());
    }
    (path.last().cloned().unwrap_or_default(), path)
}

/// Whether it is there only in tests.
fn of_tests(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|a| match &a.meta {
        syn::Meta::List(l) if a.path().is_ident("cfg") => {
            let said = l.tokens.to_string();
            said == "test" || said.starts_with("all (test ,")
        }
        m => m.path().is_ident("test"),
    })
}

impl<'a> Visit<'a> for Reader {
    fn visit_item(&mut self, item: &'a syn::Item) {
        use syn::Item::{Const, Enum, ExternCrate, Fn, Macro, Mod, Static, Struct, Trait, TraitAlias, Type, Union, Use};
        let attrs: &[syn::Attribute] = match item {
            Const(i) => &i.attrs,
            Enum(i) => &i.attrs,
            Fn(i) => &i.attrs,
            syn::Item::Impl(i) => &i.attrs,
            Macro(i) => &i.attrs,
            Mod(i) => &i.attrs,
            Static(i) => &i.attrs,
            Struct(i) => &i.attrs,
            Trait(i) => &i.attrs,
            Type(i) => &i.attrs,
            Use(i) => &i.attrs,
            _ => &[],
        };
        if of_tests(attrs) {
            return;
        }
        match item {
            Const(i) => self.declare(&i.ident),
            Enum(i) => self.declare(&i.ident),
            Fn(i) => self.declare(&i.sig.ident),
            Static(i) => self.declare(&i.ident),
            Struct(i) => self.declare(&i.ident),
            Trait(i) => self.declare(&i.ident),
            TraitAlias(i) => self.declare(&i.ident),
            Type(i) => self.declare(&i.ident),
            Union(i) => self.declare(&i.ident),
            Macro(i) => {
                if let Some(name) = &i.ident {
                    self.declare(name);
                }
            }
            ExternCrate(_) => {}
            Mod(i) => {
                self.children.push(i.clone());
                return; // its items are its own
            }
            _ => {}
        }
        syn::visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, i: &'a syn::ItemUse) {
        let public = !matches!(i.vis, syn::Visibility::Inherited);
        self.import(&mut Vec::new(), &i.tree, public);
    }

    fn visit_path(&mut self, p: &'a syn::Path) {
        if p.leading_colon.is_none() {
            self.module.paths.insert(p.segments.iter().map(|s| s.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, p);
    }

    /// The paths in a macro's tokens, one by one.
    fn visit_macro(&mut self, m: &'a syn::Macro) {
        self.visit_path(&m.path);
        self.tokens(m.tokens.clone());
    }
}

impl Reader {
    fn tokens(&mut self, tokens: proc_macro2::TokenStream) {
        use proc_macro2::TokenTree::{Group, Ident, Punct};
        let (mut path, mut colons): (Name, usize) = (Vec::new(), 0);
        for t in tokens {
            match t {
                Ident(i) if path.is_empty() || colons == 2 => path.push(i.to_string()),
                Punct(p) if p.as_char() == ':' && !path.is_empty() && colons < 2 => {
                    colons += 1;
                    continue;
                }
                other => {
                    if !path.is_empty() {
                        self.module.paths.insert(std::mem::take(&mut path));
                    }
                    match other {
                        Ident(i) => path.push(i.to_string()),
                        Group(g) => self.tokens(g.stream()),
                        _ => {}
                    }
                }
            }
            colons = 0;
        }
        if !path.is_empty() {
            self.module.paths.insert(path);
        }
    }
}

/// Every Rust file of a folder by its path under `root`.
pub fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            files.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
}
