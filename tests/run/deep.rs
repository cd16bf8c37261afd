//! Deep networks: thousands of layers are planned in time that grows with their number and no faster, on a stack of no great depth, and train.

use crate::common::need::Suite;
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use std::time::{Duration, Instant};

static SUITE: Suite = Suite::new("deep", 3);

/// What a slow and busy machine takes for what should take some seconds, without optimisation; by squares of the depth it took far more.
const LONG: Duration = Duration::from_secs(90);

fn data(width: usize, rows: usize) -> Dataset {
    let x: Vec<f32> = (0..rows * width).map(|i| (i * 37 % 101) as f32 * 0.02 - 1.0).collect();
    let y = x.chunks(width).map(|r| r.iter().sum::<f32>().sin()).collect();
    Dataset::new(HostTensor::f32([rows, width], x).unwrap(), HostTensor::f32([rows, 1], y).unwrap()).unwrap()
}

fn settings(width: usize) -> Compile {
    Compile::new(Adam::new(1e-3), Mse::new()).input([width]).device(Device::cpu_threads(1))
}

/// Runs on a thread with a quarter of the stack that threads usually have: nothing calls itself for each layer.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let began = Instant::now();
    std::thread::Builder::new().stack_size(512 << 10).spawn(work).unwrap().join().unwrap();
    assert!(began.elapsed() < LONG, "it took {:?}", began.elapsed());
    SUITE.ran(1);
}

#[test]
fn a_chain_of_4000_maps_and_products() {
    on_a_small_stack(|| {
        let chain = module(|s, x| {
            let x = (0..2000).fold(x.clone(), |x, i| x.matmul(&s.param(&format!("w{i}"), [2, 2], Init::Constant(0.6))).tanh());
            s.at("head").call(&Linear::new(1), &x)
        });
        let program = chain.compile(settings(2)).unwrap().prepare(&data(2, 8), 4).unwrap();
        // a product with its map; the gradient's map; two products of it
        assert!((6000..6100).contains(&program.launches.len()), "{}", program.launches.len());
    });
}

#[test]
fn ten_thousand_layers() {
    on_a_small_stack(|| {
        let net = (0..10_000).fold(Sequential::new(), |net, _| net.add(Linear::new(2).weight_init(Init::Constant(0.5))));
        let mut model = net.add(Linear::new(1)).compile(settings(2)).unwrap();
        let data = data(2, 8);
        let program = model.prepare(&data, 4).unwrap();
        assert!((30_000..30_100).contains(&program.launches.len()), "{}", program.launches.len());
        model.fit(&data, Fit::new().epochs(1).batch_size(4).verbose(0)).unwrap();
    });
}

#[test]
fn two_hundred_layers_train() {
    on_a_small_stack(|| {
        let net = module(|s, x| {
            let block = |x: Var, i: usize| {
                let h = s.at(format!("{i}.fc")).call(&Linear::new(8), &x);
                &x + s.at(format!("{i}.norm")).call(&BatchNorm1d::new(), &h).relu() * 0.05
            };
            s.at("head").call(&Linear::new(1), &(0..200).fold(x.clone(), block))
        });
        let mut model = net.compile(settings(8)).unwrap();
        let history = model.fit(&data(8, 64), Fit::new().epochs(8).batch_size(16).verbose(0)).unwrap();
        let losses = history.get("loss");
        assert!(losses[7] < 0.5 * losses[0], "{losses:?}");
    });
}
