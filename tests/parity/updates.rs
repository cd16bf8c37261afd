//! Updates of two tensors over five steps whose gradients and rates change: groups with rates and decay of their own, clipping, an average of
//! the weights, norms of each tensor. Against formulas written out in f64.

use crate::check::{Fail, Found, Ready, Row, Site, floats};
use crate::counts::Facts;
use crate::make::{Built, Case, Order};
use crate::steps::{BATCH, Run, exact, state_after};
use crate::tolerance::{Known, elementwise};
use gradus::optim::{Adagrad, Adam, AdamW, Group, Lamb, Lion, Optimizer, RmsProp, Sgd};
use gradus::plan::{Blocking, BufferId, Rule};

const STEPS: usize = 5;
/// Rows of the data: the fourth step begins the second epoch.
const ROWS: usize = 3;
/// The learning rate of a step over the optimizer's.
const RATES: [f64; STEPS] = [1.0, 0.5, 2.0, 0.1, 1.5];

/// What a formula knows of one tensor's step.
struct At {
    /// From 1.
    t: f64,
    lr: f64,
    decay: f64,
}

/// One tensor's step by the paper's formula: its values, gradient, moments.
type Formula = fn(&At, &mut [f64], &[f64], &mut [Vec<f64>]);

#[derive(Clone)]
struct Entry {
    name: &'static str,
    optimizer: Optimizer,
    lr: f64,
    /// Moments of its own, and what they begin with.
    moments: usize,
    begin: f64,
    /// Multiplier of the learning rate and decay of each tensor.
    groups: [(f64, f64); 2],
    clip_norm: Option<f64>,
    clip_value: Option<f64>,
    ema: Option<f64>,
    /// The parameters begin as zeros.
    zeros: bool,
    /// f16 copies are kept.
    copies: bool,
    /// Each tensor lies in a buffer of its own.
    shards: bool,
    formula: Formula,
}

/// Each element by itself.
fn each(p: &mut [f64], g: &[f64], m: &mut [Vec<f64>], f: impl Fn(f64, f64, &mut [f64]) -> f64) {
    for i in 0..p.len() {
        let mut own: Vec<f64> = m.iter().map(|m| m[i]).collect();
        p[i] = f(p[i], g[i], &mut own);
        m.iter_mut().zip(own).for_each(|(m, v)| m[i] = v);
    }
}

fn sgd(a: &At, p: &mut [f64], g: &[f64], m: &mut [Vec<f64>]) {
    each(p, g, m, |p, g, _| p - a.lr * (g + a.decay * p + 0.02 * p.signum()));
}

fn adam(amsgrad: bool, decoupled: bool, a: &At, p: &mut [f64], g: &[f64], m: &mut [Vec<f64>]) {
    each(p, g, m, |p, g, m| {
        let (g, p) = if decoupled { (g, p - a.lr * a.decay * p) } else { (g + a.decay * p, p) };
        m[0] = 0.9 * m[0] + 0.1 * g;
        m[1] = 0.999 * m[1] + 0.001 * g * g;
        let mut v = m[1];
        if amsgrad {
            m[2] = m[2].max(v);
            v = m[2];
        }
        p - a.lr * (m[0] / (1.0 - 0.9f64.powf(a.t))) / ((v / (1.0 - 0.999f64.powf(a.t))).sqrt() + 1e-8)
    });
}

fn rmsprop(a: &At, p: &mut [f64], g: &[f64], m: &mut [Vec<f64>]) {
    each(p, g, m, |p, g, m| {
        let g = g + a.decay * p;
        m[0] = 0.9 * m[0] + 0.1 * g * g;
        m[1] = 0.9 * m[1] + 0.1 * g;
        m[2] = 0.8 * m[2] + g / ((m[0] - m[1] * m[1]).sqrt() + 1e-8);
        p - a.lr * m[2]
    });
}

fn adagrad(a: &At, p: &mut [f64], g: &[f64], m: &mut [Vec<f64>]) {
    each(p, g, m, |p, g, m| {
        let g = g + a.decay * p;
        m[0] += g * g;
        p - a.lr / (1.0 + (a.t - 1.0) * 0.3) * g / (m[0].sqrt() + 1e-10)
    });
}

fn lion(a: &At, p: &mut [f64], g: &[f64], m: &mut [Vec<f64>]) {
    each(p, g, m, |p, g, m| {
        let u = (0.9 * m[0] + 0.1 * g).signum() * f64::from(u8::from(0.9 * m[0] + 0.1 * g != 0.0));
        m[0] = 0.99 * m[0] + 0.01 * g;
        p - a.lr * a.decay * p - a.lr * u
    });
}

