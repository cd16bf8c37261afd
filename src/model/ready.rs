//! Programs are planned on first use, and made ready to run over a data set.

use super::accumulation::Accumulation;
use super::build::Built;
use super::core::Core;
use super::device_data::{DataOnDevice, Placement};
use super::engine::Engine;
use super::inputs::{check_batch_size, in_call};
use super::probe::Probed;
use super::programs::{MOST_READY, ProgramKey};
use super::shared::Model;
use super::signature::Measure;
use crate::data::Dataset;
use crate::error::Result;
use crate::graph::Field;
use crate::kernels::Kernel;
use crate::plan::{DataId, Handle, Part, Program, Purpose, StateSet};
use std::sync::Arc;

impl Model {
    /// Plans training on this data now, which is otherwise done on first use: memory errors and [`Program::explain`] come from here. All
    /// memory that training will need is taken now; when it is not there nothing changes, and a smaller batch can be tried.
    pub fn prepare(&self, data: &Dataset, batch_size: usize) -> Result<Arc<Program>> {
        self.lock().prepare(data, batch_size)
    }

    /// As [`Model::prepare`], for `evaluate` on this data.
    pub fn prepare_evaluation(&self, data: &Dataset, batch_size: usize) -> Result<Arc<Program>> {
        self.lock().prepare_evaluation(data, batch_size)
    }

    /// The training step on this data as Graphviz DOT.
    pub fn to_dot(&self, data: &Dataset, batch_size: usize) -> Result<String> {
        self.lock().to_dot(data, batch_size)
    }
}

impl Core {
    pub(crate) fn prepare(&mut self, data: &Dataset, batch_size: usize) -> Result<Arc<Program>> {
        self.prepared(data, Purpose::Train, batch_size).map_err(in_call("prepare"))
    }

    pub(crate) fn prepare_evaluation(&mut self, data: &Dataset, batch_size: usize) -> Result<Arc<Program>> {
        self.prepared(data, Purpose::Evaluate, batch_size).map_err(in_call("prepare_evaluation"))
    }

    /// Makes the programs of full batches and of the ragged one ready, and gives that of full batches.
    pub(crate) fn prepared(&mut self, data: &Dataset, purpose: Purpose, batch_size: usize) -> Result<Arc<Program>> {
        check_batch_size(batch_size)?;
        let data = &if purpose == Purpose::Train { data.clone() } else { data.undrawn() };
        let (n, batch) = (data.len(), batch_size.min(data.len()));
        for rows in [batch, n % batch].into_iter().filter(|r| *r > 0) {
            self.with_recovery(|m| m.handle(data, purpose, rows))?;
        }
        self.program(data, purpose, batch)
    }

    pub(crate) fn to_dot(&self, data: &Dataset, batch_size: usize) -> Result<String> {
        let built = self.description.build(Purpose::Train, batch_size, &self.fields_of(data, Purpose::Train))?;
        Ok(built.step.simplified()?.graph.to_dot())
    }

    /// The training step over such data, for a batch of two; and the trainable parameters that its loss does not depend on.
    pub(crate) fn step_over(&self, data: &Dataset) -> Result<(Built, Vec<String>)> {
        let built = self.description.build(Purpose::Train, 2, &self.fields_of(data, Purpose::Train))?;
        let has = |name: &str| built.step.gradients.iter().any(|(n, _)| n == name);
        let trained = self.engine.arena.entries.iter().filter(|e| !e.frozen && !has(&e.name));
        let untouched = trained.map(|e| e.name.clone()).collect();
        Ok((built, untouched))
    }

    /// The program for a purpose over data of this layout. It is planned on first use.
    pub(crate) fn program(&mut self, data: &Dataset, purpose: Purpose, batch: usize) -> Result<Arc<Program>> {
        self.program_part(data, purpose, Part::Whole, batch)
    }

    /// As [`Core::program`], for one part of an update.
    pub(crate) fn program_part(&mut self, data: &Dataset, purpose: Purpose, part: Part, batch: usize) -> Result<Arc<Program>> {
        self.program_in(data, purpose, part, batch, self.engine.place(data, purpose.state_set()))
    }

