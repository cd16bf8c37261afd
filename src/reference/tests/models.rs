//! Whole small models, random graphs, gradients of gradients; and the proof that the check bites.

use super::checker::{built, check, check_graph, field};
use crate::expr::{Expr, Tape};
use crate::graph::{Builder, Graph, Op, ReduceKind, Value, Var, gradients, op};
use crate::rng::Philox;
use crate::tensor::{DType, Shape};
use std::panic::Location;

fn linear(b: &Builder, x: &Var, name: &str, out: usize) -> Var {
    let weight = b.parameter(&format!("{name}.weight"), [out, x.shape().last()].into());
    x.matmul_with(&weight, false, true) + b.parameter(&format!("{name}.bias"), [out].into())
}

/// 5-4-3 with ReLU and cross-entropy.
fn mlp(b: &Builder) -> Var {
    let x = b.batch(6, field("x", DType::F32, [5].into(), None));
    let y = b.batch(6, field("y", DType::U32, [].into(), None));
    linear(b, &linear(b, &x, "0", 4).relu(), "1", 3).cross_entropy(&y)
}

fn regression(b: &Builder) -> Var {
    let x = b.batch(6, field("x", DType::F32, [3].into(), None));
    let y = b.batch(6, field("y", DType::F32, [2].into(), None));
    let h = linear(b, &linear(b, &x, "0", 4).tanh(), "1", 4).gelu();
    (linear(b, &h, "2", 2) - y).square().mean()
}

/// One weight for two layers, layer normalisation by hand, attention of three positions.
fn attention(b: &Builder) -> Var {
    let x = b.batch(2, field("x", DType::F32, [3, 4].into(), None));
    let weight = b.parameter("shared", [4, 4].into());
    let per_token = |v: &Var| v.reshape([6, 4]).matmul(&weight).reshape([2, 3, 4]);
    let norm = |v: &Var| {
        let centred = v - &v.mean_axes(&[2]).reshape([2, 3, 1]);
        &centred / &(centred.square().mean_axes(&[2]).reshape([2, 3, 1]) + 1e-2f64).sqrt()
    };
    let q = norm(&per_token(&x));
    let scores = (q.matmul_with(&x, false, true) * 0.5f64).softmax();
    let h = norm(&(per_token(&scores.matmul(&q)) + &q)) * b.parameter("scale", [4].into());
    (h.gelu_tanh().mean_axes(&[1]) - 0.3f64).square().sum()
}

#[test]
fn whole_models() {
    for (name, model) in [("mlp", mlp as fn(&Builder) -> Var), ("regression", regression), ("attention", attention)] {
        let seen = check(name, model).unwrap_or_else(|e| panic!("{e}"));
        assert!(seen.nodes.1 < seen.nodes.0 && seen.ignored.is_empty(), "{name}: {seen:?}");
    }
}

#[test]
fn accuracy_beside_the_loss() {
    let with_metric = |b: &Builder| {
        let x = b.batch(6, field("x", DType::F32, [5].into(), None));
        let y = b.batch(6, field("y", DType::U32, [].into(), None));
        let logits = linear(b, &x, "0", 3);
        let loss = logits.cross_entropy(&y);
        // a step function: it adds to the loss and nothing to the gradients
        loss + logits.softmax().accuracy(&y)
    };
    check("accuracy", with_metric).unwrap_or_else(|e| panic!("{e}"));
}

/// The squared norm of a gradient is a loss like any other.
#[test]
fn gradients_of_gradients() {
    for (name, model) in [("regression", regression as fn(&Builder) -> Var), ("attention", attention)] {
        let (mut g, loss) = built(model).unwrap();
        let wrt: Vec<Value> = (0..g.nodes.len()).filter(|&i| matches!(g.nodes[i].op, Op::Parameter(_))).map(Value::from).collect();
        let grad = gradients(&mut g, loss, &wrt[..1]).unwrap()[0].unwrap();
        let mut add = |op: Op, v: Value| Value::from(g.add(op, &[v], "", Location::caller()).unwrap());
        let square = add(op::Map(Expr::of(1, |x| vec![&x[0] * &x[0]])).into(), grad);
        let norm = add(op::Reduce { kind: ReduceKind::Sum, axes: vec![0, 1], keep: false }.into(), square);
        check_graph(&format!("{name}, twice"), g, norm, &gradients).unwrap_or_else(|e| panic!("{e}"));
    }
}

