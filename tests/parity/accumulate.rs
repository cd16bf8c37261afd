//! Updates of several batches: two of two full batches and a ragged one, then one of two, against the means over all their rows in f64.

use crate::check::{Fail, Found, Ready, Row, Site, floats};
use crate::counts::Facts;
use crate::make::{Built, Case, Make, Order};
use crate::steps::{BATCH, Run, UPDATE, exact};
use crate::tolerance::{Known, elementwise};
use gradus::kernels::words::{RATE_WIDTH, STATE_BATCH, STATE_EPOCH, STATE_MICRO, STATE_UPDATE};
use gradus::optim::{Optimizer, Sgd};
use gradus::plan::{Blocking, BufferId, Part, Rule, Submit};

/// An epoch: 8 rows by 3, so that each update has batches of 3, 3 and 2 rows.
const ROWS: usize = 8;
const FULL: usize = 3;
const RAGGED: usize = 2;
const RATE: f64 = 0.1;

/// The mean over the batch of a linear loss: its gradient is the mean of the batch's rows.
fn linear(n: usize, batch: usize) -> Case {
    let body = move |m: &Make| (m.batch([n]) * m.p([n])).sum() / batch as f64;
    Case::new(format!("accumulated {n}"), body).over(Order { rows: ROWS, ..Order::all(batch) })
}

fn row(n: usize, clip: Option<f64>) -> Row {
    let how = if clip.is_some() { ", clipped" } else { "" };
    Row::new(format!("3 batches an update [{n}]{how}"), move || {
        let (full, ragged) = (linear(n, FULL).build()?, linear(n, RAGGED).build()?);
        let optimizer = Optimizer::from(Sgd::new(RATE).momentum(0.9));
        let rule = clip.map_or(optimizer.rule(), |max| optimizer.rule().clip_norm(max as f32));
        let mut p: Vec<f64> = full.leaves[0].values.iter().map(|v| f64::from(*v)).collect();
        let mut m = vec![0.0; n];
        let mut norms = Vec::new();
        let mean = |rows: std::ops::Range<usize>| -> Vec<f64> {
            let part = rows.len() as f64;
            (0..n).map(|i| rows.clone().map(|r| full.fields[0].row(r)[i]).sum::<f64>() / part).collect()
        };
        // two epochs of one update, then one of the first two batches
        for rows in [0..ROWS, 0..ROWS, 0..2 * FULL] {
            let mut g = mean(rows);
            let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
            norms.push(norm);
            let scale = clip.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0));
            g.iter_mut().for_each(|g| *g *= scale);
            for ((p, m), g) in p.iter_mut().zip(&mut m).zip(g) {
                *m = 0.9 * *m + g;
                *p -= RATE * *m;
            }
        }
        let known = |name: &str, value: Vec<f64>| {
            let tol = value.iter().map(|v| 10.0 * elementwise(*v)).collect();
            (name.to_string(), Known { value, tol })
        };
        let truth = vec![
            known("parameters", p),
            known("moment", m),
            known("gradient norms", norms),
            exact("batch, update, epoch, open", [BATCH + 8, UPDATE + 3, 2, 0].map(f64::from).to_vec()),
        ];
        let run = move |site: &Site<'_>| {
            let rates: Vec<Vec<u32>> = (0..3).map(|u| optimizer.rates(u, RATE).map(f32::to_bits).to_vec()).collect();
            assert_eq!(rates[0].len(), RATE_WIDTH);
            let run = Run::with(site, &full, &rule, &rates, &[])?;
            Some(run.and_then(|mut r| stepped(&mut r, site, &full, &ragged, &rule)))
        };
        Ok(Ready { truth, run: Box::new(run), facts: Facts::of("accumulate", how, n.to_string()) })
    })
}

fn stepped(run: &mut Run, site: &Site<'_>, full: &Built, ragged: &Built, rule: &Rule) -> Result<Found, Fail> {
    let ids = [run.session.add_data(&full.fields[0].words())?];
    let mut handle = |built: &Built, part: Part| -> Result<_, Fail> { Ok(run.session.prepare(&site.part(built, rule, part)?, &ids)?) };
    let (inner, last) = (handle(full, Part::Inner)?, handle(full, Part::Last)?);
    let end = handle(ragged, Part::Last)?;
    // an update cut in two submits, one within a submit, one of other programs
    let submits = [vec![(inner, 1)], vec![(inner, 1), (end, 1)], vec![(inner, 2), (end, 1)], vec![(inner, 1), (last, 1)]];
    for runs in submits {
        run.session.submit(Submit { runs: &runs, first_batch: run.batch, pieces: 1 })?;
        run.batch += runs.iter().map(|r| r.1 as u32).sum::<u32>();
        let lines = run.session.next_log(run.set)?.unwrap_or_default();
        run.lines.extend(lines);
    }
    let (n, at) = (full.leaves[0].values.len(), full.arena.entries[0].offset);
    let state = run.state()?;
    let norms = [2, 5, 7].map(|i: usize| run.lines.get(i).map_or(f64::NAN, |l| l.grad_norm.into()));
    Ok(vec![
        ("parameters".into(), floats(run.session.read(BufferId::Parameters, at, n)?)),
        ("moment".into(), floats(run.session.read(BufferId::Moment(0), at, n)?)),
        ("gradient norms".into(), norms.to_vec()),
        ("batch, update, epoch, open".into(), [STATE_BATCH, STATE_UPDATE, STATE_EPOCH, STATE_MICRO].map(|w| f64::from(state[w])).to_vec()),
    ])
}

pub fn all() -> Vec<Row> {
    [1, 128, 257, 5000].into_iter().flat_map(|n| [row(n, None), row(n, Some(0.5))]).collect()
}
