//! A run of several workers as one file, from which a new server goes on.

use super::{Inner, Server};
use crate::error::{Error, Faults, Result};
use crate::server::checkpoint::{Copy, File, ServerRun};
use crate::server::clocks::Clocks;
use crate::server::event::Event;
use crate::server::keeper::Copied;
use crate::server::rules::Rules;
use crate::server::state::{State, closed};
use crate::store::atomic::{try_read, try_replace};
use crate::store::checkpoint::{Checkpoint, CheckpointFile, Circumstances, Contents, Sheet};
use crate::train::Model;
use std::path::Path;
use std::sync::{Arc, PoisonError, Weak};

impl Server {
    /// Writes the run to a file from now on, every so many updates (`every_steps`) and epochs: all that [`Server::restore`] goes on from. The model can
    /// be loaded from it, too ([`Model::load`]), but of a [shard](Rules::shard), whose file has the run's parameters of its range alone.
    ///
    /// A copy is made under the server's lock, and written beside the run: workers do not wait for the disk. A file that cannot be written is told
    /// ([`Event::NotWritten`], and a warning) and ends nothing; the older file is as it was. Fails where no file can be made there.
    ///
    /// ```
    /// use gradus::prelude::*;
    /// use gradus::server::{Rules, Server};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("run.gradus");
    /// # let compile = || Sequential::new().add(Linear::new(1)).compile(Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu()));
    /// let server = Server::new(compile()?, Rules::new(2))?;
    /// server.checkpoint(Checkpoint::new(&path).every_steps(100))?;
    /// server.write()?;
    /// // later, in another process:
    /// let server = Server::restore(compile()?, Rules::new(2), &path)?;
    /// assert_eq!(server.standing().updates, 0);
    /// # Ok::<(), gradus::Error>(())
    /// ```
    pub fn checkpoint(&self, to: Checkpoint) -> Result<()> {
        let mut f = Faults::default();
        to.check(&mut f);
        f.finish()?;
        try_replace(&to.path)?;
        let mut s = self.lock();
        s.file = Some(File { to, updates: s.clocks.updates(), epochs: s.epochs, writing: false });
        Ok(())
    }

    /// Writes the [checkpoint](Server::checkpoint) now, as at the end of a run. Waits for the disk. Fails where it cannot be written, and where none was
    /// asked for.
    pub fn write(&self) -> Result<()> {
        let mut s = self.lock();
        while s.file.as_ref().is_some_and(|f| f.writing) {
            s = self.inner.moved.wait(s).unwrap_or_else(PoisonError::into_inner);
        }
        // what has failed may have stopped in the middle of an update
        self.alive(&s)?;
        let Some(copy) = s.copy(&self.inner)? else {
            let mut f = Faults::default();
            f.check(false, "checkpoint", "none was asked for", "`Server::checkpoint` says where");
            return f.finish();
        };
        s.begin_writing();
        drop(s);
        let written = copy.write();
        let mut s = self.lock();
        if let Some(file) = &mut s.file {
            file.writing = false;
        }
        self.moved();
        written.and_then(|update| s.tell(Event::Written { update }))
    }

    /// A server that goes on from a file which [`Server::checkpoint`] has written. The model must be the same, and the rules' mode and number of
    /// workers. Workers join again; those that have been further begin where the file stands.
    ///
    /// Fails on a file that is damaged, or of another run.
    pub fn restore(model: Model, rules: Rules, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let server = Server::new(model, rules)?;
        let bytes = try_read(path).map_err(|e| Error::io("read", path, e))?;
        let file = CheckpointFile::<ServerRun>::read(path, &bytes)?;
        let run = &file.meta.run;
        let rules = &server.inner.rules;
        let (mut f, at) = (Faults::default(), path.display());
        let as_it_was = "give it as it was, or begin another run";
        f.check(run.fingerprint == server.inner.model, "the model", format!("it is another than in {at}"), as_it_was);
        f.check(run.mode == rules.mode, "mode", format!("{}, in {at} it is {}", rules.mode, run.mode), as_it_was);
        f.check(run.clocks.len() == rules.workers, "workers", format!("{}, in {at} {}", rules.workers, run.clocks.len()), as_it_was);
        f.check(run.shard == rules.shard, "shard", format!("{}, in {at} {}", rules.shard, run.shard), as_it_was);
        f.finish()?;
        file.check_counters(run.clocks.iter().all(|c| *c < 1 << 52), run.epochs)?;
        {
            let mut s = server.lock();
            let Some(keeper) = &mut s.keeper else { return Err(closed()) };
            let (arenas, kept) = file.arenas(keeper.model.core(), &run.keeper.kept)?;
            let counted = [file.meta.updates, file.meta.batches, file.meta.epochs];
            s.take(Copied { arenas, kept, state: run.keeper.clone() }, counted, file.meta.run, rules)?;
        }
        tracing::info!(path = %path.display(), "going on from a checkpoint");
        Ok(server)
    }

