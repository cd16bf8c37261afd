//! Runs of several steps: what the optimizer, the tick and the gather leave behind, counters and log included, against plain loops.

use crate::check::{Fail, Found, Ready, Row, Site, floats, load, state};
use crate::counts::Facts;
use crate::make::{Built, Case, List, Order, Truth, field, permuted};
use crate::tolerance::Known;
use gradus::graph::Distribution;
use gradus::kernels::words::{
    LOG_ROWS, RATE_ROWS, RATE_WIDTH, STATE_BATCH, STATE_CURSOR, STATE_EPOCH, STATE_HALT, STATE_UPDATE, STATE_WORDS, StateWords,
};
use gradus::plan::{Blocking, BufferId, Handle, LogLine, Purpose, Rule, Session, StateSet, Submit};
use gradus::tensor::DType;
use std::sync::Arc;

/// Counters begin just below the ends of their rings, and differ.
pub const BATCH: u32 = LOG_ROWS as u32 - 3;
pub const UPDATE: u32 = RATE_ROWS as u32 - 2;

/// A session with a program of several steps made ready.
pub struct Run {
    pub session: Box<dyn Session>,
    pub handle: Handle,
    pub set: StateSet,
    pub batch: u32,
    /// Every line of the log so far.
    pub lines: Vec<LogLine>,
}

impl Run {
    /// `rates[i]` are those of the i-th update from here.
    pub fn new(site: &Site<'_>, built: &Built, rule: &Rule, rates: &[[f32; RATE_WIDTH]]) -> Option<Result<Run, Fail>> {
        let rows: Vec<Vec<u32>> = rates.iter().map(|r| r.map(f32::to_bits).to_vec()).collect();
        Run::with(site, built, rule, &rows, &[])
    }

    /// As [`Run::new`]; rows with the rates of every group, and the table behind them.
    pub fn with(site: &Site<'_>, built: &Built, rule: &Rule, rates: &[Vec<u32>], table: &[u32]) -> Option<Result<Run, Fail>> {
        let program = match site.program(built, rule) {
            Ok(p) => p,
            Err(e) => return Some(Err(e)),
        };
        let set = program.purpose.state_set();
        let ready = site.session(&program)?.and_then(|mut s| {
            let handle = load(&mut *s, built, &program)?;
            let words = StateWords { batch: BATCH, update: UPDATE, ..state(built) };
            s.write(BufferId::State(set), 0, &words.words())?;
            for (i, r) in rates.iter().enumerate() {
                s.write(BufferId::Rates, (UPDATE as usize + i) % RATE_ROWS * r.len(), r)?;
            }
            s.write(BufferId::Rates, rule.groups * RATE_ROWS * RATE_WIDTH, table)?;
            Ok(Run { session: s, handle, set, batch: BATCH, lines: vec![] })
        });
        Some(ready.map_err(Fail::from))
    }

    /// Steps of a program; `self.handle`'s are the usual ones.
    pub fn submit(&mut self, handle: Handle, steps: usize) -> gradus::Result<()> {
        // cut into pieces, now and then: no result may depend on that
        let submit = Submit { runs: &[(handle, steps)], first_batch: self.batch, pieces: 1 + steps % 3 };
        let ticket = self.session.submit(submit)?;
        self.batch += steps as u32;
        self.lines.extend(self.session.log(ticket)?);
        Ok(())
    }

    pub fn state(&mut self) -> gradus::Result<Vec<u32>> {
        self.session.read(BufferId::State(self.set), 0, STATE_WORDS)
    }

    /// Parameters and moments, as words.
    pub fn words(&mut self, built: &Built, rule: &Rule) -> gradus::Result<Vec<u32>> {
        let mut all = self.session.read(BufferId::Parameters, 0, built.arena.size)?;
        for m in 0..rule.moments {
            all.extend(self.session.read(BufferId::Moment(m), 0, built.arena.size)?);
        }
        Ok(all)
    }
}

/// Numbers that must be what they are.
pub fn exact(name: &str, value: Vec<f64>) -> (String, Known) {
    let tol = vec![0.0; value.len()];
    (name.into(), Known { value, tol })
}

