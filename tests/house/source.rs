//! The imports of `src/`, file by file: every `use` and every path that is written out, followed through `pub use` to the file that declares the name.
//!
//! Tests inside of `src/` do not count, nor do doc comments. Not seen: a method that an `impl` in another file gives (`impl Model` may stand in
//! any file), and what a macro makes of its arguments in another file than its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use syn::spanned::Spanned;
use syn::visit::Visit;

/// A path without `crate`, name by name: `["plan", "memory"]`.
pub type Name = Vec<String>;

/// One import, for messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// The file that imports, under `src`: `plan/explain.rs`.
    pub from: String,
    /// The file that declares what is imported.
    pub to: String,
    /// What was written.
    pub path: String,
    /// In which line of the importing file.
    pub line: usize,
}

impl std::fmt::Display for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "src/{}:{} -> {} ({})", self.from, self.line, self.to, self.path)
    }
}

/// A name that a `use` brings.
struct Brought {
    path: Name,
    /// The name in this module; none for `*`.
    bound: Option<String>,
    /// `pub` in any way.
    public: bool,
    line: usize,
}

#[derive(Default)]
struct Module {
    file: String,
    /// The names of its own items, without modules.
    declared: BTreeSet<String>,
    /// Words in macros that make items: names may be declared there.
    made: BTreeSet<String>,
    /// Names that a `use` brings, with the paths that they stand for.
    used: BTreeMap<String, Name>,
    globs: Vec<Name>,
    uses: Vec<Brought>,
    /// Paths in the code, single names among them, with the line of the first.
    paths: BTreeMap<Name, usize>,
}

/// All of `src`: its modules by name.
pub struct House(BTreeMap<Name, Module>);

impl House {
    /// From texts by path under `src`. A file that no `mod` declares is not seen.
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
        let mut reader = Reader { module: Module { file: file.into(), ..Module::default() }, children: Vec::new(), blocks: 0 };
        items.iter().for_each(|i| reader.visit_item(i));
        let Reader { module, children, .. } = reader;
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
        let mut found: BTreeMap<(&str, &str), (String, usize)> = BTreeMap::new();
        for (name, m) in &self.0 {
            let mut note = |path: &Name, line: usize| {
                let Some(to) = self.declares(name, path, 0) else { return };
                if to != m.file {
                    found.entry((&m.file, to)).or_insert_with(|| (path.join("::"), line));
                }
            };
            m.uses.iter().filter(|u| !m.hands_on(u)).for_each(|u| note(&u.path, u.line));
            for (path, line) in &m.paths {
                match path.as_slice() {
                    [single] if !self.knows(name, m, single) => {
                        // it comes by `*`, or it is none of the crate's
                        m.globs.iter().for_each(|g| note(&[g.as_slice(), path].concat(), *line));
                    }
                    [_] => {}
                    _ => note(path, *line),
                }
            }
        }
        found.into_iter().map(|((from, to), (path, line))| Import { from: from.into(), to: to.into(), path, line }).collect()
    }

    /// Every file.
    pub fn files(&self) -> BTreeSet<&str> {
        self.0.values().map(|m| m.file.as_str()).collect()
    }

    /// Paths into the crate that lead to no name that was read: what the imports may lack.
    pub fn lost(&self) -> Vec<String> {
        let begins = |p: &Name| p.len() > 1 && matches!(p[0].as_str(), "crate" | "self" | "super");
        let mut found = Vec::new();
        for (name, m) in &self.0 {
            let all = m.uses.iter().map(|u| (&u.path, u.line)).chain(m.paths.iter().map(|(p, line)| (p, *line)));
            let lost = all.filter(|(p, _)| begins(p) && self.declares(name, p, 0).is_none());
            found.extend(lost.map(|(p, line)| format!("src/{}:{line}: {}", m.file, p.join("::"))));
        }
        found
    }

    /// Everything that a `use` brings and every path, with its file and its line.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Name, usize)> {
        self.0.values().flat_map(|m| {
            let uses = m.uses.iter().map(|u| (&u.path, u.line));
            uses.chain(m.paths.iter().map(|(path, line)| (path, *line))).map(|(path, line)| (m.file.as_str(), path, line))
        })
    }

    /// Whether a module has this name without any `*`.
    fn knows(&self, name: &Name, m: &Module, single: &str) -> bool {
        let child = [name.as_slice(), &[single.to_string()]].concat();
        self.0.contains_key(&child) || m.declared.contains(single) || m.used.contains_key(single)
    }

    /// The file that declares what this path means in this module; none where it is not of this crate.
    fn declares(&self, within: &[String], path: &[String], depth: usize) -> Option<&str> {
        // `use serde;` stands for itself
        if depth > 32 {
            return None;
        }
        let (mut at, mut rest) = (within.to_vec(), path);
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                _ => break,
            }
            rest = after;
        }
        loop {
            let module = self.0.get(&at)?;
            let Some((first, after)) = rest.split_first() else { return Some(&module.file) };
            let inner = [at.as_slice(), std::slice::from_ref(first)].concat();
            if self.0.contains_key(&inner) {
                (at, rest) = (inner, after);
                continue;
            }
            if module.declared.contains(first) {
                return Some(&module.file);
            }
            if let Some(target) = module.used.get(first) {
                return self.declares(&at, &[target.as_slice(), after].concat(), depth + 1);
            }
            let by_glob = module.globs.iter().find_map(|g| self.declares(&at, &[g.as_slice(), rest].concat(), depth + 1));
            return by_glob.or_else(|| module.made.contains(first).then_some(&module.file));
        }
    }
}

