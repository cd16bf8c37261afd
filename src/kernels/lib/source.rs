//! How a kernel's text is put together.

use super::archetype::Archetype;
use super::binding::{Access, Binding, Element};
use super::words;
use crate::expr::Expr;

/// A file of `shaders/`.
#[derive(Clone, Copy)]
pub(crate) struct ShaderFile {
    pub name: &'static str,
    pub text: &'static str,
}

/// The file of this name.
macro_rules! shader {
    ($name:literal) => {
        $crate::kernels::lib::source::ShaderFile {
            name: concat!("shaders/", $name),
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $name)),
        }
    };
}
pub(crate) use shader;

/// Stands before the text of a file, in front of its name.
const FROM: &str = "// from ";

/// The files that a kernel's text is made of, the kernel's own first.
pub(crate) fn files_of(text: &str) -> Vec<&str> {
    let mut files: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix(FROM)).collect();
    files.reverse();
    files
}

pub(crate) const MATH: ShaderFile = shader!("lib/math.wgsl");
const HALF: ShaderFile = shader!("lib/half.wgsl");
const PHILOX: ShaderFile = shader!("lib/philox.wgsl");
pub(crate) const RANDOM: ShaderFile = shader!("lib/random.wgsl");
pub(crate) const FINITE: ShaderFile = shader!("lib/finite.wgsl");
const ORDER: ShaderFile = shader!("lib/order.wgsl");
pub(crate) const AUGMENT: ShaderFile = shader!("lib/augment.wgsl");
const ROW_LIST: ShaderFile = shader!("lib/row_list.wgsl");
const TREE: ShaderFile = shader!("lib/tree.wgsl");
pub(crate) const BLOCKS: ShaderFile = shader!("lib/blocks.wgsl");
const SERIAL: ShaderFile = shader!("lib/serial.wgsl");
const RANK: ShaderFile = shader!("lib/rank.wgsl");
const JOIN: ShaderFile = shader!("lib/join.wgsl");

/// Puts a kernel's text together: generated header and functions around a file of `shaders/`.
pub(crate) struct Source {
    text: String,
}

impl Source {
    /// Starts with the kernel's sizes and bindings, and the aliases `V` and `U`, its bits.
    pub(crate) fn new(v: Element, kernel: &impl Archetype) -> Self {
        let bits = Element::U32.by_fours(v.four);
        let bindings = kernel.bindings();
        let f16 = if bindings.iter().any(Binding::is_half) { "enable f16;\n" } else { "" };
        let mut s = Source { text: format!("{f16}alias V = {v};\nalias U = {bits};\n{}", kernel.dims().header()) };
        // results that lie in one buffer share its binding
        bindings.iter().filter(|b| b.through.is_none()).zip(1..).for_each(|(b, number)| s.binding(b, number));
        s
    }

    fn binding(&mut self, b: &Binding, number: usize) {
        let Binding { name, element, .. } = b;
        let at = format!("@group(0) @binding({number})");
        match b.access {
            Access::Read => _ = self.line(format!("{at} var<storage, read> {name}: array<{element}>;")),
            Access::Write => _ = self.line(format!("{at} var<storage, read_write> {name}: array<{element}>;")),
            Access::Uniform => self.state(&at, b),
        }
    }

    /// The state, and the function that reads it.
    fn state(&mut self, at: &str, Binding { name, element, span, .. }: &Binding) {
        self.line(format!("{at} var<uniform> {name}: array<{element}, {}>;", span.len() / 4));
        self.line(format!("fn state_word(i: u32) -> u32 {{ return {name}[i / 4u][i % 4u]; }}")).state_names();
    }

    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.text.push_str(text.as_ref());
        self.text.push('\n');
        self
    }

    /// The text of a file.
    pub(crate) fn file(&mut self, file: ShaderFile) -> &mut Self {
        self.line(format!("{FROM}{}", file.name)).line(file.text)
    }

    /// The functions that a formula calls.
    pub(crate) fn math(&mut self, f: &Expr) -> &mut Self {
        self.file(MATH);
        if f.rounds() { self.file(HALF) } else { self }
    }

    /// Random numbers of the state's batch.
    pub(crate) fn random(&mut self) -> &mut Self {
        self.file(PHILOX).file(RANDOM)
    }

    /// The order of an epoch.
    pub(crate) fn order(&mut self) -> &mut Self {
        self.file(PHILOX).file(ORDER)
    }

    /// `listed_row(at, permuted)`, behind [`Source::order`] and where `rows` is bound.
    pub(crate) fn row_list(&mut self) -> &mut Self {
        self.file(ROW_LIST)
    }

    pub(crate) fn number(&mut self, name: &str, value: usize) -> &mut Self {
        self.line(format!("const {name} = {value}u;"))
    }

    pub(crate) fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.line(format!("const {name} = {value};"))
    }

    /// The numbers of the state's words.
    pub(crate) fn state_names(&mut self) -> &mut Self {
        for (name, at) in words::STATE_NAMES {
            self.number(name, *at);
        }
        self
    }

    /// `group_sum` for groups of this many lanes.
    pub(crate) fn group(&mut self, lanes: usize) -> &mut Self {
        self.number("GROUP", lanes);
        self.file(if lanes > 1 { TREE } else { SERIAL })
    }

    /// `group_join` for groups of this many lanes: of values of the type `Joined`, by `join(a, b)` of this body. The kernel tells how far apart they
    /// stand, `STEP`.
    pub(crate) fn joins(&mut self, lanes: usize, join: &str) -> &mut Self {
        self.number("GROUP", lanes).joins_within(lanes, join)
    }

    /// As [`Source::joins`], of a kernel that has told its `GROUP`.
    fn joins_within(&mut self, lanes: usize, join: &str) -> &mut Self {
        self.line(format!("fn join(a: Joined, b: Joined) -> Joined {{ {join} }}"));
        if lanes > 1 { self.file(JOIN) } else { self.line("fn group_join(v: Joined, local: u32) -> Joined { return v; }") }
    }

    /// `rank`, and `group_first` for groups of `GROUP` lanes that stand so far apart: of their places that with the highest rank, the lowest of
    /// equal ones.
    pub(crate) fn first(&mut self, lanes: usize, step: usize) -> &mut Self {
        let above = "if (b.x > a.x || (b.x == a.x && b.y < a.y)) { return b; } return a;";
        self.file(RANK).number("STEP", step).line("alias Joined = vec2<u32>;").joins_within(lanes, above);
        self.line("fn group_first(rank: u32, place: u32, local: u32) -> u32 { return group_join(vec2<u32>(rank, place), local).y; }")
    }

    /// The whole text, with the kernel's own file at its end.
    pub(crate) fn finish(mut self, own: ShaderFile) -> String {
        self.line(format!("{FROM}{}", own.name));
        self.text.push_str(own.text);
        self.text
    }

    /// The whole text, with what a user wrote at its end.
    pub(crate) fn finish_with(mut self, body: &str) -> String {
        self.text.push_str(body);
        self.text
    }
}
