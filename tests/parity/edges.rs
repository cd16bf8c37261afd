//! Every formula at zeros of both signs, kinks, ties, overflow, infinities and NaN: the same value, or a NaN on both sides, in f64, on the
//! CPU and on the GPU, forward and backward.

use crate::check::{Found, Site, TARGETS, on};
use crate::common::{Job, MACHINES};
use crate::make::{Built, Case};
use gradus::expr::Activation;
use gradus::graph::{Op, Value, Var, gradients, op};
use gradus::reference::{Data, evaluate};
use std::cell::Cell;

const EDGES: [f64; 16] =
    [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, -3.0, 6.0, 1e-3, 100.0, -100.0, 8000.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];

type Unary = fn(&Var) -> Var;
type Binary = fn(&Var, &Var) -> Var;

const UNARY: &[(&str, Unary)] = &[
    ("neg", |x| -x),
    ("abs", |x| x.abs()),
    ("sign", |x| x.sign()),
    ("floor", |x| x.floor()),
    ("exp", |x| x.exp()),
    ("expm1", |x| x.expm1()),
    ("log", |x| x.log()),
    ("sqrt", |x| x.sqrt()),
    ("sin", |x| x.sin()),
    ("cos", |x| x.cos()),
    ("clamp", |x| x.clamp(-1.0, 2.0)),
    ("crossed clamp", |x| x.clamp(2.0, -1.0)),
    ("pow 0.5", |x| x.pow(0.5)),
    ("pow 1.5", |x| x.pow(1.5)),
    ("pow 3", |x| x.pow(3.0)),
    ("pow -1", |x| x.pow(-1.0)),
];

const BINARY: &[(&str, Binary)] = &[
    ("+", |x, y| x + y),
    ("-", |x, y| x - y),
    ("*", |x, y| x * y),
    ("/", |x, y| x / y),
    ("maximum", |x, y| x.maximum(y)),
    ("minimum", |x, y| x.minimum(y)),
    ("pow", |x, y| x.pow_tensor(y)),
    ("less", |x, y| x.less(y)),
    ("less_equal", |x, y| x.less_equal(y)),
    ("greater", |x, y| x.greater(y)),
    ("greater_equal", |x, y| x.greater_equal(y)),
    ("equal", |x, y| x.equal(y)),
    ("not_equal", |x, y| x.not_equal(y)),
    ("select", |x, y| x.select(y, &x.number(f64::NAN))),
    ("select, the other", |x, y| x.select(&x.number(f64::INFINITY), y)),
];

/// The formula of `rank` operands at every edge or pair of edges; `extra` elements more make the size odd.
fn case(name: &str, rank: usize, extra: usize, f: impl Fn(&[Var]) -> Var + 'static) -> Result<Built, String> {
    let n = EDGES.len().pow(rank as u32) + extra;
    let body = move |m: &crate::make::Make| {
        let operand = |k: u32| {
            let at = Cell::new(0);
            m.drawn([n], |_| EDGES[at.replace(at.get() + 1) / EDGES.len().pow(k) % EDGES.len()])
        };
        let args: Vec<Var> = (0..rank as u32).map(operand).collect();
        let y = f(&args);
        m.output("y", &y);
        m.output("loss", &m.weigh(&y));
    };
    let mut built = Case::predict(name, body).build()?;
    let graph = &mut built.step.graph;
    let leaf = |v: &String, op: &Op| matches!(op, Op::Parameter(op::Parameter { name, .. }) if name == v);
    let names: Vec<String> = (0..rank).map(|i| format!("p{i}")).collect();
    let wrt: Vec<Value> = names.iter().filter_map(|n| graph.nodes.iter().position(|node| leaf(n, &node.op))).map(Value::from).collect();
    let (_, loss) = built.step.outputs.pop().ok_or("no loss")?;
    let found = gradients(graph, loss, &wrt).map_err(|e| e.to_string())?;
    built.step.outputs.extend(names.into_iter().zip(found).filter_map(|(n, v)| Some((n, v?))));
    Ok(built)
}

/// What the reference gives in f64, rounded to f32: what overflows there is an infinity here.
fn truth(built: &Built) -> Result<Found, String> {
    let wanted: Vec<Value> = built.step.outputs.iter().map(|o| o.1).collect();
    let feed = |op: &Op| {
        let Op::Parameter(op::Parameter { name, .. }) = op else { return None };
        let leaf = built.leaves.iter().find(|l| l.name == *name)?;
        Some(Data::Real(leaf.values.iter().map(|&v| f64::from(v)).collect()))
    };
    let found = evaluate(built.graph(), &feed, &wanted).map_err(|e| e.to_string())?;
    let rounded = |d: &Data<f64>| d.to_f64().iter().map(|&v| f64::from(v as f32)).collect();
    Ok(built.step.outputs.iter().zip(&found).map(|(o, d)| (o.0.clone(), rounded(d))).collect())
}

fn same(got: f64, want: f64) -> bool {
    (got.is_nan() && want.is_nan()) || got == want || (got - want).abs() <= 1e-6 + 1e-5 * want.abs()
}

fn job(name: &'static str, rank: usize, f: impl Fn(&[Var]) -> Var + Clone + 'static) -> Job {
    let run = move || {
        for extra in [0, 1] {
            let built = case(name, rank, extra, f.clone())?;
            let want = truth(&built)?;
            for machine in MACHINES {
                let site = Site { machine, target: TARGETS[extra], planted: None };
                let Some(found) = on(&site, &built) else { continue };
                for ((what, want), (_, got)) in want.iter().zip(&found.map_err(|e| e.to_string())?) {
                    let bad: Vec<usize> = (0..want.len()).filter(|&i| !same(got[i], want[i])).collect();
                    if let Some(&i) = bad.first() {
                        let at: Vec<f32> = built.leaves[..rank].iter().map(|l| l.values[i]).collect();
                        let (got, want, n) = (got[i], want[i], bad.len());
                        return Err(format!("{machine:?}: {what} at {at:?} is {got} for {want}; {n} differ"));
                    }
                }
            }
        }
        Ok(())
    };
    Job::new(format!("{name} at the edges"), run)
}

pub fn edges() -> Vec<Job> {
    let activations = Activation::ALL.iter().map(|&a| job(a.name(), 1, move |x| x[0].activation(a)));
    let unary = UNARY.iter().map(|&(name, f)| job(name, 1, move |x| f(&x[0])));
    let binary = BINARY.iter().map(|&(name, f)| job(name, 2, move |x| f(&x[0], &x[1])));
    activations.chain(unary).chain(binary).collect()
}
