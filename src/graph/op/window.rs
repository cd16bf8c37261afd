//! Operations over windows of images, channels last: pools and changes of size.

use super::fault::{Inferred, OpFault, all_f32, shapes, size};
use super::{Adjoint, Kind, MaxPool, OpRule, PoolPart, Resample};
use crate::error::Result;
use crate::graph::{Graph, Type, Value};
use crate::tensor::Shape;
use std::hash::{Hash, Hasher};

const IMAGES: &str = "images are [N, H, W, C], and every window holds a place of them";

impl MaxPool {
    fn part(&self, part: PoolPart) -> MaxPool {
        MaxPool { part, ..self.clone() }
    }

    /// Why the window holds nothing of the image somewhere, if so.
    fn fault(&self) -> Option<String> {
        let w = &self.window;
        let empty = |axis: usize| (0..w.positions[axis]).any(|p| (0..w.kernel[axis]).all(|k| w.place(axis, p, k).is_none()));
        w.fault().or_else(|| (empty(0) || empty(1)).then(|| format!("a window {w} that holds padding alone")))
    }
}

/// `[N, height, width, C]` for images of this shape.
fn of_size(x: &Shape, [height, width]: [usize; 2]) -> Shape {
    [x[0], height, width, x[3]].into()
}

impl OpRule for MaxPool {
    fn name(&self) -> &str {
        match self.part {
            PoolPart::Largest => "max_pool",
            PoolPart::Back => "max_pool_back",
            PoolPart::Picked => "max_pool_picked",
        }
    }
    fn kind(&self) -> Kind {
        Kind::Window
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        all_f32(x)?;
        let (images, w) = (&x[0].shape, &self.window);
        if let Some(fault) = self.fault() {
            return Err(OpFault::shape(fault, IMAGES));
        }
        if images.rank() != 4 || images.dims()[1..3] != w.image {
            return Err(OpFault::shape(format!("{} under a window {w}", shapes(x)), IMAGES));
        }
        let results = of_size(images, w.positions);
        let (second, made) = match self.part {
            PoolPart::Largest => (None, &results),
            PoolPart::Back => (Some(&results), images),
            PoolPart::Picked => (Some(images), &results),
        };
        if x.get(1).map(|t| &t.shape) != second {
            return Err(OpFault::shape(format!("{} under a window {w}", shapes(x)), IMAGES));
        }
        Ok(vec![Type::f32(made.clone())])
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        let (x, grad) = (at.inputs[0], at.grad(g)?);
        // which place is the largest does not move with its value
        Ok(match self.part {
            PoolPart::Largest => vec![Some(at.add(g, self.part(PoolPart::Back), &[x, grad])?)],
            PoolPart::Back => vec![None, Some(at.add(g, self.part(PoolPart::Picked), &[x, grad])?)],
            PoolPart::Picked => vec![None, Some(at.add(g, self.part(PoolPart::Back), &[x, grad])?)],
        })
    }
    fn flops(&self, x: &[&Type], y: &[Type]) -> u64 {
        // a comparison for each place of each window
        let windows = if self.part == PoolPart::Back { size(x[1]) } else { size(&y[0]) };
        windows.saturating_mul(self.window.taps() as u64)
    }
    fn label(&self) -> String {
        format!("{} {}", self.name(), self.window)
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        (self.window, self.part).hash(&mut h);
    }
}

impl OpRule for Resample {
    fn name(&self) -> &str {
        "resample"
    }
    fn kind(&self) -> Kind {
        Kind::Window
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        all_f32(x)?;
        let (images, [down, across]) = (&x[0].shape, &self.0);
        if let Some(fault) = self.0.iter().find_map(|s| s.fault()) {
            return Err(OpFault::shape(fault, IMAGES));
        }
        let ends = [down.ends(), across.ends()];
        if images.rank() != 4 || images.dims()[1..3] != ends.map(|e| e[0]) {
            return Err(OpFault::shape(format!("{images} under {down}, {across}"), IMAGES));
        }
        Ok(vec![Type::f32(of_size(images, ends.map(|e| e[1])))])
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        let grad = at.grad(g)?;
        Ok(vec![Some(at.add(g, Resample(self.0.map(|s| s.turned())), &[grad])?)])
    }
    fn flops(&self, x: &[&Type], _: &[Type]) -> u64 {
        // each place goes into as many sums as it has entries
        let [down, across] = self.0.map(|s| s.lists().iter().map(Vec::len).sum::<usize>());
        let planes = size(x[0]) / (self.0[0].ends()[0] * self.0[1].ends()[0]).max(1) as u64;
        (2 * planes).saturating_mul((down * across) as u64)
    }
    fn label(&self) -> String {
        let [down, across] = &self.0;
        format!("resample {down}, {across}")
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        self.0.hash(&mut h);
    }
}