    /// Begins to write where that is due, and nothing is being written.
    pub(super) fn write_if_due(&self, s: &mut State) {
        let (updates, epochs) = (s.clocks.updates(), s.epochs);
        if !s.file.as_ref().is_some_and(|f| f.due(updates, epochs)) || s.failed.is_some() {
            return;
        }
        let begun = s.copy(&self.inner).and_then(|copy| {
            let Some(copy) = copy else { return Ok(()) };
            let (inner, path) = (Arc::downgrade(&self.inner), copy.path.clone());
            let thread = std::thread::Builder::new().name("gradus-checkpoint".into());
            thread.spawn(move || written(&inner, copy.write())).map(drop).map_err(|e| Error::io("write", path, e))
        });
        s.begin_writing();
        if let Err(e) = begun {
            s.not_writing(&e);
        }
    }
}

/// Tells what has become of a copy, if the server is still there.
fn written(inner: &Weak<Inner>, written: Result<u64>) {
    let Some(inner) = inner.upgrade() else { return };
    let server = Server { inner };
    let mut s = server.lock();
    let told = match written {
        Ok(update) => {
            if let Some(file) = &mut s.file {
                file.writing = false;
            }
            s.tell(Event::Written { update })
        }
        Err(e) => {
            s.not_writing(&e);
            Ok(())
        }
    };
    let _ = server.noted(&mut s, told);
}

impl State {
    /// A copy of the run, for its file.
    fn copy(&mut self, inner: &Inner) -> Result<Option<Copy>> {
        let (Some(file), Some(keeper)) = (&self.file, &mut self.keeper) else { return Ok(None) };
        let path = file.to.path.clone();
        let copied = keeper.copy(&path)?;
        let run = ServerRun {
            mode: inner.rules.mode,
            fingerprint: inner.model.clone(),
            clocks: self.clocks.counted(),
            updates: self.clocks.updates(),
            epochs: self.epochs,
            length: self.run.clone(),
            settled: self.settled,
            machine: self.machine.clone(),
            before: self.before,
            known: self.standing.known,
            skipped: self.standing.skipped,
            keeper: copied.state.clone(),
            shard: inner.rules.shard,
        };
        let contents = Contents { settings: "{}", circumstances: &Circumstances::default(), run: &run, kept: &copied.kept };
        let sheet = Sheet::of(keeper.model.core(), &path, &contents)?;
        Ok(Some(Copy { path, update: run.updates, sheet, copied }))
    }

    fn begin_writing(&mut self) {
        let (updates, epochs) = (self.clocks.updates(), self.epochs);
        if let Some(file) = &mut self.file {
            (file.updates, file.epochs, file.writing) = (updates, epochs, true);
        }
    }

    /// A file could not be written: the run goes on.
    fn not_writing(&mut self, error: &Error) {
        if let Some(file) = &mut self.file {
            file.writing = false;
        }
        crate::terminal::warn!("no checkpoint could be written, the run goes on: {error}");
        // what a watcher says to this ends no run either
        let _ = self.tell(Event::NotWritten { error });
    }

    /// Goes on from what was written.
    fn take(&mut self, copied: Copied, counted: [u64; 3], run: ServerRun, rules: &Rules) -> Result<()> {
        let Some(keeper) = &mut self.keeper else { return Err(closed()) };
        self.clocks = Clocks::restored(run.mode, &run.clocks, run.updates);
        if let Some((length, clocks)) = run.length.filter(|_| run.settled).and_then(|l| l.clocks(rules).map(|c| (l, c))) {
            keeper.restore(copied, counted, Some(length.untouched()))?;
            self.clocks.end_at(clocks);
            (self.run, self.settled) = (Some(length), true);
        } else {
            // nobody had begun
            keeper.restore(copied, counted, None)?;
        }
        (self.machine, self.epochs, self.before) = (run.machine, run.epochs, run.before);
        (self.standing.known, self.standing.skipped) = (run.known, run.skipped);
        let update = run.updates;
        self.newest.make(|s| keeper.show(update, s))
    }
}
