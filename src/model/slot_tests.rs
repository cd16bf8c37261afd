//! How close the memory of slots comes to its lower bound: tests that plan and need no device.

use super::build::{build, input_fields};
use super::compile::Compile;
use super::describe::{Describe, Supervised};
use crate::graph::Field;
use crate::kernels::Target;
use crate::nn::{Accuracy, BatchNorm1d, CrossEntropy, Dropout, Gelu, LayerNorm, Linear, Relu, Sequential, Softmax};
use crate::optim::{Adam, Optimizer};
use crate::plan::{Arena, Caps, Part, Program, Purpose, Request, plan};
use crate::tensor::DType;
use std::sync::Arc;

const PROFILES: [Target; 3] = [Target::Software, Target::Lanes8, Target::Gpu];

/// The program of a classifier of 10 classes, labels one-hot.
fn program(net: Sequential, optimizer: impl Into<Optimizer>, inputs: usize, batch: usize, purpose: Purpose, target: Target) -> Program {
    let settings = Compile::new(optimizer, CrossEntropy::new()).input([inputs]).metric(Accuracy::new());
    let module: Arc<dyn Describe> = Arc::new(Supervised(Arc::new(net), None));
    let x = input_fields(&settings).remove(0);
    let y = Field { one_hot: Some(10), ..Field::new("y", DType::U8, []) };
    let fields = if purpose == Purpose::Predict { vec![x] } else { vec![x, y] };
    let built = build(&*module, &settings, purpose, batch, &fields).unwrap();
    let arena = Arena::with_frozen(built.signature.parameters.iter().map(|p| (p.name.clone(), p.shape.clone(), false)))
        .in_orders(built.signature.parameters.iter().map(|p| p.order.clone()))
        .with_buffers(built.signature.buffers.iter().map(|b| (b.name.clone(), b.shape.clone())));
    let rule = settings.rule();
    plan(&Request { step: &built.step, purpose, part: Part::Whole, batch, arena: &arena, rule: &rule, target, caps: Caps::default() })
        .unwrap()
}

/// What stands between two linear layers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Between {
    Relu,
    Gelu,
    Dropout,
    LayerNorm,
    Both,
    BatchNorm,
}

impl Between {
    fn add(self, net: Sequential) -> Sequential {
        match self {
            Between::Relu => net.add(Relu),
            Between::Gelu => net.add(Gelu),
            Between::Dropout => net.add(Relu).add(Dropout::new(0.1)),
            Between::LayerNorm => net.add(LayerNorm::new()).add(Relu),
            Between::Both => net.add(LayerNorm::new()).add(Relu).add(Dropout::new(0.1)),
            Between::BatchNorm => net.add(BatchNorm1d::new()).add(Relu),
        }
    }
}

fn mlp(layers: usize, width: usize, between: Between) -> Sequential {
    let net = (1..layers).fold(Sequential::new(), |net, _| between.add(net.add(Linear::new(width))));
    net.add(Linear::new(10)).add(Softmax)
}

fn ratio(p: &Program) -> f64 {
    p.slots.iter().sum::<usize>() as f64 / p.live_bytes as f64
}

#[test]
fn mlps_of_equal_widths_are_near_the_bound() {
    let mut worst = (0.0, String::new());
    for between in [Between::Relu, Between::Gelu, Between::Dropout, Between::LayerNorm, Between::Both, Between::BatchNorm] {
        for (width, batch) in [(64, 32), (1024, 512), (100, 7)] {
            for (layers, inputs) in [(3, width), (3, 784), (4, width), (8, 784), (17, width), (30, 784)] {
                for target in PROFILES {
                    let p = program(mlp(layers, width, between), Adam::default(), inputs, batch, Purpose::Train, target);
                    let name = format!("{between:?}, {layers} layers of {width} after {inputs}, batch {batch}, {target:?}");
                    let near = ratio(&p);
                    assert!(p.explain().contains(&format!("{near:.2} times the least")), "{}", p.explain());
                    if near > worst.0 {
                        worst = (near, format!("{name}: {near:.3} times the bound\n{}", p.explain()));
                    }
                }
            }
        }
    }
    assert!((1.0..=1.15).contains(&worst.0), "{}", worst.1);
}

/// A session holds of each slot the largest that any of its programs wants.
#[test]
fn programs_of_a_model_share_their_slots() {
    for (layers, width, between) in [(3, 64, Between::Relu), (8, 256, Between::Both), (30, 128, Between::Dropout)] {
        let planned = |purpose, batch| program(mlp(layers, width, between), Adam::default(), 784, batch, purpose, Target::Gpu);
        let all = [(Purpose::Train, 64), (Purpose::Train, 17), (Purpose::Evaluate, 64), (Purpose::Predict, 64)].map(|(p, n)| planned(p, n));
        let held = |i: usize| all.iter().filter_map(|p| p.slots.get(i)).max();
        let session: usize = (0..).map_while(held).sum();
        let least = all.iter().map(|p| p.live_bytes).max().unwrap();
        let near = session as f64 / least as f64;
        assert!(near <= 1.15, "{layers} layers of {width}, {between:?}: {near:.3} times the bound");
    }
}
