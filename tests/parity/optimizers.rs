//! Every optimizer over five steps whose gradients and rates change, against its formula written out in f64.

use crate::check::{Fail, Ready, Row, Site, floats};
use crate::common::Machine;
use crate::counts::Facts;
use crate::make::Built;
use crate::steps::{BATCH, Run, exact, linear, state_after};
use crate::tolerance::{Known, elementwise};
use gradus::kernels::Target;
use gradus::optim::{Adam, AdamW, Optimizer, Sgd};
use gradus::plan::{Blocking, BufferId};
use std::rc::Rc;

const STEPS: usize = 5;
/// Rows of the data: the fourth step begins the second epoch.
const ROWS: usize = 3;
/// The learning rate of a step over the optimizer's.
const RATES: [f64; STEPS] = [1.0, 0.5, 2.0, 0.1, 1.5];

/// One parameter by PyTorch's formulas: (step from 1, learning rate, parameter, gradient, its moments) to the parameter.
type Formula = fn(f64, f64, f64, f64, &mut [f64; 2]) -> f64;

/// Name, optimizer, its learning rate, its moments, its formula.
type Entry = (&'static str, Optimizer, f64, usize, Formula);

fn table() -> Vec<Entry> {
    vec![
        ("sgd", Sgd::new(0.1).weight_decay(0.01).into(), 0.1, 0, |_, lr, p, g, _| p - lr * (g + 0.01 * p)),
        ("momentum", Sgd::new(0.1).momentum(0.9).dampening(0.1).into(), 0.1, 1, |t, lr, p, g, m| {
            m[0] = if t == 1.0 { g } else { 0.9 * m[0] + 0.9 * g };
            p - lr * m[0]
        }),
        ("nesterov", Sgd::new(0.1).momentum(0.9).nesterov(true).into(), 0.1, 1, |t, lr, p, g, m| {
            m[0] = if t == 1.0 { g } else { 0.9 * m[0] + g };
            p - lr * (g + 0.9 * m[0])
        }),
        ("adam", Adam::new(0.01).weight_decay(0.1).into(), 0.01, 2, |t, lr, p, g, m| {
            let g = g + 0.1 * p;
            m[0] = 0.9 * m[0] + 0.1 * g;
            m[1] = 0.999 * m[1] + 0.001 * g * g;
            p - lr * (m[0] / (1.0 - 0.9f64.powf(t))) / ((m[1] / (1.0 - 0.999f64.powf(t))).sqrt() + 1e-8)
        }),
        ("adamw", AdamW::new(0.01).betas(0.8, 0.99).weight_decay(0.3).into(), 0.01, 2, |t, lr, p, g, m| {
            m[0] = 0.8 * m[0] + 0.2 * g;
            m[1] = 0.99 * m[1] + 0.01 * g * g;
            p - lr * 0.3 * p - lr * (m[0] / (1.0 - 0.8f64.powf(t))) / ((m[1] / (1.0 - 0.99f64.powf(t))).sqrt() + 1e-8)
        }),
    ]
}

fn row((name, optimizer, lr, moments, formula): Entry, n: usize) -> Row {
    Row::new(format!("{name} [{n}]"), move || {
        let built = linear(n, ROWS).build()?;
        let rule = optimizer.rule();
        if rule.moments != moments {
            return Err(format!("{} moments for {moments}", rule.moments));
        }
        let mut p: Vec<f64> = built.leaves[0].values.iter().map(|v| f64::from(*v)).collect();
        let mut m = vec![[0.0; 2]; n];
        let mut norms = Vec::new();
        for (step, rate) in RATES.iter().enumerate() {
            let g = built.fields[0].row(step % ROWS);
            norms.push(g.iter().map(|g| g * g).sum::<f64>().sqrt());
            for ((p, g), m) in p.iter_mut().zip(g).zip(&mut m) {
                *p = formula(step as f64 + 1.0, lr * rate, *p, *g, m);
            }
        }
        // each step rounds once more
        let known = |name: String, value: Vec<f64>| {
            let tol = value.iter().map(|v| STEPS as f64 * elementwise(*v)).collect();
            (name, Known { value, tol })
        };
        let mut truth = vec![known("parameters".into(), p)];
        truth.extend((0..moments).map(|i| known(format!("moment {i}"), m.iter().map(|m| m[i]).collect())));
        truth.push(known("gradient norms".into(), norms));
        truth.push(exact("batches", (0..STEPS).map(|i| f64::from(BATCH) + i as f64).collect()));
        truth.push(exact("state", state_after(&built, STEPS, STEPS, false)));
        let run = {
            let optimizer = optimizer.clone();
            move |site: &Site<'_>| {
                let rates: Vec<_> = RATES.iter().enumerate().map(|(i, r)| optimizer.rates(i as u64, lr * r)).collect();
                let run = Run::new(site, &built, &optimizer.rule(), &rates)?;
                Some(run.and_then(|mut r| stepped(&mut r, &built, n, moments).map_err(Fail::from)))
            }
        };
        Ok(Ready { truth, run: Box::new(run), facts: Facts::of("optimizer", name, n.to_string()) })
    })
}

fn stepped(run: &mut Run, built: &Built, n: usize, moments: usize) -> gradus::Result<crate::check::Found> {
    // two submits: counters go on where they stand
    run.submit(run.handle, 2)?;
    run.submit(run.handle, STEPS - 2)?;
    let at = built.arena.entries[0].offset;
    let mut found = vec![("parameters".into(), floats(run.session.read(BufferId::Parameters, at, n)?))];
    for i in 0..moments {
        found.push((format!("moment {i}"), floats(run.session.read(BufferId::Moment(i), at, n)?)));
    }
    found.push(("gradient norms".into(), run.lines.iter().map(|l| l.grad_norm.into()).collect()));
    found.push(("batches".into(), run.lines.iter().map(|l| l.batch.into()).collect()));
    found.push(("state".into(), run.state()?.into_iter().map(f64::from).collect()));
    Ok(found)
}

/// Sizes that end in the arena's padding, and one that ends with it.
const SIZES: [usize; 4] = [1, 128, 257, 5000];

/// More than one pass of a GPU's threads, which take 1,048,576 elements at once: each walks on.
const LARGE: usize = 1_048_576 + 128 * 77;

pub fn all() -> Vec<Row> {
    let mut out: Vec<Row> = table().into_iter().flat_map(|e| SIZES.map(|n| row(e.clone(), n))).collect();
    let large = table().swap_remove(0);
    let alone = |machine: Machine, target| target == Target::Gpu && machine != Machine::Gpu { checked: false };
    out.push(Row { sites: Rc::new(alone), ..row(large, LARGE) });
    out
}
