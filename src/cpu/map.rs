use super::fork::{WRITES, Writes, f32s, f32s_mut, fork};
use crate::expr::{CHUNK, Evaluator};
use crate::kernels::{Map, Read, Strided};
use std::ops::Range;

/// The words of each binding that it touches.
pub(super) fn spans(k: &Map) -> Vec<Range<usize>> {
    let n = k.size();
    let last = |s: &Strided| k.shape.iter().zip(&s.strides).map(|(&d, &s)| d.saturating_sub(1) * s).sum::<usize>();
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
                    Read::Strided => strided(&mut row[..len], from, s, &k.shape, first),
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
    let (Some((&extent, outer)), Some((&step, steps))) = (shape.split_last(), s.strides.split_last()) else { return };
    let mut done = 0;
    while done < row.len() {
        let (mut rest, inner) = ((first + done) / extent, (first + done) % extent);
        let mut at = s.offset + inner * step;
        for (&d, &s) in outer.iter().zip(steps).rev() {
            at += rest % d * s;
            rest /= d;
        }
        let run = (extent - inner).min(row.len() - done);
        copy_run(&mut row[done..done + run], from, at, step);
        done += run;
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
