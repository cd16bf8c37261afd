//! Convolution of images, channels last, and its two gradients. Each of the three is linear in both operands, and the gradients of each are the
//! other two.

use super::fault::{Inferred, OpFault, all_f32, size};
use super::{Adjoint, Conv, ConvPart, Kind, OpRule};
use crate::error::Result;
use crate::graph::{Graph, Type, Value};
use crate::tensor::Shape;
use std::hash::{Hash, Hasher};

impl Conv {
    /// The same window, another of the three.
    fn part(&self, part: ConvPart) -> Conv {
        Conv { part, ..self.clone() }
    }

    /// `[N, H, W, channels]`
    fn images(&self, n: usize, channels: usize) -> Shape {
        [n, self.window.image[0], self.window.image[1], channels].into()
    }

    /// `[N, OH, OW, channels]`
    fn results(&self, n: usize, channels: usize) -> Shape {
        [n, self.window.positions[0], self.window.positions[1], channels].into()
    }

    /// `[O, kh, kw, I / groups]`
    fn weights(&self, out: usize, within: usize) -> Shape {
        [out, self.window.kernel[0], self.window.kernel[1], within].into()
    }
}

impl OpRule for Conv {
    fn name(&self) -> &str {
        match self.part {
            ConvPart::Forward => "conv",
            ConvPart::Data => "conv_data",
            ConvPart::Weights => "conv_weights",
        }
    }
    fn kind(&self) -> Kind {
        Kind::Product
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        all_f32(x)?;
        let (a, b, g) = (&x[0].shape, &x[1].shape, self.groups);
        let fail = |why: String| {
            let help = "images are [N, H, W, C], weights [O, kh, kw, C / groups]; groups divide both O and C";
            Err(OpFault::shape(format!("{a} and {b}, a window {}, {g} groups: {why}", self.window), help))
        };
        if let Some(fault) = self.window.fault() {
            return fail(fault);
        }
        if a.rank() != 4 || b.rank() != 4 || g == 0 {
            return fail("both operands need four axes, and there is at least one group".into());
        }
        // the channels of images and of results, as far as the operands tell, and what the operands must be
        let (n, channels, out) = match self.part {
            ConvPart::Forward => (a[0], a[3], b[0]),
            ConvPart::Data => (a[0], b[3].saturating_mul(g), b[0]),
            ConvPart::Weights => (a[0], a[3], b[3]),
        };
        if !channels.is_multiple_of(g) || !out.is_multiple_of(g) {
            return fail(format!("{channels} channels in and {out} out do not fall into the groups"));
        }
        let (images, weights, results) = (self.images(n, channels), self.weights(out, channels / g), self.results(n, out));
        let (want, made) = match self.part {
            ConvPart::Forward => ([&images, &weights], &results),
            ConvPart::Data => ([&results, &weights], &images),
            ConvPart::Weights => ([&images, &results], &weights),
        };
        if [a, b] != want {
            return fail(format!("they should be {} and {}", want[0], want[1]));
        }
        Ok(vec![Type::f32(made.clone())])
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        let (a, b, grad) = (at.inputs[0], at.inputs[1], at.grad(g)?);
        use ConvPart::{Data, Forward, Weights};
        let of = match self.part {
            Forward => [(Data, [grad, b]), (Weights, [a, grad])],
            Data => [(Forward, [grad, b]), (Weights, [grad, a])],
            Weights => [(Data, [b, grad]), (Forward, [a, grad])],
        };
        let wanted = |((part, x), wants): ((ConvPart, [Value; 2]), &bool)| wants.then(|| at.add(g, self.part(part), &x)).transpose();
        of.into_iter().zip(at.wants).map(wanted).collect()
    }
    fn flops(&self, x: &[&Type], y: &[Type]) -> u64 {
        // a multiply-add for each result, tap and channel of its group: places outside of the image counted as the rest
        let (results, within) = match self.part {
            ConvPart::Forward => (size(&y[0]), x[1].shape[3]),
            ConvPart::Data => (size(x[0]), x[1].shape[3]),
            ConvPart::Weights => (size(x[1]), y[0].shape[3]),
        };
        (2 * results).saturating_mul((self.window.taps() * within) as u64)
    }
    fn label(&self) -> String {
        let groups = if self.groups == 1 { String::new() } else { format!(" {} groups", self.groups) };
        format!("{} {}{groups}", self.name(), self.window)
    }
    fn hash(&self, mut h: &mut dyn Hasher) {
        (self.window, self.groups, self.part).hash(&mut h);
    }
}
