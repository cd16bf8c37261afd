//! Which values share a slot. A slot is a whole buffer, as large as the largest of its values, of which no two live at the same time.

use super::gaps::Gaps;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// Slots start and end at this many bytes.
pub const GRAIN: usize = 256;

/// From the launch that makes a value to the last that reads it, both included, and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    pub born: usize,
    pub dies: usize,
    pub bytes: usize,
}

/// Bytes of each slot, the largest first, and the slot of each value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    pub bytes: Vec<usize>,
    pub of: Vec<usize>,
}

impl Slots {
    pub fn total(&self) -> usize {
        self.bytes.iter().sum()
    }

    /// The largest first: programs of one model take the same slots, and so one's large slot is never another's small one, grown.
    fn sorted(self) -> Self {
        let mut order: Vec<usize> = (0..self.bytes.len()).collect();
        order.sort_by_key(|&s| Reverse(self.bytes[s]));
        let mut rank = vec![0; order.len()];
        order.iter().enumerate().for_each(|(r, &s)| rank[s] = r);
        Slots { bytes: order.iter().map(|&s| self.bytes[s]).collect(), of: self.of.iter().map(|&s| rank[s]).collect() }
    }
}

/// The largest sum of bytes that are live at one launch: no plan needs less.
pub fn bound(lives: &[Life]) -> usize {
    // what is born at a launch stands beside what dies there
    let ends = lives.iter().flat_map(|l| [(l.born, 1, l.bytes as isize), (l.dies + 1, 0, -(l.bytes as isize))]);
    let mut ends: Vec<_> = ends.collect();
    ends.sort_unstable();
    let (mut live, mut most) = (0, 0);
    for (_, _, bytes) in ends {
        live += bytes;
        most = most.max(live);
    }
    most as usize
}

/// Slots for these values. Values of one size are packed best in the order of their birth; for unequal sizes no quick way is always the best,
/// so that two are tried, and the one with fewer bytes is taken. Over networks of many shapes a long search found nothing better: what is
/// left above the bound is what whole buffers cost.
pub fn colour(lives: &[Life]) -> Slots {
    let (sizes, time) = (largest_first(lives), in_time(lives));
    if time.total() < sizes.total() { time.sorted() } else { sizes.sorted() }
}

/// In the order of birth: the smallest free slot that holds the value, else the largest free one, grown.
fn in_time(lives: &[Life]) -> Slots {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&v| lives[v].born);
    let mut out = Slots { bytes: vec![], of: vec![0; lives.len()] };
    // the slots in use by when they become free, and the free ones by their bytes, of equals the oldest first
    let (mut held, mut free) = (BinaryHeap::new(), BTreeSet::new());
    for v in order {
        let l = lives[v];
        while let Some(&Reverse((_, slot))) = held.peek().filter(|Reverse((until, _))| *until <= l.born) {
            held.pop();
            free.insert((out.bytes[slot], slot));
        }
        let found = free.range((l.bytes, 0)..).next().or_else(|| free.last()).copied();
        let slot = found.map_or(out.bytes.len(), |(_, slot)| slot);
        match found {
            Some(found) => _ = free.remove(&found),
            None => out.bytes.push(0),
        }
        out.bytes[slot] = out.bytes[slot].max(l.bytes);
        held.push(Reverse((l.dies + 1, slot)));
        out.of[v] = slot;
    }
    out
}

/// The largest value first, each in a slot that is free for its whole life, so that no slot ever grows: the one of the nearest size, and of
/// those the one where it leaves the least time unused.
fn largest_first(lives: &[Life]) -> Slots {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&v| (Reverse(lives[v].bytes), lives[v].born));
    let mut out = Slots { bytes: vec![], of: vec![0; lives.len()] };
    let mut idle = Idle::new(lives.iter().map(|l| l.dies + 1).max().unwrap_or(0));
    for v in order {
        let l = lives[v];
        let slot = idle.best(l).unwrap_or(out.bytes.len());
        if slot == out.bytes.len() {
            out.bytes.push(l.bytes);
        }
        idle.hold(slot, out.bytes[slot], l);
        out.of[v] = slot;
    }
    out
}

/// When slots are idle.
struct Idle {
    /// What each slot holds: the ends of lives, by their beginnings.
    held: Vec<BTreeMap<usize, usize>>,
    /// The idle times at both ends of slots, by the slots' bytes.
    outer: BTreeMap<usize, Outer>,
    /// Those in between.
    inner: Gaps,
}

/// Slots of one size.
#[derive(Default)]
struct Outer {
    /// When each slot's first value is born.
    first: BTreeSet<(usize, usize)>,
    /// When each slot's last value dies; the oldest slot last.
    last: BTreeSet<(usize, Reverse<usize>)>,
}

impl Idle {
    fn new(end: usize) -> Self {
        Idle { held: vec![], outer: BTreeMap::new(), inner: Gaps::new(end) }
    }

    /// The slot of the fewest bytes that is idle for a whole life, of those the one with the least time unused around it, of those the oldest.
    fn best(&self, l: Life) -> Option<usize> {
        // what is unused before the first value of a slot, and behind its last, counts nothing
        let at_ends = |(&bytes, o): (&usize, &Outer)| {
            let before = o.first.range((l.dies + 1, 0)..).next().map(|&(born, slot)| (bytes, l.born + born - l.dies, slot));
            let behind = o.last.range(..(l.born, Reverse(usize::MAX))).next_back();
            before.into_iter().chain(behind.map(|&(died, Reverse(slot))| (bytes, l.born - died, slot))).min()
        };
        let outer = self.outer.iter().find_map(at_ends);
        let inner = self.inner.best(l.born, l.dies).map(|(bytes, length, slot)| (bytes, length - (l.dies - l.born), slot));
        outer.into_iter().chain(inner).min().map(|(.., slot)| slot)
    }

