//! Results of products that are rows of a larger tensor. No plan asks for them yet: a program's product is told to.

use crate::check::{Fail, Found, Ready, Row, Site, floats, load};
use crate::counts;
use crate::make::{Built, Case, Make, no_rule};
use gradus::graph::Var;
use gradus::kernels::{Kernel, Output};
use gradus::plan::{Blocking, BufferId};
use std::sync::Arc;

/// Elements from one row of the larger tensor to the next beyond its own, in front of it, and rows that stand between matrices.
const GAPS: [(usize, usize, usize); 2] = [(4, 8, 1), (3, 5, 2)];

pub fn rows() -> Vec<Row> {
    let bodies: [(&str, fn(&Make) -> Var); 2] = [
        ("a product", |m| (m.p([33, 12]).matmul(&m.p([12, 8])) + m.p([8])).tanh()),
        ("a batch by two axes", |m| m.p([2, 3, 9, 7]).matmul(&m.p([2, 3, 7, 5])) * m.p([2, 1, 9, 5])),
    ];
    let mut out = Vec::new();
    for (name, body) in bodies {
        for gaps in GAPS {
            let name = format!("{name} into a larger tensor, {} apart", gaps.0);
            out.push(Row::new(name.clone(), move || {
                let built = Case::predict(&name, move |m| m.output("y", &body(m))).build()?;
                let (truth, facts) = (built.truth()?, counts::facts(&built));
                Ok(Ready { truth, run: Box::new(move |site| on(site, &built, gaps)), facts })
            }));
        }
    }
    out
}

fn on(site: &Site<'_>, built: &Built, (gap, offset, between): (usize, usize, usize)) -> Option<Result<Found, Fail>> {
    let mut program = match site.program(built, &no_rule()) {
        Ok(p) => (*p).clone(),
        Err(e) => return Some(Err(e)),
    };
    let (buffer, mut places) = (program.outputs[0].buffer, Vec::new());
    for l in &mut program.launches {
        let Kernel::Gemm(g) = &mut l.kernel else { continue };
        let (pitch, [outer, inner]) = (g.n + gap, g.batch);
        let matrix = (g.m + between) * pitch;
        g.outputs = vec![Output { offset, within: Some((pitch, [inner * matrix + pitch, matrix])) }];
        *g = g.clone().by_vectors();
        for row in 0..outer * inner * g.m {
            let (matrix_of, row) = (row / g.m, row % g.m);
            let first = offset + matrix_of / inner * (inner * matrix + pitch) + matrix_of % inner * matrix + row * pitch;
            places.extend(first..first + g.n);
        }
    }
    let BufferId::Slot(slot) = buffer else { return Some(Err(Fail::Wrong("the output has no slot".into()))) };
    let elements = places.last().map_or(0, |last| last + 1);
    program.slots[slot] = program.slots[slot].max(4 * elements);
    let session = site.session(&program)?;
    let run = |mut s: Box<dyn gradus::plan::Session>| -> Result<Found, Fail> {
        let handle = load(&mut *s, built, &Arc::new(program))?;
        s.queue(handle, 1, 0)?;
        s.next_log(gradus::plan::Purpose::Predict.state_set())?;
        let all = floats(s.read(buffer, 0, elements)?);
        Ok(vec![("output y".into(), places.iter().map(|&at| all[at]).collect())])
    };
    Some(session.map_err(Fail::from).and_then(run))
}
