//! A loss that is scaled: what several updates leave, good ones and skipped ones, against plain loops.

use crate::check::{Fail, Found, Ready, Row, Site, floats};
use crate::counts::Facts;
use crate::make::{Case, Make, Order, Truth};
use crate::scaled::SCALE;
use crate::state::kinds;
use crate::steps::{BATCH, Run, UPDATE, exact};
use crate::tolerance::{Known, elementwise};
use gradus::expr::Expr;
use gradus::kernels::Scaling;
use gradus::kernels::words::{STATE_BATCH, STATE_GROWTH, STATE_HALT, STATE_LOSS_SCALE, STATE_SKIP, STATE_SKIPPED, STATE_UPDATE};
use gradus::plan::{Blocking, BufferId, Part, Rule, Submit};

fn descent(scaling: Scaling) -> Rule {
    let f = Expr::of(3, |x| vec![&x[0] - 0.125 * &x[1], &x[2] + &x[1]]);
    Rule::new(f, 1).scaled(scaling)
}

const ROWS: usize = 8;
/// Rows that no scale cures.
const BAD: [(usize, f64); 3] = [(2, f64::INFINITY), (3, f64::NAN), (6, f64::NEG_INFINITY)];

/// The rules once more, in plain words: PyTorch's `_amp_update_scale_`.
struct Plain {
    scaling: Scaling,
    scale: f64,
    count: u32,
    skipped: u32,
}

impl Plain {
    /// Whether it halts.
    fn update(&mut self, good: bool) -> bool {
        match (self.scaling, good) {
            (Scaling::Fixed, true) => self.count = 0,
            (Scaling::Fixed, false) if self.count == 40 => return true,
            (Scaling::Fixed, false) => self.count += 1,
            (Scaling::Dynamic { backoff, .. }, false) => {
                if self.scale * f64::from(backoff) < 2f64.powi(-24) {
                    return true;
                }
                (self.scale, self.count) = (self.scale * f64::from(backoff), 0);
            }
            (Scaling::Dynamic { growth, interval, .. }, true) => {
                self.count += 1;
                if self.count == interval {
                    let grown = self.scale * f64::from(growth);
                    (self.scale, self.count) = (if grown > 2f64.powi(126) { self.scale } else { grown }, 0);
                }
            }
        }
        self.skipped += u32::from(!good);
        false
    }
}

/// So many steps over rows of which some are bad; in two submits.
fn run(name: &'static str, scaling: Scaling, scale: f32, n: usize, bad: &'static [(usize, f64)], steps: usize, clip: Option<f64>) -> Row {
    Row::new(name, move || {
        let body = move |m: &Make| (m.p([n]) * m.batch([n]).reshape([n])).sum();
        let mut built = Case::new(format!("linear {n}, scaled"), body).over(Order { rows: ROWS, ..Order::all(1) }).scaled(scale).build()?;
        bad.iter().for_each(|&(row, value)| built.fields[0].spoil(row, value));
        let rule = descent(scaling);
        let mut p: Vec<f64> = built.leaves[0].values.iter().map(|v| f64::from(*v)).collect();
        let mut moment = vec![0.0; n];
        let mut s = Plain { scaling, scale: scale.into(), count: 0, skipped: 0 };
        let (mut lines, mut norms, mut halted, mut tried) = (vec![], vec![], false, 0);
        for step in 0..steps {
            let row = step % ROWS;
            let good = !bad.iter().any(|b| b.0 == row);
            let g = built.fields[0].row(row);
            let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
            let before = s.scale;
            halted = s.update(good);
            lines.push([f64::from(BATCH) + step as f64, f64::from(u8::from(halted)), f64::from(u8::from(!good && !halted)), before]);
            if halted {
                break;
            }
            tried += 1;
            if good {
                norms.push(norm);
                let share = clip.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0));
                for ((p, m), g) in p.iter_mut().zip(&mut moment).zip(g) {
                    *p -= 0.125 * g * share;
                    *m += g * share;
                }
            }
        }
        let near = |name: &str, value: Vec<f64>| {
            let tol = value.iter().map(|v| steps as f64 * elementwise(*v)).collect();
            (name.to_string(), Known { value, tol })
        };
        let words = [BATCH + tried, UPDATE + tried - s.skipped, (s.scale as f32).to_bits(), s.count, s.skipped, u32::from(halted)];
        let truth: Truth = vec![
            near("parameters", p),
            near("moment", moment),
            near("norms", norms),
            exact("lines: batch, halted, skipped, scale", lines.concat()),
            exact("batch, update, scale, count, skipped, halt", words.map(f64::from).to_vec()),
        ];
        let rule = clip.map_or(rule, |max| {
            let f = Expr::of(3, |x| vec![&x[0] - 0.125 * &x[1], &x[2] + &x[1]]);
            Rule::new(f, 1).clip_norm(max as f32).scaled(scaling)
        });
        let run = move |site: &Site<'_>| {
            let run = Run::new(site, &built, &rule, &[])?;
            Some(run.and_then(|mut r| stepped(&mut r, steps, n).map_err(Fail::from)))
        };
        Ok(Ready { truth, run: Box::new(run), facts: Facts::of("loss scale", name, n.to_string()) })
    })
}

