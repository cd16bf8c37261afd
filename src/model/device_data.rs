//! Data sets on the device, whole or in part.

use crate::data::Dataset;
use crate::plan::{DataId, StateSet};
use std::sync::Arc;

/// Where the rows of a data set are while a program runs over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// All on the device, in the set's order.
    Whole,
    /// All that is stored, or the set's own rows, lies there, whoever else reads it; the set has a list of its rows.
    Listed,
    /// A block at a time.
    Blocks(StateSet),
    /// One batch, which the user has made; batches of one layout share the buffers.
    ByHand(StateSet),
}

/// The list of rows of a set whose fields lie on the device as those of another.
pub(crate) struct RowListOnDevice {
    pub id: DataId,
    /// Of the other set: while this lives its buffers stay.
    pub _base: Arc<()>,
}

/// Buffers on the device that hold a data set or a part of it.
pub(crate) struct DataOnDevice {
    pub key: usize,
    pub place: Placement,
    pub data: Dataset,
    /// Rows that the buffers have room for.
    pub rows: usize,
    pub ids: Vec<DataId>,
    /// Behind the fields of another set on the device, whose buffers these are: the list of rows, and a hold on the other.
    pub list: Option<RowListOnDevice>,
    /// Loops that run over the data hold clones of this: while there are any the buffers stay.
    pub pin: Arc<()>,
}

impl DataOnDevice {
    pub fn same(&self, place: Placement, data: &Dataset) -> bool {
        let layout = |d: &Dataset| d.fields().into_iter().map(|f| (f.words(), f.stored, f.name)).collect::<Vec<_>>();
        let same = match place {
            Placement::ByHand(_) => layout(&self.data) == layout(data),
            _ => self.data.same_rows(data),
        };
        self.place == place && same
    }

    /// The buffers that go with it.
    pub fn own_ids(&self) -> Vec<DataId> {
        self.list.as_ref().map_or_else(|| self.ids.clone(), |list| vec![list.id])
    }

    pub fn free(&self) -> bool {
        Arc::strong_count(&self.pin) == 1
    }
}

/// All data sets on the device.
pub(crate) struct DeviceData {
    /// In the order in which they were used, the latest last.
    pub sets: Vec<DataOnDevice>,
    /// The key of the next data set.
    pub next: usize,
    /// Most words of a field that the device takes in one buffer.
    pub limit: usize,
    /// Which loop has set the state of training last. A loop that finds another number than its own sets the state again.
    pub owner: u64,
}

impl DeviceData {
    pub fn new(limit: usize) -> Self {
        DeviceData { sets: Vec::new(), next: 0, limit, owner: 0 }
    }
}
