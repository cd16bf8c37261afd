//! What a kernel binds: its buffers in order, how it uses each, and which of its elements it touches.

use super::words::STATE_WORDS;
use crate::tensor::DType;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// How a kernel uses a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// A uniform: the state.
    Uniform,
    /// Storage, only read.
    Read,
    /// Storage, written (and perhaps read).
    Write,
}

/// What a shader sees a buffer as an array of: numbers of one type, one by one or in vectors of four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// The type of a number.
    pub dtype: DType,
    /// Whether four make an element.
    pub four: bool,
}

impl Element {
    /// 32-bit floats.
    pub const F32: Element = Element { dtype: DType::F32, four: false };
    /// 32-bit integers.
    pub const U32: Element = Element { dtype: DType::U32, four: false };
    /// 16-bit floats.
    pub const F16: Element = Element { dtype: DType::F16, four: false };

    /// Floats, of 16 bits where `half` says so.
    pub fn float(half: bool) -> Self {
        if half { Self::F16 } else { Self::F32 }
    }

    /// The same numbers in vectors of four, where `four` says so.
    #[must_use]
    pub const fn by_fours(self, four: bool) -> Self {
        Element { dtype: self.dtype, four }
    }
}

impl fmt::Display for Element {
    /// The type's name in WGSL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = match self.dtype {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::I32 => "i32",
            DType::U32 | DType::U8 => "u32",
        };
        if self.four { write!(f, "vec4<{one}>") } else { f.write_str(one) }
    }
}

/// Floats in vectors of four: how the kernels over arenas bind them.
pub(crate) const V: Element = Element::F32.by_fours(true);

/// One operand or result of a kernel, in a buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Its name in the shader.
    pub name: Cow<'static, str>,
    /// How the buffer is used.
    pub access: Access,
    /// What the buffer holds.
    pub element: Element,
    /// From the first number that the kernel touches to behind the last, whether or not they are bound in fours.
    pub span: Range<usize>,
    /// How many numbers move, in and out together.
    pub moved: usize,
    /// An earlier result that lies in the same buffer, through whose binding this one is written: WebGPU forbids a buffer that one dispatch
    /// binds twice to write.
    pub through: Option<usize>,
}

impl Binding {
    fn new(name: impl Into<Cow<'static, str>>, access: Access, element: Element, span: Range<usize>) -> Self {
        let moved = span.len();
        Binding { name: name.into(), access, element, span, moved, through: None }
    }

    /// An operand.
    pub fn read(name: impl Into<Cow<'static, str>>, element: Element, span: Range<usize>) -> Self {
        Self::new(name, Access::Read, element, span)
    }

    /// A result.
    pub fn write(name: impl Into<Cow<'static, str>>, element: Element, span: Range<usize>) -> Self {
        Self::new(name, Access::Write, element, span)
    }

    /// What is read and then written over.
    pub fn update(name: impl Into<Cow<'static, str>>, element: Element, span: Range<usize>) -> Self {
        let moved = 2 * span.len();
        Self::new(name, Access::Write, element, span).moving(moved)
    }

    /// The device's state, which a kernel only looks up.
    pub fn state() -> Self {
        Self::new("state_words", Access::Uniform, Element::U32.by_fours(true), 0..STATE_WORDS).moving(0)
    }

    /// Where not each number of the span moves once.
    #[must_use]
    pub fn moving(mut self, numbers: usize) -> Self {
        self.moved = numbers;
        self
    }

    /// A result that shares the binding of the earlier entry `through` where that is not its own number `i`.
    #[must_use]
    pub fn bound_through(mut self, i: usize, through: usize) -> Self {
        self.through = (i != through).then_some(through);
        self
    }

    /// Whether its numbers are 16 bits wide.
    pub fn is_half(&self) -> bool {
        self.element.dtype == DType::F16
    }

    /// The 32-bit words that hold its span.
    pub fn words(&self) -> Range<usize> {
        if self.is_half() { self.span.start / 2..self.span.end.div_ceil(2) } else { self.span.clone() }
    }

    /// Bytes that move, in and out together.
    pub fn bytes(&self) -> u64 {
        self.moved as u64 * if self.is_half() { 2 } else { 4 }
    }
}

/// For each of a kernel's results the first one that lies in the same buffer.
pub fn shared<T: PartialEq>(buffers: &[T]) -> Vec<usize> {
    buffers.iter().enumerate().map(|(i, b)| buffers.iter().position(|x| x == b).unwrap_or(i)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_one_buffer_share_a_binding() {
        assert_eq!(shared(&['a', 'b', 'a', 'c', 'b']), [0, 1, 0, 3, 1]);
    }

    #[test]
    fn elements_have_their_names_in_wgsl() {
        let names = [Element::F32, Element::U32, Element::F16.by_fours(true), Element::float(true)].map(|e| e.to_string());
        assert_eq!(names, ["f32", "u32", "vec4<f16>", "f16"]);
    }

    /// Two halves lie in a word; an odd end takes a whole one.
    #[test]
    fn halves_take_half_the_words() {
        let b = Binding::write("out", Element::F16, 3..8);
        assert_eq!((b.words(), b.bytes()), (1..4, 10));
        assert_eq!(Binding::update("sums", Element::F32, 0..5).bytes(), 40);
    }
}
