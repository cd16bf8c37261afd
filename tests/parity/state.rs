//! State that is not trained: what several steps make of buffers, against plain loops.

use crate::check::{Fail, Found, Ready, Row, Site, floats};
use crate::counts::Facts;
use crate::make::{Built, Case, Make, Order};
use crate::steps::{Run, exact};
use crate::tolerance::{Known, elementwise};
use gradus::expr::Expr;
use gradus::kernels::words::STATE_CURSOR;
use gradus::plan::{Blocking, BufferId, Rule, StateSet};

const ROWS: usize = 4;
const STEPS: usize = 6;
/// The row whose loss is no number, where there is one.
const BAD: usize = 2;

/// Leaves parameters alone.
fn still() -> Rule {
    Rule::new(Expr::of(2, |x| vec![x[0].clone()]), 0)
}

/// Every kind of new value: of a map, a sum, a product, a constant; read by others; another buffer's; a metric's.
pub fn kinds(m: &Make, n: usize) -> gradus::graph::Var {
    let x = m.batch([n]);
    let buffers: Vec<_> = [&[n][..], &[n], &[], &[1], &[1, 1], &[3], &[]].into_iter().map(|s| m.buffer(s)).collect();
    let row = x.reshape([n]);
    // two that change places: all of the step reads the old values
    m.update(0, &buffers[1]);
    m.update(1, &buffers[0]);
    let sum = row.square().sum();
    m.update(2, &(&buffers[2] * 0.5 + &sum * 0.25));
    m.update(3, &sum.reshape([1]));
    m.update(4, &x.matmul_with(&x, false, true));
    m.update(5, &m.constant(0.75, [3]));
    let loss = (m.p([n]) * &row * &buffers[0]).sum() + &buffers[2];
    m.metric("the loss twice", &(&loss * 2.0));
    m.update(6, &loss);
    loss
}

/// What the loops make of `kinds`: buffers, and the gradient of the parameter, after so many rows.
fn plain(built: &Built, rows: &[usize]) -> (Vec<Vec<f64>>, Vec<f64>) {
    let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
    let mut b: Vec<Vec<f64>> = built.buffers.iter().map(|l| wide(&l.values)).collect();
    let p = wide(&built.leaves[0].values);
    let mut gradient = vec![];
    for &row in rows {
        let x = built.fields[0].row(row);
        let sum: f64 = x.iter().map(|x| x * x).sum();
        gradient = x.iter().zip(&b[0]).map(|(x, b)| x * b).collect();
        let loss = p.iter().zip(&gradient).map(|(p, g)| p * g).sum::<f64>() + b[2][0];
        let (old, count) = (b.clone(), b[2][0]);
        b = vec![old[1].clone(), old[0].clone(), vec![count * 0.5 + sum * 0.25], vec![sum], vec![sum], vec![0.75; 3], vec![loss]];
    }
    (b, gradient)
}

fn row(n: usize) -> Row {
    Row::new(format!("buffers of [{n}]"), move || {
        let built = Case::new(format!("buffers of {n}"), move |m| kinds(m, n)).over(Order { rows: ROWS, ..Order::all(1) }).build()?;
        let (buffers, gradient) = plain(&built, &[0, 1, 2, 3, 0, 1]);
        // a sum of n squares, none above 4, and what is left of it after some steps
        let near = |name: String, value: Vec<f64>| {
            let tol = value.iter().map(|v| 4.0 * (n as f64).sqrt() * elementwise(*v)).collect();
            (name, Known { value, tol })
        };
        let mut truth: Vec<_> = buffers.into_iter().enumerate().map(|(i, v)| near(format!("b{i}"), v)).collect();
        truth.push(near("gradient".into(), gradient));
        let run = move |site: &Site<'_>| {
            Some(Run::new(site, &built, &still(), &[])?.and_then(|mut r| stepped(&mut r, &built).map_err(Fail::from)))
        };
        Ok(Ready { truth, run: Box::new(run), facts: Facts::of("buffer", "kinds", n.to_string()) })
    })
}

