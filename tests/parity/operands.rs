//! Operands that are views: slices, axes in another order, reshapes between them, read where they lie.

use crate::make::{Case, Make};

pub fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    let mut case = |name: &str, body: fn(&Make) -> gradus::graph::Var| out.push(Case::new(name, body));
    // [B, T, 3, H, D]: two axes of a batch, each with its own step
    case("products of parts of one packed tensor", |m| {
        let x = m.p([2, 5, 3, 4, 8]);
        let part = |i: usize| x.slice(2, i..i + 1).reshape([2, 5, 4, 8]).permute(&[0, 2, 1, 3]);
        m.weigh(&part(0).matmul_with(&part(1), false, true).tanh().matmul(&part(2)))
    });
    case("heads of 7 elements, of which a row is odd", |m| {
        let x = m.p([3, 9, 2, 7]);
        let (q, k) = (x.permute(&[0, 2, 1, 3]), x.permute(&[0, 2, 3, 1]));
        m.weigh(&(q.matmul(&k) * m.p([3, 1, 9, 9])))
    });
    // by fours, and not
    case("columns 4 to 16 of 20 in a product", |m| m.weigh(&m.p([33, 20]).slice(1, 4..16).matmul(&m.p([12, 36]))));
    case("columns 3 to 16 of 20 in a product", |m| m.weigh(&m.p([33, 20]).slice(1, 3..16).matmul(&m.p([13, 36]))));
    case("columns 0 to 6 of 8, turned, in a product", |m| m.weigh(&m.p([33, 8]).slice(1, 0..6).t().matmul(&m.p([33, 9]))));
    case("rows 2 to 9 of 11 in both factors", |m| {
        let x = m.p([11, 12]).slice(0, 2..9);
        m.weigh(&x.matmul_with(&x, false, true))
    });
    case("a batch in the middle", |m| m.weigh(&m.p([5, 3, 7]).permute(&[1, 0, 2]).matmul(&m.p([7, 3, 4]).permute(&[1, 0, 2]))));
    case("sums through a view", |m| {
        let x = m.p([3, 5, 9]).permute(&[1, 0, 2]).slice(2, 1..8);
        m.weigh(&x.sum_axes(&[2])) + m.weigh(&x.mean_axes(&[1])) + m.weigh(&x.slice(0, 1..4).max_axes(&[0]))
    });
    case("a view of a view of a view", |m| {
        let x = m.p([4, 3, 8]).slice(2, 2..8).permute(&[1, 0, 2]).reshape([3, 4, 2, 3]);
        m.weigh(&(x.permute(&[2, 0, 1, 3]).tanh() * m.p([3, 4, 3])))
    });
    case("a view that rides on a product", |m| m.weigh(&(m.p([5, 7]).matmul(&m.p([7, 6])) * m.p([6, 5]).t()).tanh()));
    case("a long product of views", |m| {
        m.weigh(&m.p([3, 2, 40_000]).slice(1, 0..1).reshape([3, 40_000]).matmul_with(&m.p([2, 80_000]).slice(1, 1..40_001), false, true))
    });
    out
}
