//! An operation of one's own with its own kernel: the Snake activation `x + sin(a x)^2 / a`, with a learned frequency `a` for each feature.
//!
//! A network of ReLUs cannot go on with a wave beyond the data that it saw; one of Snakes can (Ziyin et al., 2020, "Neural networks fail to learn periodic
//! functions and how to fix it"). Runs on `GRADUS_DEVICE`, else a real GPU, else the CPU: `cargo run --release --example custom_op`

use gradus::graph::{Builder, CustomKernel, CustomOp, Op, Type, Var};
use gradus::prelude::*;
use gradus::reference::{Data, evaluate};
use gradus::tensor::HostTensor;
use std::collections::HashMap;
use std::io::Write;

/// `[.., features]` and `[features]` to `[.., features]`.
struct Snake;

impl CustomOp for Snake {
    fn name(&self) -> &str {
        "snake"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>, String> {
        match x {
            [x, a] if a.shape.dims() == [x.shape.last()] => Ok(vec![(*x).clone()]),
            _ => Err("snake takes [.., features] and one frequency for each feature".into()),
        }
    }

    // what every machine is held against
    fn reference(&self, _: &[&Type], x: &[&[f64]]) -> Vec<Vec<f64>> {
        let (x, a) = (x[0], x[1]);
        vec![x.iter().zip(a.iter().cycle()).map(|(x, a)| x + (a * x).sin().powi(2) / a).collect()]
    }

    // the sum over rows of the gradient for `a` is an ordinary reduction: no kernel to write
    fn vjp(&self, inputs: &[Var], _: &[Var], grads: &[Var]) -> Result<Vec<Option<Var>>, String> {
        let (x, a, g) = (&inputs[0], &inputs[1], &grads[0]);
        let double = (x * a * 2.0).sin();
        let for_x = g * &(1.0 + &double);
        let for_a = g * &((x * &double - (x * a).sin().square() / a) / a);
        let rows: Vec<usize> = (0..x.shape().rank() - 1).collect();
        Ok(vec![Some(for_x), Some(for_a.sum_axes(&rows))])
    }

    // a thread for each element; the header gives `in0`, `in1`, `out0`, `dim`
    fn kernel(&self, x: &[&Type], _: &[&Type]) -> Option<CustomKernel> {
        let body = "let a = in1(i % dim(0u));
            let s = sin(a * in0(i));
            out0(i, in0(i) + s * s / a);";
        Some(CustomKernel::each(x[0].shape.size(), body).dims([x[0].shape.last() as u32]))
    }

    // optional: the CPU runs the reference otherwise
    fn cpu(&self, _: &[&Type], x: &[&[f32]], y: &mut [&mut [f32]]) -> Result<(), String> {
        for ((y, x), a) in y[0].iter_mut().zip(x[0]).zip(x[1].iter().cycle()) {
            *y = x + (a * x).sin().powi(2) / a;
        }
        Ok(())
    }

    fn flops(&self, x: &[&Type], _: &[&Type]) -> u64 {
        6 * x[0].shape.size() as u64
    }
}

/// Two hidden layers of 32; the activation makes the difference.
fn network(snake: bool) -> impl Module {
    module(move |s, x| {
        let act = |name: &str, h: Var| {
            if snake { h.custom(Snake, &[&s.at(name).param("a", [32], Init::Constant(1.0))]) } else { h.relu() }
        };
        let h = act("act1", s.at("fc1").call(&Linear::new(32), x));
        let h = act("act2", s.at("fc2").call(&Linear::new(32), &h));
        s.at("out").call(&Linear::new(1), &h)
    })
}

/// A wave over a slope at `n` places of an interval.
fn wave(from: f32, to: f32, n: usize) -> gradus::Result<Dataset> {
    let x: Vec<f32> = (0..n).map(|i| from + (to - from) * i as f32 / n as f32).collect();
    let y = x.iter().map(|x| (2.0 * x).sin() + 0.3 * x).collect();
    Dataset::new(HostTensor::f32([n, 1], x)?, HostTensor::f32([n, 1], y)?)
}

fn compiled(snake: bool, device: Device) -> gradus::Result<Model> {
    network(snake).compile(Compile::new(Adam::new(3e-3), Mse::new()).input([1]).device(device).seed(1))
}

/// Prints a line. A reader who has seen enough (`| head`) is no fault.
fn show(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn main() -> gradus::Result<()> {
    let (seen, beyond) = (wave(-5.0, 5.0, 512)?, wave(5.0, 7.0, 128)?);
    let device = Device::best()?;
    show(&format!("device: {device}"));

    let model = compiled(true, device.clone())?;
    let program = model.prepare(&seen, 64)?;
    for line in program.explain().lines().filter(|l| l.contains("snake")) {
        show(line);
    }
    for (name, snake) in [("relu", false), ("snake", true)] {
        let mut model = compiled(snake, device.clone())?;
        model.fit(&seen, Fit::new().epochs(300).batch_size(64).verbose(0))?;
        let (inside, outside) = (model.evaluate(&seen, 128)?["loss"], model.evaluate(&beyond, 128)?["loss"]);
        show(&format!("{name:5}  mean squared error {inside:.4} where it was trained, {outside:.4} beyond"));
        if snake {
            let a = model.parameter("act1.a")?.to_f64();
            show(&format!(
                "       frequencies from {:.2} to {:.2}",
                a.iter().fold(9.0, |m, v| v.min(m)),
                a.iter().fold(0.0, |m, v| v.max(m))
            ));
            let off = distance(&mut model, &beyond)?;
            show(&format!("       the device is off the reference by at most {off:.1e}"));
            assert!(off < 1e-3, "the kernel and the reference disagree");
        }
    }
    Ok(())
}

/// How far the trained network on this device is from the same weights in the reference, in f64.
fn distance(model: &mut Model, data: &Dataset) -> gradus::Result<f64> {
    let found = model.predict(data, 64)?.to_f64();
    let mut weights = HashMap::new();
    for name in model.parameter_names().map(String::from).collect::<Vec<_>>() {
        let values = model.parameter(&name)?.to_f64();
        weights.insert(name, values);
    }
    let builder = Builder::new();
    let x = builder.batch(data.len(), data.fields().remove(0));
    let y = network(true).forward(&Scope::root(&builder, false), &x).value();
    let graph = builder.finish()?;
    let feed = |op: &Op| match op {
        Op::Batch(_) => data.features().map(|x| Data::Real(x.to_f64())),
        Op::Parameter(p) => weights.get(&p.name).cloned().map(Data::Real),
        _ => None,
    };
    let truth = evaluate::<f64>(&graph, &feed, &y.into_iter().collect::<Vec<_>>())?[0].to_f64();
    Ok(found.iter().zip(&truth).map(|(f, t)| (f - t).abs()).fold(0.0, f64::max))
}
