//! A formula evaluated over slices with the processor's vectors.

use super::compute::{Found, LENT, compute, settle};
use super::passes::{Pass, passes};
use super::row::{CHUNK, MOST, ROOM, Row};
use super::together::Together;
use super::{Expr, Node};

/// Evaluates a formula over slices, at most [`MOST`] values at a time, with the machine's widest vectors. Keeps its scratch memory between calls.
///
/// A result below f32's normal range (2^-126) becomes 0 with its sign, as on most GPUs (which may take such an operand for 0, too). Some processors
/// need 100 times as long for such a number, and an optimizer's moment whose gradient stays 0 would reach this range after some 800 steps and stay
/// in it.
#[derive(Debug, Clone)]
pub struct Evaluator {
    pub(super) expr: Expr,
    pub(super) passes: Vec<Pass>,
    /// What an optimizer's rule is as a whole.
    together: Option<Together>,
    pub(super) rows: Vec<Row>,
    pub(super) inputs: Vec<Input>,
    /// The rates, of which none is lent.
    rates: Vec<Input>,
    /// The output that each computed node is, the first of several.
    pub(super) places: Vec<Option<usize>>,
    piece: usize,
}

/// An input of a formula, or a rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input {
    pub node: usize,
    pub number: usize,
    /// Whether it can be read where it lies.
    pub lends: bool,
    /// Whether its first value alone is read.
    pub single: bool,
}

impl Evaluator {
    /// For this formula.
    pub fn new(expr: &Expr) -> Self {
        Self::over(expr, |_| false)
    }

    /// For this formula, some of whose inputs are one number for all of a chunk, by what `alike` says of each: those may cost less.
    pub fn over(expr: &Expr, alike: impl Fn(usize) -> bool) -> Self {
        let nodes = expr.nodes();
        let rows = nodes.iter().map(|n| if let Node::Const(c) = n { f64::from_bits(*c) as f32 } else { 0.0 });
        let rows = rows.map(|c| [c; ROOM]);
        let passes = passes(expr, &alike);
        let together = Together::find(expr);
        let all = || passes.iter().chain(together.iter().flat_map(|t| &t.before));
        let read = |node: usize| expr.outputs().contains(&node) || all().any(|p| p.reads().contains(&node));
        let input = |(node, n): (usize, &Node)| {
            let Node::Input(i) = *n else { return None };
            Some(Input { node, number: i, lends: i < LENT && !alike(i), single: alike(i) && !read(node) })
        };
        let rate = |(node, n): (usize, &Node)| {
            let Node::Rate(i) = *n else { return None };
            Some(Input { node, number: i, lends: false, single: !read(node) })
        };
        let inputs: Vec<Input> = nodes.iter().enumerate().filter_map(input).collect();
        // inputs that are lent need no row
        let own = nodes.iter().filter(|n| !matches!(n, Node::Const(_) | Node::Rate(_))).count() - inputs.iter().filter(|i| i.lends).count();
        let piece = (CACHED / own.max(1) / CHUNK * CHUNK).clamp(CHUNK, MOST);
        let rates = nodes.iter().enumerate().filter_map(rate).collect();
        // inputs, rates and constants are no pass, and lie in their rows
        let made = |n: usize| passes.iter().any(|p| p.node == n);
        let place = |n: usize| expr.outputs().iter().position(|o| *o == n).filter(|_| made(n));
        let places = (0..nodes.len()).map(place).collect();
        Evaluator { rows: rows.collect(), inputs, rates, passes, together, places, piece, expr: expr.clone() }
    }

    /// Sets the step's rates.
    pub fn set_rates(&mut self, rates: &[f32]) {
        for rate in &self.rates {
            let row = &mut self.rows[rate.node];
            row[..if rate.single { 1 } else { MOST }].fill(rates[rate.number]);
        }
    }

