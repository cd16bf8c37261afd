//! A formula along rows of values, some of whose inputs are one number for a row: what is looked up and decided once for all of them.

use super::Evaluator;
use super::compute::{Found, LENT, compute, settle};
use super::row::Row;
use pulp::Simd;

/// Where the values of an input are.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// One number for each row.
    Numbers(&'a [f32]),
    /// The first row's, and each further one's so many values behind.
    Lies(&'a [f32], usize),
    /// Nowhere: they are asked for, row by row.
    Put,
}

/// What is done with a row once it is computed, where vectors are wide: the method is to be inlined.
pub trait Behind {
    /// The row of this number, and what has been made of it.
    fn row<S: Simd>(&mut self, simd: S, row: usize, made: Made<'_>);
}

/// The results of a row.
pub struct Made<'a> {
    outputs: &'a [usize],
    found: Found<'a>,
    rows: &'a [Row],
    results: &'a [&'a mut [f32]],
}

impl Made<'_> {
    /// Output `o`, wherever it was made.
    #[inline(always)]
    pub fn output(&self, o: usize) -> &[f32] {
        self.found.at(self.outputs[o], self.rows, self.results)
    }
}

/// Results that are made where they belong; further ones are copied there.
const RESULTS: usize = 8;

impl Evaluator {
    /// Rows of so many values, at most [`MOST`](super::MOST) of each. `source` tells where an input is; `put(i, r, row)` fills in what is nowhere. Output `o` of row
    /// `r` goes to `results[o]` from `r * step` on, unless that is empty or not there.
    pub fn along<'a>(
        &mut self,
        [rows, columns]: [usize; 2],
        source: impl Fn(usize) -> Source<'a>,
        put: &mut dyn FnMut(usize, usize, &mut [f32]),
        (results, step): (&mut [&mut [f32]], usize),
        behind: &mut impl Behind,
    ) {
        let sources: Vec<Source<'a>> = self.inputs.iter().map(|i| source(i.number)).collect();
        pulp::Arch::new().dispatch(Along { e: self, rows, columns, sources: &sources, put, results, step, behind });
    }
}

// a struct and not a closure: a closure that the compiler does not inline would compute with narrow vectors
struct Along<'a, 'r, 'w, B> {
    e: &'r mut Evaluator,
    rows: usize,
    columns: usize,
    sources: &'r [Source<'a>],
    put: &'r mut dyn FnMut(usize, usize, &mut [f32]),
    results: &'r mut [&'w mut [f32]],
    step: usize,
    behind: &'r mut B,
}

impl<B: Behind> pulp::WithSimd for Along<'_, '_, '_, B> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Along { e, columns, sources, put, results, step, behind, .. } = self;
        let Evaluator { expr, passes, rows, inputs, places, .. } = e;
        let mut lent = [None; LENT];
        for r in 0..self.rows {
            for (input, source) in inputs.iter().zip(sources) {
                let row = &mut rows[input.node][..columns];
                match *source {
                    Source::Numbers(all) if input.single => row[0] = all[r],
                    Source::Numbers(all) => row.fill(all[r]),
                    Source::Lies(all, step) if input.lends => lent[input.number] = Some(&all[r * step..][..columns]),
                    Source::Lies(all, step) => row.copy_from_slice(&all[r * step..][..columns]),
                    Source::Put => put(input.number, r, row),
                }
            }
            let (near, far) = results.split_at_mut(RESULTS.min(results.len()));
            let mut own = <[&mut [f32]; RESULTS]>::default();
            for (own, all) in own.iter_mut().zip(near).filter(|(_, all)| !all.is_empty()) {
                *own = &mut all[r * step..][..columns];
            }
            let found = Found { nodes: expr.nodes(), lent, places, len: columns };
            compute(passes, rows, &found, &mut own);
            settle(expr.outputs(), rows, &found, &mut own);
            for (o, to) in (RESULTS..).zip(far).filter(|(_, to)| !to.is_empty()) {
                to[r * step..][..columns].copy_from_slice(found.at(expr.outputs()[o], rows, &[]));
            }
            behind.row(simd, r, Made { outputs: expr.outputs(), found, rows, results: &own });
        }
    }
}