impl Module {
    /// Whether a name is only handed on to others, which is no import.
    fn hands_on(&self, u: &Brought) -> bool {
        u.public && u.bound.as_ref().is_none_or(|b| !self.paths.keys().any(|p| p[0] == *b))
    }
}

struct Reader {
    module: Module,
    children: Vec<syn::ItemMod>,
    /// How deep in blocks: their items are no items of the module.
    blocks: usize,
}

impl Reader {
    fn declare(&mut self, name: &syn::Ident) {
        if self.blocks == 0 {
            self.module.declared.insert(name.to_string());
        }
    }

    fn path(&mut self, path: Name, line: usize) {
        self.module.paths.entry(path).or_insert(line);
    }

    fn import(&mut self, before: &mut Name, tree: &syn::UseTree, public: bool) {
        let line = tree.span().start().line;
        match tree {
            syn::UseTree::Path(p) => {
                before.push(p.ident.to_string());
                self.import(before, &p.tree, public);
                before.pop();
            }
            syn::UseTree::Group(g) => g.items.iter().for_each(|t| self.import(before, t, public)),
            syn::UseTree::Glob(_) => {
                self.module.globs.push(before.clone());
                self.module.uses.push(Brought { path: before.clone(), bound: None, public, line });
            }
            syn::UseTree::Name(n) => {
                let path = joined(before, &n.ident);
                self.bring(path.last().cloned().unwrap_or_default(), path, public, line);
            }
            syn::UseTree::Rename(r) => self.bring(r.rename.to_string(), joined(before, &r.ident), public, line),
        }
    }

    fn bring(&mut self, bound: String, path: Name, public: bool, line: usize) {
        // what a function brings for itself does not take the place of the module's
        if self.blocks == 0 || !self.module.used.contains_key(&bound) {
            self.module.used.insert(bound.clone(), path.clone());
        }
        self.module.uses.push(Brought { path, bound: Some(bound), public, line });
    }

    /// The paths among a macro's tokens.
    fn tokens(&mut self, tokens: proc_macro2::TokenStream) {
        use proc_macro2::TokenTree::{Group, Ident, Punct};
        let (mut path, mut colons, mut line): (Name, usize, usize) = (Vec::new(), 0, 0);
        for t in tokens {
            match t {
                Ident(i) if path.is_empty() || colons == 2 => {
                    line = i.span().start().line;
                    path.push(i.to_string());
                }
                Punct(p) if p.as_char() == ':' && !path.is_empty() && colons < 2 => {
                    colons += 1;
                    continue;
                }
                other => {
                    if !path.is_empty() {
                        self.path(std::mem::take(&mut path), line);
                    }
                    match other {
                        Ident(i) => {
                            line = i.span().start().line;
                            path.push(i.to_string());
                        }
                        Group(g) => self.tokens(g.stream()),
                        _ => {}
                    }
                }
            }
            colons = 0;
        }
        if !path.is_empty() {
            self.path(path, line);
        }
    }

    /// The paths that an attribute gives as texts: `#[serde(with = "super::json_floats")]`.
    fn texts(&mut self, tokens: proc_macro2::TokenStream) {
        for t in tokens {
            match t {
                proc_macro2::TokenTree::Group(g) => self.texts(g.stream()),
                proc_macro2::TokenTree::Literal(l) => {
                    let text = l.to_string();
                    let path = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).and_then(|t| syn::parse_str::<syn::Path>(t).ok());
                    if let Some(p) = path.filter(|p| p.segments.len() > 1) {
                        self.path(names(&p), l.span().start().line);
                    }
                }
                _ => {}
            }
        }
    }
}