fn lamb(a: &At, p: &mut [f64], g: &[f64], m: &mut [Vec<f64>]) {
    let mut u = vec![0.0; p.len()];
    for i in 0..p.len() {
        m[0][i] = 0.9 * m[0][i] + 0.1 * g[i];
        m[1][i] = 0.999 * m[1][i] + 0.001 * g[i] * g[i];
        u[i] = m[0][i] / (1.0 - 0.9f64.powf(a.t)) / ((m[1][i] / (1.0 - 0.999f64.powf(a.t))).sqrt() + 1e-6) + a.decay * p[i];
    }
    let (of_p, of_u) = (norm(p), norm(&u));
    let ratio = if of_p > 0.0 && of_u > 0.0 { of_p / of_u } else { 1.0 };
    p.iter_mut().zip(u).for_each(|(p, u)| *p -= a.lr * ratio * u);
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn table() -> Vec<Entry> {
    let plain = |name, optimizer: Optimizer, lr, moments, formula| Entry {
        name,
        optimizer,
        lr,
        moments,
        begin: 0.0,
        groups: [(1.0, 0.0); 2],
        clip_norm: None,
        clip_value: None,
        ema: None,
        zeros: false,
        copies: false,
        shards: false,
        formula,
    };
    let group = || Group::new().lr_multiplier(0.25).weight_decay(0.05);
    let groups = [(1.0, 0.3), (0.25, 0.05)];
    let descent = || Optimizer::from(Sgd::new(0.1).weight_decay(0.01).l1(0.02));
    let decayed = [(1.0, 0.01); 2];
    let amsgrad: Formula = |a, p, g, m| adam(true, false, a, p, g, m);
    let coupled: Formula = |a, p, g, m| adam(false, false, a, p, g, m);
    let adamw: Formula = |a, p, g, m| adam(false, true, a, p, g, m);
    let centered = RmsProp::new(0.01).alpha(0.9).centered(true).momentum(0.8).weight_decay(0.3);
    let adagrads = Adagrad::new(0.1).lr_decay(0.3).initial_accumulator_value(0.5).weight_decay(0.3);
    vec![
        Entry { groups: decayed, ..plain("sgd with both penalties", descent(), 0.1, 0, sgd) },
        Entry { groups: decayed, clip_norm: Some(1.5), ..plain("sgd, clipped", descent(), 0.1, 0, sgd) },
        Entry { groups: decayed, clip_norm: Some(40.0), ..plain("sgd, hardly clipped", descent(), 0.1, 0, sgd) },
        Entry { groups: decayed, clip_value: Some(0.7), ..plain("sgd, clipped by value", descent(), 0.1, 0, sgd) },
        Entry { groups: decayed, ema: Some(0.8), ..plain("sgd with an average", descent(), 0.1, 0, sgd) },
        plain("amsgrad", Adam::new(0.01).amsgrad(true).into(), 0.01, 3, amsgrad),
        Entry { ema: Some(0.7), ..plain("amsgrad with an average", Adam::new(0.01).amsgrad(true).into(), 0.01, 3, amsgrad) },
        Entry { groups, ..plain("adam in groups", Adam::new(0.01).weight_decay(0.3).group("p1", group()).into(), 0.01, 2, coupled) },
        Entry { groups, ..plain("adamw in groups", AdamW::new(0.01).weight_decay(0.3).group("p1", group()).into(), 0.01, 2, adamw) },
        Entry {
            groups,
            clip_norm: Some(3.0),
            ema: Some(0.9),
            ..plain("adamw with all", AdamW::new(0.01).weight_decay(0.3).group("p1", group()).into(), 0.01, 2, adamw)
        },
        Entry { groups, ..plain("rmsprop in groups", centered.group("p1", group()).into(), 0.01, 3, rmsprop) },
        Entry { groups, begin: 0.5, ..plain("adagrad in groups", adagrads.group("p1", group()).into(), 0.1, 1, adagrad) },
        Entry { groups, ..plain("lion in groups", Lion::new(0.01).weight_decay(0.3).group("p1", group()).into(), 0.01, 1, lion) },
        Entry { groups: decayed, ..plain("lamb", Lamb::new(0.01).into(), 0.01, 2, lamb) },
        Entry { groups: decayed, zeros: true, ..plain("lamb from zeros", Lamb::new(0.01).into(), 0.01, 2, lamb) },
        Entry { groups, ..plain("lamb in groups", Lamb::new(0.01).weight_decay(0.3).group("p1", group()).into(), 0.01, 2, lamb) },
        Entry {
            groups,
            clip_norm: Some(3.0),
            ema: Some(0.9),
            ..plain("lamb with all", Lamb::new(0.01).weight_decay(0.3).group("p1", group()).into(), 0.01, 2, lamb)
        },
    ]
}

impl Entry {
    fn rule(&self) -> Rule {
        let mut rule = self.optimizer.rule();
        rule = self.clip_value.map_or(rule.clone(), |max| rule.clip_value(max));
        rule = self.clip_norm.map_or(rule.clone(), |max| rule.clip_norm(max as f32));
        self.ema.map_or(rule.clone(), |decay| rule.average(decay))
    }
}

/// The loss is linear: the gradients of a step are its rows of the data.
pub fn linear(sizes: [usize; 2], zeros: bool) -> Case {
    let body = move |m: &crate::make::Make| {
        let term = |n: usize| {
            let p = if zeros { m.drawn([n], |_| 0.0) } else { m.p([n]) };
            (p * m.batch([n]).reshape([n])).sum()
        };
        let (a, b) = (term(sizes[0]), term(sizes[1]));
        a + b
    };
    Case::new(format!("linear {sizes:?}"), body).over(Order { rows: ROWS, ..Order::all(1) })
}

fn row(entry: Entry, sizes: [usize; 2]) -> Row {
    let shards = if entry.shards { "in shards, " } else { "" };
    let copies = if entry.copies { "f16 copies, " } else { "" };
    Row::new(format!("{shards}{copies}{} [{}] [{}]", entry.name, sizes[0], sizes[1]), move || {
        let entry = entry.clone();
        let mut built = linear(sizes, entry.zeros).build()?;
        if entry.copies {
            built.arena = built.arena.with_half_copies();
        }
        if entry.shards {
            // LAMB's norms take 4 elements behind each 128, and a slot whole 256 bytes
            let largest = (sizes[0].max(sizes[1]).div_ceil(128) * 132 * 4).next_multiple_of(256);
            built.arena = built.arena.in_shards(&entry.rule(), largest).map_err(|e| e.to_string())?;
            if built.arena.shard_count(BufferId::Moment(0)) != 2 {
                return Err("it is one buffer".into());
            }
        }
        let mut p: Vec<Vec<f64>> = built.leaves.iter().map(|l| l.values.iter().map(|v| f64::from(*v)).collect()).collect();
        let mut m: Vec<Vec<Vec<f64>>> = sizes.iter().map(|n| vec![vec![entry.begin; *n]; entry.moments]).collect();
        let mut average = p.clone();
        let mut norms = Vec::new();
        for (step, rate) in RATES.iter().enumerate() {
            let g: Vec<&[f64]> = built.fields.iter().map(|f| f.row(step % ROWS)).collect();
            let all = norm(&g.concat());
            norms.push(all);
            let scale = entry.clip_norm.map_or(1.0, |max| (max / (all + 1e-6)).min(1.0));
            let most = entry.clip_value.unwrap_or(f64::INFINITY);
            for (i, (multiplier, decay)) in entry.groups.into_iter().enumerate() {
                let g: Vec<f64> = g[i].iter().map(|g| (g * scale).clamp(-most, most)).collect();
                let at = At { t: step as f64 + 1.0, lr: entry.lr * rate * multiplier, decay };
                (entry.formula)(&at, &mut p[i], &g, &mut m[i]);
                // the first update begins it
                let d = entry.ema.filter(|_| step > 0).unwrap_or(0.0);
                average[i].iter_mut().zip(&p[i]).for_each(|(a, p)| *a = d * *a + (1.0 - d) * p);
            }
        }
        // each step rounds once more, and norms of many elements a little more than that
        let known = |name: String, value: Vec<f64>| {
            let tol = value.iter().map(|v| 2.0 * STEPS as f64 * elementwise(*v)).collect();
            (name, Known { value, tol })
        };
        let mut truth = vec![known("parameters".into(), p.concat())];
        truth.extend((0..entry.moments).map(|i| known(format!("moment {i}"), m.iter().flat_map(|m| m[i].clone()).collect())));
        truth.extend(entry.ema.map(|_| known("average".into(), average.concat())));
        truth.extend(entry.copies.then(|| exact("copies that are off", vec![0.0])));
        truth.push(known("gradient norms".into(), norms));
        truth.push(exact("batches", (0..STEPS).map(|i| f64::from(BATCH) + i as f64).collect()));
        truth.push(exact("state", state_after(&built, STEPS, STEPS, false)));
        let facts = Facts::of("optimizer", entry.name, format!("{sizes:?}"));
        let run = move |site: &Site<'_>| {
            let rates =
                |(i, r): (usize, &f64)| entry.optimizer.group_rates(i as u64, entry.lr * r).flat_map(|r| r.map(f32::to_bits)).collect();
            let rates: Vec<Vec<u32>> = RATES.iter().enumerate().map(rates).collect();
            let rule = entry.rule();
            let run = Run::with(site, &built, &rule, &rates, &entry.optimizer.table(&built.arena))?;
            Some(run.and_then(|mut r| stepped(&mut r, &built, &rule, &entry).map_err(Fail::from)))
        };
        Ok(Ready { truth, run: Box::new(run), facts })
    })
}

