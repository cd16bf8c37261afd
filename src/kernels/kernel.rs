//! The list of kernels.

use super::lib::archetype::Archetype;
use super::lib::binding::{Access, Binding};
use super::lib::limits::MAX_GROUPS;
use super::lib::word::count_in_32_bits;
use crate::expr::Expr;

macro_rules! kernels {
    ($($(#[$about:meta])* $kernel:ident,)*) => {
        /// A kernel with its sizes. The order of its buffers is stated at each archetype.
        #[derive(Debug, Clone)]
        pub enum Kernel {
            $($(#[$about])* $kernel(super::$kernel),)*
        }

        impl Kernel {
            /// The names of all kinds.
            pub const KINDS: &'static [&'static str] = &[$(stringify!($kernel)),*];

            /// The name of its kind, one of [`Kernel::KINDS`].
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Kernel::$kernel(_) => stringify!($kernel),)*
                }
            }

            /// What its archetype tells of it.
            pub fn archetype(&self) -> &dyn Archetype {
                match self {
                    $(Kernel::$kernel(k) => k,)*
                }
            }
        }
    };
}
super::with_kernels!(kernels);

impl Kernel {
    /// The archetype's name, with the layout where it has several.
    pub fn name(&self) -> String {
        self.archetype().name()
    }

    /// The whole WGSL text; two kernels with equal text share a pipeline.
    pub fn source(&self) -> String {
        self.archetype().source()
    }

    /// Its operands and results, in the order of their bindings behind the sizes.
    pub fn bindings(&self) -> Vec<Binding> {
        self.archetype().bindings()
    }

    /// How it uses each of its buffers, in the order of their bindings behind the sizes.
    pub fn accesses(&self) -> Vec<Access> {
        self.bindings().iter().filter(|b| b.through.is_none()).map(|b| b.access).collect()
    }

    /// Its row of the `dims` buffer.
    pub fn dims(&self) -> Vec<u32> {
        self.archetype().dims().row()
    }

    /// Workgroups along each axis.
    pub fn grid(&self) -> [u32; 3] {
        self.archetype().grid()
    }

    /// Turns that the loops of its longest lane take together, at most, on a driver that unrolls none.
    pub fn turns(&self) -> usize {
        self.archetype().turns()
    }

    /// Floating-point operations, for listings.
    pub fn flops(&self) -> u64 {
        self.archetype().flops()
    }

    /// Bytes that it reads and writes.
    pub fn bytes(&self) -> u64 {
        self.bindings().iter().map(Binding::bytes).sum()
    }

    /// The formulas that it evaluates, each with how many values it is evaluated for.
    pub fn formulas(&self) -> Vec<(&Expr, usize)> {
        self.archetype().formulas()
    }

    /// Whether shaders, which count in 32 bits, can tell its sizes, offsets, strides and threads, and a grid holds its workgroups.
    pub fn counts(&self) -> bool {
        let grid = count_in_32_bits(|| (self.dims(), self.grid()).1);
        grid.is_some_and(|grid| grid.iter().all(|&g| g as usize <= MAX_GROUPS))
    }
}
