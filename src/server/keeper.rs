//! The model that a server keeps: it takes the updates, and shows its parameters.

use super::gathered::mean;
use super::outer::Outer;
use super::snapshot::Snapshot;
use crate::error::{Error, Result};
use crate::exchange::{Push, ScaleWords};
use crate::kernels::words::StateWords;
use crate::model::core::Core;
use crate::model::face::wait_for;
use crate::model::rate::Rate;
use crate::model::shared::Model;
use crate::optim::schedule::RunLength;
use crate::plan::{Blocking, BufferId, Handle, StateSet, Submit, update_program};
use std::sync::Arc;

mod kept;

pub(super) use kept::{Copied, KeeperState};

/// The model, and the program of an update alone: the launches with which a whole step ends.
pub(super) struct Keeper {
    pub model: Model,
    update: Option<Handle>,
    outer: Outer,
    /// Whether the state that is not trained is this server's.
    leads: bool,
    /// The sum of what the workers pushed, where it cannot be made in its place.
    sum: Vec<u32>,
    /// What the outer step keeps of those before.
    velocity: Vec<f32>,
    /// Updates of the whole schedule, and of an epoch, once that is known.
    length: Option<(u64, u64)>,
}

impl Keeper {
    pub fn new(mut model: Model, outer: Outer, leads: bool) -> Result<Self> {
        let core = model.core();
        core.check_trains()?;
        core.settle_now()?;
        core.engine.session.forget(StateSet::Train);
        wait_for(core.keep_copies(false))?;
        Ok(Keeper { model, update: None, outer, leads, sum: vec![], velocity: vec![], length: None })
    }

    /// Plans the update, of all parameters but these.
    pub fn plan(&mut self, untouched: &[String]) -> Result<()> {
        let e = &mut self.model.core().engine;
        let has = |name: &str| !untouched.iter().any(|u| u == name);
        let program = Arc::new(update_program(&e.arena, &e.rule, has, e.device.target(), e.device.limits())?);
        self.update = Some(e.session.prepare(&program, &[])?);
        Ok(())
    }

    /// Makes updates of the schedule's lengths.
    pub fn begin(&mut self, updates: u64, per_epoch: u64) -> Result<()> {
        let before = self.model.core().progress.tried();
        self.go_on(before + updates, per_epoch)
    }

    fn go_on(&mut self, updates: u64, per_epoch: u64) -> Result<()> {
        self.length = Some((updates, per_epoch));
        self.model.core().begin_schedule(RunLength { updates: Some(updates), per_epoch })
    }

    /// Words of gradients or parameters, and of the state that is not trained, as workers push and are given them.
    pub fn sizes(&mut self) -> (usize, usize) {
        let arena = &self.model.core().engine.arena;
        (arena.size, if self.leads { arena.buffered } else { 0 })
    }

    /// One update, of the mean of these gradients: those of a worker alone are taken as they lie. `false` where it is not finite: then nothing was changed.
    pub fn update(&mut self, parts: &mut [(Push, &mut Vec<u32>)]) -> Result<bool> {
        let scale = parts.first().and_then(|(p, _)| p.scale);
        let taken = if let [(_, only)] = parts { self.model.core().engine.session.swap(BufferId::Gradients, only) } else { false };
        if !taken {
            self.write_gradients(|out| mean_of(parts, out))?;
        }
        self.apply(scale)
    }

    /// One update, of gradients times a factor.
    pub fn update_by(&mut self, gradients: &[u32], factor: f32, scale: Option<f32>) -> Result<bool> {
        self.write_gradients(|out| match factor {
            1.0 => out.copy_from_slice(gradients),
            _ => out.iter_mut().zip(gradients).for_each(|(o, g)| *o = (f32::from_bits(*g) * factor).to_bits()),
        })?;
        self.apply(scale)
    }

    /// Makes gradients where the update reads them, if that is the host's memory.
    fn write_gradients(&mut self, make: impl FnOnce(&mut [u32])) -> Result<()> {
        let e = &mut self.model.core().engine;
        if let Some(words) = e.session.words_mut(BufferId::Gradients, e.arena.size) {
            make(words);
            return Ok(());
        }
        self.sum.resize(e.arena.size, 0);
        make(&mut self.sum);
        e.session.write(BufferId::Gradients, 0, &self.sum)
    }

    fn apply(&mut self, scale: Option<f32>) -> Result<bool> {
        let Some(update) = self.update else { return Err(unplanned()) };
        let m = self.model.core();
        m.upload_rates(m.progress.updates, 1, Rate::default())?;
        let (batch, number) = (m.progress.batches as u32, m.progress.updates as u32);
        let loss_scale = scale.map_or(0, f32::to_bits);
        let state = StateWords { batch, update: number, loss_scale, ..StateWords::default() };
        let session = &mut m.engine.session;
        session.write(BufferId::State(StateSet::Train), 0, &state.words())?;
        let ticket = session.submit(Submit { runs: &[(update, 1)], first_batch: batch, pieces: 1 })?;
        let finite = session.log(ticket)?.first().is_some_and(|l| !l.halted);
        m.engine.has_gradients = true;
        if finite {
            m.progress.updates += 1;
            if let Some(s) = &mut m.progress.scaler {
                s.judge(scale, false);
            }
        }
        Ok(finite)
    }

