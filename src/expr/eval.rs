//! A formula evaluated over slices with the processor's vectors.

use super::passes::{Pass, What, passes};
use super::row::{CHUNK, Row};
use super::vector::{self, one};
use super::{Binary, Expr, Node, Unary};

/// Evaluates a formula over slices, [`CHUNK`] values at a time, with the machine's widest vectors. Keeps its scratch memory between calls.
///
/// A result below f32's normal range (2^-126) becomes 0 with its sign, as on most GPUs (which may take such an operand for 0, too). Some processors
/// need 100 times as long for such a number, and an optimizer's moment whose gradient stays 0 would reach this range after some 800 steps and stay
/// in it.
#[derive(Debug, Clone)]
pub struct Evaluator {
    expr: Expr,
    passes: Vec<Pass>,
    rows: Vec<Row>,
    /// The inputs: node, number, and whether its row can be read where it lies.
    inputs: Vec<(usize, usize, bool)>,
}

impl Evaluator {
    /// For this formula.
    pub fn new(expr: &Expr) -> Self {
        let rows = expr.nodes().iter().map(|n| if let Node::Const(c) = n { [f64::from_bits(*c) as f32; CHUNK] } else { [0.0; CHUNK] });
        let number = |(at, n): (usize, &Node)| if let Node::Input(i) = *n { Some((at, i)) } else { None };
        let inputs = expr.nodes().iter().enumerate().filter_map(number);
        // an input that is an output, too, must be in a row of its own
        let inputs = inputs.map(|(at, i)| (at, i, i < LENT && !expr.outputs().contains(&at)));
        Evaluator { passes: passes(expr), rows: rows.collect(), inputs: inputs.collect(), expr: expr.clone() }
    }

    /// Sets the step's rates.
    pub fn set_rates(&mut self, rates: &[f32]) {
        for (row, n) in self.rows.iter_mut().zip(self.expr.nodes()) {
            if let Node::Rate(i) = n {
                row.fill(rates[*i]);
            }
        }
    }

    /// One chunk: `load(i, row)` fills input `i`. Then [`Evaluator::store`] or [`Evaluator::output`] gives the outputs.
    pub fn chunk(&mut self, mut load: impl FnMut(usize, &mut Row)) {
        self.chunk_of(|i, row| {
            load(i, row);
            None
        });
    }

    /// As [`Evaluator::chunk`], but `load` may lend a whole row ([`whole`](super::whole)) in place of filling one.
    pub fn chunk_of<'a>(&mut self, mut load: impl FnMut(usize, &mut Row) -> Option<&'a Row>) {
        let mut lent = [None; LENT];
        for &(at, i, lends) in &self.inputs {
            let row = &mut self.rows[at];
            match load(i, row) {
                Some(found) if lends => lent[i] = Some(found),
                Some(found) => *row = *found,
                None => {}
            }
        }
        pulp::Arch::new().dispatch(Compute { nodes: self.expr.nodes(), passes: &self.passes, rows: &mut self.rows, lent });
    }

    /// The first values of output `o` of the last chunk, to `out`.
    pub fn store(&mut self, o: usize, out: &mut [f32]) {
        let (from, normal) = (&self.rows[self.expr.outputs()[o]], self.computed(o));
        pulp::Arch::new().dispatch(Store { from, normal, to: out });
    }

    /// Output `o` of the last chunk.
    pub fn output(&mut self, o: usize) -> &Row {
        let computed = self.computed(o);
        let row = &mut self.rows[self.expr.outputs()[o]];
        if computed {
            row.iter_mut().for_each(|v| *v = normal(*v));
        }
        row
    }

    fn computed(&self, o: usize) -> bool {
        matches!(self.expr.nodes()[self.expr.outputs()[o]], Node::Unary(..) | Node::Binary(..))
    }
}

/// How many inputs may be read where they lie.
const LENT: usize = 8;

// structs and not closures: a closure that the compiler does not inline would compute with narrow vectors

struct Compute<'a> {
    nodes: &'a [Node],
    passes: &'a [Pass],
    rows: &'a mut [Row],
    lent: [Option<&'a Row>; LENT],
}

impl pulp::NullaryFnOnce for Compute<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        for p in self.passes {
            // operands stand before what is made of them
            let (before, rest) = self.rows.split_at_mut(p.node);
            let out = &mut rest[0];
            let at = |j: usize| match self.nodes[j] {
                Node::Input(i) => self.lent.get(i).copied().flatten().unwrap_or(&before[j]),
                _ => &before[j],
            };
            match p.what {
                What::Unary(u, a) => unary(u, at(a), out),
                What::Binary(b, x, y) => binary(b, at(x), at(y), out),
                What::Select(c, a, b) => select(at(c), at(a), at(b), out),
                What::Several(f, rows, numbers) => f.compute(rows.map(at), numbers.map(|j| before[j][0]), out),
            }
        }
    }
}

struct Store<'a> {
    from: &'a Row,
    normal: bool,
    to: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Store<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let pairs = self.to.iter_mut().zip(self.from);
        if self.normal {
            pairs.for_each(|(o, &v)| *o = normal(v));
        } else {
            pairs.for_each(|(o, &v)| *o = v);
        }
    }
}

/// The number; 0 with its sign where it is below the normal range.
#[inline(always)]
fn normal(v: f32) -> f32 {
    if v.abs() < f32::MIN_POSITIVE { f32::from_bits(v.to_bits() & 0x8000_0000) } else { v }
}

