//! f16 elements in words of 32 bits, two to a word with the first in the lower half: as devices store them.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// The f16 elements that these words hold.
pub(crate) fn f16s(words: &[u32]) -> &[f16] {
    bytemuck::cast_slice(words)
}

/// The f16 elements that these words hold, to be written.
pub(crate) fn f16s_mut(words: &mut [u32]) -> &mut [f16] {
    bytemuck::cast_slice_mut(words)
}

/// The words of these f16 elements, with 0 behind an odd end.
#[cfg(any(feature = "gpu", test))]
pub(crate) fn f16_words(elements: &[f16]) -> Vec<u32> {
    let mut words = vec![0; elements.len().div_ceil(2)];
    f16s_mut(&mut words)[..elements.len()].copy_from_slice(elements);
    words
}

/// The words of f32 elements as words of f16 ones, rounded to nearest, with 0 behind an odd end.
pub(crate) fn pack_f16(f32_words: &[u32]) -> Vec<u32> {
    let mut words = vec![0; f32_words.len().div_ceil(2)];
    f16s_mut(&mut words)[..f32_words.len()].convert_from_f32_slice(bytemuck::cast_slice(f32_words));
    words
}

/// The first f16 elements of these words as words of f32 ones.
pub(crate) fn unpack_f16(words: &[u32], elements: usize) -> Vec<u32> {
    let mut f32_words = vec![0; elements];
    f16s(words)[..elements].convert_to_f32_slice(bytemuck::cast_slice_mut(&mut f32_words));
    f32_words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_to_a_word_the_first_in_the_lower_half() {
        let ones = [1.0f32, -2.0, 1.0 + f32::EPSILON].map(f32::to_bits);
        let words = pack_f16(&ones);
        assert_eq!(words, [0xc000_3c00, 0x0000_3c00]);
        assert_eq!(f16_words(&[f16::ONE, f16::from_f32(-2.0), f16::ONE]), words);
        assert_eq!(unpack_f16(&words, 3), [1.0f32, -2.0, 1.0].map(f32::to_bits));
        assert_eq!((f16s(&words)[1].to_f32(), f16s(&words).len()), (-2.0, 4));
    }
}
