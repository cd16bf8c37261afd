//! What a [`Model`](crate::train::Model) consists of, behind its lock.

use super::build::{Built, build, build_with, input_fields};
use super::compile::Compile;
use super::describe::Describe;
use super::engine::Engine;
use super::journal::Recovery;
use super::loss_scale::Scaler;
use super::parameter_words::ParameterWords;
use super::programs::Programs;
use super::progress::Progress;
use super::signature::Signature;
use crate::device::Device;
use crate::error::{Faults, Result};
use crate::graph::Field;
use crate::nn::{LayerRow, ParameterSpec, Penalized};
use crate::optim::{Group, Schedule};
use crate::plan::{Arena, Purpose};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A compiled model.
pub(crate) struct Core {
    /// The number of this model among all that this process has made.
    pub number: u64,
    pub description: Description,
    pub signature: Signature,
    pub programs: Programs,
    pub engine: Engine,
    pub recovery: Recovery,
    pub progress: Progress,
    /// The schedule with its lengths in updates, where they are relative to a run: that of the run which began last.
    pub schedule: Option<Schedule>,
}

/// What the user has said of a model.
pub(crate) struct Description {
    pub module: Arc<dyn Describe>,
    pub settings: Compile,
    /// The layers, in the order in which the first build has met them.
    pub layers: Vec<LayerRow>,
}

impl Description {
    /// Builds the step for this purpose and batch size.
    pub fn build(&self, purpose: Purpose, batch: usize, fields: &[Field]) -> Result<Built> {
        build(&*self.module, &self.settings, purpose, batch, fields)
    }

    /// The training step, with launches that look at the layers.
    pub fn build_probed(&self, batch: usize, fields: &[Field]) -> Result<Built> {
        build_with(&*self.module, &self.settings, Purpose::Train, batch, fields, true)
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model({} parameters on {})", self.engine.arena.count(), self.engine.device)
    }
}

impl Core {
    pub(crate) fn new(module: Arc<dyn Describe>, settings: Compile) -> Result<Self> {
        Self::training(module, settings, &|_| true)
    }

    /// As [`Core::new`], of which no other parameters train than these.
    pub(super) fn training(module: Arc<dyn Describe>, settings: Compile, trains: &dyn Fn(&str) -> bool) -> Result<Self> {
        settings.check(module.refuses(&settings))?;
        let device = match &settings.device {
            Some(d) => d.reopened()?, // the handle may be older than a loss
            None => Device::best()?,
        };
        settings.check_precision(&device)?;
        let Built { layers, signature, .. } = build(&*module, &settings, Purpose::Predict, 2, &input_fields(&settings))?;
        let mut faults = Faults::default();
        let names = signature.parameters.iter().map(|p| p.name.as_str()).chain(signature.buffers.iter().map(|b| b.name.as_str()));
        Group::check(settings.optimizer.groups(), &names.clone().collect::<Vec<_>>(), &mut faults);
        let trained: Vec<&str> = signature.parameters.iter().map(|p| p.name.as_str()).collect();
        Penalized::check_names(&settings.penalties, &trained, &mut faults);
        let rows = layers.iter().map(|l| l.name.as_str());
        settings.precision.check(names.clone().chain(rows), &mut faults);
        for name in names.filter(|n| is_taken_in_files(n)) {
            let help = "give it another name: files hold the optimizer's state and the run under `optimizer` and `gradus`";
            faults.check(false, name, "no file could give this parameter back: the name is taken in files", help);
        }
        faults.finish()?;
        let frozen = |p: &ParameterSpec| settings.optimizer.freezes(&p.name) || !trains(&p.name);
        let arena = Arena::with_frozen(signature.parameters.iter().map(|p| (p.name.clone(), p.shape.clone(), frozen(p))))
            .in_orders(signature.parameters.iter().map(|p| p.order.clone()))
            .with_buffers(signature.buffers.iter().map(|b| (b.name.clone(), b.shape.clone())));
        let arena = if settings.precision.is_mixed() { arena.with_half_copies() } else { arena };
        let arena = arena.in_shards(&settings.rule(), device.limits().binding_bytes)?;
        let recovery = Recovery::new(device.kind() != "cpu");
        let engine = Engine::open(device, arena, settings.rule())?;
        let progress = Progress { scaler: settings.scaling().map(Scaler::new), ..Progress::default() };
        static MADE: AtomicU64 = AtomicU64::new(0);
        let mut model = Core {
            number: MADE.fetch_add(1, Ordering::Relaxed),
            description: Description { module, settings, layers },
            signature,
            programs: Programs::default(),
            engine,
            recovery,
            progress,
            schedule: None,
        };
        let drawn = model.drawn();
        model.write_rate_table()?;
        model.write_parameters(&drawn)?;
        model.begin_moments()?;
        Ok(model)
    }

    /// The initial values of all parameters and buffers, drawn by the seed.
    fn drawn(&self) -> ParameterWords {
        let (seed, arena) = (self.description.settings.seed, &self.engine.arena);
        let mut drawn = ParameterWords::zeros(arena);
        for (p, e) in self.signature.parameters.iter().zip(&arena.entries) {
            drawn.set(e, &p.init.draw(seed, &p.name, &p.shape));
        }
        for (b, e) in self.signature.buffers.iter().zip(&arena.buffers) {
            drawn.set_buffer(e, b.values.as_ref().map_or_else(|| b.init.draw(seed, &b.name, &b.shape), |v| v.to_vec()));
        }
        drawn
    }
}

/// Whether files hold other things than parameters under this name, or under names that begin with it.
fn is_taken_in_files(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    ["optimizer", "gradus", "__metadata__"].contains(&first)
}
