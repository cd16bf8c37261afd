//! The rows of a loop on their way to the device: all there already, or in blocks that a thread reads ahead.

use super::accumulation::Order;
use super::core::Core;
use super::device_data::Placement;
use crate::data::{Blocks, Dataset, Plan};
use crate::error::{Error, Result};
use crate::kernels::words::{STATE_CURSOR, StateWords};
use crate::plan::{BufferId, DataId, Program, Purpose, StateSet};
use std::sync::Arc;

/// Brings the rows of one loop to the device. It is made after the programs of the loop are ready.
#[derive(Debug)]
pub(crate) struct RowFeed {
    set: StateSet,
    batch: usize,
    rows: usize,
    shuffle: bool,
    stream: Option<Stream>,
    /// [`DeviceData::owner`](super::device_data::DeviceData::owner) when this loop wrote the state of training.
    owner: u64,
    _pin: Arc<()>,
}

#[derive(Debug)]
struct Stream {
    blocks: Blocks,
    /// The buffers of the fields that the program reads.
    ids: Vec<DataId>,
    /// The block on the device: its epoch, its rows, and how many of these steps have used.
    epoch: u32,
    rows: usize,
    taken: usize,
}

impl RowFeed {
    /// Starts over a data set whose programs are ready. Where the set does not lie on the device a thread begins to read it.
    pub fn start(model: &mut Core, data: &Dataset, program: &Program, batch: usize, order: Order) -> Result<Self> {
        let set = program.purpose.state_set();
        let place = model.engine.place(data, set);
        let at = model.engine.make_resident(place, data, batch)?;
        if program.purpose == Purpose::Train {
            model.engine.data.owner += 1;
        }
        let resident = &model.engine.data.sets[at];
        let stream = matches!(place, Placement::Blocks(_) | Placement::ByHand(_)).then(|| {
            let names = data.fields().into_iter().map(|f| f.name).enumerate();
            let fields: Vec<usize> = names.filter(|(_, n)| program.fields.iter().any(|f| f.name == *n)).map(|(i, _)| i).collect();
            let plan = Plan {
                data: data.clone(),
                rows: resident.rows / batch * batch,
                shuffle: order.shuffle.then_some(model.description.settings.seed_of_order()),
                epoch: order.epoch,
                row: order.row,
                epochs: order.epochs,
                limits: model.limits(data, program),
                fields,
            };
            let ids = plan.fields.iter().map(|f| resident.ids[*f]).collect();
            Stream { blocks: Blocks::start(plan), ids, epoch: 0, rows: 0, taken: 0 }
        });
        Ok(RowFeed {
            set,
            batch,
            rows: data.len(),
            shuffle: order.shuffle,
            stream,
            owner: model.engine.data.owner,
            _pin: resident.pin.clone(),
        })
    }

    /// How many of the next `most` steps can be queued now. `row` is where they begin in the order of the epoch. Waits for the next block where
    /// the last one is used up.
    pub fn ready(&mut self, model: &mut Core, row: usize, most: usize) -> Result<usize> {
        let other = self.set == StateSet::Train && std::mem::replace(&mut self.owner, model.engine.data.owner) != model.engine.data.owner;
        let set = self.set;
        // only these four words: the counters and the halt belong to the device, where steps may be under way
        let place = |model: &mut Core, epoch: u32, row: usize, rows: usize| {
            let state = StateWords { cursor: row as u32, epoch, rows: rows as u32, ..StateWords::default() };
            model.engine.session.write(BufferId::State(set), STATE_CURSOR, &state.of_order())
        };
        let Some(s) = &mut self.stream else {
            if other {
                model.set_train_state(row, self.rows, self.shuffle)?;
            }
            return Ok(most);
        };
        if s.taken >= s.rows {
            let Some(block) = s.blocks.next()? else {
                return Err(Error::DataSource {
                    field: "x".into(),
                    problem: "no more rows came after an error".into(),
                    at: "the stream of a data set".into(),
                });
            };
            place(model, block.epoch, 0, block.rows)?;
            (s.epoch, s.rows, s.taken) = (block.epoch, block.rows, 0);
            for (id, words) in s.ids.iter().zip(&block.words) {
                model.engine.session.write_data(*id, 0, words)?;
            }
            s.blocks.give_back(block);
        } else if other {
            place(model, s.epoch, s.taken, s.rows)?;
        }
        Ok(most.min((s.rows - s.taken).div_ceil(self.batch)))
    }

    /// Whether the rows are read while training, one block after another.
    pub fn streams(&self) -> bool {
        self.stream.is_some()
    }

    /// Makes this loop write the state of training again before its next step.
    pub fn forget_owner(&mut self) {
        self.owner = 0; // no loop's
    }

    /// Notes that so many steps were queued.
    pub fn used(&mut self, steps: usize) {
        if let Some(s) = &mut self.stream {
            s.taken = s.rows.min(s.taken + steps * self.batch);
        }
    }
}
