//! State that is not trained: what several steps make of it, and that a step which halts leaves it alone.

use crate::check::{Fail, Found, Ready, Row, Site, floats};
use crate::counts::Facts;
use crate::make::{Built, Case, Make, Order, no_rule};
use crate::steps::{Run, exact};
use gradus::kernels::words::STATE_CURSOR;
use gradus::plan::{BufferId, Lane};

/// More than go in one launch.
const COUNT: usize = 23;
const ROWS: usize = 4;

/// Buffers of odd sizes that go halfway to a number of their own, and two that change places.
fn case() -> Case {
    let body = |m: &Make| {
        for i in 0..COUNT {
            let b = m.buffer(&format!("b{i}"), [1 + 13 * i]);
            m.update(&format!("b{i}"), &(&b * 0.5 + (1 + i) as f64));
        }
        let (left, right) = (m.buffer("left", [70]), m.buffer("right", [70]));
        m.update("left", &right);
        m.update("right", &(&left + 1.0));
        (m.p([33]) * m.batch([33]).reshape([33])).sum()
    };
    Case::new("buffers", body).over(Order { rows: ROWS, ..Order::all(1) })
}

/// Each buffer after so many steps, all from 0; every number is exact.
fn after(built: &Built, steps: usize) -> Vec<Vec<f64>> {
    let one = |(i, e): (usize, &gradus::plan::BufferEntry)| {
        let mut v = [0.0f64, 0.0];
        for _ in 0..steps {
            v = if i < COUNT { [v[0] * 0.5 + (1 + i) as f64, 0.0] } else { [v[1], v[0] + 1.0] };
        }
        vec![v[usize::from(e.name == "right")]; e.shape.size()]
    };
    built.arena.buffers.iter().enumerate().map(one).collect()
}

fn row(name: &'static str, bad: Option<(usize, f64)>, steps: usize, after_halt: usize, moved: usize) -> Row {
    Row::new(format!("buffers, {name}"), move || {
        let mut built = case().build()?;
        if let Some((row, value)) = bad {
            built.fields[0].spoil(row, value);
        }
        let names = built.arena.buffers.iter().map(|e| e.name.clone());
        let truth = names.zip(after(&built, moved)).map(|(n, v)| exact(&n, v)).collect();
        let run = move |site: &Site<'_>| {
            let mut run = match Run::new(site, &built, &no_rule(), &[])? {
                Ok(r) => r,
                Err(e) => return Some(Err(e)),
            };
            let read = |run: &mut Run| -> gradus::Result<Found> {
                run.submit(run.handle, steps)?;
                if after_halt > 0 {
                    // past the bad row, where losses are finite again: only the flag holds
                    run.session.write(BufferId::State(Lane::Train), STATE_CURSOR, &[ROWS as u32 - 1])?;
                    run.submit(run.handle, after_halt)?;
                }
                let of = |e: &gradus::plan::BufferEntry| {
                    Ok((e.name.clone(), floats(run.session.read(BufferId::Buffers, e.offset, e.shape.size())?)))
                };
                built.arena.buffers.iter().map(of).collect()
            };
            Some(read(&mut run).map_err(Fail::from))
        };
        Ok(Ready { truth, run: Box::new(run), facts: Facts::of("commit", name, COUNT.to_string()) })
    })
}

pub fn all() -> Vec<Row> {
    vec![
        row("6 steps", None, 6, 0, 6),
        row("a step that halts", Some((2, f64::NAN)), 3, 0, 2),
        row("steps after a halt", Some((1, f64::INFINITY)), 2, 2, 1),
    ]
}
