//! `fit`: written with a [`Trainer`] and nothing else.

use super::interrupt::Interrupt;
use super::progress::{Bar, validation_text};
use super::trainer::Progress;
use super::{Checkpoint, Fit, History, Model, Trainer};
use crate::data::Dataset;
use crate::error::Result;
use std::time::Instant;

pub(super) fn fit(model: &mut Model, data: &Dataset, fit: Fit) -> Result<History> {
    let (began, mut first_submit) = (Instant::now(), None);
    let mut bar = Bar::new(&fit, data.name());
    let (validation, checkpoint, batch) = (fit.validation.clone(), fit.checkpoint.clone(), fit.batch_size);
    let mut run = model.trainer(data, fit)?;
    let steps = run.steps_per_epoch();
    let measures = run.measures().to_vec();
    let _listening = Interrupt::listen();
    run.run.interruptible = true;
    let mut written = run.run.resumed.then(|| run.steps_done());
    while !run.is_over() && !run.run.interrupted() {
        let before = std::mem::take(&mut run.run.seconds);
        bar.begin(run.epochs_done() + 1);
        let ended = loop {
            let mut show = |p: Progress<'_>| {
                first_submit.get_or_insert_with(|| began.elapsed().as_secs_f64());
                bar.draw(p.done, steps, &p.mean.evaluation(&measures).to_string(), p.rows);
            };
            let Some(report) = run.run(next(&run, &checkpoint), &mut show)? else { break false };
            if report.epoch_ended {
                break true;
            }
            run.run.seconds = before + bar.seconds();
            if run.run.interrupted() {
                break false;
            }
            if due(&run, &checkpoint) {
                write(&mut run, &checkpoint, &mut written)?;
            }
        };
        if !ended {
            break;
        }
        let seconds = before + bar.seconds();
        run.run.seconds = 0.0;
        run.run.history.push_times(seconds, first_submit);
        let mut text = run.run.ended.to_string();
        if let Some(data) = &validation {
            let seen = run.evaluate(data, batch.max(256).min(data.len()))?;
            seen.iter().for_each(|(n, v)| run.run.history.push(&format!("val_{n}"), v));
            text += &validation_text(&seen);
        }
        bar.end(&text, run.run.ended_rows, seconds);
        if due(&run, &checkpoint) {
            write(&mut run, &checkpoint, &mut written)?;
        }
    }
    write(&mut run, &checkpoint, &mut written)?;
    Ok(std::mem::take(&mut run.run.history))
}

/// Steps until something is to be done.
fn next(run: &Trainer<'_>, checkpoint: &Option<Checkpoint>) -> usize {
    let every = checkpoint.iter().map(|c| c.every_steps).filter(|n| *n > 0);
    every.map(|n| n - run.steps_done() % n).min().unwrap_or(usize::MAX)
}

/// Whether a checkpoint is to be written here.
fn due(run: &Trainer<'_>, checkpoint: &Option<Checkpoint>) -> bool {
    let at = |done: usize, every: usize| every > 0 && done.is_multiple_of(every);
    checkpoint.as_ref().is_some_and(|c| at(run.steps_done(), c.every_steps) || (run.done == 0 && at(run.epoch, c.every_epochs)))
}

/// Writes it, unless it was written here.
fn write(run: &mut Trainer<'_>, checkpoint: &Option<Checkpoint>, written: &mut Option<usize>) -> Result<()> {
    let Some(c) = checkpoint else { return Ok(()) };
    if written.replace(run.steps_done()) == Some(run.steps_done()) {
        return Ok(());
    }
    run.write_checkpoint(&c.path)
}
