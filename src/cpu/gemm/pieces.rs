//! A product that reads or stores f16, piece by piece.

use crate::cpu::lib::call::{Beside, Call, READS};
use crate::cpu::lib::fork::Writes;
use crate::cpu::lib::halves::{round, widen, words_of};
use crate::cpu::lib::pieces::Piece;

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
                None if o < g.outputs.len() => &mut dest[part.clone()],
                None => &mut dest[rows.start * g.matrices()..rows.end * g.matrices()],
            };
        }
        let read = &read[..g.reads()];
        if *adds {
            super::add(g, threads, read, both)
        } else {
            super::run(g, threads, workers, read, both, part.start)
        }
        for o in (0..g.outputs.len()).filter(|o| g.spec.halves.output(*o)) {
            round(&results[o][..part.len()], &mut writes[o][words_of(&part)], threads);
        }
    }
}
