//! The passes of a formula over one row of values.

use super::Node;
use super::loops::{binary, select, unary};
use super::passes::{Pass, What};
use super::row::Row;
use std::mem::take;

/// How many inputs may be read where they lie.
pub(super) const LENT: usize = 16;

/// Where values of a row are found.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub nodes: &'a [Node],
    /// The inputs that are read where they lie.
    pub lent: [Option<&'a [f32]>; LENT],
    /// The output that each computed node is, the first of several.
    pub places: &'a [Option<usize>],
    pub len: usize,
}

impl<'a> Found<'a> {
    #[inline(always)]
    pub fn lent(&self, node: usize) -> Option<&'a [f32]> {
        if let Node::Input(i) = self.nodes[node] { self.lent.get(i).copied().flatten() } else { None }
    }

    /// A node's values: lent, made in their place, or in its row.
    #[inline(always)]
    pub fn at<'b>(&self, node: usize, rows: &'b [Row], results: &'b [&mut [f32]]) -> &'b [f32]
    where
        'a: 'b,
    {
        let place = self.places[node].and_then(|o| results.get(o)).filter(|r| !r.is_empty());
        let row = place.map(|made| &**made).unwrap_or(&rows[node]);
        &self.lent(node).unwrap_or(row)[..self.len]
    }
}

/// Makes all that a formula makes: results in their places, where they have one, and all else in its row. To be called where vectors are wide.
#[inline(always)]
pub(super) fn compute(passes: &[Pass], rows: &mut [Row], found: &Found<'_>, results: &mut [&mut [f32]]) {
    for p in passes {
        // operands stand before what is made of them
        let (before, rest) = rows.split_at_mut(p.node);
        let result = found.places[p.node];
        let own = result.and_then(|o| results.get_mut(o)).map(take).unwrap_or_default();
        let out = &mut if own.is_empty() { &mut rest[0][..] } else { &mut *own }[..found.len];
        let at = |j: usize| found.at(j, before, results);
        if p.normal {
            pass::<true>(p.what, at, before, out)
        } else {
            pass::<false>(p.what, at, before, out)
        }
        if let Some(place) = result.and_then(|o| results.get_mut(o)) {
            *place = own;
        }
    }
}

/// Results that are inputs, and what is a result twice, to their places.
#[inline(always)]
pub(super) fn settle(outputs: &[usize], rows: &[Row], found: &Found<'_>, results: &mut [&mut [f32]]) {
    for (o, &node) in outputs.iter().enumerate().take(results.len()) {
        if !results[o].is_empty() && found.places[node] != Some(o) {
            let to = take(&mut results[o]);
            to.copy_from_slice(found.at(node, rows, results));
            results[o] = to;
        }
    }
}

/// A pass over operands that `at` gives; a number is the first of its row.
#[inline(always)]
fn pass<'a, const NORMAL: bool>(what: What, at: impl Fn(usize) -> &'a [f32], rows: &[Row], out: &mut [f32]) {
    match what {
        What::Unary(u, a) => unary::<NORMAL>(u, at(a), out),
        What::Binary(b, x, y) => binary::<NORMAL>(b, at(x), at(y), out),
        What::Select(c, a, b) => select::<NORMAL>(at(c), at(a), at(b), out),
        // each by itself: the compiler leaves an array's `map` a call
        What::Several(f, [u, v, w, x, y, z], [a, b, c, d]) => {
            f.compute::<NORMAL>([at(u), at(v), at(w), at(x), at(y), at(z)], [rows[a][0], rows[b][0], rows[c][0], rows[d][0]], out)
        }
    }
}
