//! Operations of the user's own.

use super::custom_kernel::{CustomKernel, USER_DIMS};
use super::fault::{Inferred, OpFault};
use super::{Adjoint, Kind, OpRule};
use crate::error::{Error, Result, panic_text};
use crate::graph::builder::{Builder, Var};
use crate::graph::{Graph, Type, Value};
use crate::portable::STORAGE_BUFFERS;
use crate::tensor::{DType, Shape};
use std::fmt;
use std::sync::Arc;

/// An operation of the user's own, with a gradient, a kernel for GPUs and a loop for the CPU. It is tested like the operations of gradus.
///
/// # How to add an op of your own
///
/// 1. **Shapes and truth.** Implement [`name`](CustomOp::name), [`infer`](CustomOp::infer) (the types of the results, or why the operands
///    do not fit: a text that reaches the user with the line that made the call) and [`reference`](CustomOp::reference) (the plainest loops,
///    in f64). That is a whole op: it runs on the CPU and in [`reference`](crate::reference), and everything else is held against it.
/// 2. **Gradient.** [`vjp`](CustomOp::vjp) gives, for each operand, the sum over results of *gradient of the loss for the result* times
///    *derivative of the result*. It is written with the same [`Var`]s as a model, so that backward is planned and fused as all else; where that
///    is clumsy it calls another custom op. Without it the op still runs forward, and training through it is an `Err`.
/// 3. **Kernel.** [`kernel`](CustomOp::kernel) gives WGSL ([`CustomKernel`]). Without it the op is an `Err` on GPUs and runs on the CPU. The text is always
///    compiled with wgpu's bounds and loop checks, and operands are read and written through functions that stay within them.
/// 4. **Loop for the CPU**, where the reference is too slow: [`cpu`](CustomOp::cpu), over f32.
/// 5. **Use it**: [`x.custom(op, &[&other])`](Var::custom) anywhere in a model, or [`Var::custom_all`] for several results.
/// 6. **Prove it.** Run the same model on [`Device::cpu`](crate::train::Device::cpu) and on a GPU and compare (`examples/custom_op.rs` does); compare gradients with
///    differences of the loss in [`reference`](crate::reference). Within gradus' own tests, `tests/parity/custom.rs` holds each op against its reference on
///    every machine, forward and backward.
///
/// It takes a launch of its own: no map is fused into it. `explain()` and `profile()` show it by its name.
///
/// ```
/// use gradus::graph::{CustomKernel, CustomOp, Type, Var};
/// use gradus::prelude::*;
/// use gradus::tensor::HostTensor;
///
/// /// x^3
/// struct Cube;
///
/// impl CustomOp for Cube {
///     fn name(&self) -> &str {
///         "cube"
///     }
///     fn infer(&self, x: &[&Type]) -> Result<Vec<Type>, String> {
///         Ok(vec![x[0].clone()])
///     }
///     fn reference(&self, _: &[&Type], x: &[&[f64]]) -> Vec<Vec<f64>> {
///         vec![x[0].iter().map(|v| v * v * v).collect()]
///     }
///     // the two that training on a GPU needs
///     fn vjp(&self, x: &[Var], _y: &[Var], grad: &[Var]) -> Result<Vec<Option<Var>>, String> {
///         Ok(vec![Some(&grad[0] * &(x[0].square() * 3.0))])
///     }
///     fn kernel(&self, x: &[&Type], _y: &[&Type]) -> Option<CustomKernel> {
///         Some(CustomKernel::each(x[0].shape.size(), "let v = in0(i); out0(i, v * v * v);"))
///     }
/// }
///
/// // learns w in (w x)^3
/// let net = module(|s, x| (x * s.param("w", [1], Init::Constant(0.5))).custom(Cube, &[]));
/// let x: Vec<f32> = (0..32).map(|i| i as f32 / 16.0 - 1.0).collect();
/// let y = x.iter().map(|x| (0.8 * x).powi(3)).collect();
/// let data = Dataset::new(HostTensor::f32([32, 1], x)?, HostTensor::f32([32, 1], y)?)?;
/// let mut model = net.compile(Compile::new(Adam::new(0.03), Mse::new()).input([1]).device(Device::cpu()))?;
/// model.fit(&data, Fit::new().epochs(60).batch_size(8).verbose(0))?;
/// assert!((model.parameter("w")?.as_f32().unwrap()[0] - 0.8).abs() < 0.01);
/// # Ok::<(), gradus::Error>(())
/// ```
pub trait CustomOp: Send + Sync + 'static {
    /// Its name, in errors, `explain()` and `profile()`.
    fn name(&self) -> &str;

    /// The types of the results for operands of these types (f32 or u32, none empty), or why they do not fit.
    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, String>;

    /// The results in f64, by the plainest loops: what every machine is held against. Integers come and go as f64. `types` are those of the
    /// operands `x`; each result has as many elements as [`CustomOp::infer`] says.
    fn reference(&self, types: &[&Type], x: &[&[f64]]) -> Vec<Vec<f64>>;

    /// How many results; 1.
    fn outputs(&self) -> usize {
        1
    }

    /// The gradient of the loss for each operand (of its shape; `None` where there is none, as for integers), from the operands, the results, and
    /// the gradient of the loss for each result (zeros where the loss does not depend on it). By default that there is none.
    fn vjp(&self, inputs: &[Var], outputs: &[Var], grads: &[Var]) -> Result<Vec<Option<Var>>, String> {
        let _ = (inputs, outputs, grads);
        Err("the op has no gradient: implement `CustomOp::vjp`, or keep parameters out of its operands".into())
    }

    /// The kernel for GPUs; none by default.
    fn kernel(&self, inputs: &[&Type], outputs: &[&Type]) -> Option<CustomKernel> {
        let _ = (inputs, outputs);
        None
    }

    /// The results `y` on the CPU device; by default those of the reference, rounded. Integers come and go as the bits of f32
    /// (`f32::to_bits`). Runs on one thread; whatever it does, its bits must not depend on how many threads there are.
    fn cpu(&self, types: &[&Type], x: &[&[f32]], y: &mut [&mut [f32]]) -> Result<(), String> {
        let reals: Vec<Vec<f64>> = types.iter().zip(x).map(|(t, v)| v.iter().map(|&v| widened(t.dtype, v)).collect()).collect();
        let made = checked_reference(self, types, &reals.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        for ((ty, made), y) in made.iter().zip(y) {
            y.iter_mut().zip(made).for_each(|(y, &v)| *y = if ty.dtype == DType::U32 { f32::from_bits(v as u32) } else { v as f32 });
        }
        Ok(())
    }

    /// Floating-point operations, for listings; 0.
    fn flops(&self, inputs: &[&Type], outputs: &[&Type]) -> u64 {
        let _ = (inputs, outputs);
        0
    }
}

