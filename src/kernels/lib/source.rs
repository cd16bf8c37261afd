use super::binding::Access;
use super::dims::Dims;
use super::words;
use crate::expr::Expr;
use std::fmt::Write;

pub(crate) const MATH: &str = include_str!("../../../shaders/lib/math.wgsl");
const HALF: &str = include_str!("../../../shaders/lib/half.wgsl");
const PHILOX: &str = include_str!("../../../shaders/lib/philox.wgsl");
const RANDOM: &str = include_str!("../../../shaders/lib/random.wgsl");
pub(crate) const FINITE: &str = include_str!("../../../shaders/lib/finite.wgsl");
const ORDER: &str = include_str!("../../../shaders/lib/order.wgsl");
pub(crate) const BLOCK: &str = include_str!("../../../shaders/lib/block.wgsl");
const TREE: &str = include_str!("../../../shaders/lib/tree.wgsl");
const SERIAL: &str = include_str!("../../../shaders/lib/serial.wgsl");

/// Puts a kernel's text together: generated header and functions around a file of `shaders/`.
pub(crate) struct Source {
    text: String,
    bindings: usize,
    /// A binding of f16 needs it to be enabled in front of all.
    half: bool,
}

impl Source {
    /// Starts with the sizes and the aliases `V` and `U`, its bits.
    pub(crate) fn new(v: &str, dims: &Dims) -> Self {
        let text = format!("alias V = {v};\nalias U = {};\n{}", v.replace("f32", "u32"), dims.header());
        Source { text, bindings: 1, half: false }
    }

    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.text.push_str(text.as_ref());
        self.text.push('\n');
        self
    }

    /// The functions that a formula calls.
    pub(crate) fn math(&mut self, f: &Expr) -> &mut Self {
        self.line(MATH);
        if f.rounds() { self.line(HALF) } else { self }
    }

    /// Random numbers of the state's batch.
    pub(crate) fn random(&mut self) -> &mut Self {
        self.line(PHILOX).line(RANDOM)
    }

    /// The order of an epoch.
    pub(crate) fn order(&mut self) -> &mut Self {
        self.line(PHILOX).line(ORDER)
    }

    pub(crate) fn number(&mut self, name: &str, value: usize) -> &mut Self {
        self.line(format!("const {name} = {value}u;"))
    }

    pub(crate) fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.line(format!("const {name} = {value};"))
    }

    /// The next binding: a storage buffer of these elements.
    pub(crate) fn buffer(&mut self, name: &str, access: Access, element: &str) -> &mut Self {
        let mode = if access == Access::Write { "read_write" } else { "read" };
        let _ = writeln!(self.text, "@group(0) @binding({}) var<storage, {mode}> {name}: array<{element}>;", self.bindings);
        self.bindings += 1;
        self.half |= element.contains("f16");
        self
    }

    /// The next binding: the state, as a uniform.
    pub(crate) fn state(&mut self) -> &mut Self {
        let _ = writeln!(
            self.text,
            "@group(0) @binding({}) var<uniform> state_words: array<vec4<u32>, 4>;\n\
             fn state_word(i: u32) -> u32 {{ return state_words[i / 4u][i % 4u]; }}",
            self.bindings
        );
        self.bindings += 1;
        self.state_names()
    }

    /// The words' numbers, as `plan::state` has them.
    pub(crate) fn state_names(&mut self) -> &mut Self {
        for (name, at) in words::STATE_NAMES {
            self.number(name, *at);
        }
        self
    }

    /// `group_sum` for groups of this many lanes.
    pub(crate) fn group(&mut self, lanes: usize) -> &mut Self {
        self.number("GROUP", lanes);
        self.line(if lanes > 1 { TREE } else { SERIAL })
    }

    pub(crate) fn finish(mut self, body: &str) -> String {
        self.text.push_str(body);
        if self.half { format!("enable f16;\n{}", self.text) } else { self.text }
    }
}