fn stepped(run: &mut Run, steps: usize, n: usize) -> gradus::Result<Found> {
    run.submit(run.handle, 3)?;
    run.submit(run.handle, steps - 3)?;
    let state = run.state()?;
    let words = [STATE_BATCH, STATE_UPDATE, STATE_LOSS_SCALE, STATE_GROWTH, STATE_SKIPPED, STATE_HALT].map(|w| f64::from(state[w]));
    let bit = |b: bool| f64::from(u8::from(b));
    let line = |l: &gradus::plan::LogLine| [l.batch.into(), bit(l.halted), bit(l.skipped), l.scale.map_or(0.0, f64::from)];
    let norms = run.lines.iter().filter(|l| !l.halted && !l.skipped).map(|l| l.grad_norm.into()).collect();
    Ok(vec![
        ("parameters".into(), floats(run.session.read(BufferId::Parameters, 0, n)?)),
        ("moment".into(), floats(run.session.read(BufferId::Moment(0), 0, n)?)),
        ("norms".into(), norms),
        ("lines: batch, halted, skipped, scale".into(), run.lines.iter().flat_map(line).collect()),
        ("batch, update, scale, count, skipped, halt".into(), words.to_vec()),
    ])
}

/// Two batches an update. A bad loss with good gradients in the first takes the update along; the next one is good again.
fn accumulated() -> Row {
    Row::new("a bad batch of an update, scaled", || {
        let body = |m: &Make| (m.p([33]) * m.batch([33]).reshape([33])).sum() + m.batch([1]).sum();
        let mut built = Case::new("accumulated, scaled", body).over(Order { rows: ROWS, ..Order::all(1) }).scaled(SCALE).build()?;
        built.fields[1].spoil(2, f64::NAN);
        let rule = descent(Scaling::Dynamic { growth: 2.0, backoff: 0.5, interval: 2 });
        let mut p: Vec<f64> = built.leaves[0].values.iter().map(|v| f64::from(*v)).collect();
        for update in [0, 2, 3] {
            let rows = [2 * update, 2 * update + 1].map(|r| built.fields[0].row(r));
            p.iter_mut().zip(rows[0].iter().zip(rows[1])).for_each(|(p, (a, b))| *p -= 0.125 * (a + b) / 2.0);
        }
        let tol = p.iter().map(|v| 8.0 * elementwise(*v)).collect();
        let truth = vec![
            ("parameters".to_string(), Known { value: p, tol }),
            exact("skipped lines", [0, 0, 0, 1, 0, 0, 0, 0].map(f64::from).to_vec()),
            exact("skip", vec![0.0, 1.0, 2.0, 0.0]),
            exact("update, scale, count", [f64::from(UPDATE + 3), f64::from(SCALE.to_bits()), 0.0].to_vec()),
        ];
        let run = move |site: &Site<'_>| {
            let run = Run::new(site, &built, &rule, &[])?;
            Some(run.and_then(|mut r| -> Result<Found, Fail> {
                let ids = [r.session.add_data(&built.fields[0].words())?, r.session.add_data(&built.fields[1].words())?];
                let mut handle = |part: Part| -> Result<_, Fail> { Ok(r.session.prepare(&site.part(&built, &rule, part)?, &ids)?) };
                let (inner, last) = (handle(Part::Inner)?, handle(Part::Last)?);
                let mut skip = vec![];
                for (i, runs) in
                    [vec![(inner, 1), (last, 1)], vec![(inner, 1)], vec![(last, 1)], vec![(inner, 1), (last, 1), (inner, 1), (last, 1)]]
                        .into_iter()
                        .enumerate()
                {
                    r.session.submit(Submit { runs: &runs, first_batch: r.batch, pieces: 1 })?;
                    r.batch += runs.len() as u32;
                    let lines = r.session.next_log(r.set)?.unwrap_or_default();
                    r.lines.extend(lines);
                    assert!(i < 4);
                    skip.push(f64::from(r.state()?[STATE_SKIP]));
                }
                let state = r.state()?;
                Ok(vec![
                    ("parameters".into(), floats(r.session.read(BufferId::Parameters, 0, 33)?)),
                    ("skipped lines".into(), r.lines.iter().map(|l| f64::from(u8::from(l.skipped))).collect()),
                    ("skip".into(), skip),
                    ("update, scale, count".into(), [STATE_UPDATE, STATE_LOSS_SCALE, STATE_GROWTH].map(|w| f64::from(state[w])).to_vec()),
                ])
            }))
        };
        Ok(Ready { truth, run: Box::new(run), facts: Facts::of("loss scale", "accumulated", "33") })
    })
}