fn widened(dtype: DType, v: f32) -> f64 {
    if dtype == DType::U32 { v.to_bits().into() } else { v.into() }
}

/// The reference's results with their types, of the sizes that were announced.
pub(crate) fn checked_reference<C: CustomOp + ?Sized>(op: &C, types: &[&Type], x: &[&[f64]]) -> Result<Vec<(Type, Vec<f64>)>, String> {
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| op.reference(types, x)));
    let (made, announced) = (made.map_err(|panic| format!("`reference` panicked: {}", panic_text(&*panic)))?, op.infer(types)?);
    let sizes = |l: &mut dyn Iterator<Item = usize>| l.map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    if made.iter().map(Vec::len).ne(announced.iter().map(|t| t.shape.size())) {
        let (got, want) = (sizes(&mut made.iter().map(Vec::len)), sizes(&mut announced.iter().map(|t| t.shape.size())));
        return Err(format!("`reference` gives results of {got} elements, `infer` announces {want}"));
    }
    Ok(announced.into_iter().zip(made).collect())
}

impl<C: CustomOp + ?Sized> CustomOp for Arc<C> {
    fn name(&self) -> &str {
        (**self).name()
    }
    fn infer(&self, inputs: &[&Type]) -> Result<Vec<Type>, String> {
        (**self).infer(inputs)
    }
    fn reference(&self, types: &[&Type], x: &[&[f64]]) -> Vec<Vec<f64>> {
        (**self).reference(types, x)
    }
    fn outputs(&self) -> usize {
        (**self).outputs()
    }
    fn vjp(&self, inputs: &[Var], outputs: &[Var], grads: &[Var]) -> Result<Vec<Option<Var>>, String> {
        (**self).vjp(inputs, outputs, grads)
    }
    fn kernel(&self, inputs: &[&Type], outputs: &[&Type]) -> Option<CustomKernel> {
        (**self).kernel(inputs, outputs)
    }
    fn cpu(&self, types: &[&Type], x: &[&[f32]], y: &mut [&mut [f32]]) -> Result<(), String> {
        (**self).cpu(types, x, y)
    }
    fn flops(&self, inputs: &[&Type], outputs: &[&Type]) -> u64 {
        (**self).flops(inputs, outputs)
    }
}

