//! Products that no plan asks for yet: a program's product is told to write rows of a larger tensor.

use crate::check::{Fail, Found, Ready, Row, Site, floats, load};
use crate::counts;
use crate::make::{Built, Case, Make, no_rule};
use gradus::graph::Var;
use gradus::kernels::{Gemm, Kernel, Output, Target};
use gradus::plan::{Blocking, BufferId, Part, Program};
use std::sync::Arc;

/// Changes a program, and says where the elements of its output lie.
type Edit = fn(&Built, &mut Program) -> Vec<usize>;

type Body = fn(&Make) -> Var;

fn table() -> [(&'static str, Body, Edit); 4] {
    let product: Body = |m| (m.p([33, 12]).matmul(&m.p([12, 8])) + m.p([8])).tanh();
    let batch: Body = |m| m.p([2, 3, 9, 7]).matmul(&m.p([2, 3, 7, 5])) * m.p([2, 1, 9, 5]);
    [
        ("a product into rows of 12", product, |_, p| into_rows(p, [4, 8, 1])),
        ("a product into rows of 11", product, |_, p| into_rows(p, [3, 5, 2])),
        ("a batch by two axes into rows of 9", batch, |_, p| into_rows(p, [4, 8, 1])),
        ("a batch by two axes into rows of 8", batch, |_, p| into_rows(p, [3, 5, 2])),
    ]
}

fn built(name: &str, body: Body) -> Result<Built, String> {
    Case::predict(name, move |m| m.output("y", &body(m))).build()
}

/// Their names and programs, for whoever looks at their texts.
pub fn programs(target: Target) -> Result<Vec<(&'static str, Program)>, String> {
    let program = |(name, body, edit): (&'static str, Body, Edit)| {
        let built = built(name, body)?;
        let mut program = built.part(target, &no_rule(), Part::Whole)?;
        edit(&built, &mut program);
        Ok((name, program))
    };
    table().into_iter().map(program).collect()
}

pub fn rows() -> Vec<Row> {
    let row = |(name, body, edit): (&'static str, Body, Edit)| {
        Row::new(name, move || {
            let built = built(name, body)?;
            let (truth, facts) = (built.truth()?, counts::facts(&built));
            Ok(Ready { truth, run: Box::new(move |site| on(site, &built, edit)), facts })
        })
    };
    table().into_iter().map(row).collect()
}

/// `f` of the one product of a program, and of the buffers of its launch.
fn product(p: &mut Program, f: impl FnOnce(&mut Gemm, &mut Vec<BufferId>)) {
    for l in &mut p.launches {
        if let Kernel::Gemm(g) = &mut l.kernel {
            f(g, &mut l.buffers);
            *g = g.clone().by_vectors();
            return;
        }
    }
}

/// Elements of a row of the larger tensor beyond the product's own, in front of all of it, and rows that stand between matrices.
fn into_rows(p: &mut Program, [gap, offset, between]: [usize; 3]) -> Vec<usize> {
    let mut places = Vec::new();
    product(p, |g, _| {
        let (pitch, [outer, inner]) = (g.n + gap, g.batch);
        let matrix = (g.m + between) * pitch;
        let steps = [inner * matrix + pitch, matrix];
        g.outputs = vec![Output { offset, within: Some((pitch, steps)), scattered: None }];
        for i in 0..outer * inner * g.m {
            let first = offset + g.along_batch(steps, i / g.m) + i % g.m * pitch;
            places.extend(first..first + g.n);
        }
    });
    places
}

fn on(site: &Site<'_>, built: &Built, edit: Edit) -> Option<Result<Found, Fail>> {
    let mut program = match site.program(built, &no_rule()) {
        Ok(p) => (*p).clone(),
        Err(e) => return Some(Err(e)),
    };
    let buffer = program.outputs[0].buffer;
    let places = edit(built, &mut program);
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
