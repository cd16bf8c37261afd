//! Slots: values that do not live at the same time share a buffer.

use super::buffer_id::BufferId;
use super::slots::{self, GRAIN, Life};
use crate::plan::lower::unplaced::{Draft, Symbol};
use crate::plan::program::{Launch, Output, Program};
use crate::plan::purpose::{Part, Purpose};
use crate::plan::request::Request;
use crate::plan::schedule::{Dispatch, schedule};

/// Values that are named where memory is short.
const NAMED: usize = 4;

/// Gives every virtual buffer a slot. The slots come with the largest first.
pub fn colour(r: &Request<'_>, draft: Draft) -> Program {
    let n = draft.virtuals.len();
    // a moment for each dispatch: what a launch that runs several times touches lives from its first run to its last
    let moments: Vec<Dispatch> = schedule(draft.launches.len()).collect();
    let end = moments.len();
    let (mut born, mut dies) = (vec![end; n], vec![0; n]);
    for (i, d) in moments.iter().enumerate() {
        for s in &draft.launches[d.launch].buffers {
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
    let largest = by_size.iter().take(NAMED).map(|&v| (draft.launches[moments[born[v]].launch].label.clone(), bytes[v])).collect();
    let launches = draft.launches.into_iter().map(|l| Launch {
        buffers: l.buffers.iter().map(|&s| id(s)).collect(),
        flops: l.kernel.flops(),
        bytes: l.kernel.bytes(),
        kernel: l.kernel,
        label: l.label,
    });
    let outputs = draft.outputs.into_iter().map(|(name, (symbol, offset), ty)| Output {
        name,
        buffer: id(symbol),
        offset,
        shape: ty.shape,
        dtype: ty.dtype,
    });
    let part = if r.purpose == Purpose::Train { r.part } else { Part::Whole };
    Program {
        purpose: r.purpose,
        part,
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
        moments: if part == Part::Leave { 0 } else { r.rule.moments },
        rates: r.rule.rates(r.arena),
        tables: draft.tables.into(),
        fields: draft.fields,
        label_limits: Vec::new(),
        metrics: draft.metrics,
        weighed: false,
        outputs: outputs.collect(),
        index_limits: Vec::new(),
        units: draft.units.into_iter().map(|u| u.settle(id)).collect(),
    }
}
