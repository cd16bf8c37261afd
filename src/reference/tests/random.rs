//! Dropout and noise in mid-graph: what backward draws is what forward drew.

use super::gradients::{parameter, pass};
use crate::graph::Var;
use crate::nn::{Dropout, GaussianNoise, Module, Scope};

/// A layer in both modes, behind another operation.
fn both(layer: &dyn Module, shape: &[usize]) {
    for training in [true, false] {
        let name = format!("{} of {shape:?}, training {training}", layer.name());
        pass(&name, |b| {
            let x = parameter(b, "x", shape);
            Scope::root(b, training).at("layer").call(layer, &(x.tanh() * 2.0))
        });
    }
}

#[test]
fn dropout_and_noise() {
    both(&Dropout::new(0.4), &[3, 4]);
    both(&Dropout::new(0.0), &[3, 4]);
    both(&Dropout::new(0.4), &[2, 3, 5]);
    both(&GaussianNoise::new(0.3), &[3, 4]);
}

/// Draws of other shapes than what they meet: those are stored.
#[test]
fn draws_of_a_row_and_of_a_view() {
    let drawn = |s: &Scope, x: &Var| (s.bernoulli(0.5, [3, 1]) + 0.5) * x + s.uniform([4]) + s.normal([4, 3]).t();
    pass("draws that broadcast", |b| drawn(&Scope::root(b, true), &parameter(b, "x", &[3, 4])));
}