fn stepped(run: &mut Run, built: &Built, rule: &Rule, entry: &Entry) -> gradus::Result<Found> {
    let size = built.arena.size;
    for i in 0..entry.moments {
        run.session.write(BufferId::Moment(i), 0, &vec![(entry.begin as f32).to_bits(); size])?;
    }
    if rule.average {
        let weights = run.session.read(BufferId::Parameters, 0, size)?;
        run.session.write(BufferId::Moment(entry.moments), 0, &weights)?;
    }
    // two submits: counters go on where they stand
    run.submit(run.handle, 2)?;
    run.submit(run.handle, STEPS - 2)?;
    let mut all = |id: BufferId| -> gradus::Result<Vec<f64>> {
        let words = run.session.read(id, 0, size)?;
        Ok(built.arena.entries.iter().flat_map(|e| floats(words[e.offset..e.offset + e.shape.size()].to_vec())).collect())
    };
    let mut found = vec![("parameters".into(), all(BufferId::Parameters)?)];
    for i in 0..entry.moments {
        found.push((format!("moment {i}"), all(BufferId::Moment(i))?));
    }
    if rule.average {
        found.push(("average".into(), all(BufferId::Moment(entry.moments))?));
    }
    if entry.copies {
        found.push(("copies that are off".into(), vec![off(run, size)?]));
    }
    found.push(("gradient norms".into(), run.lines.iter().map(|l| l.grad_norm.into()).collect()));
    found.push(("batches".into(), run.lines.iter().map(|l| l.batch.into()).collect()));
    found.push(("state".into(), run.state()?.into_iter().map(f64::from).collect()));
    Ok(found)
}

