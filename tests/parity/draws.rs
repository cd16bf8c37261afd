//! Random numbers: drawn where they are read, in forward and backward, and stored where something else reads them.

use crate::make::{Case, Make, Order};
use gradus::graph::{Distribution, Var};

const ALL: [Distribution; 3] = [Distribution::Uniform, Distribution::Normal, Distribution::Bernoulli { below: 11_744_051 }];

/// One step, of a seed whose halves both count.
fn case(name: String, body: impl Fn(&Make) -> Var + 'static) -> Case {
    Case::new(name, body).over(Order { rows: 2, seed: 0x0123_4567_89ab_cdef, ..Order::all(1) })
}

pub fn draws() -> Vec<Case> {
    let shapes: [&[usize]; 9] = [&[1], &[3], &[255], &[256], &[257], &[1000], &[7, 33], &[8, 32], &[2, 3, 5, 4]];
    let mut out = Vec::new();
    for d in ALL {
        let name = d.name();
        for shape in shapes {
            // the parameter's gradient is the weights times what backward draws
            out.push(case(format!("{name} {shape:?}"), move |m| m.weigh(&(m.p(shape) * (m.draw(d, shape, "a#0") + 0.5)))));
        }
        out.push(case(format!("{name} [257], stored"), move |m| {
            let v = m.draw(d, [257], "a#0");
            m.output("draws", &v);
            m.weigh(&(m.p([257]) * (&v + 1.0)))
        }));
        out.push(case(format!("{name} [7, 33] read by a product, a sum and a view"), move |m| {
            let v = m.draw(d, [7, 33], "blocks.0.drop#1");
            let y = v.matmul(&m.p([33, 5]));
            m.weigh(&(y + v.sum_axes(&[1]).reshape([7, 1]))) + m.weigh(&(m.p([33, 7]) * v.permute(&[1, 0])))
        }));
        out.push(case(format!("{name} [7, 1] over [7, 33]"), move |m| m.weigh(&(m.p([7, 33]) * (m.draw(d, [7, 1], "a#0") + 0.5)))));
        // by fours, and one by one
        for columns in [32, 33] {
            out.push(case(format!("{name} on a product of {columns} columns"), move |m| {
                let h = m.p([9, 16]).matmul(&m.p([16, columns])).tanh();
                let h = h * m.draw(d, [9, columns], "drop#0");
                m.weigh(&h.matmul(&m.p([columns, 4])).tanh())
            }));
        }
    }
    out.push(case("two streams on a batch of products".into(), |m| {
        let (a, b) = (m.draw(Distribution::Uniform, [2, 3, 9, 5], "a#0"), m.draw(Distribution::Normal, [2, 3, 9, 5], "a#1"));
        m.weigh(&((m.p([2, 3, 9, 7]).matmul(&m.p([2, 3, 7, 5])) * a + m.p([3, 9, 5])) * b))
    }));
    out.push(case("two streams in one formula".into(), |m| {
        let (a, b) = (m.draw(Distribution::Uniform, [3, 35], "a#0"), m.draw(Distribution::Normal, [3, 35], "a#1"));
        m.weigh(&(m.p([3, 35]) * (&a + 0.5) + b * a))
    }));
    out
}
