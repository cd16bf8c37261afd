//! All that is to be known of a kernel.

use super::binding::Binding;
use super::dims::Dims;
use crate::expr::Expr;

/// A kernel with its sizes: one type for each file of `shaders/`.
pub trait Archetype {
    /// Its name, with the layout where it has several.
    fn name(&self) -> String;

    /// The whole WGSL text. Kernels with equal text share a pipeline.
    fn source(&self) -> String;

    /// Its operands and results, in the order of their bindings behind the sizes.
    fn bindings(&self) -> Vec<Binding>;

    /// Its sizes.
    fn dims(&self) -> Dims;

    /// Workgroups along each axis.
    fn grid(&self) -> [u32; 3];

    /// Turns that the loops of its longest lane take together, at most, on a driver that unrolls none. A custom op's are its author's.
    fn turns(&self) -> usize;

    /// Floating-point operations, for listings.
    fn flops(&self) -> u64;

    /// A formula that it evaluates, and for how many values.
    fn formula(&self) -> Option<(&Expr, usize)> {
        None
    }

    /// All of them, where it has several.
    fn formulas(&self) -> Vec<(&Expr, usize)> {
        self.formula().into_iter().collect()
    }
}