/// `use a::b` brings `b`, and `use a::b::{self}` does, too.
fn joined(before: &Name, ident: &syn::Ident) -> Name {
    let mut path = before.clone();
    if ident != "self" {
        path.push(ident.to_string());
    }
    path
}

/// All words among some tokens.
fn words(tokens: proc_macro2::TokenStream, to: &mut BTreeSet<String>) {
    for t in tokens {
        match t {
            proc_macro2::TokenTree::Ident(i) => drop(to.insert(i.to_string())),
            proc_macro2::TokenTree::Group(g) => words(g.stream(), to),
            _ => {}
        }
    }
}

fn names(p: &syn::Path) -> Name {
    p.segments.iter().map(|s| s.ident.to_string()).collect()
}

/// Whether it is there only in tests.
pub fn of_tests(attrs: &[syn::Attribute]) -> bool {
    fn only_tests(m: &syn::Meta) -> bool {
        type Several = syn::punctuated::Punctuated<syn::Meta, syn::Token![,]>;
        let inner = |l: &syn::MetaList| l.parse_args_with(Several::parse_terminated).unwrap_or_default();
        match m {
            syn::Meta::Path(p) => p.is_ident("test"),
            syn::Meta::List(l) if l.path.is_ident("cfg") || l.path.is_ident("all") => inner(l).iter().any(only_tests),
            syn::Meta::List(l) if l.path.is_ident("any") => inner(l).iter().all(only_tests),
            _ => false,
        }
    }
    attrs.iter().any(|a| only_tests(&a.meta))
}

impl<'a> Visit<'a> for Reader {
    fn visit_item(&mut self, item: &'a syn::Item) {
        use syn::Item::{Const, Enum, ExternCrate, Fn, Impl, Macro, Mod, Static, Struct, Trait, TraitAlias, Type, Union, Use};
        let (attrs, name): (&[syn::Attribute], Option<&syn::Ident>) = match item {
            Const(i) => (&i.attrs, Some(&i.ident)),
            Enum(i) => (&i.attrs, Some(&i.ident)),
            ExternCrate(i) => (&i.attrs, None),
            Fn(i) => (&i.attrs, Some(&i.sig.ident)),
            Impl(i) => (&i.attrs, None),
            Macro(i) => (&i.attrs, i.ident.as_ref()),
            Mod(i) => (&i.attrs, None),
            Static(i) => (&i.attrs, Some(&i.ident)),
            Struct(i) => (&i.attrs, Some(&i.ident)),
            Trait(i) => (&i.attrs, Some(&i.ident)),
            TraitAlias(i) => (&i.attrs, Some(&i.ident)),
            Type(i) => (&i.attrs, Some(&i.ident)),
            Union(i) => (&i.attrs, Some(&i.ident)),
            Use(i) => (&i.attrs, None),
            _ => (&[], None),
        };
        if of_tests(attrs) {
            return;
        }
        if let Some(name) = name {
            self.declare(name);
        }
        match item {
            Macro(i) if self.blocks == 0 => {
                words(i.mac.tokens.clone(), &mut self.module.made);
                self.visit_item_macro(i);
            }
            Mod(i) => self.children.push(i.clone()), // its items are its own
            _ => syn::visit::visit_item(self, item),
        }
    }

    fn visit_impl_item_fn(&mut self, f: &'a syn::ImplItemFn) {
        if !of_tests(&f.attrs) {
            syn::visit::visit_impl_item_fn(self, f);
        }
    }

    fn visit_item_use(&mut self, i: &'a syn::ItemUse) {
        // `use ::x` is another crate's
        if i.leading_colon.is_none() {
            let public = !matches!(i.vis, syn::Visibility::Inherited);
            self.import(&mut Vec::new(), &i.tree, public);
        }
    }

    fn visit_block(&mut self, b: &'a syn::Block) {
        self.blocks += 1;
        syn::visit::visit_block(self, b);
        self.blocks -= 1;
    }

    fn visit_path(&mut self, p: &'a syn::Path) {
        if p.leading_colon.is_none() {
            self.path(names(p), p.span().start().line);
        }
        syn::visit::visit_path(self, p);
    }

    /// `pub(in crate::x)` imports nothing.
    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}

    fn visit_attribute(&mut self, a: &'a syn::Attribute) {
        if let syn::Meta::List(l) = &a.meta {
            self.texts(l.tokens.clone());
        }
    }

    fn visit_macro(&mut self, m: &'a syn::Macro) {
        self.visit_path(&m.path);
        self.tokens(m.tokens.clone());
    }
}

/// Every Rust file of a folder by its path under the folder.
pub fn collect(root: &Path) -> BTreeMap<String, String> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
                files.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}