/// The state after so many batches and updates.
pub fn state_after(built: &Built, batches: usize, updates: usize, halted: bool) -> Vec<f64> {
    let o = &built.order;
    let mut words = state(built).words();
    (words[STATE_BATCH], words[STATE_UPDATE], words[STATE_HALT]) = (BATCH + batches as u32, UPDATE + updates as u32, halted.into());
    for _ in 0..batches {
        let next = words[STATE_CURSOR] as usize + o.batch;
        (words[STATE_CURSOR], words[STATE_EPOCH]) =
            if next >= o.rows { (0, words[STATE_EPOCH] + 1) } else { (next as u32, words[STATE_EPOCH]) };
    }
    words.map(f64::from).to_vec()
}

/// The loss is linear: the gradient of a step is its row of the data.
pub fn linear(n: usize, rows: usize) -> Case {
    let body = move |m: &crate::make::Make| (m.p([n]) * m.batch([n]).reshape([n])).sum();
    Case::new(format!("linear {n}"), body).over(Order { rows, ..Order::all(1) })
}

/// Plain descent, which keeps a moment of its own: nothing that moves may be overlooked.
fn descent() -> Rule {
    let f = gradus::expr::Expr::of(3, |x| vec![&x[0] - 0.125 * &x[1], &x[2] + &x[1]]);
    Rule::new(f, 1)
}

const ROWS: usize = 4;
const BAD: usize = 2;

/// A loss that is not finite stops parameters, moments, counters and cursor to the bit, though later losses are fine.
fn halts(name: &'static str, value: f64) -> Row {
    halts_under(format!("a loss of {name} halts"), value, descent(), 0)
}

/// As [`halts`], under another rule; by this field of the data: the second has no part in the gradient.
fn halts_under(name: impl Into<String>, value: f64, rule: Rule, field: usize) -> Row {
    let name = name.into();
    Row::new(name.clone(), move || {
        let rule = rule.clone();
        let body = |m: &crate::make::Make| (m.p([300]) * m.batch([300]).reshape([300])).sum() + m.batch([1]).sum();
        let mut built = Case::new("linear 300", body).over(Order { rows: ROWS, ..Order::all(1) }).build()?;
        built.fields[field].spoil(BAD, value);
        let lines: Vec<f64> = (0..=BAD).flat_map(|i| [f64::from(BATCH) + i as f64, f64::from(u8::from(i == BAD))]).collect();
        let after = state_after(&built, BAD, BAD, true);
        let mut moved_on = after.clone();
        moved_on[STATE_CURSOR] = BAD as f64 + 1.0;
        let moved: Truth = vec![
            exact("lines of the log: batch, halted", lines),
            exact("state", after),
            exact("words that moved after the halt", vec![0.0]),
            exact("words that moved when the cursor did", vec![0.0]),
            exact("words that moved in one submit of all", vec![0.0]),
            exact("lines after the halt", vec![0.0]),
            exact("state after it, but for the cursor", moved_on),
        ];
        let run = move |site: &Site<'_>| {
            let table = rule.table(&built.arena, |_| 0);
            let made = || Run::with(site, &built, &rule, &[], &table);
            let (mut cut, mut whole) = match (made()?, made()?) {
                (Ok(a), Ok(b)) => (a, b),
                (Err(e), _) | (_, Err(e)) => return Some(Err(e)),
            };
            Some(halted(&built, &rule, &mut cut, &mut whole).map_err(Fail::from))
        };
        Ok(Ready { truth: moved, run: Box::new(run), facts: Facts::of("halt", name.clone(), "300") })
    })
}

fn halted(built: &Built, rule: &Rule, cut: &mut Run, whole: &mut Run) -> gradus::Result<Found> {
    let changed = |a: &[u32], b: &[u32]| a.iter().zip(b).filter(|(a, b)| a != b).count() as f64;
    cut.submit(cut.handle, BAD)?;
    let before = cut.words(built, rule)?;
    cut.submit(cut.handle, 3)?;
    let lines = cut.lines.iter().flat_map(|l| [f64::from(l.batch), f64::from(u8::from(l.halted))]).collect();
    let state: Vec<f64> = cut.state()?.into_iter().map(f64::from).collect();
    let after = cut.words(built, rule)?;
    let ended = cut.lines.len();
    // past the bad row, where losses are finite again: only the flag holds
    cut.session.write(BufferId::State(StateSet::Train), STATE_CURSOR, &[BAD as u32 + 1])?;
    cut.submit(cut.handle, 2)?;
    let later = cut.words(built, rule)?;
    let stands: Vec<f64> = cut.state()?.into_iter().map(f64::from).collect();
    whole.submit(whole.handle, BAD + 5)?;
    let once = whole.words(built, rule)?;
    Ok(vec![
        ("lines of the log: batch, halted".into(), lines),
        ("state".into(), state),
        ("words that moved after the halt".into(), vec![changed(&before, &after)]),
        ("words that moved when the cursor did".into(), vec![changed(&before, &later)]),
        ("words that moved in one submit of all".into(), vec![changed(&before, &once)]),
        ("lines after the halt".into(), vec![(cut.lines.len() - ended) as f64]),
        ("state after it, but for the cursor".into(), stands),
    ])
}