    /// One chunk: `load(i, row)` fills input `i`. Then [`Evaluator::store`] or [`Evaluator::output`] gives the outputs.
    pub fn chunk(&mut self, mut load: impl FnMut(usize, &mut [f32])) {
        let load = |i: usize, row: &mut [f32]| {
            load(i, row);
            None
        };
        self.run(CHUNK, load, &mut []);
    }

    /// An optimizer's rule over (parameter, gradient, moments..): brings parameter and moments one step on, in their place. At most
    /// [`Evaluator::stretch`] values: `load(row)` lends as many of the gradient where they lie, or fills in at most [`MOST`].
    pub fn update<'a>(&mut self, states: &mut [&mut [f32]], mut load: impl FnMut(&mut [f32]) -> Option<&'a [f32]>) {
        let len = states.first().map_or(0, |p| p.len());
        if self.together.is_none() {
            let given = &*states;
            self.run(len, |i, row| if i == 1 { load(row) } else { Some(&*given[i.saturating_sub(1)]) }, &mut []);
            return states.iter_mut().enumerate().for_each(|(o, to)| self.store(o, to));
        }
        let Evaluator { expr, together: Some(together), inputs, rows, places, .. } = self else { return };
        let own = inputs.iter().find(|i| i.number == 1).map(|i| i.node);
        let gradient = own.and_then(|node| load(&mut rows[node][..len.min(MOST)]));
        if !together.before.is_empty() {
            let mut lent = [None; LENT];
            lent[1] = gradient;
            states.iter().enumerate().for_each(|(s, state)| lent[if s == 0 { 0 } else { s + 1 }] = Some(&**state));
            let found = Found { nodes: expr.nodes(), lent, places, len };
            pulp::Arch::new().dispatch(Compute { passes: &together.before, rows, found, results: &mut [] });
        }
        let gradient = gradient.filter(|_| together.before.is_empty()).unwrap_or(&rows[together.gradient]);
        together.compute(states, &gradient[..len], |node| rows[node][0]);
    }

    /// How many values [`Evaluator::update`] takes at a time.
    pub fn stretch(&self) -> usize {
        match &self.together {
            Some(t) if t.before.is_empty() => usize::MAX,
            _ => self.piece(),
        }
    }

    /// `len` values, at most [`MOST`]: `load(i, row)` fills input `i`, or lends as many values where they lie. Output `o` goes to `results[o]` unless that is empty or not
    /// there; then [`Evaluator::output`] has it.
    pub fn run<'a>(&mut self, len: usize, mut load: impl FnMut(usize, &mut [f32]) -> Option<&'a [f32]>, results: &mut [&mut [f32]]) {
        let mut lent = [None; LENT];
        for input in &self.inputs {
            let row = &mut self.rows[input.node][..if input.single { 1 } else { len }];
            match load(input.number, row) {
                Some(found) if input.lends => lent[input.number] = Some(&found[..len]),
                Some(found) => row.copy_from_slice(&found[..row.len()]),
                None => {}
            }
        }
        let Evaluator { expr, passes, rows, places, .. } = self;
        let found = Found { nodes: expr.nodes(), lent, places, len };
        pulp::Arch::new().dispatch(Compute { passes, rows, found, results });
        settle(expr.outputs(), rows, &found, results);
        // results that are nobody's lie in their rows
        for (o, &node) in expr.outputs().iter().enumerate() {
            if let (true, Some(lent)) = (results.get(o).is_none_or(|r| r.is_empty()), found.lent(node)) {
                rows[node][..len].copy_from_slice(lent);
            }
        }
    }

    /// How many values at a time keep the rows of this formula in the first-level cache: a multiple of [`CHUNK`].
    pub fn piece(&self) -> usize {
        self.piece
    }

    /// The first values of output `o` of the last chunk, to `out`.
    pub fn store(&self, o: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.output(o)[..out.len()]);
    }

    /// Output `o` of the last chunk.
    pub fn output(&self, o: usize) -> &[f32] {
        &self.rows[self.expr.outputs()[o]][..MOST]
    }
}

/// Values that fit into a first-level cache that two threads share, with room for others.
const CACHED: usize = 6144;

