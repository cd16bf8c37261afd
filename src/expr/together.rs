//! Whole rules of optimizers in one pass, in the place of what they change: each element is read once and written once, and its moments are in a
//! register when its parameter needs them.

use super::loops::normal;
use super::passes::{Match, Pass, numbers, passes, readers};
use super::{Expr, Node};
use std::sync::LazyLock;

/// Most numbers, each the same for all of a chunk, that a rule reads.
const NUMBERS: usize = 7;

/// A rule as a whole, found in a formula over (parameter, gradient, moments..).
#[derive(Debug, Clone)]
pub(super) struct Together {
    what: Whole,
    /// The node that stands for its gradient.
    pub gradient: usize,
    /// The nodes that its numbers are.
    numbers: [usize; NUMBERS],
    /// The passes that make its gradient of what the formula is given.
    pub before: Vec<Pass>,
}

/// What a rule looks like: a formula over (states.., gradient, numbers..) to its states.
struct Pattern {
    what: Whole,
    f: Expr,
    states: usize,
}

/// Rules over states and a gradient. Each is written once: as a pattern to be found, and as what is computed. A line sees what those before it made.
macro_rules! together {
    ($($name:ident([$($state:ident),*], $g:ident; $($number:ident),*) { $($made:ident = $f:expr;)* })*) => {
        /// A rule that is computed as a whole.
        #[derive(Debug, Clone, Copy, PartialEq)]
        enum Whole {
            $($name,)*
        }

        static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| vec![$({
            let (states, numbers): (&[&str], &[&str]) = (&[$(stringify!($state)),*], &[$(stringify!($number)),*]);
            let f = Expr::of(states.len() + 1 + numbers.len(), |x| {
                let mut inputs = x.iter();
                $(let $state = inputs.next().unwrap_or(&x[0]);)*
                let $g = inputs.next().unwrap_or(&x[0]);
                $(let $number = inputs.next().unwrap_or(&x[0]);)*
                $(let $made = &($f);)*
                vec![$($state.clone()),*]
            });
            Pattern { what: Whole::$name, f, states: states.len() }
        },)*]);

        impl Whole {
            #[inline(always)]
            fn compute(self, states: &mut [&mut [f32]], g: &[f32], numbers: [f32; NUMBERS]) {
                match self {
                    $(Whole::$name => {
                        let [$($number,)* ..] = numbers;
                        each(states, g, |[$($state),*], $g| {
                            $(let $made = normal($f);)*
                            [$($state),*]
                        });
                    })*
                }
            }
        }
    };
}

together! {
    Adam([p, m, v], g; keep, add, keep2, add2, lr, e) {
        m = keep * m + add * g;
        v = keep2 * v + add2 * (g * g);
        p = p - lr * (m / (v.sqrt() + e));
    }
    AdamW([p, m, v], g; keep, add, keep2, add2, stay, lr, e) {
        m = keep * m + add * g;
        v = keep2 * v + add2 * (g * g);
        p = p * stay - lr * (m / (v.sqrt() + e));
    }
    Momentum([p, m], g; keep, add, lr) {
        m = keep * m + add * g;
        p = p - lr * m;
    }
}

/// Each element of the states, by its gradient.
#[inline(always)]
fn each<const N: usize>(states: &mut [&mut [f32]], g: &[f32], f: impl Fn([f32; N], f32) -> [f32; N]) {
    let Some(states) = states.first_chunk_mut::<N>() else { return };
    // of one length, which the compiler sees: an index that might be out of bounds would end a vector's loop early
    let mut states = states.each_mut().map(|s| &mut s[..g.len()]);
    for (i, &g) in g.iter().enumerate() {
        let made = f(std::array::from_fn(|s| states[s][i]), g);
        for (state, made) in states.iter_mut().zip(made) {
            state[i] = made;
        }
    }
}

impl Together {
    /// The rule that a formula is as a whole.
    pub fn find(f: &Expr) -> Option<Together> {
        let (nodes, readers, numbers) = (f.nodes(), readers(f), numbers(f, |_| false));
        PATTERNS.iter().filter(|p| p.states == f.outputs().len()).find_map(|p| {
            let rows = p.states + 1;
            let bound = Match { nodes, outputs: f.outputs(), readers: &readers, numbers: &numbers, f: &p.f, rows }.all()?;
            // what it changes is what it was given: the parameter, and the moments behind the gradient
            let given = |s: usize| bound[s].is_some_and(|n| nodes[n] == Node::Input(if s == 0 { 0 } else { s + 1 }));
            if !(0..p.states).all(given) {
                return None;
            }
            let gradient = bound[p.states]?;
            let alone = Expr { outputs: vec![gradient], ..f.clone() };
            // no result, and so not brought to the normal range
            let before: Vec<Pass> = passes(&alone, |_| false).into_iter().map(|p| Pass { normal: false, ..p }).collect();
            if before.is_empty() && nodes[gradient] != Node::Input(1) {
                return None;
            }
            let numbers = std::array::from_fn(|i| bound.get(rows + i).copied().flatten().unwrap_or(gradient));
            Some(Together { what: p.what, gradient, numbers, before })
        })
    }

