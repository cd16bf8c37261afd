//! Which groups need which, while groups are made and grow.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::ops::RangeInclusive;

/// The groups as a graph of their own. They stand in one line, each behind all that it reads: who stands in front of a group does not need it, so
/// that most questions are answered at once, and no search goes further back than to the group that it looks for.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// The groups whose values each group reads, each once.
    sources: Vec<Vec<usize>>,
    /// The groups that read each group's values, each once.
    targets: Vec<Vec<usize>>,
    /// The place of each group in the line.
    place: Vec<usize>,
    /// The search that met each group last.
    met: Vec<usize>,
    /// Searches so far.
    searches: usize,
}

#[cfg(test)]
thread_local! {
    /// Groups that searches have met: what they cost.
    pub(super) static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl Needs {
    /// The groups whose values a group reads.
    pub(super) fn sources(&self, group: usize) -> &[usize] {
        &self.sources[group]
    }

    /// The groups that read a group's values.
    pub(super) fn targets(&self, group: usize) -> &[usize] {
        &self.targets[group]
    }

    /// A new group, at the end of the line.
    pub(super) fn add(&mut self, sources: &[usize]) {
        let group = self.place.len();
        self.sources.push(vec![]);
        self.targets.push(vec![]);
        self.place.push(group);
        self.met.push(0);
        self.read(group, sources);
    }

    /// The group reads these groups, too. None of them needs it.
    pub(super) fn read(&mut self, group: usize, sources: &[usize]) {
        for &s in sources.iter().filter(|&&s| s != group) {
            if !self.sources[group].contains(&s) {
                self.sources[group].push(s);
                self.targets[s].push(group);
                self.line_up(group, s);
            }
        }
    }

    /// Group `gone` becomes part of `group`, which does not need it: who read the one reads the other.
    pub(super) fn merge(&mut self, group: usize, gone: usize) {
        for s in std::mem::take(&mut self.sources[gone]) {
            self.targets[s].retain(|t| *t != gone);
            self.read(group, &[s]);
        }
        for t in std::mem::take(&mut self.targets[gone]) {
            self.sources[t].retain(|s| *s != gone);
            self.read(t, &[group]);
        }
    }

    /// Whether group `a` needs what group `b` makes, however indirectly; a group needs itself.
    ///
    /// The search goes on from whoever stands nearest to `b`: what leads there by few steps is found by few steps.
    pub(super) fn depends(&mut self, a: usize, b: usize) -> bool {
        let end = self.place[b];
        self.searches += 1;
        let mut open = BinaryHeap::from([Reverse((self.place[a], a))]);
        while let Some(Reverse((place, group))) = open.pop() {
            if place <= end {
                return place == end;
            }
            #[cfg(test)]
            STEPS.set(STEPS.get() + 1);
            for &s in &self.sources[group] {
                if self.place[s] >= end && self.met[s] != self.searches {
                    self.met[s] = self.searches;
                    open.push(Reverse((self.place[s], s)));
                }
            }
        }
        false
    }

    /// Puts the line in order again where a group reads one that stands behind it: of those between the two, all that the read one needs go to
    /// the front, and all that need the group to the back.
    fn line_up(&mut self, group: usize, source: usize) {
        let (first, last) = (self.place[group], self.place[source]);
        if last < first {
            return;
        }
        let front = self.between(source, first..=last, |n| &n.sources);
        let back = self.between(group, first..=last, |n| &n.targets);
        let mut places: Vec<usize> = front.iter().chain(&back).map(|&g| self.place[g]).collect();
        places.sort_unstable();
        for (&group, place) in front.iter().chain(&back).zip(places) {
            self.place[group] = place;
        }
    }

    /// A group and all that hang on it by `next` within this part of the line, in the order of the line.
    fn between(&self, from: usize, part: RangeInclusive<usize>, next: impl Fn(&Needs) -> &Vec<Vec<usize>>) -> Vec<usize> {
        let (mut found, mut at) = (vec![from], 0);
        let mut met = HashSet::from([from]);
        while at < found.len() {
            for &g in &next(self)[found[at]] {
                if part.contains(&self.place[g]) && met.insert(g) {
                    found.push(g);
                }
            }
            at += 1;
        }
        found.sort_by_key(|&g| self.place[g]);
        found
    }

    /// These groups, each behind all that it reads, and otherwise in the order that they are given in. The others read nothing and are read by none.
    pub(super) fn in_order(&self, wanted: &[usize]) -> Vec<usize> {
        let mut number = vec![0; self.place.len()];
        wanted.iter().enumerate().for_each(|(i, &g)| number[g] = i);
        let mut waits: Vec<usize> = self.sources.iter().map(Vec::len).collect();
        let mut ready: BinaryHeap<Reverse<usize>> =
            wanted.iter().enumerate().filter(|(_, g)| waits[**g] == 0).map(|(i, _)| Reverse(i)).collect();
        let mut done = Vec::with_capacity(wanted.len());
        while let Some(Reverse(i)) = ready.pop() {
            done.push(wanted[i]);
            for &t in &self.targets[wanted[i]] {
                waits[t] -= 1;
                if waits[t] == 0 {
                    ready.push(Reverse(number[t]));
                }
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Philox;
    use rand::RngExt;

    /// Groups that grow at random: what needs what is told as a search through all of them tells it, and the line holds.
    #[test]
    fn needs_are_found() {
        for round in 0..300 {
            let mut rng = Philox::new(round, "groups");
            let mut needs = Needs::default();
            let plainly = |n: &Needs, a: usize, b: usize| {
                let (mut open, mut met) = (vec![a], HashSet::new());
                while let Some(g) = open.pop() {
                    if met.insert(g) {
                        open.extend(&n.sources[g]);
                    }
                }
                met.contains(&b)
            };
            for n in 0..40usize {
                let two = [rng.random_range(0..n.max(1)), rng.random_range(n.saturating_sub(4)..n.max(1))];
                needs.add(if n == 0 { &[] } else { &two });
                let (a, b) = (rng.random_range(0..=n), rng.random_range(0..=n));
                assert_eq!(needs.depends(a, b), plainly(&needs, a, b), "round {round}: {a} and {b}");
                match rng.random_range(0..3) {
                    0 if !plainly(&needs, b, a) => needs.read(a, &[b]),
                    1 if !plainly(&needs, b, a) && !plainly(&needs, a, b) => needs.merge(a, b),
                    _ => {}
                }
                for g in 0..=n {
                    assert!(needs.sources[g].iter().all(|&s| needs.place[s] < needs.place[g] && needs.targets[s].contains(&g)));
                }
            }
        }
    }
}
