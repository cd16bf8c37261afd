//! The parameters as workers are given them.

use crate::exchange::{Pulled, ScaleWords};
use std::sync::Arc;

/// The state after some update.
#[derive(Debug, Default, Clone)]
pub(super) struct Snapshot {
    pub update: u64,
    pub scale: Option<ScaleWords>,
    pub parameters: Vec<u32>,
    pub buffers: Vec<u32>,
}

/// The newest snapshot, and the memory of the one before for the next.
#[derive(Debug, Default)]
pub(super) struct Newest {
    now: Arc<Snapshot>,
    spare: Option<Arc<Snapshot>>,
}

impl Newest {
    /// The newest, for a reader that copies it in its own time.
    pub fn get(&self) -> Arc<Snapshot> {
        self.now.clone()
    }

    /// Makes the next. Where nobody reads the last but one any more its memory is used again.
    pub fn make<E>(&mut self, fill: impl FnOnce(&mut Snapshot) -> Result<(), E>) -> Result<(), E> {
        let mut next = self.spare.take().unwrap_or_default();
        if Arc::get_mut(&mut next).is_none() {
            next = Arc::default();
        }
        if let Some(next) = Arc::get_mut(&mut next) {
            fill(next)?;
        }
        self.spare = Some(std::mem::replace(&mut self.now, next));
        Ok(())
    }
}

impl Snapshot {
    /// Copies it to where a worker wants it.
    pub fn copy_to(&self, out: &mut Pulled) {
        (out.update, out.scale, out.over) = (self.update, self.scale, false);
        out.parameters.clone_from(&self.parameters);
        out.buffers.clone_from(&self.buffers);
    }
}
