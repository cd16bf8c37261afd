//! Copies of the model on the host, to train on from when the device is lost.

use super::core::Core;
use super::face::wait_for;
use super::journal::{Arenas, Copying};
use super::shared::Model;
use crate::clock;
use crate::error::Result;

/// Copies may take the `1 / SHARE`th part of the time.
const SHARE: f64 = 50.0;

impl Model {
    /// Copies of the model that were read back, to train on from when the device is lost.
    #[doc(hidden)]
    pub fn snapshots(&self) -> usize {
        self.lock().snapshots()
    }
}

impl Core {
    pub(crate) fn snapshots(&self) -> usize {
        self.recovery.copies
    }

    /// Whether a copy is due: `every` seconds have passed since the last one, and copies take no more than their share of the time. Without a
    /// clock none is.
    pub(crate) fn copy_due(&self, every: f64) -> bool {
        let due = |now: f64| self.recovery.taken.is_none_or(|t| now - t >= every.max(self.recovery.cost * SHARE));
        self.recovery.kept.is_some() && clock::now().is_some_and(due)
    }

    /// Whether copies are kept from now on. Without them a lost device is an error. None are kept of a device that cannot be lost.
    pub(crate) async fn keep_copies(&mut self, keep: bool) -> Result<()> {
        let keep = keep && self.engine.device.kind() != "cpu";
        if !keep {
            (self.recovery.kept, self.recovery.journal) = (None, Vec::new());
        } else if self.recovery.kept.is_none() {
            self.copy_async().await?;
        }
        self.recovery.taken = self.recovery.taken.or_else(clock::now);
        Ok(())
    }

    /// Makes a copy of the model on the host. Nothing may be under way.
    pub(crate) fn copy(&mut self) -> Result<()> {
        wait_for(self.copy_async())
    }

    /// As [`Core::copy`].
    pub(crate) async fn copy_async(&mut self) -> Result<()> {
        self.recovery.copying = None;
        while !self.copy_on()? {
            self.engine.idle().await?;
        }
        Ok(())
    }

    /// Begins a copy, or takes what has come of the one that was begun; `true` once it is made. Until then nothing may be queued.
    pub(crate) fn copy_on(&mut self) -> Result<bool> {
        let begin = || Copying { left: self.engine.lasting(), read: None, arenas: Arenas::new(), began: clock::now() };
        let mut copying = self.recovery.copying.take().unwrap_or_else(begin);
        loop {
            if let Some((id, read)) = copying.read.take() {
                let Some(words) = self.engine.session.take_read(&read)? else {
                    copying.read = Some((id, read));
                    self.recovery.copying = Some(copying);
                    return Ok(false);
                };
                copying.arenas.insert(id, words);
            }
            let Some((id, len)) = copying.left.pop() else { break };
            copying.read = Some((id, self.engine.session.start_read(id, 0, len)?));
        }
        let r = &mut self.recovery;
        r.kept = Some(copying.arenas);
        r.journal.clear();
        r.by_hand = 0;
        r.copies += 1;
        r.taken = clock::now();
        r.cost = r.taken.zip(copying.began).map_or(0.0, |(ended, began)| ended - began);
        tracing::debug!(seconds = r.cost, "read a copy of the model back");
        Ok(true)
    }
}
