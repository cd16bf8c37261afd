//! The model of a server in a checkpoint, and out of one.

use super::Keeper;
use crate::error::Result;
use crate::model::face::wait_for;
use crate::model::journal::{Arenas, is_weight};
use crate::model::loss_scale::SavedScale;
use crate::plan::{BufferId, StateSet};
use crate::store::checkpoint::arenas_to_write;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Of the model what its arenas do not hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct KeeperState {
    /// Updates of the whole schedule, and of an epoch.
    length: Option<(u64, u64)>,
    scale: Option<SavedScale>,
    /// Names of what is kept beside the model: the velocity of the outer step.
    pub kept: Vec<String>,
}

/// A copy of the arenas, and what is kept beside them.
pub(in crate::server) struct Copied {
    pub arenas: Arenas,
    pub kept: BTreeMap<String, Arenas>,
    pub state: KeeperState,
}

const VELOCITY: &str = "velocity";

impl Keeper {
    /// A copy of all that a run goes on from. Fails where parameters are not finite.
    pub fn copy(&mut self, path: &Path) -> Result<Copied> {
        let m = self.model.core();
        let arenas = wait_for(arenas_to_write(m, path))?;
        let scale = m.progress.scaler.map(|s| s.saved());
        let mut kept = BTreeMap::new();
        if !self.velocity.is_empty() {
            // laid out like the parameters; a file keeps weights as a whole
            let mut all: Arenas = arenas.iter().filter(|(id, _)| is_weight(**id)).map(|(id, words)| (*id, words.clone())).collect();
            all.insert(BufferId::Parameters, self.velocity.iter().map(|v| v.to_bits()).collect());
            kept.insert(VELOCITY.to_string(), all);
        }
        let state = KeeperState { length: self.length, scale, kept: kept.keys().cloned().collect() };
        Ok(Copied { arenas, kept, state })
    }

    /// Takes over what was copied. `counted`: updates, batches and epochs of the model.
    pub fn restore(&mut self, copied: Copied, counted: [u64; 3], untouched: Option<&[String]>) -> Result<()> {
        let Copied { mut arenas, mut kept, state } = copied;
        arenas.remove(&BufferId::State(StateSet::Train));
        let m = self.model.core();
        m.write_arenas(&arenas)?;
        [m.progress.updates, m.progress.batches, m.progress.epochs] = counted;
        if let (Some(scaler), Some(scale)) = (&mut m.progress.scaler, state.scale) {
            scaler.go_on(scale);
        }
        let velocity = kept.remove(VELOCITY).and_then(|mut all| all.remove(&BufferId::Parameters));
        self.velocity = velocity.unwrap_or_default().into_iter().map(f32::from_bits).collect();
        untouched.map_or(Ok(()), |u| self.plan(u))?;
        state.length.map_or(Ok(()), |(updates, per_epoch)| self.go_on(updates, per_epoch))
    }
}