/// A moment below the normal range is 0, wherever the rule is evaluated: in the optimizer's launch, or before the norms of tensors.
fn normal_moments(by_tensor: bool) -> Row {
    const LEAST: f64 = f32::MIN_POSITIVE as f64;
    let name = if by_tensor { "moments below the normal range, of a direction" } else { "moments below the normal range" };
    Row::new(name, move || {
        let built = linear(300, 1).build()?;
        let f = gradus::expr::Expr::of(3, |x| vec![&x[0] + 0.0 * &x[1], LEAST * &x[1]]);
        let apply = gradus::expr::Expr::of(2, |x| vec![&x[0] + 0.0 * &x[1]]);
        let rule = if by_tensor { Rule::by_tensor(f, 1, apply) } else { Rule::new(f, 1) };
        let kept = |g: f64| if g.abs() < 1.0 { 0.0 } else { LEAST * g };
        let gradient = built.fields[0].row(0);
        if gradient.iter().all(|g| g.abs() >= 1.0) || gradient.iter().all(|g| g.abs() < 1.0) {
            return Err("no case of both kinds".into());
        }
        let truth = vec![exact("moments", gradient.iter().map(|g| kept(*g)).collect())];
        let run = move |site: &Site<'_>| {
            let table = rule.table(&built.arena, |_| 0);
            let mut run = match Run::with(site, &built, &rule, &[], &table)? {
                Ok(r) => r,
                Err(e) => return Some(Err(e)),
            };
            let at = built.arena.entries[0].offset;
            let found = run.submit(run.handle, 1).and_then(|()| run.session.read(BufferId::Moment(0), at, 300));
            Some(found.map(|m| vec![("moments".into(), floats(m))]).map_err(Fail::from))
        };
        Ok(Ready { truth, run: Box::new(run), facts: Facts::of("optimizer", "a moment", "300") })
    })
}

/// Evaluation goes on over a loss that is not finite.
fn evaluates() -> Row {
    Row::new("an evaluation does not halt", || {
        let mut case = linear(33, ROWS);
        case.purpose = Purpose::Evaluate;
        let mut built = case.build()?;
        built.fields[0].spoil(BAD, f64::NAN);
        let truth = vec![
            exact("finite losses", (0..6).map(|i| f64::from(u8::from(i % ROWS != BAD))).collect()),
            exact("state", state_after(&built, 6, 0, false)),
        ];
        let run = move |site: &Site<'_>| {
            let mut run = match Run::new(site, &built, &descent(), &[])? {
                Ok(r) => r,
                Err(e) => return Some(Err(e)),
            };
            let found = run.submit(run.handle, 6).and_then(|()| run.state());
            let finite = run.lines.iter().map(|l| f64::from(u8::from(l.loss.is_finite()))).collect();
            let all =
                |state: Vec<u32>| vec![("finite losses".into(), finite), ("state".into(), state.into_iter().map(f64::from).collect())];
            Some(found.map(all).map_err(Fail::from))
        };
        Ok(Ready { truth, run: Box::new(run), facts: Facts::of("halt", "evaluation", "33") })
    })
}

