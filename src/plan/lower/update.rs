//! The end of a step: the optimizer, then counters and log.

use super::lowering::Lowering;
use super::shards::OneShard;
use super::unplaced::{Place, Symbol};
use crate::expr::Expr;
use crate::kernels::{Accumulate, Direction, Halves, Kernel, LogShape, Map, Optimizer, Ratios, Squares, Strided, Tick, UpdateGuard};
use crate::plan::memory::{ALIGN, BufferId};
use crate::plan::program::Phase;
use crate::plan::purpose::{Part, Purpose};
use std::collections::HashSet;
use std::ops::Range;

impl Lowering<'_> {
    /// The update where there is a loss to train on or gradients are given, and the tick.
    pub(super) fn finish(&mut self, loss: Option<Place>, metrics: &[(Place, usize)]) {
        let set = self.r.purpose.state_set();
        let (train, group) = (self.r.purpose.trains(), self.r.target.group());
        self.begin(Phase::Finish);
        // what weighs the batch is the last of the metrics' words
        let sums = train && self.r.part.sums();
        let weighed = self.r.step.weight.is_some() && sums;
        let last = metrics.len().saturating_sub(1);
        let weight = metrics.last().filter(|_| weighed).map(|&((from, at), n)| (from, at + n - 1, n - 1));
        if sums {
            self.accumulate(weight.map(|w| (w.0, w.1)));
        }
        let updates = train && self.r.part != Part::Inner;
        let judged = loss.is_some() || self.r.purpose == Purpose::Update;
        let guard = (updates && judged).then(|| self.guard(loss));
        self.begin(Phase::Update);
        guard.iter().filter(|_| self.r.part != Part::Leave).for_each(|&guard| self.update(guard));
        let partials = guard.map_or(0, |g| g.partials);
        self.begin(Phase::Tick);
        let mut buffers = vec![Symbol::Fixed(BufferId::State(set)), Symbol::Fixed(BufferId::Log(set))];
        if let Some(l) = loss {
            buffers.push(l.0);
            buffers.extend(metrics.iter().map(|m| m.0.0));
        }
        if updates {
            buffers.push(Symbol::Fixed(BufferId::Partials));
        }
        let kernel = Tick {
            train,
            updates,
            group,
            batch: self.r.batch,
            partials,
            loss: loss.map(|l| l.1),
            metrics: metrics.iter().map(|&((_, at), n)| (at, n)).collect(),
            log: LogShape::of(metrics.iter().map(|m| m.1).sum()),
            // an update alone finds the scale in its state, as the host has set it
            scaling: self.r.rule.scaling.filter(|_| self.r.purpose == Purpose::Train),
            weight: weight.map(|w| (last, w.2)),
        };
        self.push(Kernel::Tick(kernel), buffers, "counters, cursor, log".into());
    }

    /// Adds the batch's gradient to those before it.
    fn accumulate(&mut self, weight: Option<Place>) {
        let last = self.r.part == Part::Last;
        let state = Symbol::Fixed(BufferId::State(self.r.purpose.state_set()));
        let label = if last { "mean over the update's batches" } else { "sum over the update's batches" };
        for shard in self.shards() {
            let kernel = Accumulate { size: shard.size(), rows: self.r.batch, last, weight: weight.map(|w| w.1) };
            let arenas = [BufferId::Gradients, BufferId::Sums].map(|id| self.in_shard(id, &shard));
            let buffers = std::iter::once(state).chain(arenas).chain(weight.map(|w| w.0)).collect();
            self.push(Kernel::Accumulate(kernel), buffers, shard.label(label));
        }
    }

    /// What the update waits for: the norm of all gradients. One that is not finite under a finite loss would destroy the weights.
    fn guard(&mut self, loss: Option<Place>) -> UpdateGuard {
        let rule = self.r.rule;
        let scaled = rule.scaling.is_some();
        let group = Squares::group_for(self.r.target.group(), rule.clip_norm.is_some());
        let state = scaled.then_some(Symbol::Fixed(BufferId::State(self.r.purpose.state_set())));
        let mut guard = UpdateGuard { partials: 0, clip: rule.clip_norm, scaled };
        let mut underway = None;
        for shard in self.shards() {
            let kernel = Squares { size: shard.size(), shard: shard.kernel, group, loss: loss.map(|l| l.1), scaled };
            guard.partials = kernel.partials();
            let mut buffers: Vec<Symbol> = state.into_iter().chain([self.in_shard(BufferId::Gradients, &shard)]).collect();
            buffers.extend(loss.map(|l| l.0));
            if shard.kernel.is_some() {
                buffers.push(*underway.get_or_insert_with(|| self.temporary(kernel.underway())));
            }
            buffers.extend(kernel.is_last().then_some(Symbol::Fixed(BufferId::Partials)));
            self.push(Kernel::Squares(kernel), buffers, shard.label("norm of all gradients"));
        }
        guard
    }

    /// The optimizer.
    fn update(&mut self, guard: UpdateGuard) {
        let still = self.still();
        self.shards().iter().for_each(|shard| self.update_shard(shard, guard, &still));
    }

    /// The optimizer for the parameters of a shard.
    fn update_shard(&mut self, shard: &OneShard, guard: UpdateGuard, still: &[Range<usize>]) {
        let (rule, arena) = (self.r.rule, self.r.arena);
        let (size, group, rates) = (shard.size(), self.r.target.group(), rule.rates(arena));
        let trained = || arena.entries.iter().filter(|e| !e.frozen);
        let own = || trained().filter(|e| shard.holds(e));
        let label = format!("{} parameters", own().map(|e| e.shape.size()).sum::<usize>());
        let [parameters, gradients] = [BufferId::Parameters, BufferId::Gradients].map(|id| self.in_shard(id, shard));
        let moments: Vec<Symbol> = (0..rule.moments).map(|m| self.in_shard(BufferId::Moment(m), shard)).collect();
        let state = Symbol::Fixed(BufferId::State(self.r.purpose.state_set()));
        let [rates_at, partials] = [BufferId::Rates, BufferId::Partials].map(Symbol::Fixed);
        let begin = [state, rates_at, parameters];
        let still = still_in(still, &shard.range);
        let optimizer = |f: &Expr, moments: usize, applies: bool| {
            let (rule, shard, still) = (f.clone(), shard.kernel, still.clone());
            Optimizer { rule, moments, size, shard, group, rates, guard, applies, half_copies: false, still }
        };
        let Some(apply) = &rule.apply else {
            let buffers = begin.into_iter().chain([gradients]).chain(moments).chain([partials]).collect();
            return self.optimizer(optimizer(&rule.f, rule.moments, false), buffers, shard, label);
        };
        let (kept, moved) = moments.split_at(rule.own_moments());
        let kernel =
            Direction { rule: rule.f.clone(), moments: kept.len(), size, shard: shard.kernel, group, rates, guard, still: still.clone() };
        let to = self.temporary(kernel.words());
        let buffers = begin.into_iter().chain([gradients]).chain(kept.iter().copied()).chain([to, partials]).collect();
        self.push(Kernel::Direction(kernel), buffers, shard.label(format!("direction, {label}")));
        let ratios = self.temporary(rates.tensors.max(1));
        let first = trained().take_while(|e| e.offset < shard.range.start).count();
        let tensors = first..first + own().count();
        let largest = own().map(|e| e.shape.size()).max().unwrap_or(0);
        let norms = format!("norms of {} tensors", tensors.len());
        let kernel = Ratios { rates, size, shard: shard.kernel, tensors, group, largest };
        self.push(Kernel::Ratios(kernel), vec![rates_at, to, ratios], shard.label(norms));
        let buffers = begin.into_iter().chain([to]).chain(moved.iter().copied()).chain([partials, ratios]).collect();
        self.optimizer(optimizer(apply, moved.len(), true), buffers, shard, label);
    }

    /// The update's last launch. It leaves the f16 copies of the parameters, too, unless it binds too much already.
    fn optimizer(&mut self, mut kernel: Optimizer, mut buffers: Vec<Symbol>, shard: &OneShard, label: String) {
        let copies = self.r.arena.half_copies > 0 && kernel.has_room_for_copies();
        kernel.half_copies = copies;
        buffers.extend(copies.then(|| self.in_shard(BufferId::HalfCopy, shard)));
        self.push(Kernel::Optimizer(kernel), buffers, shard.label(label));
        self.refresh_half_copies(copies, shard);
    }

    /// The blocks of parameters that the loss does not depend on. They have no gradient, which is not one of 0: nothing decays them, as in
    /// PyTorch. Neighbours are one range.
    fn still(&self) -> Vec<Range<usize>> {
        let found: HashSet<&str> = self.r.step.gradients.iter().map(|(n, _)| n.as_str()).collect();
        let depends = |name: &str| found.contains(name);
        let mut still: Vec<Range<usize>> = Vec::new();
        for e in self.r.arena.entries.iter().filter(|e| !e.frozen && !depends(&e.name)) {
            let (first, blocks) = (e.offset / ALIGN, e.shape.size().div_ceil(ALIGN));
            match still.last_mut().filter(|s| s.end == first) {
                Some(last) => last.end += blocks,
                None => still.push(first..first + blocks),
            }
        }
        still
    }

    /// Brings the parameters to their f16 copies, unless the optimizer has done so.
    fn refresh_half_copies(&mut self, done: bool, shard: &OneShard) {
        if done || self.r.arena.half_copies == 0 {
            return;
        }
        let n = shard.size();
        let map = Map::new(Expr::identity(), &[n], vec![Strided::new(0, vec![1])], vec![0]).storing(Halves::new(vec![false], vec![true]));
        let buffers = [BufferId::Parameters, BufferId::HalfCopy].map(|id| self.in_shard(id, shard)).into();
        self.push(Kernel::Map(map), buffers, shard.label(format!("f16 copies [{n}]")));
    }
}

/// The part of these blocks that lies in a shard, counted from its first.
fn still_in(still: &[Range<usize>], elements: &Range<usize>) -> Vec<Range<usize>> {
    let (first, end) = (elements.start / ALIGN, elements.end / ALIGN);
    let part = |s: &Range<usize>| s.start.max(first)..s.end.min(end);
    still.iter().map(part).filter(|s| !s.is_empty()).map(|s| s.start - first..s.end - first).collect()
}
