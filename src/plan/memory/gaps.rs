//! The idle times of slots between two of their values: which of them a value fits into best is found without asking each.

/// An idle time as it is weighed: bytes of its slot, length, number of the slot.
pub type Key = (usize, usize, usize);

const NONE: Key = (usize::MAX, usize::MAX, usize::MAX);

/// An idle time: when it ends, bytes and number of its slot.
type Gap = (usize, usize, usize);

/// Idle times by when they begin: leaves of a tree whose nodes know the best key below them, and the latest end.
#[derive(Debug)]
pub struct Gaps {
    leaves: Vec<Vec<Gap>>,
    nodes: Vec<(Key, usize)>,
}

impl Gaps {
    /// For idle times that begin before this time.
    pub fn new(end: usize) -> Self {
        let width = end.max(1).next_power_of_two();
        Gaps { leaves: vec![vec![]; width], nodes: vec![(NONE, 0); 2 * width] }
    }

    pub fn insert(&mut self, from: usize, gap: Gap) {
        self.leaves[from].push(gap);
        self.renew(from);
    }

    pub fn remove(&mut self, from: usize, gap: Gap) {
        self.leaves[from].retain(|g| *g != gap);
        self.renew(from);
    }

    fn renew(&mut self, from: usize) {
        let gaps = &self.leaves[from];
        let mut at = from + self.leaves.len();
        let best = gaps.iter().map(|&(to, bytes, slot)| (bytes, to - from, slot)).min().unwrap_or(NONE);
        self.nodes[at] = (best, gaps.iter().map(|g| g.0).max().unwrap_or(0));
        while at > 1 {
            at /= 2;
            let (a, b) = (self.nodes[2 * at], self.nodes[2 * at + 1]);
            self.nodes[at] = (a.0.min(b.0), a.1.max(b.1));
        }
    }

    /// The least key of an idle time that begins before `born` and ends after `dies`.
    pub fn best(&self, born: usize, dies: usize) -> Option<Key> {
        let mut best = NONE;
        let mut open = vec![1];
        while let Some(at) = open.pop() {
            let (key, latest) = self.nodes[at];
            if key >= best || latest <= dies || self.first(at) >= born {
                continue;
            }
            if at < self.leaves.len() {
                // the more promising half is looked at first
                let swap = self.nodes[2 * at].0 < self.nodes[2 * at + 1].0;
                open.extend(if swap { [2 * at + 1, 2 * at] } else { [2 * at, 2 * at + 1] });
                continue;
            }
            let from = at - self.leaves.len();
            let fitting = self.leaves[from].iter().filter(|g| g.0 > dies);
            best = fitting.map(|&(to, bytes, slot)| (bytes, to - from, slot)).min().map_or(best, |k| k.min(best));
        }
        (best != NONE).then_some(best)
    }

    /// When the first idle time below a node may begin.
    fn first(&self, at: usize) -> usize {
        let up = (self.leaves.len().trailing_zeros()) - at.ilog2();
        (at << up) - self.leaves.len()
    }
}
