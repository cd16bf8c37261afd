//! Wrong kernels are named.

use crate::{SUITE, bits, points, residual};
use gradus::expr::{Expr, Scalar};
use gradus::graph::{CustomKernel, CustomOp, Type};
use gradus::kernels::Kernel;
use gradus::plan::{Program, Purpose};
use gradus::prelude::*;
use gradus::tensor::{DType, HostTensor};
use gradus::train::Bisection;

/// Every archetype: a map and a sum of its own beside gemms with things fused into them.
fn gated() -> impl Module {
    module(|s, x| {
        let h = (x * s.param("gate", [6], Init::Constant(0.7))).tanh();
        let h = s.at("fc1").call(&Linear::new(12), &h).gelu();
        s.at("fc2").call(&Linear::new(3), &h).softmax()
    })
}

/// Three classes, stored as bytes with a scale.
fn bytes(rows: usize) -> Dataset {
    let x: Vec<u8> = (0..rows * 6).map(|i| (i * 2_654_435_761 % 256) as u8).collect();
    let y = x.chunks(6).map(|r| r[0] % 3).collect();
    Dataset::new(HostTensor::u8([rows, 6], x).unwrap(), HostTensor::u8([rows], y).unwrap()).unwrap().scale(1.0 / 255.0)
}

/// Breaks one kernel; false if it is one that bisection does not look at.
fn broken(k: &mut Kernel) -> bool {
    match k {
        Kernel::Gemm(g) => g.k -= 1,
        Kernel::Map(m) => {
            let outputs = m.spec.f.outputs().len();
            m.spec.f = Expr::of(m.spec.f.arity(), |x| vec![&x[0] * Scalar::from(1.001); outputs]);
        }
        Kernel::Reduce(r) => r.length -= 1,
        Kernel::CrossEntropy(c) => c.classes -= 1,
        Kernel::Accuracy(a) => a.classes -= 1,
        Kernel::Row(r) => r.width -= 1,
        Kernel::Gather(g) => g.fields[0].field.scale *= 1.001,
        _ => return false,
    }
    true
}

/// Errors in these launches of the program for this purpose.
fn planted(purpose: Purpose, launches: &[usize]) -> impl Fn(Program) -> Program + '_ {
    move |mut p| {
        if p.purpose == purpose {
            launches.iter().for_each(|&i| assert!(broken(&mut p.launches[i].kernel)));
        }
        p
    }
}

#[test]
fn bisection_names_each_planted_kernel() {
    let data = bytes(9);
    for device in SUITE.devices() {
        let settings = Compile::new(Adam::new(1e-2), CrossEntropy::new()).input([6]).metric(Accuracy::new());
        let model = gated().compile(settings.device(device.clone()).seed(1)).unwrap();
        let mut kinds = std::collections::BTreeSet::new();
        for (purpose, program) in
            [(Purpose::Train, model.prepare(&data, 9).unwrap()), (Purpose::Evaluate, model.prepare_evaluation(&data, 9).unwrap())]
        {
            for (i, launch) in program.launches.iter().enumerate() {
                let (name, label) = (launch.kernel.name(), &launch.label);
                if !broken(&mut launch.kernel.clone()) {
                    continue;
                }
                kinds.insert(name.clone());
                let found = model.bisect_planted(&data, 9, &planted(purpose, &[i])).unwrap();
                let unit = program.units.iter().find(|u| u.launches.contains(&i)).unwrap();
                let named: Vec<_> = found.wrong.iter().map(|w| (w.purpose, w.launch)).collect();
                assert_eq!(named, [(purpose, unit.launches.start)], "{name} {label} on {device}\n{found}");
                let w = &found.wrong[0];
                assert!(w.alone && w.kernel.contains(&name) && w.nodes.iter().map(|n| n.0).eq(unit.nodes.iter().copied()), "{found}");
                assert!(found.to_string().contains(&format!("launch {} is wrong: {name}", w.launch)), "{found}");
            }
        }
        for kind in ["gather", "map", "reduce", "gemm_nt", "gemm_nn", "gemm_tn", "cross_entropy"] {
            assert!(kinds.contains(kind), "{kinds:?}");
        }
        SUITE.ran(1);
    }
}

