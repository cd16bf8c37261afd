//! How the rows of an epoch become batches, and the batches updates: one each, or several whose gradients are accumulated.

use crate::plan::{Handle, Part};

/// How an epoch is cut into batches, and how many batches make an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accumulation {
    /// Rows of the data set.
    pub rows: usize,
    /// Rows of a batch; the last one may have fewer.
    pub batch: usize,
    /// Batches whose gradients make one update; the last update of an epoch may have fewer.
    pub accumulate: usize,
}

impl Accumulation {
    /// All rows in one batch with one update.
    pub fn single(rows: usize) -> Self {
        Accumulation { rows, batch: rows, accumulate: 1 }
    }

    /// Batches of an epoch.
    pub fn batches(&self) -> usize {
        self.rows.div_ceil(self.batch)
    }

    /// Updates of an epoch.
    pub fn updates(&self) -> usize {
        self.batches().div_ceil(self.accumulate)
    }

    /// The first batch of an update, or the end of the epoch.
    pub fn first(&self, update: usize) -> usize {
        update.saturating_mul(self.accumulate).min(self.batches())
    }

    /// The update that a batch of the epoch belongs to.
    pub fn update_of(&self, batch: usize) -> usize {
        batch / self.accumulate
    }

    /// Whether a new update begins at this batch, or would at the end of the epoch.
    pub fn begins(&self, batch: usize) -> bool {
        self.first(self.update_of(batch)) == batch || batch >= self.batches()
    }

    /// The first batch after the update that is open at this batch; the batch itself where none is open.
    pub fn end_of(&self, batch: usize) -> usize {
        if self.begins(batch) { batch } else { self.first(self.update_of(batch) + 1) }
    }

    /// Updates that end within `count` batches from this one on.
    pub fn ended(&self, batch: usize, count: usize) -> usize {
        let before = |batch: usize| if batch >= self.batches() { self.updates() } else { self.update_of(batch) };
        before(batch + count) - before(batch)
    }

    /// Rows of a batch.
    pub fn rows_of(&self, batch: usize) -> usize {
        self.rows.saturating_sub(batch * self.batch).min(self.batch)
    }

    /// How many updates `count` batches from this one on belong to.
    pub fn touched(&self, batch: usize, count: usize) -> usize {
        self.update_of(batch + count.max(1) - 1) - self.update_of(batch) + 1
    }

    /// Which program a batch needs: its part of the update, its rows.
    pub fn program(&self, batch: usize) -> (Part, usize) {
        let update = self.update_of(batch);
        let end = self.first(update + 1);
        let part = match (end - self.first(update), batch + 1 == end) {
            (1, _) => Part::Whole,
            (_, true) => Part::Last,
            (_, false) => Part::Inner,
        };
        (part, self.rows_of(batch))
    }

    /// The programs of `count` batches from this one on, each with the number of batches in a row that it runs.
    pub fn runs(&self, batch: usize, count: usize) -> Vec<((Part, usize), usize)> {
        let mut out: Vec<((Part, usize), usize)> = Vec::new();
        for b in batch..(batch + count).min(self.batches()) {
            match out.last_mut().filter(|r| r.0 == self.program(b)) {
                Some(run) => run.1 += 1,
                None => out.push((self.program(b), 1)),
            }
        }
        out
    }

    /// As [`Accumulation::runs`], with the handles of the programs.
    pub fn runs_of(&self, handles: &[((Part, usize), Handle)], batch: usize, count: usize) -> Vec<(Handle, usize)> {
        let handle = |p: (Part, usize)| handles.iter().find(|h| h.0 == p).map(|h| h.1);
        self.runs(batch, count).into_iter().filter_map(|(p, n)| Some((handle(p)?, n))).collect()
    }

    /// Every program of an epoch. All updates but the last are alike.
    pub fn programs(&self) -> Vec<(Part, usize)> {
        let last = self.updates().saturating_sub(1);
        let of = |u: usize| self.runs(self.first(u), self.first(u + 1) - self.first(u));
        let mut all: Vec<_> = of(0).into_iter().chain(of(last)).map(|r| r.0).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// The order in which rows are fed, and where it starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub shuffle: bool,
    /// The number of the first epoch, which keys its order.
    pub epoch: u32,
    /// The first row of it, at a batch's start.
    pub row: usize,
    pub epochs: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every batch in one update, updates one after another, all rows counted, for many shapes of an epoch.
    #[test]
    fn an_epoch_is_cut_without_gap() {
        for (rows, batch, accumulate) in
            [(10, 3, 1), (10, 3, 2), (10, 3, 3), (10, 3, 4), (10, 3, 9), (12, 3, 2), (2, 5, 3), (7, 1, usize::MAX)]
        {
            let w = Accumulation { rows, batch, accumulate };
            let all: Vec<_> = (0..w.batches()).map(|b| w.program(b)).collect();
            assert_eq!(all.iter().map(|p| p.1).sum::<usize>(), rows);
            assert_eq!(all.iter().filter(|p| p.0 != Part::Inner).count(), w.updates(), "{w:?}");
            assert_eq!(w.ended(0, w.batches()), w.updates());
            let mut programs = all.clone();
            programs.sort();
            programs.dedup();
            assert_eq!(w.programs(), programs, "{w:?}");
            let flat: Vec<_> = w.runs(0, w.batches()).into_iter().flat_map(|(p, n)| std::iter::repeat_n(p, n)).collect();
            assert_eq!(flat, all);
            assert_eq!((0..w.batches()).filter(|b| w.begins(*b)).count(), w.updates());
        }
        let w = Accumulation { rows: 10, batch: 3, accumulate: 2 };
        assert_eq!(w.runs(0, 4), [((Part::Inner, 3), 1), ((Part::Last, 3), 1), ((Part::Inner, 3), 1), ((Part::Last, 1), 1)]);
        assert_eq!([w.touched(1, 2), w.touched(0, 2), w.touched(0, 4), w.touched(1, 1)], [2, 1, 2, 1]);
    }
}
