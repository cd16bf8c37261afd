//! Products on cooperative matrices (tensor cores): the GPU against the CPU's twin and both against sums in f64; the device's self-test and what it
//! refuses; errors planted in the shader.
//!
//! It needs an adapter that has such matrices, and says so where there is none; with GRADUS_REQUIRE_COOP=1 that is a failure. `tests/coop.sh` sets
//! one up: Mesa 26's lavapipe.
#![cfg(feature = "gpu")]

#[path = "../common/mod.rs"]
mod common;
mod planted;
mod product;

use common::need::Suite;
use gradus::cpu::CpuSession;
use gradus::gpu::{Coop, Gpu, GpuSession};
use gradus::kernels::{Archetype, CoopCaps, CoopTile, Kernel};
use gradus::nn::Conv2d;
use gradus::plan::Layout;
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use planted::PLANTED;
use product::{FINISHES, Finish, Found, LAYOUTS, Product};
use std::sync::{Arc, OnceLock};

const CASES: usize = 4 * SHAPES.len() + BATCHED + PLANTED.len() + 6;
static SUITE: Suite = Suite::new("coop", CASES);

/// What none of the tests looks at.
fn layout() -> Layout {
    Layout { parameters: 128, ..Layout::default() }
}

struct Machine {
    device: Device,
    gpu: Arc<Gpu>,
    caps: CoopCaps,
}

/// The device that GRADUS_DEVICE names, else the software adapter; or why its matrices cannot be used.
fn machine() -> Result<&'static Machine, String> {
    static MACHINE: OnceLock<Result<Machine, String>> = OnceLock::new();
    let open = || {
        let device = Device::select(&std::env::var("GRADUS_DEVICE").unwrap_or("software".into())).map_err(|e| e.code().to_string())?;
        let gpu = device.gpu().ok_or("the CPU")?.clone();
        match gpu.coop() {
            Coop::Verified(caps) => Ok(Machine { device, gpu, caps }),
            other => Err(other.to_string()),
        }
    };
    MACHINE.get_or_init(open).as_ref().map_err(String::clone)
}

/// Runs so many cases, or says that and why they are skipped.
fn cases(n: usize, run: impl FnOnce(&Machine)) {
    match machine() {
        Ok(m) => {
            run(m);
            SUITE.ran(n);
        }
        Err(why) => {
            let required = std::env::var("GRADUS_REQUIRE_COOP").as_deref() == Ok("1");
            assert!(!required, "GRADUS_REQUIRE_COOP=1, and the cooperative matrices are {why}");
            SUITE.skipped(n, &format!("no cooperative matrices ({why}); tests/coop.sh sets up a driver that has them"));
        }
    }
}

fn on_gpu(m: &Machine, p: &Product, checked: bool) -> gradus::Result<Found> {
    p.run(&mut GpuSession::new(m.gpu.clone(), layout(), checked)?)
}

/// On the GPU and by the twin, each against the truth and against the other.
fn check(m: &Machine, p: &Product, checked: bool) -> Result<(), String> {
    let text = |e: gradus::Error| format!("{}: {e}", p.name());
    let twin = CpuSession::new(layout(), 2).and_then(|mut s| p.run(&mut s)).map_err(text)?;
    p.compare(&twin).map_err(|e| format!("the CPU's twin: {e}"))?;
    let found = on_gpu(m, p, checked).map_err(text)?;
    p.compare(&found)?;
    p.agree(&found, &twin)
}

