//! The end of a step: the optimizer, then counters and log.

use super::lowering::Lowering;
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
        let (n, last) = (self.r.arena.size, self.r.part == Part::Last);
        let kernel = Accumulate { size: n, rows: self.r.batch, last, weight: weight.map(|w| w.1) };
        let ids = [BufferId::State(self.r.purpose.state_set()), BufferId::Gradients, BufferId::Sums].map(Symbol::Fixed);
        let label = if last { "mean over the update's batches" } else { "sum over the update's batches" };
        let buffers = ids.into_iter().chain(weight.map(|w| w.0)).collect();
        self.push(Kernel::Accumulate(kernel), buffers, label.into());
    }

    /// What the update waits for: the norm of all gradients. One that is not finite under a finite loss would destroy the weights.
    fn guard(&mut self, loss: Option<Place>) -> UpdateGuard {
        let rule = self.r.rule;
        let scaled = rule.scaling.is_some();
        let group = Squares::group_for(self.r.target.group(), rule.clip_norm.is_some());
        let kernel = Squares { size: self.r.arena.size, group, loss: loss.map(|l| l.1), scaled };
        let guard = UpdateGuard { partials: kernel.partials(), clip: rule.clip_norm, scaled };
        let state = scaled.then_some(BufferId::State(self.r.purpose.state_set()));
        let mut buffers: Vec<Symbol> = state.into_iter().chain([BufferId::Gradients]).map(Symbol::Fixed).collect();
        buffers.extend(loss.map(|l| l.0).into_iter().chain([Symbol::Fixed(BufferId::Partials)]));
        self.push(Kernel::Squares(kernel), buffers, "norm of all gradients".into());
        guard
    }

    /// The optimizer.
    fn update(&mut self, guard: UpdateGuard) {
        let (rule, arena) = (self.r.rule, self.r.arena);
        let (n, set, group, rates) = (arena.size, self.r.purpose.state_set(), self.r.target.group(), rule.rates(arena));
        let label = format!("{} parameters", arena.trainable_count());
        let fixed = |ids: &[BufferId]| ids.iter().copied().map(Symbol::Fixed).collect::<Vec<_>>();
        let moments = |range: std::ops::Range<usize>| range.map(|m| Symbol::Fixed(BufferId::Moment(m)));
        let still = self.still();
        let begin = [BufferId::State(set), BufferId::Rates, BufferId::Parameters];
        let partials = Symbol::Fixed(BufferId::Partials);
        let own = rule.own_moments();
        let Some(apply) = &rule.apply else {
            let (applies, half_copies) = (false, false);
            let kernel =
                Optimizer { rule: rule.f.clone(), moments: rule.moments, size: n, group, rates, guard, applies, half_copies, still };
            let mut buffers = fixed(&begin);
            buffers.push(Symbol::Fixed(BufferId::Gradients));
            buffers.extend(moments(0..rule.moments));
            buffers.push(partials);
            return self.optimizer(kernel, buffers, label);
        };
        let kernel = Direction {
            rule: rule.f.clone(),
            moments: own,
            size: n,
            group: Direction::group_for(group),
            rates,
            guard,
            still: still.clone(),
        };
        let to = self.temporary(kernel.words());
        let mut buffers = fixed(&begin);
        buffers.push(Symbol::Fixed(BufferId::Gradients));
        buffers.extend(moments(0..own));
        buffers.extend([to, partials]);
        self.push(Kernel::Direction(kernel), buffers, format!("direction, {label}"));
        let ratios = self.temporary(rates.tensors.max(1));
        let largest = arena.entries.iter().filter(|e| !e.frozen).map(|e| e.shape.size()).max().unwrap_or(0);
        let kernel = Ratios { rates, size: n, group, largest };
        let norms = vec![Symbol::Fixed(BufferId::Rates), to, ratios];
        self.push(Kernel::Ratios(kernel), norms, format!("norms of {} tensors", rates.tensors));
        let moved = rule.moments - own;
        let (applies, half_copies) = (true, false);
        let kernel = Optimizer { rule: apply.clone(), moments: moved, size: n, group, rates, guard, applies, half_copies, still };
        let mut buffers = fixed(&begin);
        buffers.push(to);
        buffers.extend(moments(own..rule.moments));
        buffers.extend([partials, ratios]);
        self.optimizer(kernel, buffers, label);
    }

    /// The update's last launch. It leaves the f16 copies of the parameters, too, unless it binds too much already.
    fn optimizer(&mut self, mut kernel: Optimizer, mut buffers: Vec<Symbol>, label: String) {
        let copies = self.r.arena.half_copies > 0 && kernel.has_room_for_copies();
        kernel.half_copies = copies;
        buffers.extend(copies.then_some(Symbol::Fixed(BufferId::HalfCopy)));
        self.push(Kernel::Optimizer(kernel), buffers, label);
        self.refresh_half_copies(copies);
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
    fn refresh_half_copies(&mut self, done: bool) {
        if done || self.r.arena.half_copies == 0 {
            return;
        }
        let n = self.r.arena.size;
        let map = Map::new(Expr::identity(), &[n], vec![Strided::new(0, vec![1])], vec![0]).storing(Halves::new(vec![false], vec![true]));
        let buffers = [BufferId::Parameters, BufferId::HalfCopy].map(Symbol::Fixed).into();
        self.push(Kernel::Map(map), buffers, format!("f16 copies [{n}]"));
    }
}
