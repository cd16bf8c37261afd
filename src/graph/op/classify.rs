//! Rows of scores against labels: the cross-entropy and the accuracy.

use super::fault::{Inferred, OpFault, all_f32, size};
use super::{Accuracy, Adjoint, CrossEntropy, Kind, Labels, Limit, OpRule};
use crate::error::Result;
use crate::graph::{Graph, Type, Value};
use crate::tensor::DType;

impl OpRule for CrossEntropy {
    fn name(&self) -> &str {
        "cross_entropy"
    }
    fn kind(&self) -> Kind {
        Kind::Loss
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        classification(x, self.labels)?;
        Ok(vec![Type::f32([]), x[0].clone(), Type::f32([])])
    }
    /// The kernel has made the gradient for the logits with the loss: the second output.
    fn vjp(&self, at: &Adjoint<'_>, g: &mut Graph) -> Result<Vec<Option<Value>>> {
        let grad = at.grad(g)?;
        if at.grads[1].is_some() {
            return Err(at.unsupported(g, "a second derivative of a cross-entropy"));
        }
        if at.wants[1] {
            return Err(at.unsupported(g, "a gradient for the labels of a cross-entropy"));
        }
        let kept = Value { node: at.id, output: 1 };
        let slope = at.map(g, &[grad, kept], |x| &x[0] * &x[1])?;
        Ok(std::iter::once(Some(slope)).chain(at.inputs[1..].iter().map(|_| None)).collect())
    }
    fn flops(&self, x: &[&Type], _: &[Type]) -> u64 {
        5 * size(x[0])
    }
    fn reads_half(&self, operand: usize) -> bool {
        operand == 0
    }
    fn limit(&self) -> Option<Limit> {
        limit(self.labels)
    }
}

impl OpRule for Accuracy {
    fn name(&self) -> &str {
        "accuracy"
    }
    fn kind(&self) -> Kind {
        Kind::Loss
    }
    fn infer(&self, x: &[&Type]) -> Inferred {
        classification(x, self.0)?;
        Ok(vec![Type::f32([])])
    }
    fn vjp(&self, _: &Adjoint<'_>, _: &mut Graph) -> Result<Vec<Option<Value>>> {
        Ok(vec![]) // flat almost everywhere
    }
    fn flops(&self, x: &[&Type], _: &[Type]) -> u64 {
        size(x[0])
    }
    fn reads_half(&self, operand: usize) -> bool {
        operand == 0
    }
    fn limit(&self) -> Option<Limit> {
        limit(self.0)
    }
}

fn limit(labels: Labels) -> Option<Limit> {
    labels.are_classes().then_some(Limit::Classes)
}

/// What to do about numbers where classes are meant.
pub(crate) const REAL_CLASSES: &str = "classes are integers, `HostTensor::u32` or `u8`; f32 labels are probabilities, `[.., classes]`";

/// What to do where rows of probabilities are to be ignored.
pub(crate) const IGNORES_CLASSES: &str =
    "`ignore_index` is one of integer labels; rows of probabilities may be weighted by 0, with `Dataset::weights`";

fn classification(inputs: &[&Type], labels: Labels) -> Result<(), OpFault> {
    all_f32(&inputs[..1])?;
    let (x, y) = (inputs[0], inputs[1]);
    let Some((_, rows)) = x.shape.dims().split_last().filter(|(_, rows)| !rows.is_empty()) else {
        return Err(OpFault::shape(format!("the scores have shape {}", x.shape), "give [.., classes]: one score for each class"));
    };
    match labels {
        Labels::ClassesBut(_) if y.dtype == DType::F32 => {
            Err(OpFault::dtype(format!("labels {} of dtype {}, one of which is to be ignored", y.shape, y.dtype), IGNORES_CLASSES))
        }
        Labels::Classes | Labels::ClassesBut(_) if y.dtype != DType::U32 => {
            Err(OpFault::dtype(format!("class labels of dtype {}", y.dtype), "give integer labels, or rows of probabilities"))
        }
        Labels::Classes | Labels::ClassesBut(_) if y.shape.dims() != rows => {
            Err(OpFault::shape(format!("scores {} and class labels {}", x.shape, y.shape), "give one label for each row of scores"))
        }
        Labels::Probabilities if y.dtype != DType::F32 => {
            Err(OpFault::dtype(format!("label rows of dtype {}", y.dtype), "give f32 probabilities"))
        }
        Labels::Probabilities if y.shape != x.shape && y.shape.size() == rows.iter().product::<usize>() => {
            Err(OpFault::shape(format!("scores {} and labels {} that are f32", x.shape, y.shape), REAL_CLASSES))
        }
        Labels::Probabilities if y.shape != x.shape => Err(OpFault::shape(
            format!("scores {} and label rows {}", x.shape, y.shape),
            "the last layer must have as many outputs as the labels have classes",
        )),
        Labels::ClassesBut(_) if inputs.get(2).is_none_or(|counted| counted.dtype != DType::F32 || counted.shape.size() != 1) => {
            Err(OpFault::shape("an ignored label without a count".into(), "give the number of rows that count"))
        }
        _ => Ok(()),
    }
}