    /// The slot, which has so many bytes, is in use for this life.
    fn hold(&mut self, slot: usize, bytes: usize, l: Life) {
        if slot == self.held.len() {
            self.held.push(BTreeMap::new());
        }
        let held = &mut self.held[slot];
        let before = held.range(..l.born).next_back().map(|(_, &died)| died);
        let after = held.range(l.born..).next().map(|(&born, _)| born);
        held.insert(l.born, l.dies);
        let outer = self.outer.entry(bytes).or_default();
        match before {
            Some(died) => match after {
                Some(born) => self.inner.remove(died, (born, bytes, slot)),
                None => _ = outer.last.remove(&(died, Reverse(slot))),
            },
            None => _ = after.map(|born| outer.first.remove(&(born, slot))),
        }
        match before {
            Some(died) => self.inner.insert(died, (l.born, bytes, slot)),
            None => _ = outer.first.insert((l.born, slot)),
        }
        match after {
            Some(born) => self.inner.insert(l.dies, (born, bytes, slot)),
            None => _ = outer.last.insert((l.dies, Reverse(slot))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Philox;
    use rand::RngExt;

    /// Values of a few sizes over a few launches.
    fn random(round: u64) -> Vec<Life> {
        let mut rng = Philox::new(round, "slots");
        let n = rng.random_range(0..60);
        let mut life = || {
            let born = rng.random_range(0..40);
            Life { born, dies: born + rng.random_range(0..12), bytes: 256 * [1, 1, 3, 8, 64][rng.random_range(0..5)] }
        };
        (0..n).map(|_| life()).collect()
    }

    #[test]
    fn values_of_a_slot_fit_and_never_meet() {
        for round in 0..300 {
            let lives = random(round);
            let live_at = |i: usize| lives.iter().filter(|l| l.born <= i && i <= l.dies).map(|l| l.bytes).sum::<usize>();
            let least = bound(&lives);
            assert_eq!(least, (0..60).map(live_at).max().unwrap());
            for s in [colour(&lives), in_time(&lives), largest_first(&lives)] {
                for (i, a) in lives.iter().enumerate() {
                    assert!(s.bytes[s.of[i]] >= a.bytes);
                    let alike = lives[..i].iter().zip(&s.of).filter(|(_, of)| **of == s.of[i]);
                    alike.for_each(|(b, _)| assert!(b.dies < a.born || a.dies < b.born, "{a:?} and {b:?}"));
                }
                assert!(least <= s.total() && colour(&lives).total() <= s.total());
            }
            let s = colour(&lives);
            assert!(s.bytes.is_sorted_by(|a, b| a >= b));
            assert_eq!(s, colour(&lives));
        }
    }

    #[test]
    fn one_size_needs_no_byte_above_the_bound() {
        for round in 0..100 {
            let lives: Vec<Life> = random(round).into_iter().map(|l| Life { bytes: 512, ..l }).collect();
            assert_eq!(colour(&lives).total(), bound(&lives));
        }
    }

    /// [`in_time`], which looks at each slot.
    fn plainly_in_time(lives: &[Life]) -> Slots {
        let mut order: Vec<usize> = (0..lives.len()).collect();
        order.sort_by_key(|&v| lives[v].born);
        let mut out = Slots { bytes: vec![], of: vec![0; lives.len()] };
        let mut until: Vec<usize> = vec![];
        for v in order {
            let l = lives[v];
            let free = || (0..until.len()).filter(|&s| until[s] <= l.born);
            let fits = free().filter(|&s| out.bytes[s] >= l.bytes).min_by_key(|&s| out.bytes[s]);
            let slot = fits.or_else(|| free().max_by_key(|&s| out.bytes[s])).unwrap_or(until.len());
            if slot == until.len() {
                until.push(0);
                out.bytes.push(0);
            }
            out.bytes[slot] = out.bytes[slot].max(l.bytes);
            until[slot] = l.dies + 1;
            out.of[v] = slot;
        }
        out
    }

    /// [`largest_first`], which looks at each slot.
    fn plainly_largest_first(lives: &[Life]) -> Slots {
        let mut order: Vec<usize> = (0..lives.len()).collect();
        order.sort_by_key(|&v| (Reverse(lives[v].bytes), lives[v].born));
        let mut out = Slots { bytes: vec![], of: vec![0; lives.len()] };
        let mut held: Vec<Vec<Life>> = vec![];
        for v in order {
            let l = lives[v];
            let free = |s: &usize| held[*s].iter().all(|h| h.dies < l.born || l.dies < h.born);
            let gap = |s: usize| {
                let before = held[s].iter().filter(|h| h.dies < l.born).map(|h| l.born - h.dies).min();
                let after = held[s].iter().filter(|h| h.born > l.dies).map(|h| h.born - l.dies).min();
                before.unwrap_or(l.born) + after.unwrap_or(0)
            };
            let slot = (0..held.len()).filter(free).min_by_key(|&s| (out.bytes[s], gap(s))).unwrap_or(held.len());
            if slot == held.len() {
                held.push(vec![]);
                out.bytes.push(l.bytes);
            }
            held[slot].push(l);
            out.of[v] = slot;
        }
        out
    }

    #[test]
    fn the_same_slots_as_by_asking_each() {
        for round in 0..2000 {
            let lives = random(round);
            assert_eq!(in_time(&lives), plainly_in_time(&lives), "{round}");
            assert_eq!(largest_first(&lives), plainly_largest_first(&lives), "{round}");
        }
    }
}
