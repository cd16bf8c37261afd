//! The end of a step: the optimizer, then counters and log.

use super::draft::{Place, Symbol};
use super::lower::Lowering;
use super::{BufferId, Phase, Purpose};
use crate::kernels::{Kernel, LogShape, Optimizer, Tick};

impl Lowering<'_> {
    /// The update where there is a loss to train on, and the tick.
    pub(super) fn finish(&mut self, loss: Option<Place>, metrics: &[(Place, usize)]) {
        let lane = self.r.purpose.lane();
        let (train, group) = (self.r.purpose == Purpose::Train, self.r.profile.group());
        let mut partials = 0;
        self.begin(Phase::Finish);
        self.begin(Phase::Update);
        if let (true, Some(loss)) = (train, loss) {
            let rule = self.r.rule;
            let kernel = Optimizer { rule: rule.f.clone(), moments: rule.moments, size: self.r.arena.size, group, loss: loss.1 };
            partials = kernel.partials();
            let mut ids = vec![BufferId::State(lane), BufferId::Rates, BufferId::Parameters, BufferId::Gradients];
            ids.extend((0..rule.moments).map(BufferId::Moment));
            let mut buffers: Vec<Symbol> = ids.into_iter().map(Symbol::Fixed).collect();
            buffers.extend([loss.0, Symbol::Fixed(BufferId::Partials)]);
            let n = self.r.arena.size;
            let flops = ((2 + rule.f.flops()) * n) as u64;
            self.push(
                Kernel::Optimizer(kernel),
                buffers,
                format!("{} parameters", self.r.arena.trainable_count()),
                flops,
                n * (3 + 2 * rule.moments),
            );
        }
        self.begin(Phase::Tick);
        let mut buffers = vec![Symbol::Fixed(BufferId::State(lane)), Symbol::Fixed(BufferId::Log(lane))];
        if let Some(l) = loss {
            buffers.push(l.0);
            buffers.extend(metrics.iter().map(|m| m.0.0));
        }
        if train {
            buffers.push(Symbol::Fixed(BufferId::Partials));
        }
        let kernel = Tick {
            train,
            group,
            batch: self.r.batch,
            partials,
            loss: loss.map(|l| l.1),
            metrics: metrics.iter().map(|&((_, at), n)| (at, n)).collect(),
            log: LogShape::of(metrics.iter().map(|m| m.1).sum()),
        };
        self.push(Kernel::Tick(kernel), buffers, "counters, cursor, log".into(), 0, partials);
    }
}