    /// Brings the states one step on; `number` is what a node has.
    pub fn compute(&self, states: &mut [&mut [f32]], gradient: &[f32], number: impl Fn(usize) -> f32) {
        pulp::Arch::new().dispatch(Compute { what: self.what, states, gradient, numbers: self.numbers.map(number) });
    }
}

// a struct and not a closure: a closure that the compiler does not inline would compute with narrow vectors
struct Compute<'a, 'b> {
    what: Whole,
    states: &'a mut [&'b mut [f32]],
    gradient: &'a [f32],
    numbers: [f32; NUMBERS],
}

impl pulp::NullaryFnOnce for Compute<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        self.what.compute(self.states, self.gradient, self.numbers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{CHUNK, Evaluator, MOST, Scalar, Tape};

    /// A pattern as an optimizer's formula over (parameter, gradient, moments..), its numbers rates; the gradient is first changed so.
    fn formula(p: &Pattern, change: impl Fn(&Scalar) -> Scalar) -> Expr {
        let change = Expr::of(1, |x| vec![change(&x[0])]);
        let mut tape = Tape::default();
        let states: Vec<usize> = (0..p.states).map(|s| tape.input(if s == 0 { 0 } else { s + 1 })).collect();
        let given = tape.input(1);
        let gradient = tape.inline(&change, &[given]);
        let numbers = (0..p.f.arity() - p.states - 1).map(|i| tape.rate(i));
        let numbers: Vec<usize> = numbers.collect();
        let args: Vec<usize> = states.into_iter().chain(gradient).chain(numbers).collect();
        let out = tape.inline(&p.f, &args);
        tape.finish(p.states + 1, &out)
    }

    fn values(row: usize, len: usize) -> Vec<f32> {
        let odd = [0.0, -0.0, 1e-38, 1e-30, f32::INFINITY, f32::NAN];
        let value = |at: usize| if at % 31 == row { odd[at % odd.len()] } else { ((at * (row + 3)) as f32 * 0.37).sin().abs() };
        (0..len).map(value).collect()
    }

    /// Every rule is found, its gradient clipped or not, and in its place it comes to the bits of its passes one by one.
    #[test]
    fn a_rule_in_its_place_is_its_passes() {
        for p in PATTERNS.iter() {
            for clipped in [false, true] {
                let f = formula(p, |g| if clipped { (g * Scalar::rate(7)).minimum(0.9) } else { g.clone() });
                let mut e = Evaluator::new(&f);
                assert_eq!(Together::find(&f).map(|t| (t.what, t.before.is_empty())), Some((p.what, !clipped)), "{clipped}");
                e.set_rates(&[0.9, 0.1, 0.99, 0.01, 0.5, 0.07, 1e-3, 0.8]);
                for len in [1, 7, CHUNK, MOST] {
                    let mut states: Vec<Vec<f32>> = (0..p.states).map(|s| values(s, len)).collect();
                    let (g, given) = (values(5, len), states.clone());
                    e.run(len, |i, _| Some(if i == 1 { &g } else { &given[i.saturating_sub(1)] }), &mut []);
                    let want: Vec<Vec<u32>> = (0..p.states).map(|o| e.output(o)[..len].iter().map(|v| v.to_bits()).collect()).collect();
                    let mut rows: Vec<&mut [f32]> = states.iter_mut().map(|s| &mut s[..]).collect();
                    e.update(&mut rows, |row| {
                        if len == 7 {
                            row.copy_from_slice(&g);
                        }
                        (len != 7).then_some(&g[..])
                    });
                    let got: Vec<Vec<u32>> = states.iter().map(|s| s.iter().map(|v| v.to_bits()).collect()).collect();
                    assert_eq!(got, want, "{:?}, {len} values, clipped: {clipped}", p.what);
                }
            }
        }
    }

    /// What only looks like a rule is none: moments that change places, a result more, a step along another moment.
    #[test]
    fn what_is_no_rule_is_not_taken_for_one() {
        let momentum = |swap: bool, more: bool, other: bool| {
            Expr::of(3, |x| {
                let (a, b) = if swap { (2, 0) } else { (0, 2) };
                let m = 0.9 * &x[b] + 0.1 * &x[1];
                let step = if other { &x[b] } else { &m };
                let p = &x[a] - 0.01 * step;
                if more { vec![p, m.clone(), m] } else { vec![p, m] }
            })
        };
        assert!(Together::find(&momentum(false, false, false)).is_some());
        for (swap, more, other) in [(true, false, false), (false, true, false), (false, false, true)] {
            assert!(Together::find(&momentum(swap, more, other)).is_none());
        }
    }
}