    /// Notes an update that was left out because its gradients are not finite. `false` where no smaller scale of the loss is left to try.
    pub fn skip(&mut self, scale: Option<f32>) -> bool {
        self.model.core().progress.scaler.as_mut().is_some_and(|s| s.judge(scale, true))
    }

    /// The outer step: the parameters go towards the mean of these, which are no more what they were. `false` where that is not finite: then nothing was
    /// changed.
    pub fn average(&mut self, parts: &mut [(Push, &mut Vec<u32>)]) -> Result<bool> {
        if let [(_, only)] = parts {
            return self.go_to(only);
        }
        let mut sum = std::mem::take(&mut self.sum);
        sum.resize(self.model.core().engine.arena.size, 0);
        mean_of(parts, &mut sum);
        let done = self.go_to(&mut sum);
        self.sum = sum;
        done
    }

    /// The outer step: the parameters go towards these, which are no more what they were.
    pub fn go_to(&mut self, average: &mut Vec<u32>) -> Result<bool> {
        if average.iter().any(|w| !f32::from_bits(*w).is_finite()) {
            return Ok(false);
        }
        let (m, outer, velocity) = (self.model.core(), self.outer, &mut self.velocity);
        if outer != Outer::average() {
            let size = m.engine.arena.size;
            read_into(m, BufferId::Parameters, size, average, |now, average| {
                outer.step(bytemuck::cast_slice(now), bytemuck::cast_slice_mut(&mut average[..]), velocity);
            })?;
        }
        m.progress.updates += 1;
        m.give_words(BufferId::Parameters, average).map(|()| true)
    }

    /// Sets the state that is not trained.
    pub fn set_buffers(&mut self, words: &[u32]) -> Result<()> {
        if words.is_empty() { Ok(()) } else { self.model.core().write_words(BufferId::Buffers, 0, words) }
    }

    /// The present loss scale, if there is one.
    pub fn scale(&mut self) -> Option<f32> {
        self.model.core().progress.scaler.map(|s| s.state().scale)
    }

    /// Epochs and batches that the model has behind it.
    pub fn before(&mut self) -> [u64; 2] {
        let p = &self.model.core().progress;
        [p.epochs, p.batches]
    }

    /// Which model of this process it is.
    pub fn number(&mut self) -> u64 {
        self.model.core().number
    }

    /// Counts batches that workers have done, and epochs that have ended.
    pub fn count(&mut self, batches: u64, epochs: u64) {
        let p = &mut self.model.core().progress;
        (p.batches, p.epochs) = (p.batches + batches, p.epochs + epochs);
    }

    /// Copies the parameters, and where the loss scale stands.
    pub fn show(&mut self, update: u64, out: &mut Snapshot) -> Result<()> {
        let (size, buffered) = self.sizes();
        let m = self.model.core();
        let copy = |now: &[u32], out: &mut Vec<u32>| {
            out.clear();
            out.extend_from_slice(now);
        };
        read_into(m, BufferId::Parameters, size, &mut out.parameters, copy)?;
        if buffered > 0 {
            read_into(m, BufferId::Buffers, buffered, &mut out.buffers, copy)?;
        }
        let scale = m.progress.scaler.map(|s| s.state());
        out.scale = scale.map(|s| ScaleWords { scale: s.scale, growth: s.growth_tracker, skipped: s.skipped as u32 });
        out.update = update;
        Ok(())
    }
}

/// The mean of parts, or what is alone.
fn mean_of(parts: &[(Push, &mut Vec<u32>)], out: &mut [u32]) {
    match parts {
        [(_, only)] => out.copy_from_slice(only),
        _ => mean(&parts.iter().map(|(p, values)| (p, &values[..])).collect::<Vec<_>>(), out),
    }
}

/// Does something with the words of a buffer, where they lie if they can be seen there.
fn read_into<T>(m: &mut Core, id: BufferId, len: usize, out: &mut Vec<T>, see: impl FnOnce(&[u32], &mut Vec<T>)) -> Result<()> {
    if let Some(words) = m.engine.session.words(id, len) {
        see(words, out);
        return Ok(());
    }
    let words = m.read_words(id, 0, len)?;
    see(&words, out);
    Ok(())
}

fn unplanned() -> Error {
    Error::Distributed { problem: "gradients came before any worker had joined".into(), at: "the server".into(), help: "join first".into() }
}