/// A [`CustomOp`] in a graph. Two are equal if they are one and the same value.
#[derive(Clone)]
pub struct Custom(Arc<dyn CustomOp>);

impl Custom {
    /// Holds an op.
    pub fn new(op: impl CustomOp) -> Self {
        Custom(Arc::new(op))
    }

    /// The op.
    pub fn op(&self) -> &dyn CustomOp {
        &*self.0
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Custom({})", self.0.name())
    }
}

impl OpRule for Custom {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn kind(&self) -> Kind {
        Kind::Alone
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        infer(self.op(), x)
    }
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        vjp(self.op(), at, g)
    }
    fn flops(&self, x: &[&Type], y: &[Type]) -> u64 {
        self.0.flops(x, &y.iter().collect::<Vec<_>>())
    }
}

/// What the op says, and what no op may do.
fn infer(op: &dyn CustomOp, inputs: &[&Type]) -> Inferred {
    let own = "this is what the custom op's `infer` says about its operands";
    let bad = |t: &&Type| t.shape.size() == 0 || !matches!(t.dtype, DType::F32 | DType::U32);
    if let Some(t) = inputs.iter().find(|t| bad(t)) {
        return Err(OpFault::shape(format!("an operand is {} {}", t.dtype, t.shape), "custom ops take f32 and u32, none of them empty"));
    }
    let outputs = op.infer(inputs).map_err(|problem| OpFault::shape(problem, own))?;
    if let Some(t) = outputs.iter().find(|t| bad(t)) {
        return Err(OpFault::shape(format!("a result is {} {}", t.dtype, t.shape), "custom ops give f32 and u32, none of them empty"));
    }
    if outputs.len() != op.outputs() || outputs.is_empty() {
        let problem = format!("`infer` gives {} results and `outputs` announces {}", outputs.len(), op.outputs());
        return Err(OpFault::shape(problem, "both must say the same, at least 1"));
    }
    if inputs.len() + outputs.len() > STORAGE_BUFFERS {
        let problem = format!("{} operands and {} results", inputs.len(), outputs.len());
        return Err(OpFault::shape(problem, "a kernel binds at most 8 buffers in all"));
    }
    let dims = op.kernel(inputs, &outputs.iter().collect::<Vec<_>>()).map_or(0, |k| k.dims.len());
    if dims > USER_DIMS {
        return Err(OpFault::shape(format!("its kernel has {dims} dims"), "at most 40 numbers fit in a launch's row"));
    }
    Ok(outputs)
}

/// The gradients that the op states, as nodes of the graph.
fn vjp(op: &dyn CustomOp, of: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
    let node = g.nodes[of.id].clone();
    let shapes: Vec<Shape> = node.inputs.iter().map(|v| g.shape(*v).clone()).collect();
    let at = node.site();
    let builder = Builder::over(std::mem::take(g), &node.layer);
    let inputs: Vec<Var> = node.inputs.iter().map(|v| builder.var(Some(*v))).collect();
    let outputs: Vec<Var> = (0..node.outputs.len()).map(|output| builder.var(Some(Value { node: of.id, output }))).collect();
    let grads: Vec<Var> = of
        .grads
        .iter()
        .zip(&node.outputs)
        .map(|(v, t)| if v.is_some() { builder.var(*v) } else { builder.constant(0.0, t.shape.clone()) })
        .collect();
    let made = op.vjp(&inputs, &outputs, &grads);
    let fits = made.as_ref().map_or(true, |m| {
        m.len() == shapes.len() && m.iter().zip(&shapes).all(|(v, s)| v.as_ref().is_none_or(|v| v.value().is_none() || v.shape() == *s))
    });
    let own = made.as_ref().map_or(true, |m| m.iter().flatten().all(|v| v.builder().same(&builder)));
    let found: Vec<String> = made.iter().flatten().map(|v| v.as_ref().map_or("none".into(), |v| v.shape().to_string())).collect();
    *g = builder.finish()?;
    let made = made.map_err(|problem| Error::Unsupported {
        what: format!("a gradient through `{}`: {problem}", op.name()),
        at: at.clone(),
        help: "a custom op states its gradient in `vjp`".into(),
    })?;
    if !fits || !own {
        let want = shapes.iter().map(|s| s.to_string()).collect::<Vec<_>>().join(", ");
        let problem = format!("`vjp` gives {} for operands of {want}", found.join(", "));
        let help = "give one gradient for each operand, of its shape, made from the Vars that `vjp` was given".into();
        return Err(Error::ShapeMismatch { op: op.name().into(), problem, at, help });
    }
    Ok(made.into_iter().map(|v| v?.value()).collect())
}