// a struct and not a closure: a closure that the compiler does not inline would compute with narrow vectors
struct Compute<'a, 'b, 'c> {
    passes: &'a [Pass],
    rows: &'a mut [Row],
    found: Found<'a>,
    results: &'b mut [&'c mut [f32]],
}

impl pulp::NullaryFnOnce for Compute<'_, '_, '_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        compute(self.passes, self.rows, &self.found, self.results);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{Activation, Scalar};

    /// The slice evaluator against the plain one in f64, at DESIGN's tolerance.
    #[test]
    fn slices_equal_scalars() {
        for a in Activation::ALL {
            let mut e = Evaluator::new(&a.expr());
            e.chunk(|_, row| row.iter_mut().enumerate().for_each(|(i, v)| *v = i as f32 / 16.0 - 8.0));
            for (i, &got) in e.output(0)[..CHUNK].iter().enumerate() {
                let x = i as f64 / 16.0 - 8.0;
                let want = a.expr().eval::<f64>(&[x], &[])[0];
                assert!((f64::from(got) - want).abs() <= 1e-6 + 1e-5 * want.abs(), "{} at {x}: {got} for {want}", a.name());
            }
        }
    }

    /// Inputs lent or put there, numbers, results where they belong or not, and of any length: the values of the formula.
    #[test]
    fn chunks_of_any_kind_are_the_formula() {
        let f = Expr::of(4, |x| {
            let y = (&x[0] - &x[2]) * &x[3];
            vec![y.clone(), x[1].clone(), &y * &x[1] + &x[3], y, x[3].clone(), x[1].exp() * 0.5, Scalar::rate(0), 0.75.into()]
        });
        let alike = |i: usize| i >= 2;
        let value = |i: usize, at: usize| if alike(i) { 1.0 + i as f32 } else { ((at * 7 + i) % 13) as f32 - 6.0 };
        let columns: Vec<Vec<f32>> = (0..4).map(|i| (0..MOST).map(|at| value(i, at)).collect()).collect();
        for (len, lends, places) in [(1, true, true), (7, false, true), (256, true, false), (1000, true, true), (MOST, false, false)] {
            let mut e = Evaluator::over(&f, alike);
            let mut made = vec![vec![0.0; if places { len } else { 0 }]; 8];
            e.set_rates(&[7.0]);
            made[1] = vec![];
            let load = |i: usize, row: &mut [f32]| {
                if lends && !alike(i) {
                    return Some(&columns[i][..len]);
                }
                row.copy_from_slice(&columns[i][..row.len()]);
                None
            };
            let mut results: Vec<&mut [f32]> = made.iter_mut().map(|m| &mut m[..]).collect();
            e.run(len, load, &mut results);
            for at in 0..len {
                let want = f.eval(&[0, 1, 2, 3].map(|i| value(i, at)), &[7.0]);
                for (o, want) in want.into_iter().enumerate() {
                    let got = made[o].get(at).copied().unwrap_or_else(|| e.output(o)[at]);
                    assert!((got - want).abs() <= 1e-6 * want.abs(), "output {o} at {at} of {len}: {got} for {want}");
                }
            }
        }
    }

    /// What is not normal is 0, to the sign; the least that is stays.
    #[test]
    fn results_are_normal() {
        let mut e = Evaluator::new(&Expr::of(1, |x| vec![0.5 * &x[0]]));
        let least = f32::MIN_POSITIVE;
        e.chunk(|_, row| row[..4].copy_from_slice(&[least, -least, 2.0 * least, -2.0 * least]));
        assert_eq!(e.output(0)[..4].iter().map(|v| v.to_bits()).collect::<Vec<_>>(), [0.0, -0.0, least, -least].map(f32::to_bits));
    }

    #[test]
    fn nan_stays_nan() {
        for a in Activation::ALL {
            let mut e = Evaluator::new(&a.expr());
            e.chunk(|_, row| row.fill(f32::NAN));
            assert!(e.output(0)[0].is_nan(), "{}", a.name());
        }
    }
}
