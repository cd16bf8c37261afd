//! The second operand of a formula: a value of the model, or a number.

use super::Var;

/// The second operand of a method that takes two: a [`Var`], or one number for all elements. `x.maximum(&y)`, `x.maximum(0.0)`, `ids.not_equal(0)`.
#[derive(Debug, Clone)]
pub enum Operand<'a> {
    /// A value of the model.
    Var(&'a Var),
    /// A number.
    Number(f64),
}

impl Operand<'_> {
    pub(super) fn var(&self) -> Option<&Var> {
        match self {
            Operand::Var(v) => Some(v),
            Operand::Number(_) => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        if let Operand::Number(x) = self { Some(*x) } else { None }
    }
}

impl<'a> From<&'a Var> for Operand<'a> {
    fn from(v: &'a Var) -> Self {
        Operand::Var(v)
    }
}

macro_rules! numbers {
    ($($number:ident)*) => {$(
        impl From<$number> for Operand<'_> {
            fn from(x: $number) -> Self {
                Operand::Number(x.into())
            }
        }
    )*};
}
numbers! { f64 f32 i32 u32 }

impl From<usize> for Operand<'_> {
    fn from(x: usize) -> Self {
        Operand::Number(x as f64)
    }
}
