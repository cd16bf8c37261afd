//! Normalisation layers in mid-graph.

use super::gradients::{parameter, pass};
use crate::graph::{Builder, Var};
use crate::nn::{BatchNorm1d, GroupNorm, LayerNorm, Module, RMSNorm, Scope};

/// The layer on a formula of a parameter, its own parameters drawn.
fn layer(name: &str, layer: &dyn Module, shape: &[usize], training: bool) {
    let how = if training { "training" } else { "evaluation" };
    pass(&format!("{name} {shape:?}, {how}"), |b: &Builder| -> Var {
        let x = parameter(b, "x", shape);
        Scope::root(b, training).at("norm").call(layer, &(&x * 2.0 + x.tanh()))
    });
}

#[test]
fn batch_norm() {
    let plain = BatchNorm1d::new();
    for training in [true, false] {
        for shape in [&[5, 3][..], &[2, 2], &[3, 2, 4], &[1, 2, 5]] {
            layer("batch norm", &plain, shape, training);
        }
        layer("batch norm without parameters", &plain.affine(false).eps(0.1), &[4, 3], training);
        layer("batch norm of each batch", &plain.track_running_stats(false), &[4, 3], training);
        layer("batch norm, plain average", &plain.momentum(None), &[4, 3], training);
    }
}

#[test]
fn layer_norm() {
    for shape in [&[2, 5][..], &[2, 3, 4]] {
        layer("layer norm", &LayerNorm::new(), shape, true);
        layer("layer norm without bias", &LayerNorm::new().bias(false).eps(0.1), shape, true);
        layer("layer norm without parameters", &LayerNorm::new().elementwise_affine(false), shape, true);
    }
    layer("layer norm of two axes", &LayerNorm::new().axes(2), &[2, 3, 4], true);
}

#[test]
fn rms_norm() {
    layer("rms norm", &RMSNorm::new(), &[3, 5], true);
    layer("rms norm without parameters", &RMSNorm::new().elementwise_affine(false).eps(0.1), &[3, 5], true);
    layer("rms norm of two axes", &RMSNorm::new().axes(2), &[2, 3, 4], true);
}

#[test]
fn group_norm() {
    layer("group norm", &GroupNorm::new(2), &[3, 6], true);
    layer("group norm of sequences", &GroupNorm::new(3), &[2, 6, 2], true);
    layer("group norm of one group", &GroupNorm::new(1).eps(0.1), &[2, 4, 3], true);
    layer("group norm without parameters", &GroupNorm::new(2).affine(false), &[3, 6], true);
}

/// No gradient flows into a buffer's new value or through its old one.
#[test]
fn buffers_are_leaves() {
    pass("a buffer beside a parameter", |b| {
        let s = Scope::root(b, true);
        let x = parameter(b, "x", &[2, 3]);
        let old = s.buffer("state", [3], crate::nn::Init::Zeros);
        s.update(&old, &x.mean_axes(&[0]));
        x * old
    });
}
