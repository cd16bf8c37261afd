//! How long functions are: from the line of the name to the closing brace.

use crate::source::of_tests;
use syn::spanned::Spanned;
use syn::visit::Visit;

struct Lengths<'a> {
    most: usize,
    file: &'a str,
    long: Vec<String>,
}

impl Lengths<'_> {
    fn see(&mut self, name: &syn::Ident, block: &syn::Block) {
        let lines = block.span().end().line - name.span().start().line + 1;
        if lines > self.most {
            self.long.push(format!("src/{}: {name} has {lines} lines", self.file));
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

    fn visit_trait_item_fn(&mut self, f: &'a syn::TraitItemFn) {
        if let Some(block) = &f.default {
            self.see(&f.sig.ident, block);
        }
        syn::visit::visit_trait_item_fn(self, f);
    }

    fn visit_item_mod(&mut self, m: &'a syn::ItemMod) {
        if !of_tests(&m.attrs) {
            syn::visit::visit_item_mod(self, m);
        }
    }
}

/// The functions of a file's text that have more lines than `most`; tests may be longer.
pub fn longer_than(most: usize, file: &str, text: &str) -> Vec<String> {
    let mut seen = Lengths { most, file, long: Vec::new() };
    seen.visit_file(&syn::parse_file(text).unwrap_or_else(|e| panic!("{file}: {e}")));
    seen.long
}