/// A skipped step leaves running statistics as they were; the next one moves them again.
fn buffers() -> Row {
    Row::new("a skipped step leaves buffers", || {
        let case = Case::new("buffers, scaled", |m| kinds(m, 33)).over(Order { rows: 4, ..Order::all(1) }).scaled(SCALE);
        let mut built = case.build()?;
        built.fields[0].spoil(2, f64::INFINITY);
        let rule = Rule::new(Expr::of(2, |x| vec![x[0].clone()]), 0).scaled(Scaling::Fixed);
        let truth = vec![exact("words that moved at the bad step", vec![0.0]), exact("some moved later", vec![1.0])];
        let run = move |site: &Site<'_>| {
            let run = Run::new(site, &built, &rule, &[])?;
            Some(run.and_then(|mut r| -> Result<Found, Fail> {
                let n = built.arena.buffered;
                r.submit(r.handle, 2)?;
                let before = r.session.read(BufferId::Buffers, 0, n)?;
                r.submit(r.handle, 1)?;
                let bad = r.session.read(BufferId::Buffers, 0, n)?;
                r.submit(r.handle, 1)?;
                let later = r.session.read(BufferId::Buffers, 0, n)?;
                let moved = before.iter().zip(&bad).filter(|(a, b)| a != b).count() as f64;
                Ok(vec![
                    ("words that moved at the bad step".into(), vec![moved]),
                    ("some moved later".into(), vec![f64::from(u8::from(later != bad))]),
                ])
            }))
        };
        Ok(Ready { truth, run: Box::new(run), facts: Facts::of("loss scale", "buffers", "33") })
    })
}

pub fn all() -> Vec<Row> {
    let dynamic = |interval| Scaling::Dynamic { growth: 2.0, backoff: 0.5, interval };
    let quick = Scaling::Dynamic { growth: 8.0, backoff: 0.25, interval: 1 };
    const ALWAYS: [(usize, f64); 8] = {
        let mut all = [(0, f64::NAN); 8];
        let mut i = 1;
        while i < 8 {
            all[i] = (i, if i % 2 == 0 { f64::NAN } else { f64::INFINITY });
            i += 1;
        }
        all
    };
    vec![
        run("a scale that moves", dynamic(2), 65536.0, 33, &BAD, 30, None),
        run("a scale that moves fast [5000]", quick, 1.0, 5000, &BAD, 20, None),
        run("a scale that moves, clipped", dynamic(3), 65536.0, 257, &BAD, 20, Some(1.5)),
        run("a scale at its top", dynamic(1), 2f32.powi(125), 33, &[], 8, None),
        run("a fixed scale", Scaling::Fixed, 4096.0, 129, &BAD, 20, None),
        run("a fixed scale that cures nothing", Scaling::Fixed, 4096.0, 33, &ALWAYS, 60, None),
        run("a scale that falls to its end", dynamic(5), 65536.0, 33, &ALWAYS, 60, None),
        accumulated(),
        buffers(),
    ]
}