fn all_buffers(run: &mut Run, built: &Built) -> gradus::Result<Found> {
    let read = |e: &gradus::plan::BufferEntry| Ok((e.name.clone(), floats(run.session.read(BufferId::Buffers, e.offset, e.shape.size())?)));
    built.arena.buffers.iter().map(read).collect()
}

fn stepped(run: &mut Run, built: &Built) -> gradus::Result<Found> {
    run.submit(run.handle, 1)?;
    run.submit(run.handle, STEPS - 1)?;
    let mut found = all_buffers(run, built)?;
    let e = &built.arena.entries[0];
    found.push(("gradient".into(), floats(run.session.read(BufferId::Gradients, e.offset, e.shape.size())?)));
    Ok(found)
}

/// More than one launch takes, of sizes that end before, at and behind the arena's grain.
const SIZES: [usize; 9] = [1, 3, 127, 128, 129, 5, 64, 300, 1];
const MANY: usize = 45;

fn many() -> Row {
    Row::new("more buffers than one launch takes", || {
        let body = |m: &Make| {
            for i in 0..MANY {
                let b = m.buffer([SIZES[i % SIZES.len()]]);
                m.update(i, &(b * 2.0 + i as f64));
            }
            (m.p([3]) * m.batch([3]).reshape([3])).sum()
        };
        let built = Case::new("many buffers", body).over(Order { rows: ROWS, ..Order::all(1) }).build()?;
        let twice = |(i, l): (usize, &crate::make::Leaf)| {
            let one = |v: f32| 2.0 * v + i as f32;
            exact(&l.name, l.values.iter().map(|v| f64::from(one(one(*v)))).collect())
        };
        let truth = built.buffers.iter().enumerate().map(twice).collect();
        let run = move |site: &Site<'_>| {
            let run = Run::new(site, &built, &still(), &[])?;
            Some(run.and_then(|mut r| r.submit(r.handle, 2).and_then(|()| all_buffers(&mut r, &built)).map_err(Fail::from)))
        };
        Ok(Ready { truth, run: Box::new(run), facts: Facts::of("buffer", "many", MANY.to_string()) })
    })
}

/// A loss that is not finite leaves them as they were, and so does all that follows it.
fn halts(name: &'static str, value: f64) -> Row {
    Row::new(format!("a loss of {name} leaves buffers"), move || {
        let mut built = Case::new("buffers that halt", |m| kinds(m, 33)).over(Order { rows: ROWS, ..Order::all(1) }).build()?;
        built.fields[0].spoil(BAD, value);
        let truth = vec![exact("words that moved at the bad step", vec![0.0]), exact("words that moved later", vec![0.0])];
        let run = move |site: &Site<'_>| {
            let run = Run::new(site, &built, &still(), &[])?;
            Some(run.and_then(|mut r| halted(&mut r, &built).map_err(Fail::from)))
        };
        Ok(Ready { truth, run: Box::new(run), facts: Facts::of("buffer", name, "33") })
    })
}

fn halted(run: &mut Run, built: &Built) -> gradus::Result<Found> {
    let n = built.arena.buffered;
    run.submit(run.handle, BAD)?;
    let before = run.session.read(BufferId::Buffers, 0, n)?;
    run.submit(run.handle, 1)?;
    let bad = run.session.read(BufferId::Buffers, 0, n)?;
    // past the bad row, where losses are finite again: only the flag holds
    run.session.write(BufferId::State(StateSet::Train), STATE_CURSOR, &[BAD as u32 + 1])?;
    run.submit(run.handle, 2)?;
    let later = run.session.read(BufferId::Buffers, 0, n)?;
    let moved = |a: &[u32]| vec![a.iter().zip(&before).filter(|(a, b)| a != b).count() as f64];
    Ok(vec![("words that moved at the bad step".into(), moved(&bad)), ("words that moved later".into(), moved(&later))])
}

pub fn all() -> Vec<Row> {
    vec![row(1), row(4), row(33), row(257), many(), halts("NaN", f64::NAN), halts("infinity", f64::INFINITY)]
}