/// Lines of many columns: the ring is shorter, its end comes sooner, and nothing of one line gets into the next.
fn wide_lines() -> Row {
    Row::new("lines of 300 columns, over the ring's end", || {
        const STEPS: usize = 6;
        let body = |m: &crate::make::Make| {
            let x = m.batch([300]).reshape([300]);
            m.metric("before", &x.max());
            m.metric("row", &(&x * 1.0));
            (m.p([300]) * x).sum()
        };
        let built = Case::new("wide lines", body).over(Order { rows: ROWS, ..Order::all(1) }).build()?;
        let line = |i: usize| {
            let row = built.fields[0].row(i % ROWS);
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            std::iter::once(max).chain(row.to_vec())
        };
        let truth = vec![
            exact("columns", (0..STEPS).flat_map(line).collect()),
            exact("batches", (0..STEPS).map(|i| f64::from(BATCH) + i as f64).collect()),
            exact("the last line within the log", vec![1.0]),
        ];
        let run = move |site: &Site<'_>| {
            let mut run = match Run::new(site, &built, &descent(), &[])? {
                Ok(r) => r,
                Err(e) => return Some(Err(e)),
            };
            let log = gradus::kernels::LogShape::of(301);
            let last = log.line(BATCH + STEPS as u32 - 1);
            let found = run.submit(run.handle, STEPS).and_then(|()| run.session.read(BufferId::Log(StateSet::Train), last, 1));
            let columns = run.lines.iter().flat_map(|l| l.metrics.iter().map(|&v| f64::from(v))).collect();
            let batches = run.lines.iter().map(|l| f64::from(l.batch)).collect();
            let there = |w: Vec<u32>| vec![f64::from(u8::from(w[0] == BATCH + STEPS as u32 - 1))];
            Some(
                found
                    .map(|w| {
                        vec![("columns".into(), columns), ("batches".into(), batches), ("the last line within the log".into(), there(w))]
                    })
                    .map_err(Fail::from),
            )
        };
        Ok(Ready { truth, run: Box::new(run), facts: Facts::of("log", "wide", "300") })
    })
}

/// A step over rows that tell who they are.
fn listing(order: Order) -> Case {
    let body = |m: &crate::make::Make| {
        let x = m.field(field("x", DType::F32, [1]), |u| u);
        m.output("rows", &x);
        (x * m.p([1])).sum()
    };
    Case::new("rows that tell who they are", body).over(order)
}

/// The order of several epochs, each ending with a smaller batch, by a program of its own over the same data.
fn epochs(rows: usize, batch: usize, epochs: usize, shuffle: bool) -> Row {
    let how = if shuffle { "shuffled" } else { "in order" };
    Row::new(format!("{epochs} epochs of {rows} rows by {batch}, {how}"), move || {
        let order = Order { batch, rows, cursor: 0, shuffle, seed: 0x1234_5678_9abc, epoch: 1, list: List::No };
        let full = listing(order).build()?;
        let rest = rows % batch;
        let ragged = (rest > 0).then(|| listing(Order { batch: rest, ..order }).build()).transpose()?;
        let at = |e: usize, i: usize| if shuffle { permuted(i as u32, rows as u32, order.seed, 1 + e as u32) as usize } else { i };
        let seen = (0..epochs).flat_map(|e| (0..rows).map(move |i| (e, i))).map(|(e, i)| full.fields[0].row(at(e, i))[0]).collect();
        let mut end = state(&full).words();
        let steps = epochs * rows.div_ceil(batch);
        (end[STATE_BATCH], end[STATE_UPDATE], end[STATE_EPOCH]) = (BATCH + steps as u32, UPDATE + steps as u32, 1 + epochs as u32);
        let truth = vec![exact("rows in their order", seen), exact("state", end.map(f64::from).to_vec())];
        let run = move |site: &Site<'_>| {
            let mut run = match Run::new(site, &full, &descent(), &[])? {
                Ok(r) => r,
                Err(e) => return Some(Err(e)),
            };
            Some(listed(&mut run, site, &full, ragged.as_ref(), epochs))
        };
        Ok(Ready { truth, run: Box::new(run), facts: Facts::of("epoch", how, format!("{rows} by {batch}")) })
    })
}

fn listed(run: &mut Run, site: &Site<'_>, full: &Built, ragged: Option<&Built>, epochs: usize) -> Result<Found, Fail> {
    let mut programs = vec![];
    for built in std::iter::once(full).chain(ragged) {
        let program = site.program(built, &descent())?;
        let ids = [run.session.add_data(&full.fields[0].words())?];
        programs.push((run.session.prepare(&program, &ids)?, Arc::clone(&program)));
    }
    let mut seen = Vec::new();
    for _ in 0..epochs {
        let whole = full.order.rows / full.order.batch;
        for p in std::iter::repeat_n(&programs[0], whole).chain(programs.get(1)) {
            run.submit(p.0, 1)?;
            let out = &p.1.outputs[0];
            seen.extend(floats(run.session.read(out.buffer, out.offset, out.shape.size())?));
        }
    }
    let state = run.state()?.into_iter().map(f64::from).collect();
    Ok(vec![("rows in their order".into(), seen), ("state".into(), state)])
}

