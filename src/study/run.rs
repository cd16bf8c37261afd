//! A study that is run: pilots first, then the rest, then the chosen arm's test.

use super::cells::{Cell, fingerprint, sources};
use super::journal::{Head, Journal};
use super::power::Power;
use super::record::{self, Record};
use super::settings::Study;
use super::table::{Table, best, is_first};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::rng::fnv1a;
use crate::store::sum::of_words;
use crate::train::{DataSpec, Device, Registry};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

/// Runs of each first arm from which is told what the seeds show. They count as runs.
const PILOTS: usize = 3;

/// How a study is run.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[must_use]
pub struct RunOptions {
    /// The models and data sets of the program's own; none.
    pub registry: Registry,
    /// Where the runs that ended are noted, so that the study goes on from there when it is started again; nowhere.
    pub journal: Option<PathBuf>,
    /// Runs beside each other on the CPU, one thread each; as many as the device has threads, and 1 where time is compared. Another number changes no value but
    /// the seconds.
    pub workers: Option<usize>,
}

impl RunOptions {
    /// Without a registry and a journal.
    pub fn new() -> Self {
        Self::default()
    }
    /// The models and data sets of the program's own.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }
    /// Where the runs that ended are noted.
    pub fn journal(mut self, path: impl Into<PathBuf>) -> Self {
        self.journal = Some(path.into());
        self
    }
    /// Runs beside each other on the CPU, at least 1.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }
}

