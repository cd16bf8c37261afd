//! Normalisation, dropout and noise, each in mid-graph.

use super::gradients::{parameter, pass};
use crate::graph::Var;
use crate::nn::{BatchNorm1d, Dropout, GaussianNoise, GroupNorm, LayerNorm, Module, RMSNorm, Scope};

/// A layer in both modes, behind and before other operations.
fn both(layer: &dyn Module, shape: &[usize]) {
    for training in [true, false] {
        let name = format!("{} of {shape:?}, training {training}", layer.name());
        pass(&name, |b| {
            let x = parameter(b, "x", shape);
            layer.forward(&Scope::root(b, training).at("layer"), &(x.tanh() * 2.0))
        });
    }
}

#[test]
fn normalisations() {
    both(&BatchNorm1d::new(), &[4, 3]);
    both(&BatchNorm1d::new(), &[2, 3, 2]);
    both(&BatchNorm1d::new().track_running_stats(false), &[4, 3]);
    both(&LayerNorm::new(), &[3, 4]);
    both(&LayerNorm::new().axes(2).bias(false), &[2, 3, 2]);
    both(&RMSNorm::new(), &[3, 4]);
    both(&GroupNorm::new(2), &[2, 4]);
    both(&GroupNorm::new(2), &[2, 4, 3]);
}

#[test]
fn dropout_and_noise() {
    both(&Dropout::new(0.4), &[3, 4]);
    both(&Dropout::new(0.0), &[3, 4]);
    both(&Dropout::new(0.4), &[2, 3, 5]);
    both(&GaussianNoise::new(0.3), &[3, 4]);
}

/// Draws of other shapes than what they meet: those are stored, or read from a place of their own.
#[test]
fn a_draw_of_a_part_and_of_a_view() {
    let drawn = |s: &Scope, x: &Var| s.bernoulli(0.5, [3, 1]) * x + s.uniform([4]) + s.normal([3, 4]).permute(&[1, 0]).permute(&[1, 0]);
    pass("draws that broadcast", |b| drawn(&Scope::root(b, true), &parameter(b, "x", &[3, 4])));
}