#[test]
fn bisection_names_the_layer_and_both_of_two() {
    let data = bytes(7);
    for device in SUITE.devices() {
        let settings = Compile::new(Adam::new(1e-2), CrossEntropy::new()).input([6]).device(device.clone());
        let model = gated().compile(settings).unwrap();
        let program = model.prepare(&data, 7).unwrap();
        let at =
            |name: &str, label: &str| program.launches.iter().position(|l| l.kernel.name() == name && l.label.contains(label)).unwrap();
        let (forward, backward) = (at("gemm_nt", "fc1"), at("gemm_nn", "fc2"));
        let found = model.bisect_planted(&data, 7, &planted(Purpose::Train, &[forward, backward])).unwrap();
        let named: Vec<_> = found.wrong.iter().map(|w| (w.launch, w.layer.as_str())).collect();
        assert_eq!(named, [(forward, "fc1"), (backward, "fc2")], "{found}");
        // fused nodes are named with the kernel that holds them, and the line of the test that made their layer
        assert!(found.wrong[0].nodes.len() > 2 && found.wrong[0].place.starts_with("tests/tools"), "{found}");

        // the plain switch: behind the wrong launch all is well, from it on it is not
        let points = model.cut_points(&data, 7).unwrap();
        let plant = planted(Purpose::Train, std::slice::from_ref(&backward));
        for p in &points {
            let t = model.bisect_at_planted(&data, 7, p.node, &plant).unwrap();
            assert_eq!(t.agrees(), p.launch > backward, "{p}: {t}");
        }
        let e = model.bisect_at(&data, 7, 10_000).unwrap_err();
        assert!(e.code() == "not-found" && e.to_string().contains("matmul in fc1"), "{e}");
        SUITE.ran(1);
    }
}

#[test]
fn bisection_finds_no_difference_in_healthy_models() {
    for device in SUITE.devices() {
        let mut worst = 0.0f64;
        let mut healthy = |found: Bisection| {
            assert!(found.agrees() && found.to_string().contains("no difference"), "{device}: {found}");
            assert_eq!(found.trials.len(), 2, "{found}");
            worst = found.trials.iter().flat_map(|t| &t.largest).fold(worst, |w, d| w.max(d.ratio));
        };
        let settings = || Compile::new(Adam::new(1e-2), CrossEntropy::new()).metric(Accuracy::new()).device(device.clone());
        let mut gated = gated().compile(settings().input([6])).unwrap();
        let mut residual = residual().compile(settings().input([6])).unwrap();
        for batch in [1, 5, 33] {
            healthy(gated.bisect(&bytes(40).one_hot(3), batch).unwrap());
            healthy(residual.bisect(&points(40), batch).unwrap());
            // and after some training, at other weights
            gated.fit(&bytes(40), Fit::new().epochs(20).verbose(0)).unwrap();
            let before = bits(&mut residual);
            residual.bisect(&points(40), batch).unwrap();
            assert_eq!(bits(&mut residual), before);
            residual.fit(&points(40), Fit::new().epochs(20).verbose(0)).unwrap();
        }
        let scaled = self::gated().compile(settings().input([6]).loss_scale(gradus::optim::LossScale::dynamic())).unwrap();
        healthy(scaled.bisect(&bytes(40).one_hot(3), 33).unwrap());
        let y = HostTensor::f32([40], (0..40).map(|i| i as f32).collect()).unwrap();
        let real = Dataset::new(points(40).features().unwrap().clone(), y).unwrap();
        let net = Sequential::new().add(Linear::new(9)).add(Tanh).add(Linear::new(1));
        let line = net.compile(Compile::new(Sgd::new(0.01), Mse::new()).input([6]).device(device.clone())).unwrap();
        healthy(line.bisect(&real, 40).unwrap());
        let words = HostTensor::u8([40, 3], (0..120u32).map(|i| (i * 7 % 11) as u8).collect()).unwrap();
        let words = Dataset::new(words, points(40).labels().unwrap().clone()).unwrap().integers();
        let net = Sequential::new().add(Embedding::new(11, 4)).add(Flatten).add(Linear::new(2));
        let table = net.compile(settings().input([3]).input_dtype(DType::U32)).unwrap();
        healthy(table.bisect(&words, 33).unwrap());
        println!("{device}: at most {worst:.3} of the tolerance");
        SUITE.ran(1);
    }
}
/// The square, or on every device a little more: a user's kernel that does not do what its reference says.
struct Squared {
    wrong: bool,
}

