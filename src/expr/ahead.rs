//! What will be read next is asked for, so that it comes while the processor computes. A formula goes over a piece in several passes, of which the first
//! alone reads memory: between two pieces nobody would.

/// Asks for these values: a hint, which does nothing where the compiler knows no such instruction.
#[inline(always)]
pub(crate) fn ahead(values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(16) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: every x86_64 has the instruction, which reads nothing that the program sees
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}
