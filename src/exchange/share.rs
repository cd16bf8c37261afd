//! Which batches of which rows a worker takes.

use crate::model::accumulation::Accumulation;
use serde::{Deserialize, Serialize};

/// Whose the rows are that a worker is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Share {
    /// All workers are given the same rows. Of each epoch's batches, in the one order that all share, each takes every `world`-th: together they train on
    /// what one worker would. (In [`Mode::Local`](super::Mode::Local) each takes every `world`-th row instead.)
    #[default]
    Common,
    /// Each worker is given rows that only it has, as a Spark partition.
    Own,
}

/// Where a clock of a worker lies: which batch of which epoch, and the batch's number among all that are drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub epoch: u64,
    /// The batch within the epoch; none where this worker has no batch left in it.
    pub batch: Option<usize>,
    /// Keys random draws: no two batches of a run have the same.
    pub number: u64,
}

/// The batches of a worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batches {
    pub share: Share,
    pub rank: usize,
    pub world: usize,
    pub cut: Accumulation,
    /// Clocks of an epoch.
    pub rounds: u64,
    /// Epochs and batches before the run.
    pub before: [u64; 2],
}

impl Place {
    /// In a run that has so many epochs and batches before it.
    pub fn after(self, [epochs, batches]: [u64; 2]) -> Self {
        Place { epoch: self.epoch + epochs, number: self.number + batches, ..self }
    }
}

impl Batches {
    pub fn at(&self, clock: u64) -> Place {
        let (epoch, round) = (clock / self.rounds.max(1), clock % self.rounds.max(1));
        let (rank, world, own) = (self.rank as u64, self.world as u64, self.cut.batches() as u64);
        let (batch, number) = match self.share {
            Share::Common => (round * world + rank, epoch * own + round * world + rank),
            Share::Own => (round, (epoch * self.rounds + round) * world + rank),
        };
        Place { epoch, batch: (batch < own).then_some(batch as usize), number }.after(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three workers take every batch of an epoch once, under the numbers that one worker would give them.
    #[test]
    fn common_batches_are_those_of_one_worker() {
        let cut = Accumulation { rows: 22, batch: 3, accumulate: 3 };
        let mut taken = vec![];
        for clock in 0..2 * cut.updates() as u64 {
            for rank in 0..3 {
                let at = Batches { share: Share::Common, rank, world: 3, cut, rounds: cut.updates() as u64, before: [0; 2] }.at(clock);
                taken.extend(at.batch.map(|b| (at.epoch, b, at.number)));
            }
        }
        let one: Vec<_> = (0..16).map(|n| (n / 8, (n % 8) as usize, n)).collect();
        assert_eq!(taken, one);
    }

    /// With rows of its own a worker that has fewer rests at an epoch's end, and all numbers differ.
    #[test]
    fn own_batches_end_at_their_own_time() {
        let of = |rank, rows| Batches {
            share: Share::Own,
            rank,
            world: 2,
            cut: Accumulation { rows, batch: 4, accumulate: 1 },
            rounds: 3,
            before: [0; 2],
        };
        let batches = |b: Batches| (0..6).map(|c| b.at(c).batch).collect::<Vec<_>>();
        assert_eq!(batches(of(0, 12)), [Some(0), Some(1), Some(2), Some(0), Some(1), Some(2)]);
        assert_eq!(batches(of(1, 5)), [Some(0), Some(1), None, Some(0), Some(1), None]);
        let mut numbers: Vec<u64> = (0..6).flat_map(|c| [of(0, 12).at(c).number, of(1, 5).at(c).number]).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..12).collect::<Vec<_>>());
    }
}
