//! A product that reads or stores f16, piece by piece.

use crate::cpu::lib::call::{Beside, Call, READS};
use crate::cpu::lib::fork::{Writes, f32s};
use crate::cpu::lib::halves::{f16s_mut, round, widen, words_of};
use crate::cpu::lib::pieces::Piece;
use crate::kernels::{Gemm, Output, Scattered};
use half::f16;
use half::slice::HalfFloatSliceExt;

/// Widens what a piece reads, multiplies, and rounds what it stores.
pub(super) fn run(call: Call<'_>) {
    let Call { threads, workers, reads, mut writes, beside } = call;
    let Beside { pieces, reads: wide, writes: results } = beside;
    for Piece { gemm: g, widen: fresh, rows, adds } in pieces {
        for (i, elements) in fresh.iter().enumerate() {
            if let Some(elements) = elements {
                widen(reads[i], elements.start, &mut wide[i][..elements.len()], threads);
            }
        }
        let mut read = [&[][..]; READS];
        read.iter_mut().zip(reads).for_each(|(r, &own)| *r = own);
        (0..2).filter(|i| g.spec.halves.input(*i)).for_each(|i| read[i] = &wide[i]);
        let row = g.n * g.matrices();
        let part = rows.start * row..rows.end * row;
        let mut both = Writes::default();
        let mut spare = results.iter_mut();
        for (o, dest) in writes.iter_mut().enumerate().take(g.spec.via.len()) {
            both[o] = match spare.next().filter(|_| g.spec.halves.output(o)) {
                Some(beside) => &mut beside[..part.len()],
                None if g.outputs.get(o).is_some_and(|o| o.scattered.is_some()) => &mut dest[..],
                None if o < g.outputs.len() => &mut dest[part.clone()],
                None => &mut dest[rows.start * g.matrices()..rows.end * g.matrices()],
            };
        }
        let read = &read[..g.reads()];
        // rows that lie apart are made one behind the other, too
        let halves = &g.spec.halves;
        let apart: Vec<Option<Scattered>> = g.outputs.iter().enumerate().map(|(i, o)| o.scattered.filter(|_| halves.output(i))).collect();
        let dense = apart.iter().any(Option::is_some).then(|| dense(g));
        let g = dense.as_ref().unwrap_or(g);
        if *adds {
            super::add(g, threads, read, both)
        } else {
            super::run(g, threads, workers, read, both, part.start)
        }
        for o in (0..g.outputs.len()).filter(|o| g.spec.halves.output(*o)) {
            let made = &results[o][..part.len()];
            match &apart[o] {
                Some(s) => scatter(made, g.n, s, read[g.reads() - 1], &mut f16s_mut(writes[o])[g.outputs[o].offset % 2..]),
                None => round(made, &mut writes[o][words_of(&part)], threads),
            }
        }
    }
}

/// The same product, whose rows lie one behind the other.
pub(in crate::cpu) fn dense(g: &Gemm) -> Gemm {
    let outputs = g.outputs.iter().map(|o| Output { scattered: None, ..*o }).collect();
    Gemm { outputs, ..g.clone() }
}

/// Rounds rows, each to where the tables tell.
pub(in crate::cpu) fn scatter(rows: &[u32], n: usize, s: &Scattered, tables: &[u32], to: &mut [f16]) {
    for (i, row) in f32s(rows).chunks_exact(n.max(1)).enumerate() {
        let start = i / s.positions * s.image + tables[s.starts + i % s.positions] as usize;
        to[start..start + n].convert_from_f32_slice(row);
    }
}
