//! The model as its user has it: what changes while it works lies behind a lock, so that many threads can ask one model.

use super::compile::Compile;
use super::core::Core;
use crate::device::Device;
use crate::error::Result;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A model on a device: parameters, optimizer state, and the programs made so far.
///
/// What only asks it (`predict`, `evaluate`, `save`, `parameter`, ..) takes `&self`: many threads may share one model in an `Arc`, and are
/// served one after the other. What changes it (`fit`, `set_parameter`, ..) takes `&mut self` and locks nothing.
///
/// ```
/// use gradus::prelude::*;
/// use std::sync::Arc;
/// let net = Sequential::new().add(Linear::new(3)).add(Softmax);
/// let model = Arc::new(net.compile(Compile::new(Adam::default(), CrossEntropy::new()).input([4]).device(Device::cpu()))?);
/// let other = model.clone();
/// let row = HostTensor::f32([1, 4], vec![0.1, 0.2, 0.3, 0.4])?;
/// let there = std::thread::spawn({ let row = row.clone(); move || other.predict_on_batch(row) }).join().unwrap()?;
/// assert_eq!(model.predict_on_batch(row)?, there);
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// Code of one's own that the model runs (a [`Source`](crate::data::Source), a custom op) must not ask that model: it would wait for itself.
pub struct Model {
    core: Mutex<Core>,
    fixed: Fixed,
}

/// What the user gets by reference, so that it cannot lie behind the lock. It changes with the whole model or never.
struct Fixed {
    settings: Compile,
    parameters: Vec<String>,
    buffers: Vec<String>,
}

impl Fixed {
    fn of(core: &Core) -> Self {
        Fixed {
            settings: core.description.settings.clone(),
            parameters: core.engine.arena.entries.iter().map(|e| e.name.clone()).collect(),
            buffers: core.engine.arena.buffers.iter().map(|e| e.name.clone()).collect(),
        }
    }
}

impl Model {
    pub(crate) fn over(core: Core) -> Self {
        Model { fixed: Fixed::of(&core), core: Mutex::new(core) }
    }

    /// The inside, for a caller that has the model alone.
    pub(crate) fn core(&mut self) -> &mut Core {
        // a panic while it was locked has reached its caller; what it left is as good as after any error
        self.core.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// The inside, for a caller that shares the model. Never call this twice in one expression: the second call would wait for the first.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the inside by that of another model.
    pub(crate) fn replace(&mut self, core: Core) {
        *self = Model::over(core);
    }

    /// The settings it was compiled with.
    pub fn settings(&self) -> &Compile {
        &self.fixed.settings
    }

    /// The device it lives on: the one that came back, where it was lost.
    pub fn device(&self) -> Device {
        self.lock().engine.device.clone()
    }

    /// The parameters' names, in the order they were made.
    pub fn parameter_names(&self) -> impl Iterator<Item = &str> {
        self.fixed.parameters.iter().map(String::as_str)
    }

    /// The buffers' names, in the order they were made.
    pub fn buffer_names(&self) -> impl Iterator<Item = &str> {
        self.fixed.buffers.iter().map(String::as_str)
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}

/// Compiles only as long as threads can share a model.
#[cfg(not(target_arch = "wasm32"))]
#[allow(dead_code)]
fn threads_share_it(m: Model) -> impl Send + Sync {
    m
}

/// A model around the inside that a constructor has made.
pub(crate) fn made(core: Result<Core>) -> Result<Model> {
    core.map(Model::over)
}