    /// As [`Core::program_part`], with the rows in this place.
    fn program_in(&mut self, data: &Dataset, purpose: Purpose, part: Part, batch: usize, place: Placement) -> Result<Arc<Program>> {
        data.check()?;
        let fields = self.fields_in(data, purpose, place);
        let key = ProgramKey::new(&fields, purpose, part, batch).over(place);
        if let Some(p) = self.programs.planned.get(&key) {
            return Ok(p.clone());
        }
        self.check_data(data, purpose)?;
        let built = self.description.build(purpose, batch, &fields)?;
        let program = self.planned(built, purpose, part, batch, place)?;
        if self.programs.planned.len() >= 2 * MOST_READY {
            let handles = &self.engine.ready.handles;
            self.programs.planned.retain(|key, _| handles.keys().any(|(k, _)| k == key));
        }
        self.programs.planned.insert(key, program.clone());
        Ok(program)
    }

    /// The fields of a batch where the rows lie in this place: those that lie there whole may overlap.
    fn fields_in(&self, data: &Dataset, purpose: Purpose, place: Placement) -> Vec<Field> {
        let mut fields = self.fields_of(data, purpose);
        if matches!(place, Placement::Whole | Placement::Listed) {
            let base = if place == Placement::Listed { self.engine.base_of(data) } else { data.undrawn() };
            let names: Vec<String> = data.fields().into_iter().map(|f| f.name).collect();
            for f in &mut fields {
                f.step = names.iter().position(|n| *n == f.name).and_then(|i| base.overlapping(i)).map(|(_, step)| step);
            }
        }
        fields
    }

    fn planned(&mut self, built: Built, purpose: Purpose, part: Part, batch: usize, place: Placement) -> Result<Arc<Program>> {
        self.signature.check_same(built.signature, || format!("built for {purpose:?} with a batch of {batch}"))?;
        let plain = self.engine.plan(&built.step, purpose, part, batch)?;
        let program = Arc::new(if place == Placement::Listed { plain.listed(&self.engine.device.limits())? } else { plain });
        tracing::debug!(?purpose, batch, launches = program.launches.len(), "planned a step");
        Ok(program)
    }

    /// A training program that logs statistics of the layers too, made ready over a data set for which the usual program is ready.
    pub(crate) fn probe_handle(&mut self, data: &Dataset, part: Part, batch: usize) -> Result<(Handle, Vec<Probed>)> {
        let place = self.engine.place(data, StateSet::Train);
        let fields = self.fields_in(data, Purpose::Train, place);
        let built = self.description.build_probed(batch, &fields)?;
        let probed = built.probed.clone();
        let program = self.planned(built, Purpose::Train, part, batch, place)?;
        let resident = self.engine.make_resident(place, data, batch)?;
        let handle = self.engine.prepare(data, &program, resident)?;
        let program = ProgramKey::new(&fields, Purpose::Train, part, batch).over(place).with_probes();
        let key = (program, self.engine.data.sets[resident].key);
        // the program of the last run goes; that of a loop around this one stays
        if self.engine.data.sets[resident].free()
            && let Some((old, _)) = self.engine.ready.handles.remove(&key)
        {
            self.engine.session.drop_program(old);
        }
        self.keep(key, handle);
        Ok((handle, probed))
    }

    /// The program, ready to run over this very data set: whole on the device or in blocks.
    pub(crate) fn handle(&mut self, data: &Dataset, purpose: Purpose, batch: usize) -> Result<Handle> {
        self.handle_in(data, purpose, Part::Whole, batch, self.engine.place(data, purpose.state_set()))
    }

    /// The training program for one part of an update, ready to run.
    pub(crate) fn handle_part(&mut self, data: &Dataset, (part, batch): (Part, usize)) -> Result<Handle> {
        self.handle_in(data, Purpose::Train, part, batch, self.engine.place(data, Purpose::Train.state_set()))
    }

    /// All programs of a loop over this data, ready to run.
    pub(crate) fn loop_handles(&mut self, data: &Dataset, accumulation: &Accumulation) -> Result<Vec<((Part, usize), Handle)>> {
        let mut programs = accumulation.programs();
        // the largest batch first: room for its rows is room for all others
        programs.sort_by_key(|p| std::cmp::Reverse(p.1));
        programs.into_iter().map(|p| self.handle_part(data, p).map(|h| (p, h))).collect()
    }

