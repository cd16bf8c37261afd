//! The first launch of a step: rows of the data set become a batch.

use super::lowering::Lowering;
use super::unplaced::Symbol;
use crate::graph::{Op, op};
use crate::kernels::{Gather, GatherField, Kernel};
use crate::plan::memory::BufferId;

impl Lowering<'_> {
    /// One launch gathers the rows of all fields.
    pub(super) fn gather(&mut self) {
        let mut fields = Vec::new();
        let mut buffers = vec![Symbol::Fixed(BufferId::State(self.r.purpose.state_set()))];
        for (id, n) in self.g.nodes.iter().enumerate() {
            let Op::Batch(op::Batch { field, .. }) = &n.op else { continue };
            let (to, output) = self.assign(id.into());
            buffers.extend([Symbol::Fixed(BufferId::Data(fields.len())), to]);
            fields.push(GatherField { field: field.clone(), output, half: self.half(id.into()) });
        }
        self.draft.fields = fields.iter().map(|f| f.field.clone()).collect();
        if !fields.is_empty() {
            let names: Vec<String> =
                fields.iter().map(|f| format!("{} {}", f.field.name, f.field.out_row().batched(self.r.batch))).collect();
            let mut label = names.join(", ");
            let gather = Gather { batch: self.r.batch, listed: false, fields, tables: self.draft.tables.len() };
            let table = gather.table();
            if !table.is_empty() {
                buffers.push(Symbol::Fixed(BufferId::Tables));
                self.draft.tables.extend(table);
            }
            if let Some(a) = gather.augmentation() {
                label += &format!(", augmented: {a}");
            }
            self.push(Kernel::Gather(gather), buffers, label);
        }
    }
}
