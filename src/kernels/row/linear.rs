//! A sum along a row of values that a number scales is that number times their sum. Where earlier joins make the number, the sum need not wait for them:
//! one way along the row less. A sum's sign is put behind it, too.

use super::stages::Known;
use crate::expr::{Binary, Expr, Node, Tape, Unary};
use crate::kernels::lib::join::Join;

/// Joins of a formula, at most, where one has become several.
const MOST: usize = 4;

/// What a sum is multiplied with.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Factor {
    Minus,
    Times(usize),
    Over(usize),
}

/// A term as a sum of values, each with its factors.
type Addends = Vec<(Vec<Factor>, usize)>;

/// The formula over joins that begin earlier, and those joins, where there are such. See [`RowSpec::new`](super::RowSpec::new) for what a formula is.
pub(super) fn earlier(f: &Expr, numbers: &[bool], joins: &[Join]) -> Option<(Expr, Vec<Join>)> {
    let known = Known::new(f, numbers, joins.len());
    let found: Vec<Option<Addends>> = joins.iter().zip(f.outputs()).map(|(&join, &term)| addends(&known, join, term)).collect();
    if found.iter().all(Option::is_none) {
        return None;
    }
    // the joins from now on, by their terms, and which of them stand for each that was
    let mut new: Vec<(usize, Join)> = Vec::new();
    let mut at = |term: usize, join: Join| {
        new.iter().position(|n| *n == (term, join)).unwrap_or_else(|| {
            new.push((term, join));
            new.len() - 1
        })
    };
    let parts: Vec<Addends> = (joins.iter().zip(f.outputs()).zip(found))
        .map(|((&join, &term), found)| {
            let all = found.unwrap_or_else(|| vec![(vec![], term)]);
            all.into_iter().map(|(factors, term)| (factors, at(term, join))).collect()
        })
        .collect();
    (new.len() <= MOST).then(|| rewritten(f, &known, &new, &parts))
}

/// A sum's term as a sum of values that are known in an earlier stage, or as one that numbers scale.
fn addends(known: &Known<'_>, join: Join, term: usize) -> Option<Addends> {
    let mut all = Vec::new();
    let splits = matches!(join, Join::Sum | Join::Mean) && taken_apart(known, known.level[term], term, &[], &mut all);
    (splits && all != [(vec![], term)]).then_some(all)
}

/// Adds what a node is the sum of. A number among them is refused: differences from a mean are not to be summed apart from it.
fn taken_apart(known: &Known<'_>, level: usize, node: usize, factors: &[Factor], all: &mut Addends) -> bool {
    let with = |factor| [factors, &[factor]].concat();
    let number = |n: usize| !known.along[n];
    if all.len() > MOST || number(node) {
        return false;
    }
    let waits = known.level[node] == level && level > 0;
    let mut go = |node, factors: &[Factor]| taken_apart(known, level, node, factors, all);
    match known.nodes[node] {
        Node::Unary(Unary::Neg, x) => go(x, &with(Factor::Minus)),
        // where nothing waits they stay: whoever divides before a sum may have a reason
        Node::Binary(Binary::Mul, x, y) if waits && number(x) => go(y, &with(Factor::Times(x))),
        Node::Binary(Binary::Mul, x, y) if waits && number(y) => go(x, &with(Factor::Times(y))),
        Node::Binary(Binary::Div, x, y) if waits && number(y) => go(x, &with(Factor::Over(y))),
        Node::Binary(Binary::Add, x, y) if waits => go(x, factors) && go(y, factors),
        Node::Binary(Binary::Sub, x, y) if waits => go(x, factors) && go(y, &with(Factor::Minus)),
        _ if waits => false,
        _ => {
            all.push((factors.to_vec(), node));
            true
        }
    }
}