    /// As [`Core::handle`], for a part of an update and with the rows in this place.
    pub(crate) fn handle_in(&mut self, data: &Dataset, purpose: Purpose, part: Part, batch: usize, place: Placement) -> Result<Handle> {
        let program = self.program_in(data, purpose, part, batch, place)?;
        let resident = self.engine.make_resident(place, data, batch)?;
        let key =
            (ProgramKey::new(&self.fields_in(data, purpose, place), purpose, part, batch).over(place), self.engine.data.sets[resident].key);
        self.engine.ready.uses += 1;
        if let Some((h, used)) = self.engine.ready.handles.get_mut(&key) {
            *used = self.engine.ready.uses;
            return Ok(*h);
        }
        if matches!(place, Placement::Whole | Placement::Listed) {
            self.check_limits(data, &program)?;
        }
        let handle = self.engine.prepare(data, &program, resident)?;
        self.keep(key, handle);
        Ok(handle)
    }

    /// Remembers a program that was made ready. Where there are too many those go that were not used for longest: each batch size has its
    /// own, and a process may see thousands of sizes. Programs over data that a loop runs over stay, since the loop holds their handles.
    fn keep(&mut self, key: (ProgramKey, usize), handle: Handle) {
        while self.engine.ready.handles.len() >= MOST_READY {
            let free = |key: usize| self.engine.data.sets.iter().find(|r| r.key == key).is_none_or(DataOnDevice::free);
            let idle = self.engine.ready.handles.iter().filter(|((_, data), _)| free(*data));
            let Some(oldest) = idle.min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone()) else { break };
            if let Some((old, _)) = self.engine.ready.handles.remove(&oldest) {
                self.engine.session.drop_program(old);
            }
            if !self.engine.ready.handles.keys().any(|(program, _)| *program == oldest.0) {
                self.programs.planned.remove(&oldest.0);
            }
        }
        self.engine.ready.uses += 1;
        self.engine.ready.handles.insert(key, (handle, self.engine.ready.uses));
    }

    /// Writes a batch by hand to its buffers, and gives the program over these.
    pub(crate) fn handle_by_hand(&mut self, data: &Dataset, purpose: Purpose) -> Result<Handle> {
        let (n, set) = (data.len(), purpose.state_set());
        let place = Placement::ByHand(set);
        let handle = self.handle_in(data, purpose, Part::Whole, n, place)?;
        let program = self.program_in(data, purpose, Part::Whole, n, place)?;
        self.check_limits(data, &program)?;
        self.engine.upload_batch(data, set)?;
        Ok(handle)
    }

    /// The metrics. None before a program for training or evaluation was planned.
    pub(crate) fn measures(&self) -> Vec<Measure> {
        self.signature.metrics.clone().unwrap_or_default()
    }

    /// Forgets all that lay on a device that was lost.
    pub(crate) fn forget_device(&mut self) {
        self.engine.ready.handles.clear();
        self.engine.data.sets.clear();
        // the device that takes its place may have no cooperative matrices
        self.programs.planned.retain(|_, p| p.launches.iter().all(|l| !matches!(l.kernel, Kernel::GemmCoop(_))));
    }
}

impl Engine {
    fn prepare(&mut self, data: &Dataset, program: &Arc<Program>, resident: usize) -> Result<Handle> {
        let names: Vec<String> = data.fields().into_iter().map(|f| f.name).collect();
        let set = &self.data.sets[resident];
        let field = |f: &Field| names.iter().position(|n| *n == f.name).and_then(|i| set.ids.get(i)).copied();
        // the list stands behind the fields
        let list = set.list.iter().map(|list| list.id).filter(|_| program.is_listed());
        let ids: Vec<DataId> = program.fields.iter().filter_map(field).chain(list).collect();
        self.session.prepare(program, &ids).map_err(|e| e.with_biggest(|| program.biggest()))
    }
}

#[cfg(test)]
mod tests;