/// A random expression over three parameters, of smooth ops.
fn random(b: &Builder, seed: u64) -> Var {
    let mut rng = Philox::new(seed, "graph");
    let mut pick = |n: usize| (rng.uniform() * n as f64) as usize;
    let shapes: [&[usize]; 6] = [&[2, 3], &[3], &[2, 1], &[], &[3, 2], &[2, 2, 3]];
    let mut pool: Vec<Var> = (0..3).map(|i| b.parameter(&format!("p{i}"), Shape::from(shapes[pick(6)]))).collect();
    pool.push(b.constant(0.5, shapes[pick(6)]));
    for _ in 0..12 {
        let (x, y) = (pool[pick(pool.len())].clone(), pool[pick(pool.len())].clone());
        let rank = x.shape().rank();
        let made = match pick(12) {
            0 => x.tanh(),
            1 => x.sigmoid(),
            2 => x.gelu() * 1.5,
            3 => (x.square() + 0.3f64).sqrt(),
            4 if rank > 0 => x.softmax(),
            5 if rank > 0 => x.sum_axes(&[pick(rank)]),
            6 if rank > 1 => x.mean_axes(&[rank - 1, 0]),
            7 if x.shape().size() < 30 => x.broadcast_to(x.shape().batched(2)),
            8 => x.reshape([x.shape().size()]),
            9 if rank > 1 => x.matmul_with(&x, true, false).tanh(),
            _ if x.shape().broadcast(&y.shape()).is_some_and(|s| s.size() < 60) => match pick(4) {
                0 => &x + &y,
                1 => &x - &(&y * 0.5),
                2 => &x * &y,
                _ => &x / &(y.square() + 1.0),
            },
            _ => x.silu(),
        };
        pool.push(made.tanh() + 0.1 * &made);
    }
    let parameters = pool[..3].iter().map(|p| p.tanh().mean());
    let rest = pool[4..].iter().map(|v| v.sigmoid().mean());
    rest.chain(parameters).reduce(|a, b| a + b).unwrap_or_else(|| b.poisoned())
}

#[test]
fn random_graphs() {
    for seed in 0..150 {
        check(&format!("seed {seed}"), |b| random(b, seed)).unwrap_or_else(|e| panic!("{e}"));
    }
}

/// One wrong rule at a time in a true backward graph: a factor of 1.001 in a formula, a mean for a sum, a matmul that reads
/// a square operand the wrong way round. The check must reject each, so it would reject such a rule in `grad.rs`.
#[test]
fn planted_faults_are_found() {
    let square = |b: &Builder| {
        let x = b.batch(3, field("x", DType::F32, [3].into(), None));
        let h = x.matmul(&b.parameter("0", [3, 3].into())).tanh();
        (h.matmul_with(&b.parameter("1", [3, 3].into()), true, true).softmax() * b.parameter("2", [3].into())).square().sum()
    };
    let mut found = 0;
    for (name, model) in [("mlp", &mlp as &dyn Fn(&Builder) -> Var), ("attention", &attention), ("square", &square)] {
        let (g, loss) = built(model).unwrap();
        let forward = g.nodes.len();
        let mut whole = g.clone();
        let wrt: Vec<Value> = (0..forward).filter(|&i| matches!(g.nodes[i].op, Op::Parameter(_))).map(Value::from).collect();
        let roots: Vec<Value> = gradients(&mut whole, loss, &wrt).unwrap().into_iter().flatten().collect();
        let live = whole.live(&roots);
        for id in (forward..whole.nodes.len()).filter(|&id| live[id]) {
            let Some(wrong) = fault(&whole, id) else { continue };
            let differentiate = |g: &mut Graph, loss: Value, wrt: &[Value]| {
                let grads = gradients(g, loss, wrt)?;
                g.nodes[id].op = wrong.clone();
                Ok(grads)
            };
            let result = check_graph(name, g.clone(), loss, &differentiate);
            assert!(result.is_err_and(|e| e.contains("the gradient of")), "{name}: a fault in node {id} was not seen\n{whole}");
            found += 1;
        }
    }
    assert!(found >= 40, "only {found} faults were planted");
}

fn fault(g: &Graph, id: usize) -> Option<Op> {
    let node = &g.nodes[id];
    match &node.op {
        Op::Map(op::Map(f)) => {
            let mut tape = Tape::default();
            let args: Vec<usize> = (0..f.arity()).map(|i| tape.input(i)).collect();
            let (out, factor) = (tape.inline(f, &args)[0], tape.constant(1.001));
            let wrong = tape.binary(crate::expr::Binary::Mul, out, factor);
            Some(op::Map(tape.finish(f.arity(), &[wrong])).into())
        }
        Op::Reduce(sum) if sum.kind == ReduceKind::Sum => Some(op::Reduce { kind: ReduceKind::Mean, ..sum.clone() }.into()),
        Op::MatMul(op::MatMul { ta, tb }) => {
            let s = g.shape(node.inputs[0]);
            (s[s.rank() - 1] == s[s.rank() - 2]).then_some(op::MatMul { ta: !ta, tb: *tb }.into())
        }
        _ => None,
    }
}

#[test]
fn a_missing_gradient_is_found() {
    let (g, loss) = built(mlp).unwrap();
    let forget = |g: &mut Graph, loss: Value, wrt: &[Value]| {
        let mut grads = gradients(g, loss, wrt)?;
        grads[1] = None;
        Ok(grads)
    };
    let e = check_graph("mlp", g, loss, &forget).unwrap_err();
    assert!(e.contains("has no gradient"), "{e}");
}