/// How many of the f16 copies are not their parameters' to the bit.
fn off(run: &mut Run, size: usize) -> gradus::Result<f64> {
    let parameters: Vec<f32> = run.session.read(BufferId::Parameters, 0, size)?.into_iter().map(f32::from_bits).collect();
    let copies = run.session.read(BufferId::HalfCopy, 0, size / 2)?;
    let half = |i: usize| (copies[i / 2] >> (16 * (i % 2))) as u16;
    Ok((0..size).filter(|&i| half(i) != half::f16::from_f32(parameters[i]).to_bits()).count() as f64)
}

/// Rows with f16 copies, which the optimizer writes: with no moment to four, by tensor, clipped.
pub fn copied() -> Vec<Row> {
    let names = ["sgd with both penalties", "sgd, clipped", "amsgrad", "amsgrad with an average", "adamw with all", "lamb with all"];
    let ours = table().into_iter().filter(|e| names.contains(&e.name));
    ours.map(|e| row(Entry { copies: true, ..e }, [257, 300])).collect()
}

/// Rows whose two tensors lie in a buffer each: by block and by tensor, clipped, with f16 copies.
pub fn sharded() -> Vec<Row> {
    let names = ["sgd, clipped", "adamw with all", "lamb with all"];
    let ours = || table().into_iter().filter(|e| names.contains(&e.name));
    let plain = ours().flat_map(|e| [[257, 300], [5000, 129]].map(|n| row(Entry { shards: true, ..e.clone() }, n)));
    plain.chain(ours().map(|e| row(Entry { shards: true, copies: true, ..e }, [257, 300]))).collect()
}

/// Tensors that end in the arena's padding and one that ends with it; of several blocks, which no group of lanes takes at once.
const SIZES: [[usize; 2]; 3] = [[1, 128], [257, 300], [5000, 129]];

pub fn all() -> Vec<Row> {
    table().into_iter().flat_map(|e| SIZES.map(|n| row(e.clone(), n))).collect()
}
