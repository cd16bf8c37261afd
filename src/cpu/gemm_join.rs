//! The twin of `shaders/gemm_join.wgsl`.

use super::gemm::ending::Ending;
use super::gemm::{apart, plain};
use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts};
use crate::error::Result;
use crate::expr::{CHUNK, Evaluator};
use crate::kernels::{Gemm, GemmJoin, Halves};
use std::mem::take;
use std::ops::Range;

/// Nanoseconds of one term.
const TERM: f64 = 0.15;

impl Twin for GemmJoin {
    fn run(&self, Call { threads, workers, reads, mut writes, .. }: Call<'_>) -> Result<()> {
        let (size, rows) = (self.size(), self.rows());
        let (results, sums) = f32s(reads[0]).split_at(self.pieces * size);
        if rows > 0 {
            join(sums, rows, self.pieces, 0, f32s_mut(take(&mut writes[self.gemm.outputs.len()])));
        }
        // what was f16 is f32 here
        let mut k: Gemm = self.gemm.clone();
        k.spec.halves = Halves::default();
        let mut finish = |k: &Gemm, writes: Writes<'_>| {
            let own = |units: &Range<usize>, w: &mut Writes<'_>| join(results, size, self.pieces, units.start, f32s_mut(w[0]));
            if plain(k) {
                let mut idle = vec![(); parts(self.work(), threads)];
                return fork(&mut idle, 0..size, CHUNK, [1; WRITES], writes, &|_: &mut (), units, mut w: Writes<'_>| own(&units, &mut w));
            }
            let ending = Ending { k, reads: &reads[1..], first: 0 };
            fork(workers, 0..size, CHUNK, [1; WRITES], writes, &|e: &mut Evaluator, units, mut w: Writes<'_>| {
                own(&units, &mut w);
                ending.run(e, units, w);
            });
        };
        if k.outputs.iter().any(|o| o.within.is_some()) {
            apart(&k, writes, finish)
        } else {
            finish(&k, writes)
        }
        Ok(())
    }

    fn work(&self) -> f64 {
        TERM * (self.pieces * self.size()) as f64
    }
}

/// The sums of what the pieces, each of this size, came to, from this element on, in the pieces' order.
fn join(all: &[f32], size: usize, pieces: usize, first: usize, out: &mut [f32]) {
    let len = out.len();
    out.copy_from_slice(&all[first..first + len]);
    for p in 1..pieces {
        out.iter_mut().zip(&all[p * size + first..]).for_each(|(o, x)| *o += x);
    }
}
