//! Virtual time: what happens when, and what is busy until when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Nanoseconds: whole numbers have one order on every machine.
pub(super) type Nanos = u64;

pub(super) fn nanos(seconds: f64) -> Nanos {
    // a delay of a year is as good as one without end, and some hundreds of them still have a sum
    (seconds * 1e9).clamp(0.0, 3e16).round() as Nanos
}

pub(super) fn seconds(at: Nanos) -> f64 {
    at as f64 / 1e9
}

/// Something that happens to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// It comes, for the first time or again.
    Comes,
    /// Its wish for parameters is at the server.
    Asks,
    /// Parameters have reached it.
    Has,
    /// It dies.
    Dies,
    /// Its push has reached the server's link.
    Arrives,
    /// The server's link has taken it in.
    Received,
    /// The server has read it.
    Read,
}

/// Events in the order of their times; those of one time in the order in which they were planned.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<(Nanos, u64, usize, Event)>>,
    planned: u64,
}

impl Queue {
    pub fn plan(&mut self, at: Nanos, rank: usize, event: Event) {
        self.planned += 1;
        self.heap.push(Reverse((at, self.planned, rank, event)));
    }

    pub fn next(&mut self) -> Option<(Nanos, usize, Event)> {
        self.heap.pop().map(|Reverse((at, _, rank, event))| (at, rank, event))
    }
}

/// Something that does one thing after another.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Busy {
    pub until: Nanos,
    /// How long in all.
    pub sum: Nanos,
}

impl Busy {
    /// Takes work on that comes now; gives when it is done.
    pub fn work(&mut self, now: Nanos, takes: Nanos) -> Nanos {
        self.until = self.until.max(now).saturating_add(takes);
        self.sum = self.sum.saturating_add(takes);
        self.until
    }

    /// The part of this time in which it was busy.
    pub fn share(&self, of: Nanos) -> f64 {
        // work that was taken on and not done by then
        let left = self.until.saturating_sub(of).min(self.sum);
        (self.sum - left) as f64 / of.max(1) as f64
    }
}