impl CustomOp for Squared {
    fn name(&self) -> &str {
        "squared"
    }
    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>, String> {
        Ok(vec![x[0].clone()])
    }
    fn reference(&self, _: &[&Type], x: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![x[0].iter().map(|x| x * x).collect()]
    }
    fn vjp(&self, x: &[Var], _: &[Var], grads: &[Var]) -> Result<Vec<Option<Var>>, String> {
        Ok(vec![Some(&grads[0] * &x[0] * 2.0)])
    }
    fn kernel(&self, x: &[&Type], _: &[&Type]) -> Option<CustomKernel> {
        let body = if self.wrong { "out0(i, in0(i) * in0(i) + 0.001);" } else { "out0(i, in0(i) * in0(i));" };
        Some(CustomKernel::each(x[0].shape.size(), body))
    }
    fn cpu(&self, _: &[&Type], x: &[&[f32]], y: &mut [&mut [f32]]) -> Result<(), String> {
        let more = if self.wrong { 0.001 } else { 0.0 };
        y[0].iter_mut().zip(x[0]).for_each(|(y, x)| *y = x * x + more);
        Ok(())
    }
}

#[test]
fn bisection_names_a_users_own_wrong_kernel() {
    for device in SUITE.devices() {
        for wrong in [false, true] {
            let net = module(move |s, x| {
                let h = s.at("fc1").call(&Linear::new(8), x);
                let h = s.at("own").call(&module(move |_, h: &Var| h.custom(Squared { wrong }, &[])), &h);
                s.at("fc2").call(&Linear::new(2), &h)
            });
            let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([6]).device(device.clone());
            let model = net.compile(settings).unwrap();
            let found = model.bisect(&points(16), 16).unwrap();
            // wrong in training and in evaluation
            let named: Vec<_> = found.wrong.iter().map(|w| (w.layer.as_str(), w.nodes[0].1.as_str())).collect();
            assert_eq!(named, [("own", "squared in own"); 2][..if wrong { 2 } else { 0 }], "{device}: {found}");
            let line = found.wrong.iter().all(|w| w.place.contains("tests/tools/bisect.rs"));
            let size = found.wrong.iter().all(|w| (w.difference.found - w.difference.expected - 0.001).abs() < 1e-5);
            assert!(line && size, "{found}");
        }
        SUITE.ran(1);
    }
}

/// A branch behind a gate that is 0 and frozen: nothing at the end depends on it, and it is looked at nevertheless.
#[test]
fn an_error_that_does_not_show_at_the_end_is_found() {
    let data = points(9);
    for device in SUITE.devices() {
        let net = module(|s, x| {
            let h = s.at("fc1").call(&Linear::new(12), x).gelu();
            let h = s.at("fc2").call(&Linear::new(12), &h) * s.param("gate", [1], Init::Zeros);
            let x = s.at("stem").call(&Linear::new(12), x) + h;
            s.at("head").call(&Linear::new(2), &x)
        });
        let optimizer = Sgd::new(0.1).group("gate", gradus::optim::Group::new().frozen());
        let model = net.compile(Compile::new(optimizer, CrossEntropy::new()).input([6]).device(device.clone())).unwrap();
        // in evaluation, where another value takes the place of what is wrong
        let program = model.prepare_evaluation(&data, 9).unwrap();
        let at = program.launches.iter().position(|l| l.kernel.name() == "gemm_nt" && l.label.contains("fc1")).unwrap();
        let found = model.bisect_planted(&data, 9, &planted(Purpose::Evaluate, &[at])).unwrap();
        assert!(found.trials.len() == 2 && found.trials.iter().all(|t| t.agrees()), "{found}");
        let named: Vec<_> = found.wrong.iter().map(|w| (w.purpose, w.launch, w.layer.as_str(), w.alone)).collect();
        assert_eq!(named, [(Purpose::Evaluate, at, "fc1", true)], "{device}: {found}");
        SUITE.ran(1);
    }
}
