//! Slots: values that do not live at the same time share a buffer.

use super::draft::{Draft, Symbol};
use super::{BufferId, Launch, Output, Program, Request};

/// Slots start and end at this many bytes.
const GRAIN: usize = 256;

/// Gives every virtual buffer a slot: the smallest free one that holds it, else the largest free one, grown.
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
    let mut slots: Vec<usize> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut slot_of = vec![usize::MAX; n];
    let mut live_bytes = 0;
    for i in 0..end {
        for v in (0..n).filter(|&v| born[v] == i) {
            let fits = free.iter().copied().filter(|&s| slots[s] >= bytes[v]).min_by_key(|&s| slots[s]);
            let slot = fits.or_else(|| free.iter().copied().max_by_key(|&s| slots[s])).unwrap_or_else(|| {
                slots.push(0);
                slots.len() - 1
            });
            slots[slot] = slots[slot].max(bytes[v]);
            free.retain(|&s| s != slot);
            slot_of[v] = slot;
        }
        let live = (0..n).filter(|&v| born[v] <= i && dies[v] >= i).map(|v| bytes[v]).sum();
        live_bytes = live_bytes.max(live);
        free.extend((0..n).filter(|&v| dies[v] == i && born[v] <= i).map(|v| slot_of[v]));
    }
    let id = |s: Symbol| match s {
        Symbol::Fixed(b) => b,
        Symbol::Virtual(v) => BufferId::Slot(slot_of[v]),
    };
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
        batch: r.batch,
        launches: launches.collect(),
        phases: draft.phases,
        slots,
        live_bytes,
        arena: r.arena.clone(),
        moments: r.rule.moments,
        fields: draft.fields,
        label_limits: Vec::new(),
        metrics: draft.metrics,
        outputs: outputs.collect(),
        index_limits: Vec::new(),
        units: draft.units.into_iter().map(|u| u.settle(id)).collect(),
    }
}
