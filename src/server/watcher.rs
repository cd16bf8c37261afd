//! What the host of a server wants done while a run goes on.

use super::event::{Event, Flow};
use crate::error::{Error, Faults, Result};
use crate::model::journal::{Arenas, is_weight};
use crate::terminal::{Speaking, say};
use crate::train::callbacks::{CallbackKind, EarlyStopping, Patience, restored};
use crate::train::{Fit, History, Interrupt, Model, asked};
use std::sync::{Arc, Mutex, PoisonError};

/// Validates after each epoch, says a line of it, stops early, and ends the run in good order at Ctrl-C and SIGTERM: what a host hands the events of
/// [`Server::watch`](super::Server::watch) to. Clones are the same.
///
/// It keeps to these of a [`Fit`]: `validation`, `verbose`, `ctrl_c`, and of the callbacks [`EarlyStopping`] on `loss` and `val_..`. A server that goes on from a
/// checkpoint counts the patience anew.
///
/// ```
/// # use gradus::prelude::*;
/// use gradus::server::{Rules, Server, Watcher};
/// # let compile = || Sequential::new().add(Linear::new(1)).compile(Compile::new(Sgd::new(0.1), Mse::new()).input([2]).device(Device::cpu()));
/// let server = Server::new(compile()?, Rules::new(1))?;
/// let watcher = Watcher::new(&Fit::new().epochs(20).callback(EarlyStopping::new("loss").patience(3)))?;
/// let hears = watcher.clone();
/// server.watch(move |event| hears.hear(event));
/// // once the run is over
/// assert_eq!(watcher.history().epochs(), 0);
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Clone)]
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    fit: Fit,
    stops: Vec<Stop>,
    /// Of the open epoch.
    loss: f64,
    rows: u64,
    history: History,
    _listening: Option<Interrupt>,
}

/// An [`EarlyStopping`] at work.
struct Stop {
    set: EarlyStopping,
    patience: Patience,
    best: Option<Arenas>,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watcher({} epochs)", self.lock().history.epochs())
    }
}

impl Watcher {
    /// Listens to Ctrl-C from now on, unless that is not wanted. Fails on callbacks that a server has not, and on an early stopping on what it does not
    /// know.
    pub fn new(fit: &Fit) -> Result<Self> {
        let (mut f, mut stops) = (Faults::default(), vec![]);
        for (i, callback) in fit.callbacks.iter().enumerate() {
            let key = format!("fit.callbacks[{i}]");
            let CallbackKind::EarlyStopping(set) = callback else {
                f.check(
                    false,
                    &key,
                    callback.name(),
                    "a server has `early_stopping` alone: leave it out, or watch the server (`Server::watch`)",
                );
                continue;
            };
            callback.check(&mut f, &key);
            let validates = set.monitor.starts_with("val_");
            f.check(
                set.monitor == "loss" || validates && fit.validation.is_some(),
                &format!("{key}.monitor"),
                &set.monitor,
                if validates { "give the server a validation set" } else { "a server knows `loss`, and with a validation set `val_..`" },
            );
            stops.push(Stop { set: set.clone(), patience: Patience::new(set), best: None });
        }
        f.finish()?;
        let listening = fit.ctrl_c.then(Interrupt::listen);
        let seen = Seen { fit: fit.clone(), stops, loss: 0.0, rows: 0, history: History::default(), _listening: listening };
        Ok(Watcher { seen: Arc::new(Mutex::new(seen)) })
    }

    /// Takes an event. Says whether the run goes on; fails where the validation does.
    pub fn hear(&self, event: Event<'_>) -> Result<Flow> {
        let mut seen = self.lock();
        // this thread is a worker's, which says nothing
        let _speaking = Speaking::new(seen.fit.verbose > 0);
        match event {
            Event::Update { loss, rows, .. } => {
                (seen.loss, seen.rows) = (seen.loss + f64::from(loss) * rows as f64, seen.rows + rows);
            }
            Event::Epoch { epoch, model } => return seen.epoch(epoch as usize, model),
            Event::Lost { rank } => crate::terminal::warn!(rank, "a worker is gone"),
            _ => {}
        }
        Ok(if seen.fit.ctrl_c && asked() { seen.interrupted() } else { Flow::Go })
    }

    /// The loss by epoch, as its updates had it, the values of the validation set, and how the run ended.
    pub fn history(&self) -> History {
        self.lock().history.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn epoch(&mut self, epoch: usize, model: &mut Model) -> Result<Flow> {
        if self.history.stopped_epoch.is_some() {
            // the slowest has ended several epochs at once
            return Ok(Flow::Stop);
        }
        if (self.fit.validation.is_some() || !self.stops.is_empty()) && model.core().is_part() {
            return Err(Error::Unsupported {
                what: "validation or early stopping by one of several servers, which has a part of the parameters".into(),
                at: "server::Watcher".into(),
                help: "leave them out: a worker's model has all parameters once its part is over, to be evaluated; or give one server"
                    .into(),
            });
        }
        let mut values = vec![("loss".to_string(), self.loss / self.rows as f64)];
        if let Some(set) = &self.fit.validation {
            let evaluation = model.evaluate(set, self.fit.batch_size.max(256).min(set.len()))?;
            values.extend(evaluation.iter().map(|(name, value)| (format!("val_{name}"), value)));
        }
        values.iter().for_each(|(name, value)| self.history.push(name, *value));
        if self.fit.verbose > 0 {
            let of = if epoch <= self.fit.epochs { format!("/{}", self.fit.epochs) } else { String::new() };
            let values: String = values.iter().map(|(name, value)| format!("  {name} {value:.4}")).collect();
            say(format!("epoch {epoch}{of}{values}"));
        }
        (self.loss, self.rows) = (0.0, 0);
        let mut flow = Flow::Go;
        for stop in &mut self.stops {
            let Some((_, value)) = values.iter().find(|(name, _)| *name == stop.set.monitor) else {
                let (name, known) = (stop.set.monitor.clone(), values.into_iter().map(|(name, _)| name).collect());
                return Err(Error::NotFound { what: "value".into(), name, at: "the early stopping of a server".into(), known });
            };
            let verdict = stop.patience.look(&stop.set, epoch, *value);
            if verdict.keep && stop.set.restore_best_weights {
                stop.best = Some(model.core().read_arenas(is_weight)?);
            }
            if verdict.stop {
                (self.history.stopped_epoch, flow) = (Some(epoch), Flow::Stop);
            }
        }
        if flow == Flow::Stop || epoch == self.fit.epochs {
            // nobody trains on
            self.history.interrupted = false;
            for stop in &mut self.stops {
                let Some(best) = stop.best.take() else { continue };
                model.core().write_arenas(&best)?;
                self.history.restored_epoch = Some(restored(stop.patience.best_epoch));
            }
        }
        Ok(flow)
    }

    fn interrupted(&mut self) -> Flow {
        if !std::mem::replace(&mut self.history.interrupted, true) && self.fit.verbose > 0 {
            say(format!("interrupted in epoch {}", self.history.epochs() + 1));
        }
        Flow::Stop
    }
}
