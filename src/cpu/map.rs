use super::fork::{WRITES, Writes, f32s, f32s_mut, fork};
use crate::expr::{CHUNK, Evaluator};
use crate::kernels::{Map, Read, Strided};
use std::ops::Range;

/// The words of each binding that it touches.
pub(super) fn spans(k: &Map) -> Vec<Range<usize>> {
    let n = k.size();
    let last = |s: &Strided| {
        let extents = s.window.as_ref().map_or(&k.shape, |w| &w.size);
        extents.iter().zip(&s.strides).map(|(&d, &s)| d.saturating_sub(1) * s).sum::<usize>()
    };
    let inputs = k.inputs.iter().map(|s| s.offset..s.offset + if n == 0 { 0 } else { last(s) + 1 });
    inputs.chain(k.outputs.iter().map(|&o| o..o + n)).collect()
}

/// The twin of `shaders/map.wgsl`.
pub(super) fn run(k: &Map, workers: &mut [Evaluator], reads: &[&[u32]], writes: Writes<'_>) {
    fork(workers, 0..k.size(), CHUNK, [1; WRITES], writes, &|e: &mut Evaluator, units: Range<usize>, mut w: Writes<'_>| {
        for first in units.clone().step_by(CHUNK) {
            let len = CHUNK.min(units.end - first);
            e.chunk(|i, row| {
                let (from, s) = (f32s(reads[i]), &k.inputs[i]);
                match k.spec.reads[i] {
                    Read::Flat => row[..len].copy_from_slice(&from[s.offset + first..][..len]),
                    Read::One => row.fill(from[s.offset]),
                    Read::Strided | Read::Window => strided(&mut row[..len], from, s, &k.shape, first),
                }
            });
            for (o, out) in w.iter_mut().enumerate().take(k.outputs.len()) {
                f32s_mut(out)[first - units.start..][..len].copy_from_slice(&e.output(o)[..len]);
            }
        }
    });
}

/// Elements `first..` of the output's order, read along strides: a division for each run along the innermost axis.
fn strided(row: &mut [f32], from: &[f32], s: &Strided, shape: &[usize], first: usize) {
    let Some((&extent, outer)) = shape.split_last() else {
        return row.fill(from[s.offset]); // one element
    };
    let last = outer.len();
    let mut done = 0;
    while done < row.len() {
        let (mut rest, inner) = ((first + done) / extent, (first + done) % extent);
        let run = (extent - inner).min(row.len() - done);
        let out = &mut row[done..done + run];
        done += run;
        let Some(w) = &s.window else {
            let mut at = s.offset + inner * s.strides[last];
            for (&d, &step) in outer.iter().zip(&s.strides).rev() {
                at += rest % d * step;
                rest /= d;
            }
            copy_run(out, from, at, s.strides[last]);
            continue;
        };
        let (mut at, mut inside) = (s.offset, true);
        for axis in (0..last).rev() {
            let c = (rest % outer[axis]).wrapping_sub(w.before[axis]);
            inside &= c < w.size[axis];
            at += if inside { c * s.strides[axis] } else { 0 };
            rest /= outer[axis];
        }
        let fill = f32::from_bits(w.fill);
        // the part of the run that lies in the window
        let lo = w.before[last].clamp(inner, inner + run) - inner;
        let hi = (w.before[last] + w.size[last]).clamp(inner, inner + run) - inner;
        if !inside || lo >= hi {
            out.fill(fill);
            continue;
        }
        out[..lo].fill(fill);
        out[hi..].fill(fill);
        copy_run(&mut out[lo..hi], from, at + (inner + lo - w.before[last]) * s.strides[last], s.strides[last]);
    }
}

/// `row[j] = from[at + j * step]`
pub(super) fn copy_run(row: &mut [f32], from: &[f32], at: usize, step: usize) {
    match step {
        0 => row.fill(from[at]),
        1 => row.copy_from_slice(&from[at..][..row.len()]),
        _ => row.iter_mut().zip(from[at..].iter().step_by(step)).for_each(|(r, &v)| *r = v),
    }
}
