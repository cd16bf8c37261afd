//! A row of a field that is shown as it is stored, but for one scale and one shift.

use super::super::lib::fork::{f32s_mut, wide};
use crate::graph::Field;
use crate::tensor::DType;

/// A row of a field, from stored to batch.
pub(super) fn one_row(f: &Field, from: &[u32], to: &mut [u32]) {
    if f.stored == DType::U8 {
        // in memory the first byte of a word is its lowest: the order of bytes in a row
        let bytes = from.iter().flat_map(|w| w.to_le_bytes());
        match (f.one_hot, f.keep_integer) {
            (Some(classes), _) => bytes.zip(to.chunks_exact_mut(classes.max(1))).for_each(|(b, to)| one_hot(b.into(), to)),
            (None, true) => to.iter_mut().zip(bytes).for_each(|(t, b)| *t = b.into()),
            (None, false) => wide(ScaleBytes { f, from, to: f32s_mut(to) }),
        }
        return;
    }
    match (f.one_hot, f.keep_integer) {
        (Some(classes), _) => from.iter().zip(to.chunks_exact_mut(classes.max(1))).for_each(|(&v, to)| one_hot(v, to)),
        (None, true) => to.copy_from_slice(from),
        (None, false) => {
            let real = f.stored == DType::F32;
            let number = |v: u32| if real { f32::from_bits(v) } else { v as f32 };
            f32s_mut(to).iter_mut().zip(from).for_each(|(t, &v)| *t = scaled(f, number(v)));
        }
    }
}

fn one_hot(class: u32, to: &mut [u32]) {
    to.fill(0);
    if let Some(t) = to.get_mut(class as usize) {
        *t = 1.0f32.to_bits();
    }
}

#[inline(always)]
fn scaled(f: &Field, v: f32) -> f32 {
    if f.shift == 0.0 { v * f.scale } else { v * f.scale + f.shift }
}

struct ScaleBytes<'a> {
    f: &'a Field,
    from: &'a [u32],
    to: &'a mut [f32],
}

impl pulp::NullaryFnOnce for ScaleBytes<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let ScaleBytes { f, from, to } = self;
        if cfg!(target_endian = "little") {
            let bytes: &[u8] = bytemuck::cast_slice(from);
            for (t, &b) in to.iter_mut().zip(bytes) {
                *t = scaled(f, f32::from(b));
            }
        } else {
            to.iter_mut().zip(from.iter().flat_map(|w| w.to_le_bytes())).for_each(|(t, b)| *t = scaled(f, f32::from(b)));
        }
    }
}
