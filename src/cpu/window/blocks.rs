//! A row of the result, in blocks of channels whose values stay in registers.

use super::{Operands, entries, place};
use crate::kernels::WindowFormula;

pub(super) struct Row<'a, 'b> {
    pub o: &'a Operands<'b>,
    pub image: usize,
    pub row: usize,
    pub out: &'a mut [f32],
}

/// A place of the result: what it sees.
struct Seen<'a> {
    image: usize,
    down: &'a [u32],
    across: &'a [u32],
}

/// What a window makes of `L` channels from `c` on.
trait Block {
    fn block<const L: usize>(&self, o: &Operands<'_>, s: &Seen<'_>, c: usize) -> [f32; L];
}

impl pulp::NullaryFnOnce for Row<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        match self.o.k.spec.formula {
            WindowFormula::Sum => self.with(&Sum),
            WindowFormula::Largest => self.with(&Largest),
            WindowFormula::Picked | WindowFormula::Back => self.with(&Picked),
            WindowFormula::Depthwise => self.with(&Depthwise),
            WindowFormula::DepthwiseBack => self.with(&DepthwiseBack),
            WindowFormula::DepthwiseWeights => self.with(&DepthwiseWeights),
        }
    }
}

impl Row<'_, '_> {
    #[inline(always)]
    fn with<B: Block>(self, b: &B) {
        let Row { o, image, row, out } = self;
        let channels = o.k.out.channels;
        // channels that share one of the operand's are taken one by one
        let apart = o.k.each > 1;
        let down = entries(o.tables, &o.k.lists[0], row);
        for (column, out) in out.chunks_exact_mut(channels.max(1)).enumerate() {
            let s = Seen { image, down, across: entries(o.tables, &o.k.lists[1], column) };
            let mut c = 0;
            while !apart && c + 64 <= channels {
                out[c..c + 64].copy_from_slice(&b.block::<64>(o, &s, c));
                c += 64;
            }
            while !apart && c + 16 <= channels {
                out[c..c + 16].copy_from_slice(&b.block::<16>(o, &s, c));
                c += 16;
            }
            while !apart && c + 4 <= channels {
                out[c..c + 4].copy_from_slice(&b.block::<4>(o, &s, c));
                c += 4;
            }
            while c < channels {
                out[c] = b.block::<1>(o, &s, c)[0];
                c += 1;
            }
        }
    }
}

/// `L` values from `at` on, where they lie.
#[inline(always)]
fn some<const L: usize>(x: &[f32], at: usize) -> &[f32; L] {
    x[at..at + L].first_chunk().unwrap_or(&[0.0; L])
}

struct Sum;

impl Block for Sum {
    #[inline(always)]
    fn block<const L: usize>(&self, o: &Operands<'_>, s: &Seen<'_>, c: usize) -> [f32; L] {
        let mut sum = [0.0; L];
        for a in s.down.chunks_exact(2) {
            for b in s.across.chunks_exact(2) {
                let weight = f32::from_bits(a[1]) * f32::from_bits(b[1]);
                let x: &[f32; L] = some(o.x, place(&o.k.x, s.image, a[0], b[0]) + c);
                for i in 0..L {
                    sum[i] += x[i] * weight;
                }
            }
        }
        sum
    }
}

/// Of equal ones the first counts, of NaN the last.
struct Largest;

impl Block for Largest {
    #[inline(always)]
    fn block<const L: usize>(&self, o: &Operands<'_>, s: &Seen<'_>, c: usize) -> [f32; L] {
        let mut most = [f32::NEG_INFINITY; L];
        for a in s.down.chunks_exact(2) {
            for b in s.across.chunks_exact(2) {
                let x: &[f32; L] = some(o.x, place(&o.k.x, s.image, a[0], b[0]) + c);
                for i in 0..L {
                    most[i] = if (x[i] > most[i]) | x[i].is_nan() { x[i] } else { most[i] };
                }
            }
        }
        most
    }
}

struct Picked;

impl Block for Picked {
    #[inline(always)]
    fn block<const L: usize>(&self, o: &Operands<'_>, s: &Seen<'_>, c: usize) -> [f32; L] {
        let (mut most, mut picked, mut first) = ([0.0; L], [0.0; L], true);
        for a in s.down.chunks_exact(2) {
            for b in s.across.chunks_exact(2) {
                let x: &[f32; L] = some(o.x, place(&o.k.x, s.image, a[0], b[0]) + c);
                let y: &[f32; L] = some(&o.y, place(&o.k.x, s.image, a[0], b[0]) + c);
                for i in 0..L {
                    let larger = first | (x[i] > most[i]) | x[i].is_nan();
                    most[i] = if larger { x[i] } else { most[i] };
                    picked[i] = if larger { y[i] } else { picked[i] };
                }
                first = false;
            }
        }
        picked
    }
}

struct Depthwise;

impl Block for Depthwise {
    #[inline(always)]
    fn block<const L: usize>(&self, o: &Operands<'_>, s: &Seen<'_>, c: usize) -> [f32; L] {
        let (mut sum, weights) = ([0.0; L], o.k.out.channels);
        let (wide, own) = (o.k.y.map_or(1, |y| y.columns), c / o.k.each);
        for a in s.down.chunks_exact(2) {
            for b in s.across.chunks_exact(2) {
                let x: &[f32; L] = some(o.x, place(&o.k.x, s.image, a[0], b[0]) + own);
                let w: &[f32; L] = some(&o.y, (a[1] as usize * wide + b[1] as usize) * weights + c);
                for i in 0..L {
                    sum[i] += x[i] * w[i];
                }
            }
        }
        sum
    }
}

struct DepthwiseBack;

impl Block for DepthwiseBack {
    #[inline(always)]
    fn block<const L: usize>(&self, o: &Operands<'_>, s: &Seen<'_>, c: usize) -> [f32; L] {
        let (mut sum, weights, each) = ([0.0; L], o.k.x.channels, o.k.each);
        let wide = o.k.y.map_or(1, |y| y.columns);
        for a in s.down.chunks_exact(2) {
            for b in s.across.chunks_exact(2) {
                for k in 0..each {
                    let x: &[f32; L] = some(o.x, place(&o.k.x, s.image, a[0], b[0]) + c * each + k);
                    let w: &[f32; L] = some(&o.y, (a[1] as usize * wide + b[1] as usize) * weights + c * each + k);
                    for i in 0..L {
                        sum[i] += x[i] * w[i];
                    }
                }
            }
        }
        sum
    }
}

struct DepthwiseWeights;

impl Block for DepthwiseWeights {
    #[inline(always)]
    fn block<const L: usize>(&self, o: &Operands<'_>, s: &Seen<'_>, c: usize) -> [f32; L] {
        let mut sum = [0.0; L];
        let Some(y) = &o.k.y else { return sum };
        let own = c / o.k.each;
        let images = s.image * o.k.together..o.k.images.min((s.image + 1) * o.k.together);
        for a in s.down.chunks_exact(2) {
            for b in s.across.chunks_exact(2) {
                for image in images.clone() {
                    let x: &[f32; L] = some(o.x, place(&o.k.x, image, a[1], b[1]) + own);
                    let y: &[f32; L] = some(&o.y, place(y, image, a[0], b[0]) + c);
                    for i in 0..L {
                        sum[i] += x[i] * y[i];
                    }
                }
            }
        }
        sum
    }
}