fn rewritten(f: &Expr, known: &Known<'_>, new: &[(usize, Join)], parts: &[Addends]) -> (Expr, Vec<Join>) {
    let mut tape = Tape::default();
    let mut at: Vec<usize> = Vec::new();
    for n in f.nodes() {
        let node = match *n {
            Node::Input(x) if x < known.operands => tape.input(x),
            Node::Input(x) => {
                let mut sum = None;
                for (factors, join) in &parts[x - known.operands] {
                    let number = tape.input(known.operands + join);
                    let number = factors.iter().fold(number, |v, factor| match *factor {
                        Factor::Minus => tape.unary(Unary::Neg, v),
                        Factor::Times(n) => tape.binary(Binary::Mul, v, at[n]),
                        Factor::Over(n) => tape.binary(Binary::Div, v, at[n]),
                    });
                    sum = Some(sum.map_or(number, |sum| tape.binary(Binary::Add, sum, number)));
                }
                sum.unwrap_or_else(|| tape.constant(0.0))
            }
            Node::Rate(r) => tape.rate(r),
            Node::Const(c) => tape.constant(f64::from_bits(c)),
            Node::Unary(u, a) => tape.unary(u, at[a]),
            Node::Binary(b, x, y) => tape.binary(b, at[x], at[y]),
            Node::Select(c, a, b) => tape.select(at[c], at[a], at[b]),
        };
        at.push(node);
    }
    let results = &f.outputs()[parts.len()..];
    let outputs: Vec<usize> = new.iter().map(|n| n.0).chain(results.iter().copied()).map(|n| at[n]).collect();
    (tape.finish(known.operands + new.len(), &outputs), new.iter().map(|n| n.1).collect())
}

#[cfg(test)]
mod tests {
    use super::super::RowSpec;
    use super::*;
    use crate::expr::Scalar;

    /// Joins and results of a formula over `[a, b, number]` and what its joins give, of one row.
    fn row(f: &Expr, joins: &[Join], rows: [&[f64]; 2], number: f64) -> (Vec<f64>, Vec<f64>) {
        let width = rows[0].len();
        let mut given = vec![f64::NAN; joins.len()];
        let mut all = vec![];
        // a join's number stands behind its term: as many rounds as joins make all of them known
        for _ in 0..=joins.len() {
            all = (0..width).map(|i| f.eval::<f64>(&[&[rows[0][i], rows[1][i], number][..], &given].concat(), &[])).collect::<Vec<_>>();
            for (j, join) in joins.iter().enumerate() {
                let sum: f64 = all.iter().map(|v| v[j]).sum();
                given[j] = if *join == Join::Mean { sum / width as f64 } else { sum };
            }
        }
        (given, all.iter().map(|v| v[joins.len()]).collect())
    }

    fn stages(f: &Expr, joins: &[Join]) -> usize {
        RowSpec::new(f, vec![false, false, true], joins, 1).stages.len()
    }

    /// As a gradient of a normalised row: the mean of what the first sum scales is made of sums beside the first, and the results stay.
    #[test]
    fn scaled_sums_do_not_wait() {
        let of = |inner: fn(&[Scalar], Scalar) -> Scalar| {
            Expr::of(5, |x| {
                let inner = inner(x, &x[0] * &x[1]);
                vec![&x[0] * &x[1], inner.clone(), &inner - &x[4] * 0.25]
            })
        };
        let splits = of(|x, p| -(p * &x[2] + (&x[1] - &x[2]) * &x[3] + (&x[1] - &x[2]) * &x[3]) / &x[3]);
        let rows = [&[0.5, -1.0, 2.0, 3.0][..], &[1.5, 0.25, -2.0, 0.5]];
        for join in [Join::Sum, Join::Mean] {
            let joins = [join, join];
            let (f, new) = earlier(&splits, &[false, false, true], &joins).unwrap();
            assert_eq!((new.len(), stages(&splits, &joins)), (3, 2));
            let (was, is) = (row(&splits, &joins, rows, 0.75).1, row(&f, &new, rows, 0.75).1);
            was.iter().zip(is).for_each(|(a, b)| assert!((a - b).abs() < 1e-12, "{a} is {b}"));
        }
        // a number of a later stage among the addends, a product of two rows, the largest: these wait
        for inner in
            [(|x, _| &x[1] - &x[3]) as fn(&[Scalar], Scalar) -> Scalar, |x, p| (&x[1] * &x[3]) * (p * &x[3]), |x, p| (p * &x[3]).exp()]
        {
            assert!(earlier(&of(inner), &[false, false, true], &[Join::Sum; 2]).is_none());
            assert_eq!(stages(&of(inner), &[Join::Sum; 2]), 3);
        }
        let scaled = of(|x, p| p * &x[3]);
        assert!(earlier(&scaled, &[false, false, true], &[Join::Sum, Join::Max]).is_none());
    }
}