#[inline(always)]
pub(super) fn unary(u: Unary, x: &Row, out: &mut Row) {
    #[inline(always)]
    fn each(x: &Row, out: &mut Row, f: impl Fn(f32) -> f32) {
        for (o, &v) in out.iter_mut().zip(x) {
            *o = f(v);
        }
    }
    match u {
        Unary::Neg => each(x, out, |v| -v),
        Unary::Abs => each(x, out, f32::abs),
        Unary::Sign => each(x, out, |v| truth(v > 0.0) - truth(v < 0.0)),
        Unary::Floor => each(x, out, f32::floor),
        Unary::Exp => each(x, out, one::exp),
        Unary::Expm1 => each(x, out, one::expm1),
        Unary::Log => each(x, out, one::log),
        Unary::Sqrt => each(x, out, f32::sqrt),
        Unary::Sin => vector::sin(x, out),
        Unary::Cos => vector::cos(x, out),
        Unary::Tanh => each(x, out, one::tanh),
        Unary::Sigmoid => each(x, out, one::sigmoid),
        Unary::Softplus => each(x, out, one::softplus),
        Unary::Erf => each(x, out, one::erf),
        Unary::Relu => each(x, out, |v| if v < 0.0 { 0.0 } else { v }),
        Unary::Positive => each(x, out, |v| truth(v > 0.0)),
        Unary::Half => each(x, out, half_of),
    }
}

/// The number rounded to f16; the twin of `shaders/lib/half.wgsl`.
#[inline(always)]
fn half_of(x: f32) -> f32 {
    let a = x.to_bits() & 0x7fff_ffff;
    let ten = a.wrapping_add(0xfff + (a >> 13 & 1)) & 0xffff_e000;
    let large = if ten >= 0x4780_0000 { 0x7f80_0000 } else { ten };
    // below 2^-14 the steps are 2^-24
    let small = ((x.abs() * 16_777_216.0).round_ties_even() * f32::from_bits(0x3380_0000)).to_bits();
    let r = if a < 0x3880_0000 { small } else { large };
    let r = if a > 0x7f80_0000 { a } else { r };
    f32::from_bits(r | x.to_bits() & 0x8000_0000)
}

#[inline(always)]
fn truth(condition: bool) -> f32 {
    if condition { 1.0 } else { 0.0 }
}

#[inline(always)]
fn select(c: &Row, a: &Row, b: &Row, out: &mut Row) {
    for (((o, &c), &a), &b) in out.iter_mut().zip(c).zip(a).zip(b) {
        *o = if c == 0.0 { b } else { a };
    }
}

#[inline(always)]
pub(super) fn binary(b: Binary, x: &Row, y: &Row, out: &mut Row) {
    #[inline(always)]
    fn each(x: &Row, y: &Row, out: &mut Row, f: impl Fn(f32, f32) -> f32) {
        for ((o, &a), &b) in out.iter_mut().zip(x).zip(y) {
            *o = f(a, b);
        }
    }
    match b {
        Binary::Add => each(x, y, out, |a, b| a + b),
        Binary::Sub => each(x, y, out, |a, b| a - b),
        Binary::Mul => each(x, y, out, |a, b| a * b),
        Binary::Div => each(x, y, out, |a, b| a / b),
        // `f32::max` swallows NaN
        Binary::Max => each(x, y, out, |a, b| if b.is_nan() || a < b { b } else { a }),
        Binary::Min => each(x, y, out, |a, b| if b.is_nan() || a > b { b } else { a }),
        Binary::Pow => vector::pow(x, y, out),
        Binary::Less => each(x, y, out, |a, b| truth(a < b)),
        Binary::LessEqual => each(x, y, out, |a, b| truth(a <= b)),
        Binary::Equal => each(x, y, out, |a, b| truth(a == b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::Activation;

    /// The slice evaluator against the plain one in f64, at DESIGN's tolerance.
    #[test]
    fn slices_equal_scalars() {
        for a in Activation::ALL {
            let mut e = Evaluator::new(&a.expr());
            e.chunk(|_, row| row.iter_mut().enumerate().for_each(|(i, v)| *v = i as f32 / 16.0 - 8.0));
            for (i, &got) in e.output(0).iter().enumerate() {
                let x = i as f64 / 16.0 - 8.0;
                let want = a.expr().eval::<f64>(&[x], &[])[0];
                assert!((f64::from(got) - want).abs() <= 1e-6 + 1e-5 * want.abs(), "{} at {x}: {got} for {want}", a.name());
            }
        }
    }

    /// Every f16 and what lies around it, against the crate `half`.
    #[test]
    fn halves_are_those_of_the_crate() {
        let around = |h: u16| {
            let (a, b) = (half::f16::from_bits(h).to_f32(), half::f16::from_bits(h.wrapping_add(1)).to_f32());
            let middle = ((f64::from(a) + f64::from(b)) / 2.0) as f32;
            [a, middle, f32::from_bits(middle.to_bits() + 1), f32::from_bits(middle.to_bits().saturating_sub(1)), 1.1 * a]
        };
        for x in (0..=u16::MAX).flat_map(around).chain([1e-10, 65_519.0, 65_520.0, 1e30, f32::INFINITY, -0.0]) {
            let want = half::f16::from_f32(x).to_f32();
            let alike = half_of(x).to_bits() == want.to_bits() || (x.is_nan() && half_of(x).is_nan());
            // a result of the evaluator is never below f32's normal range, and neither is an f16
            assert!(alike || x.abs() < f32::MIN_POSITIVE, "{x:e}: {:e} for {want:e}", half_of(x));
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
