//! Slots: values that do not live at the same time share a buffer.

use super::draft::{Draft, Symbol};
use super::slots::{self, Life};
use super::{Arena, BufferId, Launch, Output, Program, Request, human_bytes};
use crate::kernels::words::{PARTIALS, STATE_WORDS};
use crate::kernels::{DIMS, LogShape};

/// Values that are named where memory is short.
const NAMED: usize = 4;

/// Slots start and end at this many bytes.
const GRAIN: usize = 256;

/// Gives every virtual buffer a slot. The slots come with the largest first.
pub fn colour(r: &Request<'_>, draft: Draft) -> Program {
    let n = draft.virtuals.len();
    let end = draft.launches.len();
    let (mut born, mut dies) = (vec![end; n], vec![0; n]);
    for (i, l) in draft.launches.iter().enumerate() {
        for s in &l.buffers {
            if let Symbol::Virtual(v) = s {
                born[*v] = born[*v].min(i);
                dies[*v] = dies[*v].max(i);
            }
        }
    }
    draft.kept.iter().for_each(|&v| dies[v] = end);
    let bytes: Vec<usize> = draft.virtuals.iter().map(|b| b.next_multiple_of(GRAIN)).collect();
    // what no launch touches takes no slot
    let used: Vec<usize> = (0..n).filter(|&v| born[v] < end).collect();
    let lives_of =
        |bytes: &[usize]| -> Vec<Life> { used.iter().map(|&v| Life { born: born[v], dies: dies[v], bytes: bytes[v] }).collect() };
    let lives = lives_of(&bytes);
    let (live_bytes, coloured) = (slots::bound(&lives), slots::colour(&lives));
    let mut slot_of = vec![usize::MAX; n];
    used.iter().zip(&coloured.of).for_each(|(&v, &slot)| slot_of[v] = slot);
    let full: Vec<usize> = draft.full.iter().map(|b| b.next_multiple_of(GRAIN)).collect();
    let full_slots = if full == bytes { coloured.total() } else { slots::colour(&lives_of(&full)).total() };
    let id = |s: Symbol| match s {
        Symbol::Fixed(b) => b,
        Symbol::Virtual(v) => BufferId::Slot(slot_of[v]),
    };
    let mut by_size = used;
    by_size.sort_by_key(|&v| std::cmp::Reverse(bytes[v]));
    let largest = by_size.iter().take(NAMED).map(|&v| (draft.launches[born[v]].label.clone(), bytes[v])).collect();
    let launches = draft.launches.into_iter().map(|l| Launch {
        buffers: l.buffers.iter().map(|&s| id(s)).collect(),
        kernel: l.kernel,
        label: l.label,
        flops: l.flops,
        bytes: l.bytes,
    });
    let outputs = draft.outputs.into_iter().map(|(name, (symbol, offset), ty)| Output {
        name,
        buffer: id(symbol),
        offset,
        shape: ty.shape,
        dtype: ty.dtype,
    });
    Program {
        purpose: r.purpose,
        part: if r.purpose == super::Purpose::Train { r.part } else { super::Part::Whole },
        batch: r.batch,
        launches: launches.collect(),
        phases: draft.phases,
        slots: coloured.bytes,
        full_slots,
        stored: Vec::new(),
        live_bytes,
        largest,
        elements: 0,
        arena: r.arena.clone(),
        moments: r.rule.moments,
        rates: r.rule.rates(r.arena),
        fields: draft.fields,
        label_limits: Vec::new(),
        metrics: draft.metrics,
        weighed: false,
        outputs: outputs.collect(),
        index_limits: Vec::new(),
        units: draft.units.into_iter().map(|u| u.settle(id)).collect(),
    }
}

impl Program {
    /// Bytes that a model with this program alone holds on a GPU, data sets aside, from `prepare` to its end: arenas, slots, state, log,
    /// rates, the launches' sizes, and what logs are read back through. Nothing is added while it runs. The CPU needs a little less; in mixed
    /// precision it keeps some operands of products in f32 beside.
    pub fn peak_bytes(&self) -> u64 {
        let (train, frozen) = (self.arena.size, self.arena.frozen + self.arena.buffered);
        // the other lane's log is of the least size
        let (log, least) = (self.log(), LogShape::of(0));
        let lanes = 2 * STATE_WORDS + log.words().max(least.words()) + least.words();
        let staging = STAGED * (log.words() / 4).max(least.words() / 4);
        let arenas = train * (2 + self.moments + usize::from(self.accumulates())) + frozen;
        let arenas = arenas + self.arena.working / 2;
        let words = arenas + lanes + self.rates.words() + PARTIALS + staging + DIMS * self.launches.len();
        4 * words as u64 + self.slots.iter().sum::<usize>() as u64
    }

    /// The largest values and parameters, for people who run out of memory.
    pub(crate) fn biggest(&self) -> Vec<String> {
        let value = |(label, b): &(String, usize)| format!("{label} ({})", human_bytes(*b as u64));
        self.largest.iter().map(value).chain(self.arena.largest(2)).collect()
    }
}

impl Arena {
    /// The largest parameters with their bytes, gradients and moments not counted.
    pub(crate) fn largest(&self, most: usize) -> Vec<String> {
        let mut all: Vec<_> = self.entries.iter().collect();
        all.sort_by_key(|e| std::cmp::Reverse(e.shape.size()));
        all.into_iter().take(most).map(|e| format!("{} {} ({})", e.name, e.shape, human_bytes(4 * e.shape.size() as u64))).collect()
    }
}

/// Buffers that logs are read back through: one for each submit under way.
pub(crate) const STAGED: usize = 2;
