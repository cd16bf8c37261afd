//! A server of several: the part of the model that it has, and what it cannot do alone.

use super::Server;
use crate::error::{Error, Faults, Result};
use crate::exchange::Shard;
use crate::server::cut::cut;
use crate::server::event::{Event, Flow};
use crate::server::rules::Rules;
use crate::train::{Compile, Model};
use std::ops::Range;

/// Notes settings that need what no shard has.
pub(super) fn check(f: &mut Faults, settings: &Compile, rules: &Rules) {
    if !rules.shard.is_part() {
        return;
    }
    let with = format!("with {} servers", rules.shard.of);
    // workers of `local` clip their own gradients, which are whole
    f.check(
        settings.clip_norm.is_none() || rules.mode.is_local(),
        "compile.clip_norm",
        format!("{with}: none knows the norm of all gradients"),
        "clip each number (`clip_value`), or give one server",
    );
    f.check(
        settings.ema.is_none(),
        "compile.ema",
        format!("{with}: the average would lie in pieces, and workers are not given it"),
        "leave it out, or give one server",
    );
}

/// The part of a model that a shard keeps, and its elements among those that train; all where it is the only one.
pub(super) fn of(mut model: Model, shard: Shard) -> Result<(Model, Range<usize>)> {
    let core = model.core();
    let size = core.engine.arena.size;
    if !shard.is_part() {
        return Ok((model, 0..size));
    }
    let begins: Vec<usize> = core.engine.arena.entries.iter().filter(|e| !e.frozen).map(|e| e.offset).collect();
    let ends = || begins.iter().skip(1).copied().chain([size]);
    let sizes: Vec<usize> = begins.iter().zip(ends()).map(|(begin, end)| end - begin).collect();
    let Some(tensors) = cut(&sizes, shard.of).and_then(|all| all.get(shard.index).cloned()) else {
        let mut f = Faults::default();
        let problem = format!("{} servers, and {} parameter tensors train", shard.of, begins.len());
        f.check(false, "shard", problem, "give no more servers than tensors: none is cut");
        f.finish()?;
        return Ok((model, 0..size));
    };
    let range = begins[tensors.start]..ends().nth(tensors.end - 1).unwrap_or(size);
    Ok((Model::over(core.part(tensors)?), range))
}

/// A watcher that may not end the run of a shard: the others would go on.
pub(super) fn watched(shard: Shard, mut watch: impl FnMut(Event<'_>) -> Result<Flow>) -> impl FnMut(Event<'_>) -> Result<Flow> {
    move |event| match watch(event)? {
        Flow::Stop if shard.is_part() => Err(alone("a watcher ends the run", shard, "Server::watch", "give fewer epochs, or one server")),
        flow => Ok(flow),
    }
}

impl Server {
    /// Fails where others have the rest of the model.
    pub(super) fn whole(&self, at: &str) -> Result<()> {
        let shard = self.inner.rules.shard;
        if !shard.is_part() {
            return Ok(());
        }
        let help = "take a worker's model: it has all parameters once its part is over (`gradus worker --save`)";
        Err(alone("the model is asked for", shard, at, help))
    }
}

fn alone(what: &str, shard: Shard, at: &str, help: &str) -> Error {
    Error::Distributed { problem: format!("{what}, and the server is shard {shard} alone"), at: at.into(), help: help.into() }
}
