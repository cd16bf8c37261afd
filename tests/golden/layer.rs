//! One layer, built from a recipe's settings, against what PyTorch made of it.

use gradus::cpu::CpuSession;
use gradus::expr::Expr;
use gradus::graph::{Builder, gradients};
use gradus::kernels::Target;
use gradus::nn::{Layer, Module, Scope};
use gradus::plan::{Arena, Blocking, BufferId, Caps, Layout, Part, Purpose, Request, Rule, Session, StateSet, Step, plan};
use gradus::prelude::*;
use gradus::tensor::{Order, Shape};
use serde_json::Value;
use std::sync::Arc;

pub fn floats(v: &Value) -> Vec<f32> {
    v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn session(device: &Device, layout: Layout) -> (Box<dyn Session>, Target) {
    #[cfg(feature = "gpu")]
    if let Some(gpu) = device.gpu() {
        let made = gradus::gpu::GpuSession::new(gpu.clone(), layout, false).unwrap();
        return (Box::new(made), gpu.target());
    }
    assert_eq!(device.kind(), "cpu");
    (Box::new(CpuSession::new(layout, 2).unwrap()), Target::Software)
}

/// On the CPU 1e-5 of the tensor's norm; on a GPU DESIGN's rule for a chain of a few operations, on sums of up to 35 terms.
pub fn near(device: &Device, what: &str, got: &[f32], want: &Value) {
    let want: Vec<f64> = want.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    assert_eq!(got.len(), want.len(), "{what}");
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    let off = norm(&mut got.iter().zip(&want).map(|(a, b)| f64::from(*a) - b));
    let size = norm(&mut want.iter().copied());
    let most = if device.kind() == "cpu" { 1e-5 * size } else { 2e-5 * size + 1e-6 * (want.len() as f64).sqrt() };
    assert!(off <= most, "{what} on {device}: off by {off:.2e}, its norm is {size:.2e}: {got:?} for {want:?}");
}

fn bits(v: &[f32]) -> Vec<u32> {
    v.iter().map(|v| v.to_bits()).collect()
}

/// One layer in one mode: its output, its gradients, and its buffers after each of three steps.
pub fn as_in_pytorch(device: &Device, case: &Value, training: bool) {
    let name = format!("{} in {}", case["name"], if training { "training" } else { "evaluation" });
    let layer: Layer = serde_json::from_value(case["config"].clone()).unwrap();
    let shape = Shape::from(case["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect::<Vec<_>>());
    let b = Builder::new();
    let scope = Scope::root(&b, training);
    let x = b.parameter("x", shape.clone());
    let y = layer.build().forward(&scope, &x);
    let (of_y, g) = (y.shape(), b.parameter("g", y.shape()));
    let loss = (&y * &g).sum();
    let mut parameters = vec![("x".to_string(), x.clone()), ("g".to_string(), g.clone())];
    parameters.extend(scope.stored_parameters().into_iter().map(|(p, v)| (p.name, v)));
    let buffers = scope.buffers();
    let (updates, loss) = (scope.updates(), loss.value().unwrap());
    let mut graph = b.finish().unwrap_or_else(|e| panic!("{name}: {e}"));
    let wrt: Vec<_> = parameters.iter().map(|(_, v)| v.value().unwrap()).collect();
    let found = gradients(&mut graph, loss, &wrt).unwrap();
    let grads = parameters.iter().zip(found).map(|((n, _), g)| (n.clone(), g.unwrap_or_else(|| panic!("{name}: {n}")))).collect();
    let step = Step {
        graph,
        loss: Some(loss),
        gradients: grads,
        weight: None,
        metrics: vec![],
        outputs: vec![],
        updates: updates.iter().map(|(n, v)| (n.clone(), v.value().unwrap())).collect(),
        precision: Default::default(),
    };
    let shapes = |n: &str| match n {
        "x" => shape.clone(),
        "g" => of_y.clone(),
        _ => scope_shape(&scope, n),
    };
    let orders = scope.parameters().into_iter().map(|(p, _)| p.order);
    let arena = Arena::new(parameters.iter().map(|(n, _)| (n.clone(), shapes(n))))
        .in_orders([Order::default(), Order::default()].into_iter().chain(orders))
        .with_buffers(buffers.iter().map(|b| (b.name.clone(), b.shape.clone())));
    let rule = Rule::new(Expr::of(2, |x| vec![x[0].clone()]), 0);
    let (mut s, target) = session(device, Layout::of(&arena, 0));
    let request = Request {
        step: &step,
        purpose: Purpose::Train,
        part: Part::Whole,
        batch: 1,
        arena: &arena,
        rule: &rule,
        target,
        caps: Caps::default(),
    };
    let program = Arc::new(plan(&request).unwrap());
    for e in &arena.entries {
        let from = if e.name == "x" || e.name == "g" { &case[&e.name] } else { &case["weights"][&e.name] };
        s.write(BufferId::Parameters, e.offset, &bits(&e.store(&floats(from)))).unwrap();
    }
    for e in &arena.buffers {
        s.write(BufferId::Buffers, e.offset, &bits(&floats(&case["start"][&e.name]))).unwrap();
    }
    let handle = s.prepare(&program, &[]).unwrap();
    for i in 0..3 {
        s.queue(handle, 1, i).unwrap();
        s.next_log(StateSet::Train).unwrap();
        let want = if training { &case["steps"][i as usize] } else { &case["start"] };
        for e in &arena.buffers {
            let got = s.read(BufferId::Buffers, e.offset, e.shape.size()).unwrap();
            near(
                device,
                &format!("{name}: {} after step {i}", e.name),
                &got.into_iter().map(f32::from_bits).collect::<Vec<_>>(),
                &want[&e.name],
            );
        }
        assert_eq!(want.as_object().unwrap().len(), arena.buffers.len(), "{name}");
    }
    let want = &case[if training { "train" } else { "eval" }];
    for e in &arena.entries {
        let words = s.read(BufferId::Gradients, e.offset, e.shape.size()).unwrap();
        let got: Vec<f32> = e.restore(&words).iter().map(|w| f32::from_bits(*w)).collect();
        // the loss is sum(g * y): the gradient of g is y
        let key = if e.name == "g" { "y".to_string() } else { format!("grad_{}", e.name) };
        near(device, &format!("{name}: {key}"), &got, &want[&key]);
    }
    assert_eq!(want.as_object().unwrap().len(), arena.entries.len(), "{name}");
    let commits = program.launches.iter().filter(|l| l.kernel.name() == "commit").count();
    assert_eq!(commits, usize::from(!updates.is_empty()), "{name}: all buffers go in one launch");
}

fn scope_shape(scope: &Scope, name: &str) -> Shape {
    scope.parameters().into_iter().find(|(p, _)| p.name == name).map(|(p, _)| p.shape).unwrap()
}
