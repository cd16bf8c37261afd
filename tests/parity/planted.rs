//! Errors planted in a planned program: each must turn the comparison red, on every machine.

use crate::check::{compare, on};
use crate::common::{Job, MACHINES};
use crate::make::{Case, Order, field, no_rule};
use gradus::expr::{Expr, Scalar};
use gradus::graph::{Field, Var};
use gradus::kernels::{Kernel, Profile};
use gradus::tensor::DType;
use std::sync::Arc;

/// Breaks one kernel; false if it is another kind.
type Mutation = fn(&mut Kernel) -> bool;

const MUTATIONS: &[(&str, Mutation)] = &[
    ("gemm: a dropped last term", |k| {
        if let Kernel::Gemm(g) = k {
            g.k -= 1;
            true
        } else {
            false
        }
    }),
    ("gemm: a wrong bias", |k| if let Kernel::Gemm(g) = k { g.extras.first_mut().map(|e| e.column = 0).is_some() } else { false }),
    ("map: a wrong formula", |k| {
        let Kernel::Map(m) = k else { return false };
        if m.spec.f.arity() == 0 {
            return false; // a constant
        }
        let outputs = m.spec.f.outputs().len();
        m.spec.f = Expr::of(m.spec.f.arity(), |x| vec![&x[0] * Scalar::from(1.001); outputs]);
        true
    }),
    ("reduce: a dropped last term", |k| {
        if let Kernel::Reduce(r) = k {
            r.length -= 1;
            true
        } else {
            false
        }
    }),
    ("gather: a wrong scale", |k| {
        if let Kernel::Gather(g) = k {
            g.fields[0].field.scale *= 1.001;
            true
        } else {
            false
        }
    }),
    ("take: a neighbour's row", |k| {
        if let Kernel::Take(t) = k {
            t.offsets[0] += t.width;
            t.rows -= 1;
            true
        } else {
            false
        }
    }),
    ("scatter_links: an index too few", |k| {
        if let Kernel::ScatterLinks(l) = k {
            l.count -= 1;
            true
        } else {
            false
        }
    }),
    ("scatter_add: another stride", |k| {
        if let Kernel::ScatterAdd(s) = k {
            s.width -= 1;
            true
        } else {
            false
        }
    }),
    ("softmax: a narrower row", |k| {
        if let Kernel::Softmax(s) = k {
            s.width -= 1;
            true
        } else {
            false
        }
    }),
    ("cross_entropy: a class too few", |k| {
        if let Kernel::CrossEntropy(c) = k {
            c.classes -= 1;
            true
        } else {
            false
        }
    }),
    ("accuracy: a shifted label", |k| {
        if let Kernel::Accuracy(a) = k {
            a.classes -= 1;
            true
        } else {
            false
        }
    }),
];

/// A step that holds every archetype but the optimizer, whose planted error stands beside its own test.
fn step() -> Case {
    let body = |m: &crate::make::Make| -> Var {
        let x = m.field(Field { scale: 0.5, ..field("x", DType::F32, [9]) }, |u| 4.0 * u - 2.0);
        let h = x.matmul_with(&m.p([7, 9]), false, true) + m.p([7]);
        let y = m.classes(7);
        m.metric("accuracy", &h.tanh().accuracy(&y));
        let alone = m.p([33]).tanh();
        m.output("alone", &alone);
        let rows = m.p([7, 5]).take(&y);
        m.weigh(&rows)
            + h.cross_entropy(&y) * 31.0
            + m.weigh(&h.softmax())
            + m.weigh(&m.p([5, 33]).square().sum_axes(&[1]))
            + m.weigh(&alone)
    };
    Case::new("every archetype", body).over(Order::all(31))
}

fn planted(mutation: Mutation) -> Result<(), String> {
    let built = step().build()?;
    let truth = built.truth()?;
    for machine in MACHINES {
        let sound = built.program(Profile::Software, &no_rule())?;
        let Some(found) = on(machine, &built, &Arc::new(sound.clone())) else { continue };
        compare(&truth, &found?, "unbroken")?;
        let mut caught = 0;
        for i in 0..sound.launches.len() {
            let mut broken = sound.clone();
            if !mutation(&mut broken.launches[i].kernel) {
                continue;
            }
            let red = match on(machine, &built, &Arc::new(broken)) {
                Some(Ok(found)) => compare(&truth, &found, "broken").is_err(),
                _ => true, // refused: as good
            };
            caught += usize::from(red);
        }
        if caught == 0 {
            return Err(format!("no broken launch was noticed on {machine:?}"));
        }
    }
    Ok(())
}

pub fn jobs() -> Vec<Job> {
    MUTATIONS.iter().map(|&(name, m)| Job::new(name, move || planted(m))).collect()
}
