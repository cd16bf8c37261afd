//! The callbacks of a run, and the state that checkpoints hold of them.

use super::CallbackKind;
use super::callback::Callback;
use super::logs::Logs;
use crate::error::{Error, Faults, Result};
use crate::named::Named;
use crate::train::record::Due;
use crate::train::state::CallbackState;
use crate::train::{Fit, Trainer};
use serde_json::Value;
use std::path::Path;

/// The name under which a checkpoint holds a callback's state.
fn title(c: &CallbackKind) -> String {
    c.kind().own_name().map_or_else(|| c.name().into(), |own| format!("custom: {own}"))
}

/// The state that each of these callbacks gets back, by their names and their order; and the states that no callback wants.
fn matched<'a>(names: impl Iterator<Item = &'a str>, mut saved: Vec<CallbackState>) -> (Vec<Option<Value>>, Vec<CallbackState>) {
    let one = |name: &str| {
        let at = saved.iter().position(|s| s.name == *name)?;
        Some(saved.remove(at).state)
    };
    (names.map(one).collect(), saved)
}

/// Fails on a state of a checkpoint that its callback cannot take back: before anything is changed.
pub(crate) fn check_states(fit: &Fit, saved: &[CallbackState], path: &Path) -> Result<()> {
    let names: Vec<String> = fit.callbacks.iter().map(title).collect();
    let states = matched(names.iter().map(String::as_str), saved.to_vec()).0;
    let mut with = fit.callbacks.iter().zip(&states).filter_map(|(c, s)| Some((c, s.as_ref()?)));
    with.try_for_each(|(c, s)| c.kind().check_state(s)).map_err(|e| match e {
        Error::BadFile { problem, at, help, .. } => Error::BadFile { path: path.into(), problem, at, help },
        e => e,
    })
}

/// The callbacks of a run, in order.
pub(crate) struct Callbacks {
    list: Vec<(String, Box<dyn Callback>)>,
    /// The rate is among the logs.
    pub rate: bool,
}

impl Callbacks {
    /// Fails on a name that no log has.
    pub fn start(fit: &Fit, run: &Trainer<'_>) -> Result<Self> {
        let rate = fit.callbacks.iter().any(|c| c.kind().moves_rate());
        let mut known: Vec<String> = std::iter::once("loss".to_string()).chain(run.metric_names()).collect();
        let of_steps = known.clone();
        if fit.validation.is_some() {
            known.extend(of_steps.iter().map(|n| format!("val_{n}")));
        }
        known.extend(rate.then(|| "learning_rate".to_string()));
        let mut f = Faults::default();
        for (i, c) in fit.callbacks.iter().enumerate() {
            let known = if c.kind().asks_within_epochs() { &of_steps } else { &known };
            for name in c.kind().asks_for().iter().filter(|n| !known.contains(n)) {
                let more = if fit.validation.is_none() { "; `val_..` needs `Fit::validation`" } else { "" };
                let key = format!("fit.callbacks[{i}], {}", c.name());
                f.check(false, &key, format!("`{name}` is no value of the logs"), &format!("choose one of {}{more}", known.join(", ")));
            }
        }
        f.finish()?;
        let list = fit.callbacks.iter().enumerate().map(|(i, c)| (title(c), c.kind().start(i))).collect();
        Ok(Callbacks { list, rate })
    }

    /// Calls each callback in turn, then writes and removes the files that they asked for.
    async fn turn(&mut self, run: &mut Trainer<'_>, mut f: impl FnMut(&mut dyn Callback, &mut Trainer<'_>) -> Result<()>) -> Result<()> {
        run.record.in_callback = true;
        let own = |e: Error, who: &str| match e {
            Error::Callback { name, problem, at } if name.is_empty() => {
                Error::Callback { name: who.strip_prefix("custom: ").unwrap_or(who).into(), problem, at }
            }
            other => other,
        };
        let all = self.list.iter_mut().try_for_each(|(name, c)| f(&mut **c, run).map_err(|e| own(e, name)));
        run.record.in_callback = false;
        all?;
        if run.record.due.is_empty() {
            return Ok(());
        }
        self.note(run);
        for due in std::mem::take(&mut run.record.due) {
            match due {
                Due::Write(path) => run.write_checkpoint(&path).await?,
                // it may be gone already
                Due::Remove(path) => drop(std::fs::remove_file(path)),
            }
        }
        Ok(())
    }

    /// Leaves their states where a checkpoint finds them.
    pub fn note(&self, run: &mut Trainer<'_>) {
        run.record.callbacks = self.list.iter().map(|(name, c)| CallbackState { name: name.clone(), state: c.state() }).collect();
    }

    /// Before the first step. Callbacks that the checkpoint knows get their state back, by their names and their order.
    pub async fn train_begin(&mut self, run: &mut Trainer<'_>) -> Result<()> {
        let saved = std::mem::take(&mut run.record.callbacks);
        let (states, left) = matched(self.list.iter().map(|(name, _)| name.as_str()), saved);
        left.iter().for_each(|s| crate::terminal::warn!(callback = s.name, "a callback of the checkpoint is not there any more"));
        let mut states = states.into_iter();
        let begun = self
            .turn(run, |c, run| {
                c.on_train_begin(run)?;
                states.next().flatten().map_or(Ok(()), |s| c.restore(run, &s))
            })
            .await;
        if begun.is_err() {
            run.take_back_resume()?;
        }
        run.record.before = None;
        begun
    }

    pub async fn epoch_begin(&mut self, run: &mut Trainer<'_>, epoch: usize) -> Result<()> {
        self.turn(run, |c, run| c.on_epoch_begin(run, epoch)).await
    }

    /// Those whose turn it is after so many steps of the run.
    pub async fn steps_end(&mut self, run: &mut Trainer<'_>, logs: impl Fn(&Trainer<'_>) -> Logs) -> Result<()> {
        let done = run.steps_done();
        let due = |c: &dyn Callback| c.every_steps() > 0 && done.is_multiple_of(c.every_steps());
        if !self.list.iter().any(|(_, c)| due(&**c)) {
            return Ok(());
        }
        let logs = logs(run);
        self.turn(run, |c, run| if due(c) { c.on_steps_end(run, &logs) } else { Ok(()) }).await
    }

    pub async fn epoch_end(&mut self, run: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
        self.turn(run, |c, run| c.on_epoch_end(run, logs)).await
    }

    pub async fn train_end(&mut self, run: &mut Trainer<'_>) -> Result<()> {
        self.turn(run, |c, run| c.on_train_end(run)).await
    }

    /// Whether one of them takes the error for a good end.
    pub async fn error(&mut self, run: &mut Trainer<'_>, error: &Error) -> Result<bool> {
        let mut taken = false;
        self.turn(run, |c, run| {
            taken |= c.on_error(run, error)?;
            Ok(())
        })
        .await?;
        Ok(taken)
    }

    /// Steps until the next of them has its turn.
    pub fn next(&self, done: usize) -> usize {
        let every = self.list.iter().map(|(_, c)| c.every_steps()).filter(|n| *n > 0);
        every.map(|n| n - done % n).min().unwrap_or(usize::MAX)
    }
}