fn all(m: &Machine, products: impl IntoIterator<Item = Product>, checked: bool) {
    let wrong: Vec<String> = products.into_iter().filter_map(|p| check(m, &p, checked).err()).collect();
    assert!(wrong.is_empty(), "{} products are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// m, n, k: single elements, edges of the matrices (8, 16), of the tiles (16, 32, 64) and of the staged terms (16, 32), each with a neighbour.
const SHAPES: [[usize; 3]; 40] = [
    [1, 1, 1],
    [1, 1, 200],
    [1, 200, 1],
    [200, 1, 1],
    [2, 3, 5],
    [7, 7, 7],
    [8, 8, 8],
    [9, 9, 9],
    [3, 65, 17],
    [65, 3, 16],
    [15, 16, 17],
    [16, 16, 16],
    [17, 15, 33],
    [16, 17, 31],
    [23, 24, 25],
    [24, 24, 32],
    [31, 31, 31],
    [32, 32, 32],
    [33, 33, 33],
    [31, 33, 15],
    [33, 31, 48],
    [32, 33, 64],
    [40, 36, 20],
    [47, 49, 63],
    [48, 48, 65],
    [63, 64, 65],
    [64, 64, 64],
    [65, 63, 16],
    [66, 34, 18],
    [80, 20, 100],
    [95, 97, 11],
    [96, 96, 96],
    [100, 52, 76],
    [127, 33, 40],
    [128, 128, 8],
    [129, 127, 3],
    [150, 10, 130],
    [10, 150, 131],
    [5, 200, 61],
    [200, 67, 36],
];

/// Every shape in this layout. A driver in software compiles a text in seconds: a finish has one tile and one kind of reads in a layout, by vectors or by
/// elements, and others in others; of two tiles each has both kinds in each layout. The last shapes have what their sizes give: in two layouts one operand by
/// vectors and the other by elements.
fn shapes(layout: usize) {
    let products = |m: &Machine| {
        let tiles = CoopTile::all(&m.caps);
        let one = move |(i, size): (usize, &[usize; 3])| {
            let finish = i % FINISHES.len();
            let whole = (finish + layout).is_multiple_of(2);
            let tile = tiles[(finish / 2 + layout / 2) % tiles.len()];
            let p = Product::new(*size, LAYOUTS[layout], FINISHES[finish], tile);
            match (i + 2 < SHAPES.len(), whole) {
                (false, _) => p,
                (true, true) => Product { whole, offset: [0, 4][i / 5 % 2], gap: [0, 4, 8][i / 10 % 3], ..p },
                (true, false) => Product { offset: [3, 5][i / 5 % 2], gap: [0, 1, 4][i / 10 % 3], ..p },
            }
        };
        SHAPES.iter().enumerate().map(one).collect::<Vec<_>>()
    };
    cases(SHAPES.len(), |m| all(m, products(m), false));
}

#[test]
fn forty_shapes_nn() {
    shapes(0);
}

#[test]
fn forty_shapes_nt() {
    shapes(1);
}

#[test]
fn forty_shapes_tn() {
    shapes(2);
}

#[test]
fn forty_shapes_tt() {
    shapes(3);
}

const BATCHED: usize = 16;

/// With wgpu's checks in the shader: each matrix of its own, and one B for all.
#[test]
fn batched_and_checked() {
    let products = |m: &Machine| {
        let tile = CoopTile::all(&m.caps)[0];
        let mut out = Vec::new();
        for (i, layout) in LAYOUTS.into_iter().enumerate() {
            for (j, size) in [[17, 35, 19], [40, 36, 20]].into_iter().enumerate() {
                for shared in [false, true] {
                    let p = Product::new(size, layout, FINISHES[(i + 2 * j) % FINISHES.len()], tile);
                    out.push(Product { batch: 3, shared, offset: [1, 8][j], ..p });
                }
            }
        }
        assert_eq!(out.len(), BATCHED);
        out
    };
    cases(BATCHED, |m| all(m, products(m), true));
}

/// Training on the matrices and on the CPU: the kernels of each, and the losses of each step.
fn trained(
    m: &Machine,
    data: &Dataset,
    net: &dyn Fn() -> Sequential,
    input: &[usize],
    lr: f64,
    [batch, epochs]: [usize; 2],
) -> [(Vec<String>, Vec<f32>); 2] {
    [m.device.clone().cooperative_matrices(true), Device::cpu()].map(|device| {
        let c = Compile::new(Adam::new(lr), CrossEntropy::new()).input(input).seed(2).precision(Precision::mixed());
        let mut model = net().compile(c.device(device)).unwrap();
        let kernels: Vec<String> = model.prepare(data, batch).unwrap().launches.iter().map(|l| l.kernel.name()).collect();
        let mut run = model.trainer(data, Fit::new().batch_size(batch).epochs(epochs)).unwrap();
        let mut losses = vec![];
        while let Some(r) = run.steps(50).unwrap() {
            losses.extend(r.losses);
        }
        (kernels, losses)
    })
}

fn count(kernels: &[String], name: &str) -> usize {
    kernels.iter().filter(|k| *k == name).count()
}

/// What roundings to f16 that turn over are worth (docs/mixed-precision.md).
fn alike(gpu: &[f32], cpu: &[f32]) {
    assert_eq!(gpu.len(), cpu.len());
    for (i, (a, b)) in gpu.iter().zip(cpu).enumerate() {
        let most = if i < 10 { 2e-4 } else { 1e-2 };
        assert!((a - b).abs() <= most * b.abs(), "step {i}: {a} for {b}");
    }
}

/// Forward and backward of linear layers in a whole program: their products run on the matrices, and training is the CPU's.
#[test]
fn a_network_trains_on_them() {
    cases(1, |m| {
        let (rows, width) = (96, 40);
        let at = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        let x = HostTensor::f32([rows, width], (0..rows * width).map(at).collect()).unwrap();
        let y = HostTensor::u32([rows], (0..rows as u32).map(|i| i * i % 24).collect()).unwrap();
        let data = Dataset::new(x, y).unwrap();
        let net = || Sequential::new().add(Linear::new(56)).add(Gelu).add(Linear::new(33)).add(Relu).add(Linear::new(24));
        let [(on_matrices, gpu), (on_cpu, cpu)] = trained(m, &data, &net, &[width], 0.01, [32, 7]);
        // three layers forward, three gradients of weights, two of activations
        for (name, n) in [("gemm_coop_nt", 3), ("gemm_coop_tn", 3), ("gemm_coop_nn", 2)] {
            assert_eq!(count(&on_matrices, name), n, "{on_matrices:?}");
        }
        assert!(on_cpu.iter().all(|k| !k.starts_with("gemm_coop")), "{on_cpu:?}");
        assert_eq!(gpu.len(), 21);
        alike(&gpu, &cpu);
        assert!(cpu[20] < 0.9 * cpu[0]);
    });
}

/// Convolutions: patches as either factor, in every geometry, of three channels, with images of fewer positions than a slice has terms, and with more taps than a word has bits.
#[test]
fn convolutions_train_on_them() {
    let conv = |channels: usize, size: usize| Conv2d::new(channels, size).padding(size / 2);
    type Net = (&'static str, Box<dyn Fn() -> Sequential>, [usize; 3], [usize; 3]);
    let strided = move || {
        Sequential::new()
            .add(conv(16, 3).stride(2))
            .add(Relu)
            .add(Conv2d::new(32, 2).stride(2))
            .add(Relu)
            .add(conv(16, 3).padding(2).dilation(2))
    };
    let grouped = move || Sequential::new().add(conv(32, 3).groups(2)).add(Relu).add(conv(16, 7)).add(Relu).add(Conv2d::new(12, [1, 3]));
    // how many products of each kind run on matrices at least: forward, weights' gradients, images' gradients
    let nets: [Net; 2] = [("strided", Box::new(strided), [3, 11, 10], [3, 3, 5]), ("grouped", Box::new(grouped), [16, 5, 6], [3, 3, 2])];
    cases(nets.len(), |m| {
        for (name, layers, input, least) in &nets {
            let (rows, size) = (48, input.iter().product::<usize>());
            let at = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
            let x = HostTensor::f32([rows, input[0], input[1], input[2]], (0..rows * size).map(at).collect()).unwrap();
            let y = HostTensor::u32([rows], (0..rows as u32).map(|i| i * i % 10).collect()).unwrap();
            let data = Dataset::new(x, y).unwrap();
            let net = || layers().add(Flatten).add(Linear::new(10));
            let [(on_matrices, gpu), (_, cpu)] = trained(m, &data, &net, input, 0.001, [16, 5]);
            let found = ["gemm_coop_nt", "gemm_coop_tn", "gemm_coop_nn"].map(|n| count(&on_matrices, n));
            assert!(found.iter().zip(least).all(|(found, least)| found >= least), "{name}: {found:?} for {least:?} of {on_matrices:?}");
            alike(&gpu, &cpu);
            assert!(cpu[cpu.len() - 1] < 0.95 * cpu[0], "{name}: {cpu:?}");
        }
    });
}

/// Each error in the shader's text turns its product red, and without it the product is right.
#[test]
fn planted_errors() {
    cases(PLANTED.len(), |m| {
        let tile = CoopTile::all(&m.caps)[0];
        let mut survived = Vec::new();
        for e in PLANTED {
            let p = e.product(tile);
            let (kernel, source) = (Kernel::GemmCoop(p.kernel()), p.kernel().source());
            if e.rewrite()(&kernel, source.clone()) == source {
                survived.push(format!("{}: its product has nothing to replace", e.name));
            }
            if let Err(why) = on_gpu(m, &p, false).map_err(|e| e.to_string()).and_then(|found| p.compare(&found)) {
                survived.push(format!("{}: red without it: {why}", e.name));
                continue;
            }
            let mut s = GpuSession::new(m.gpu.clone(), layout(), true).unwrap();
            s.plant(e.rewrite()).unwrap();
            match p.run(&mut s) {
                Err(e) => survived.push(format!("it does not run: {e}")),
                Ok(found) if p.compare(&found).is_ok() => survived.push(format!("{}: nobody noticed", e.name)),
                Ok(_) => {}
            }
        }
        assert!(survived.is_empty(), "{}", survived.join("\n"));
    });
}

/// A wrong kernel: the self-test refuses, says where, once; programs do without; the list says so. Then all is well again.
#[test]
fn the_self_test_refuses_a_wrong_kernel() {
    cases(1, |m| {
        assert_eq!(m.device.tensor_cores(), format!("{0}x{0} (verified)", m.caps.side));
        for e in PLANTED.iter().filter(|e| e.refused) {
            m.gpu.plant_coop(Some(e.rewrite()));
            let found = m.gpu.coop();
            let Coop::Refused { why } = &found else { panic!("{}: {found}", e.name) };
            assert!(why.contains("gemm_coop_") && why.contains(" for "), "{}: {why}", e.name);
            assert!(found.caps().is_none());
        }
        // what only patches have: as A, as B, and how the places of a column go on
        let outside: fn(&Kernel, String) -> String = |_, s| s.replace(">> (tap % 32u)) & 1u) == 1u", ">> (tap % 32u)) & 1u) <= 1u");
        let first: fn(&Kernel, String) -> String = |_, s| s.replace("select(0u, d.image, ", "select(0u, 0u, ");
        for (wrong, product) in [(outside, "gemm_coop_nt"), (first, "gemm_coop_tn")] {
            m.gpu.plant_coop(Some(wrong));
            let found = m.gpu.coop();
            assert!(matches!(&found, Coop::Refused { why } if why.contains(product)), "{found}");
        }
        // what a file of an earlier run says does not count for a planted text: here the test itself passes
        m.gpu.plant_coop(Some(|_: &Kernel, s: String| s));
        assert_eq!(m.gpu.coop(), Coop::Verified(m.caps));
        // the lanes that its pipelines run with are learnt, not believed
        assert_eq!(m.caps.lanes, m.gpu.summary.subgroup_lanes.0 as usize);
        m.gpu.plant_coop(Some(|_: &Kernel, s: String| s.replace("lanes_told[0] = lanes", "lanes_told[0] = 2u * lanes")));
        let found = m.gpu.coop().to_string();
        assert!(found.contains(&format!("subgroups of {} lanes", 2 * m.caps.lanes)), "{found}");
        // a text that no driver takes
        m.gpu.plant_coop(Some(|_: &Kernel, s: String| s.replace("coopMultiplyAdd", "no_such_function")));
        assert!(matches!(m.gpu.coop(), Coop::Refused { .. }));
        // nobody asks twice
        let before = m.gpu.pipeline_count();
        assert!(matches!(m.gpu.coop(), Coop::Refused { .. }) && m.gpu.pipeline_count() == before);
        let list = Device::list();
        assert!(m.device.tensor_cores().starts_with("refused by self-test: ") && list.contains("refused by self-test"), "{list}");
        m.gpu.plant_coop(None::<fn(&Kernel, String) -> String>);
        assert_eq!(m.gpu.coop(), Coop::Verified(m.caps));
        let list = Device::list();
        assert!(list.contains(&format!("cooperative matrices: {0}x{0} (verified)", m.caps.side)), "{list}");
    });
}

/// wgpu makes a pipeline of a shape that the adapter does not list: the device does not.
#[test]
fn a_tile_that_the_adapter_lacks_is_refused() {
    cases(1, |m| {
        let other = CoopTile::table().into_iter().find(|t| t.side != m.caps.side).unwrap();
        let e = on_gpu(m, &Product::new([33, 40, 24], (false, true), Finish::Plain, other), false).unwrap_err();
        assert!(e.code() == "unsupported" && e.to_string().contains("cooperative matrices are"), "{e}");
    });
}

/// The same product twice, and with the shader's checks: the same bits.
#[test]
fn bits_repeat() {
    cases(1, |m| {
        let p = Product::new([70, 90, 110], (false, true), Finish::Half, CoopTile::all(&m.caps)[0]);
        let first = on_gpu(m, &p, false).unwrap();
        assert_eq!(on_gpu(m, &p, false).unwrap(), first);
        assert_eq!(on_gpu(m, &p, true).unwrap(), first);
    });
}
