//! The twin of `shaders/accuracy.wgsl`.

use super::lib::call::{Call, Twin};
use super::lib::fork::{WRITES, Writes, f32s, f32s_mut, fork, parts, wide};
use super::lib::labels::Targets;
use super::lib::largest::first_largest;
use crate::error::Result;
use crate::kernels::Accuracy;
use std::ops::Range;

/// Nanoseconds of a score.
const SCORE: f64 = 0.3;

impl Twin for Accuracy {
    fn run(&self, Call { threads, reads, writes, .. }: Call<'_>) -> Result<()> {
        let scores = &f32s(reads[0])[self.offsets[0]..];
        let labels = Targets { kind: self.labels, words: &reads[1][self.offsets[1]..], classes: self.classes };
        let mut workers = vec![(); parts(SCORE * (self.rows * self.classes) as f64, threads)];
        fork(&mut workers, 0..self.rows, 16, [1; WRITES], writes, &|_: &mut (), rows: Range<usize>, w: Writes<'_>| {
            let scores = &scores[rows.start * self.classes..];
            wide(Hits { scores, labels: &labels, first: rows.start, hits: f32s_mut(w[0]) });
        });
        Ok(())
    }
}

/// Neighbouring rows, with room for their hits.
struct Hits<'a> {
    scores: &'a [f32],
    labels: &'a Targets<'a>,
    first: usize,
    hits: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Hits<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let rows = self.scores.chunks(self.labels.classes.max(1));
        for ((hit, x), row) in self.hits.iter_mut().zip(rows).zip(self.first..) {
            *hit = f32::from(u8::from(self.labels.counts(row) && first_largest(x) == self.labels.class(row)));
        }
    }
}
