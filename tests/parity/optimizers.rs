//! Every optimizer over five steps of known gradients: GPU and CPU against a plain f64 loop.

use crate::check::{PROFILES, floats, load};
use crate::common::{Job, MACHINES, session};
use crate::make::{Built, Case};
use crate::tolerance::elementwise;
use gradus::kernels::words::RATE_WIDTH;
use gradus::kernels::{Kernel, Profile};
use gradus::optim::{Adam, AdamW, Optimizer, Sgd};
use gradus::plan::{BufferId, Lane, Layout, Program};
use std::sync::Arc;

const STEPS: usize = 5;

pub fn all() -> Vec<(&'static str, Optimizer)> {
    vec![
        ("sgd", Sgd::new(0.1).weight_decay(0.01).into()),
        ("momentum", Sgd::new(0.1).momentum(0.9).dampening(0.1).into()),
        ("nesterov", Sgd::new(0.1).momentum(0.9).nesterov(true).into()),
        ("adam", Adam::new(0.01).weight_decay(0.1).into()),
        ("adamw", AdamW::new(0.01).betas(0.8, 0.99).into()),
    ]
}

/// A loss that is linear in its parameters: the gradient is the data, at every step.
fn linear(n: usize) -> Case {
    Case::new(format!("linear {n}"), move |m| (m.p([n]) * m.batch([n]).reshape([n])).sum())
}

/// The parameters after five steps by plain f64 arithmetic.
fn truth(built: &Built, optimizer: &Optimizer) -> Result<Vec<f64>, String> {
    let known = built.truth()?;
    let gradient = &known.iter().find(|(n, _)| n == "gradient of p0").ok_or("no gradient")?.1.value;
    let rule = optimizer.rule();
    let one = |(p, g): (&f32, &f64)| {
        let mut state = vec![0.0; 1 + rule.moments];
        state[0] = f64::from(*p);
        for step in 0..STEPS {
            let rates = optimizer.rates(step as u64, optimizer.schedule().at(step as u64)).map(f64::from);
            let mut inputs = vec![state[0], *g];
            inputs.extend(&state[1..]);
            state = rule.f.eval(&inputs, &rates);
        }
        state[0]
    };
    Ok(built.leaves[0].values.iter().zip(gradient).map(one).collect())
}

fn stepped(built: &Built, program: Program, optimizer: &Optimizer, machine: crate::common::Machine) -> Option<gradus::Result<Vec<f64>>> {
    let layout = Layout::of(&built.arena, program.moments);
    Some(session(machine, layout)?.and_then(|mut s| {
        let handle = load(&mut *s, built, &Arc::new(program))?;
        for step in 0..STEPS {
            let words = optimizer.rates(step as u64, optimizer.schedule().at(step as u64)).map(f32::to_bits);
            s.write(BufferId::Rates, step * RATE_WIDTH, &words)?;
        }
        s.submit(handle, STEPS, 0)?;
        s.poll(Lane::Train, true)?;
        Ok(floats(s.read(BufferId::Parameters, 0, built.leaves[0].values.len())?))
    }))
}

fn near(want: &[f64], got: &[f64]) -> Result<(), String> {
    let bad = want.iter().zip(got).position(|(w, g)| !((w - g).abs() <= STEPS as f64 * elementwise(*w)));
    bad.map_or(Ok(()), |i| Err(format!("parameter {i} is {} for {}", got[i], want[i])))
}

fn agrees(optimizer: &Optimizer, n: usize) -> Result<(), String> {
    let built = linear(n).build()?;
    let want = truth(&built, optimizer)?;
    for profile in PROFILES {
        for machine in MACHINES {
            let program = built.program(profile, &optimizer.rule())?;
            let Some(found) = stepped(&built, program, optimizer, machine) else { continue };
            near(&want, &found.map_err(|e| e.to_string())?).map_err(|e| format!("{machine:?}, {profile:?} kernels: {e}"))?;
        }
    }
    Ok(())
}

/// The optimizer's launch covers one vector too few: the last parameters stand still.
fn a_short_arena_is_noticed() -> Result<(), String> {
    let optimizer = Optimizer::from(Adam::new(0.01));
    let built = linear(128).build()?;
    let want = truth(&built, &optimizer)?;
    for machine in MACHINES {
        let mut program = built.program(Profile::Software, &optimizer.rule())?;
        for l in &mut program.launches {
            if let Kernel::Optimizer(o) = &mut l.kernel {
                o.size -= 4;
            }
        }
        if let Some(Ok(found)) = stepped(&built, program, &optimizer, machine) {
            near(&want, &found).err().ok_or(format!("{machine:?} noticed nothing"))?;
        }
    }
    Ok(())
}

pub fn jobs() -> Vec<Job> {
    let rows = all().into_iter().flat_map(|(name, o)| [1, 257, 5000].map(|n| (format!("{name} [{n}]"), o.clone(), n)));
    let mut out: Vec<Job> = rows.map(|(name, o, n)| Job::new(name, move || agrees(&o, n))).collect();
    out.push(Job::new("a short arena is noticed", a_short_arena_is_noticed));
    out
}