/// What several batches draw, by one submit each; each batch its own.
fn draws_of_batches() -> Row {
    const STEPS: u32 = 5;
    Row::new("draws of several batches", || {
        let body = |m: &crate::make::Make| {
            let (a, b) = (m.draw(Distribution::Uniform, [33], "a#0"), m.draw(Distribution::bernoulli(0.5), [64], "a#1"));
            m.output("uniform", &a);
            m.output("coins", &b);
            (m.p([33]) * a).sum() + b.sum()
        };
        let built = Case::new("draws", body).over(Order { seed: 0x0123_4567_89ab_cdef, ..Order::all(1) }).build()?;
        let mut truth: Truth = Vec::new();
        for i in 0..STEPS {
            let outputs = built.truth_at(BATCH + i)?.into_iter().filter(|(n, _)| n.starts_with("output"));
            truth.extend(outputs.map(|(n, k)| (format!("{n} of batch {i}"), k)));
        }
        let run = move |site: &Site<'_>| {
            let mut run = match Run::new(site, &built, &descent(), &[])? {
                Ok(r) => r,
                Err(e) => return Some(Err(e)),
            };
            let program = match site.program(&built, &descent()) {
                Ok(p) => p,
                Err(e) => return Some(Err(e)),
            };
            let one = |run: &mut Run, i: u32| -> gradus::Result<Found> {
                run.submit(run.handle, 1)?;
                let read = |o: &gradus::plan::Output| {
                    Ok((format!("output {} of batch {i}", o.name), floats(run.session.read(o.buffer, o.offset, o.shape.size())?)))
                };
                program.outputs.iter().map(read).collect()
            };
            let all: gradus::Result<Vec<Found>> = (0..STEPS).map(|i| one(&mut run, i)).collect();
            Some(all.map(|a| a.concat()).map_err(Fail::from))
        };
        Ok(Ready { truth, run: Box::new(run), facts: Facts::of("draws", "batches", "33 64") })
    })
}

pub fn all() -> Vec<Row> {
    let mut out = vec![
        draws_of_batches(),
        halts("NaN", f64::NAN),
        halts("infinity", f64::INFINITY),
        halts("minus infinity", f64::NEG_INFINITY),
        evaluates(),
        wide_lines(),
    ];
    let clipped = || descent().clip_norm(1.0);
    out.push(halts_under("a loss of NaN halts where norms are clipped", f64::NAN, clipped(), 0));
    out.push(halts_under("a loss of NaN with good gradients halts where norms are clipped", f64::NAN, clipped(), 1));
    out.push(halts_under("a loss of infinity halts where norms are clipped", f64::INFINITY, clipped(), 0));
    // the loss is finite, the squares of its gradient are not
    out.push(halts_under("a norm that is infinite halts", 1e30, clipped(), 0));
    out.push(halts_under("a norm that is infinite halts where nothing is clipped", 1e30, descent(), 0));
    out.push(halts_under("a loss of NaN with good gradients halts", f64::NAN, descent(), 1));
    let tensors = || {
        let direction = gradus::expr::Expr::of(3, |x| vec![0.125 * &x[1], &x[2] + &x[1]]);
        Rule::by_tensor(direction, 1, gradus::expr::Expr::of(2, |x| vec![&x[0] - &x[1]]))
    };
    out.push(halts_under("a loss of NaN halts where tensors have norms", f64::NAN, tensors(), 0));
    out.push(halts_under("a loss of NaN with good gradients halts where tensors have norms", f64::NAN, tensors(), 1));
    out.push(halts_under("a norm that is infinite halts where tensors have norms", 1e30, tensors(), 0));
    out.push(halts_under("a norm that is infinite halts where tensors have norms and it is clipped", 1e30, tensors().clip_norm(1.0), 0));
    out.push(halts_under("a norm that is infinite halts an average", 1e30, clipped().average(0.5), 0));
    out.extend([false, true].map(normal_moments));
    for (rows, batch) in [(1, 1), (7, 3), (64, 32), (257, 33)] {
        out.extend([epochs(rows, batch, 3, true), epochs(rows, batch, 3, false)]);
    }
    out
}