/// What happens while a study runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It begins: so many runs, of which the journal has some.
    Begins {
        /// All runs.
        runs: usize,
        /// Those that are done.
        done: usize,
    },
    /// What its seeds show, by the pilot runs: before the rest is run.
    Shows(&'a [Power]),
    /// A run has ended.
    Ran(&'a Record),
    /// An arm is chosen; its runs are done once more, to the same bits, and tested.
    Chosen(&'a [String]),
}

/// A run that is to be done: of a cell, by a seed, with its test or without.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Due {
    cell: usize,
    seed: u64,
    tested: bool,
}

impl Study {
    /// Fails on every fault of the study and of its recipes, without running anything. Gives the number of its runs.
    pub fn check(&self) -> Result<usize> {
        Ok(self.cells()?.iter().map(|c| c.seeds.len()).sum())
    }

    /// Runs all of it, without a journal: see [`Study::run_with`].
    pub fn run(&self, device: &Device) -> Result<Table> {
        self.run_with(device, &RunOptions::new(), |_| {})
    }

    /// Runs what the journal does not have yet, and makes the table of all. `watch` is told what happens.
    ///
    /// On the CPU runs go side by side with a thread each, unless time is compared; on a GPU one after another. No value depends on that. The data is read
    /// once.
    ///
    /// A run that fails, or whose loss is not finite, is counted in its row. Fails on faults of the study ([`Study::check`]), on data that is not there, on a
    /// journal of another study, that has tested another arm than the one that is chosen now, or that cannot be written, and on a device that is gone: then what ended is in the journal.
    pub fn run_with(&self, device: &Device, options: &RunOptions, mut watch: impl FnMut(Event<'_>)) -> Result<Table> {
        let cells = self.cells()?;
        let registry = sources(&cells).iter().try_fold(options.registry.clone(), |r, s| r.with_source(s))?;
        let mut journal = match &options.journal {
            Some(path) => Journal::open(path, &self.head(&cells, &registry, device)?)?,
            None => Journal::in_memory(),
        };
        let (alone, threads) = device.one_thread();
        let workers = if self.time { 1 } else { options.workers.unwrap_or(threads).max(1) };
        let machine = if workers > 1 { &alone } else { device };
        let crew = Crew { study: self, cells: &cells, registry: &registry, device: machine, workers };
        let (pilots, rest) = self.plan(&cells);
        let all = pilots.len() + rest.len();
        let done = pilots.iter().chain(&rest).filter(|d| crew.has(&journal, d)).count();
        watch(Event::Begins { runs: all, done });
        crew.work(&pilots, &mut journal, &mut watch)?;
        let table = Table::of(self, &cells, &journal.runs, vec![], None);
        self.check_columns(&table)?;
        let power = self.power(&cells, &journal.runs, &table);
        watch(Event::Shows(&power));
        crew.work(&rest, &mut journal, &mut watch)?;
        let Some(by) = &self.select else { return Ok(Table::of(self, &cells, &journal.runs, power, None)) };
        let untested: Vec<Record> = journal.runs.iter().filter(|r| !r.tested).cloned().collect();
        let table = Table::of(self, &cells, &untested, vec![], None);
        let chosen = best(&table.columns, &table.rows, by)?;
        journal.check_choice(&cells[chosen], by)?;
        if cells[chosen].recipe.data.test.is_some() {
            watch(Event::Chosen(&cells[chosen].names));
            let tests: Vec<Due> = cells[chosen].seeds.iter().map(|s| Due { cell: chosen, seed: *s, tested: true }).collect();
            crew.work(&tests, &mut journal, &mut watch)?;
        }
        Ok(Table::of(self, &cells, &journal.runs, power, Some(chosen)))
    }

    /// The pilot runs of each first arm, and the rest in an order in which each seed is done for all arms before the next: a study that is cut has whole
    /// pairs.
    fn plan(&self, cells: &[Cell]) -> (Vec<Due>, Vec<Due>) {
        let tested = self.select.is_none();
        let first = |c: &Cell| self.compared().is_none_or(|axis| c.at[axis] == 0);
        let most = cells.iter().map(|c| c.seeds.len()).max().unwrap_or(0);
        let due = |i: usize, k: usize| cells[i].seeds.get(k).map(|seed| (i, k, Due { cell: i, seed: *seed, tested }));
        let all = (0..most).flat_map(|k| (0..cells.len()).filter_map(move |i| due(i, k)));
        let (pilots, rest): (Vec<_>, Vec<_>) = all.partition(|(i, k, _)| first(&cells[*i]) && *k < PILOTS);
        let only = |all: Vec<(usize, usize, Due)>| all.into_iter().map(|(_, _, due)| due).collect();
        (only(pilots), only(rest))
    }

    /// What the seeds show of each shown column, by the first seeds' runs of each first arm.
    fn power(&self, cells: &[Cell], runs: &[Record], table: &Table) -> Vec<Power> {
        let Some(axis) = self.compared() else { return vec![] };
        let mut all = vec![];
        for (i, cell) in cells.iter().enumerate().filter(|(_, c)| c.at[axis] == 0) {
            // the most seeds of an arm that is held against it
            let others = cells.iter().enumerate().filter(|(j, c)| *j != i && is_first(cell, c, axis)).map(|(_, c)| c.seeds.len());
            let Some(seeds) = others.max().map(|n| n.min(cell.seeds.len())) else { continue };
            for column in &table.shown {
                let pilots = cell.seeds.iter().take(PILOTS).filter_map(|s| runs.iter().find(|r| r.is_of(cell, *s, r.tested)));
                let values: Vec<f64> = pilots.filter_map(|r| r.get(column)).filter(|v| v.is_finite()).collect();
                all.extend(Power::of(&cell.names, column, &values, seeds));
            }
        }
        all
    }

    /// Fails on a column that the pilot runs do not have, before the rest is run.
    fn check_columns(&self, table: &Table) -> Result<()> {
        // a chosen arm's test is the last that is run; and where all pilots failed nobody knows
        let later = |c: &String| self.select.is_some() && c.starts_with("test_") || table.columns.is_empty();
        match self.columns.iter().chain(&self.select).find(|c| !later(c) && !table.columns.contains(c)) {
            None => Ok(()),
            Some(c) => Err(Error::NotFound {
                what: "column".into(),
                name: c.clone(),
                at: "the study's `columns`".into(),
                known: table.columns.clone(),
            }),
        }
    }

    fn head(&self, cells: &[Cell], registry: &Registry, device: &Device) -> Result<Head> {
        let rows = |source: String| {
            let sets = DataSpec::new(source.clone()).load(registry)?;
            let test = DataSpec::new(source.clone()).test(crate::train::HeldOut::Test).load(registry).ok().and_then(|s| s.test);
            let sum = sum_of(std::iter::once(&sets.train).chain(&test));
            Ok((source, sets.train.len(), test.map_or(0, |t| t.len()), sum))
        };
        let data = sources(cells).into_iter().map(rows).collect::<Result<_>>()?;
        let (_, threads) = device.one_thread();
        // no value depends on the threads, but seconds do
        let threads = if self.time && threads > 1 { format!(", {threads} threads") } else { String::new() };
        Ok(Head { study: fingerprint(self, cells), machine: device.machine() + &threads, data })
    }
}

/// A sum over the first rows of some sets, which tells them from others of as many rows.
fn sum_of<'a>(sets: impl Iterator<Item = &'a Dataset>) -> String {
    let fields = sets.flat_map(Dataset::first_rows).map(|(name, words)| format!("{name} {}\n", of_words(&words)));
    format!("{:016x}", fnv1a(fields.collect::<String>().as_bytes()))
}

/// Who runs.
struct Crew<'a> {
    study: &'a Study,
    cells: &'a [Cell],
    registry: &'a Registry,
    device: &'a Device,
    workers: usize,
}

impl Crew<'_> {
    fn has(&self, journal: &Journal, due: &Due) -> bool {
        journal.runs.iter().any(|r| r.is_of(&self.cells[due.cell], due.seed, due.tested && self.study.select.is_some()))
    }

    fn run(&self, due: &Due) -> Result<Record> {
        record::run(self.study, &self.cells[due.cell], due.seed, due.tested, self.registry, self.device)
    }

    /// Does the runs that the journal does not have, and adds each as it ends.
    fn work(&self, all: &[Due], journal: &mut Journal, watch: &mut impl FnMut(Event<'_>)) -> Result<()> {
        let open: Vec<Due> = all.iter().filter(|d| !self.has(journal, d)).copied().collect();
        let mut note = |record: Record| journal.add(record).map(|r| watch(Event::Ran(r)));
        if self.workers == 1 {
            return open.iter().try_for_each(|d| note(self.run(d)?));
        }
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (send, ended) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..self.workers.min(open.len()) {
                let (send, next, stop, open) = (send.clone(), &next, &stop, &open);
                scope.spawn(move || {
                    while let Some(due) = open.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !stop.load(Ordering::Relaxed)) {
                        if send.send(self.run(due)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            let all = ended.iter().try_for_each(|record| note(record?));
            stop.store(true, Ordering::Relaxed);
            all
        })
    }
}
